"""The output of a command: the assistant's text on stdout as it arrives, and notes on stderr."""

from __future__ import annotations

import logging
import os
import sys
import threading
from base64 import b64encode
from typing import IO, TextIO

from rich.console import Console
from rich.text import Text

from rx_assistant.gui import printable


class PrintableFormatter(logging.Formatter):
    """Log lines without control characters, except line feeds and tabs: they can hold words of a server."""

    def format(self, record: logging.LogRecord) -> str:
        """The text of one record."""
        return printable(super().format(record))


class Output:
    """Text and notes that never mix, readable live in a terminal and plain in a pipe.

    A pipe gets exactly what the assistant wrote; a terminal gets it without control characters. Notes go to stderr, a
    line each. Where stdout and stderr are one place, a terminal or a file, each note starts on a line of its own. In a
    terminal the arguments of a tool call can be followed as they are written: one call at a time, so calls that are
    written at once are shown one after the other. If stdout fails (a full disk, a closed pipe), `failure` holds the
    error.
    """

    failure: OSError | None = None

    def __init__(self, stdout: TextIO | None = None, console: Console | None = None) -> None:
        self._stdout = stdout or sys.stdout
        self._console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = self._console.is_terminal
        self.in_terminal = self._stdout.isatty()
        self._shared = _are_one_place(self._stdout, self._console.file)
        self._for_stdout = printable if self.in_terminal else str
        self._for_stderr = printable if self._live else str
        self._open = ""  # the owner of the unfinished line: "text", a call's id, or nothing
        self._part: object = None  # the part of a message that the text belongs to
        self._ends_line = True
        self._written: dict[str, str] = {}  # the arguments on the screen, of each call that began there
        self._lock = threading.RLock()

    def text(self, piece: str) -> None:
        """Write a piece of the assistant's text."""
        with self._lock:
            if self._open not in ("", "text"):
                self._break_line()
            try:
                self._stdout.write(self._for_stdout(piece))
                self._stdout.flush()
            except OSError as error:
                self.failure = error
                raise
            self._ends_line = piece.endswith("\n")
            self._open = "" if self._ends_line else "text"

    def part(self, key: object) -> None:
        """Begin the text of a part: in a terminal on a line of its own."""
        with self._lock:
            if key != self._part:
                self._part = key
                if self.in_terminal and self._open == "text":
                    self.text("\n")

    def note(self, message: str, style: str = "dim") -> None:
        """Write a line beside the text."""
        with self._lock:
            self._break_line()
            self._console.print(Text(self._for_stderr(message), style=style))

    def call_begins(self, call_id: str, name: str) -> None:
        """Show that a tool is being called, unless the line of another call is unfinished; its arguments follow."""
        with self._lock:
            if self._live and self._open in ("", "text"):
                self._break_line()
                self._console.print(Text(self._for_stderr(f"⚙ {name}("), style="cyan"), end="")
                self._open, self._written[call_id] = call_id, ""

    def call_goes_on(self, call_id: str, fragment: str) -> None:
        """Show more of a call's arguments, unless other output came in between."""
        with self._lock:
            if self._live and self._open == call_id:
                self._console.print(Text(self._for_stderr(fragment), style="cyan"), end="")
                self._written[call_id] += fragment

    def call_ends(self, call_id: str, name: str, arguments: str) -> None:
        """Show the missing part of a call: the end of its line, of a line that was interrupted, or the whole call."""
        with self._lock:
            written = self._written.pop(call_id, "")
            rest = arguments.removeprefix(written)
            if self._open == call_id:
                self._console.print(Text(self._for_stderr(f"{rest})"), style="cyan"))
                self._open = ""
            else:
                self.note(f"⚙ {name}({'… ' if written else ''}{rest})", "cyan")

    def answer(self, text: str) -> None:
        """Show the answer of a tool."""
        self.note(f"  → {text}", "green")

    def copy(self, text: str) -> None:
        """Put a text on the terminal's clipboard (OSC 52), because a person asked for it."""
        with self._lock:
            self._stdout.write(f"\x1b]52;c;{b64encode(text.encode('utf-8', 'replace')).decode()}\x07")
            self._stdout.flush()

    def finish(self) -> None:
        """End the last line; raise the error that stopped the text, if any."""
        if self.failure is not None:
            raise self.failure
        with self._lock:
            if self._open == "text" or not self._ends_line:
                self._stdout.write("\n")
                self._stdout.flush()
            elif self._open:
                self._console.print()
            self._open, self._ends_line = "", True

    def _break_line(self) -> None:
        """Start a note on its own line, without a line break in the text of a pipe."""
        if self._open == "text":
            if self._shared:
                self._console.print()
                self._ends_line = True
        elif self._open:
            self._console.print()
        self._open = ""


def _are_one_place(one: TextIO, other: IO[str]) -> bool:
    """Whether two streams end in one terminal, file or pipe."""
    try:
        first, second = os.fstat(one.fileno()), os.fstat(other.fileno())
    except (OSError, ValueError):  # no descriptor
        return False
    return os.path.samestat(first, second) or (one.isatty() and other.isatty())

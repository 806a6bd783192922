"""A prompt that stays while an answer is written above it. The only module that imports prompt_toolkit.

The finished blocks of an answer are printed as Markdown above the prompt. The block that is being written is a part of
the prompt itself, so that it can grow.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.patch_stdout import patch_stdout
from rich.console import Console
from rich.markdown import Markdown
from rich.text import Text

from rx_assistant.cli.output import Output
from rx_assistant.cli.show import text_of
from rx_assistant.gui import printable

if TYPE_CHECKING:
    from rx_assistant.cli.talk import Talk

TAIL = 12
"""The lines that the growing block takes at most."""

_FRAME = 1 / 30

_BLANK = re.compile(r"\n[ \t]*\n(?=\S)")
_FENCE = re.compile(r"^ *(`{3,}|~{3,})([^`\n]*)$", re.MULTILINE)


class Live(Output):
    """Output above a prompt, in whole lines: text as Markdown, block by block. `tail` is what is being written.

    An unfinished line above a prompt is lost when the prompt is drawn again.
    """

    def __init__(self, changed: Callable[[], object]) -> None:
        super().__init__(console=Console(highlight=False, force_terminal=True))
        self.tail = ""
        self._changed = changed

    def text(self, piece: str) -> None:
        """Let the block grow; print those that are finished."""
        with self._lock:
            if self._open:
                self._break_line()
            done, self.tail = finished(self.tail + printable(piece))
            self._print(done)
        self._changed()

    def part(self, key: object) -> None:
        """Begin the text of a part, in a block of its own."""
        with self._lock:
            if key != self._part:
                self._part = key
                self._break_line()

    def call_begins(self, call_id: str, name: str) -> None:
        """Show in the tail that a tool is being called, unless another call is there."""
        with self._lock:
            if not self._open:
                self._break_line()
                self._open, self.tail = call_id, f"⚙ {printable(name)}("
        self._changed()

    def call_goes_on(self, call_id: str, fragment: str) -> None:
        """Show more of the arguments."""
        with self._lock:
            if self._open == call_id:
                self.tail += printable(fragment)
        self._changed()

    def call_ends(self, call_id: str, name: str, arguments: str) -> None:
        """Print the whole call."""
        self.note(f"⚙ {name}({arguments})", "cyan")
        self._changed()

    def finish(self) -> None:
        """Print what is left."""
        with self._lock:
            self._break_line()
        self._changed()

    def say(self, text: str) -> None:
        """Print a whole text as Markdown."""
        self._print(printable(text))

    def last_lines(self, width: int) -> list[str]:
        """The end of what is being written, in lines of at most so many columns; 日 takes two."""
        lines = [Text(line, overflow="fold") for line in self.tail.splitlines()[-TAIL:]]
        return [part.plain for line in lines for part in line.wrap(self._console, width)][-TAIL:]

    def _break_line(self) -> None:
        """Print the block that is being written. A call is printed at its end instead."""
        call, self._open, done, self.tail = self._open, "", self.tail, ""
        if not call:
            self._print(done)

    def _print(self, text: str) -> None:
        if text.strip():
            self._console.print(Markdown(text), "")


def finished(text: str) -> tuple[str, str]:
    """The blocks of a Markdown text that are finished, and the rest.

    A block ends where an unindented line follows a blank one: indented lines belong to the list before them. A fence of
    code is one block; it ends with the mark that it began with.
    """
    end, fence = 0, ""
    for found in sorted((*_BLANK.finditer(text), *_FENCE.finditer(text)), key=lambda found: found.end()):
        if found.re is _BLANK:
            end = end if fence else found.end()
        elif not fence:
            fence = found[1]
        elif found[1].startswith(fence) and not found[2].strip():
            fence = ""
    return text[:end], text[end:]


class Prompt:
    """The terminal of one chat."""

    def __init__(self, open: Callable[[Output], Talk]) -> None:
        self._session: PromptSession[str] = PromptSession(
            self._message,
            multiline=True,
            history=InMemoryHistory(),
            key_bindings=self._keys(),
            bottom_toolbar=self._toolbar,
            prompt_continuation="  ",
        )
        self._session.app.min_redraw_interval = _FRAME
        # Printing above the prompt would leave the keys to the terminal for a moment: it would show them, and Ctrl-C
        # would end the program.
        vars(self._session.app.input)["cooked_mode"] = nullcontext
        self._output = Live(self._draw_again)
        self._talk = open(self._output)
        self._is_busy = False

    def run(self) -> None:
        """Show the thread so far, then take lines until the person leaves."""
        with patch_stdout(raw=True):
            for message in self._talk.earlier():
                text = text_of(message)
                if message.role == "user":
                    self._session.history.append_string(text)
                    self._output.note(f"› {text}", "bold")
                else:
                    self._output.say(text)
            self._talk.begin()
            self._talk.conversation.busy.subscribe(self._busy)
            while True:
                try:
                    if not self._talk.enter(self._session.prompt()):
                        return
                except EOFError:
                    return
                except KeyboardInterrupt:  # a signal, or Ctrl-C between two prompts or while a file is uploaded
                    if self._is_busy:
                        self._talk.stop()

    def _busy(self, is_busy: bool) -> None:
        self._is_busy = is_busy
        self._draw_again()

    def _draw_again(self) -> None:
        """Draw what has changed, from any thread.

        Enter and Ctrl-D end the prompt's event loop. `invalidate()` fails if that happens while it runs in another
        thread, so it is called in the loop.
        """
        app = self._session.app
        loop = app.loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop is closed, and the next prompt draws everything
                loop.call_soon_threadsafe(app.invalidate)

    def _message(self) -> StyleAndTextTuples:
        """The block that grows, and the prompt. What stays on the screen after Enter is the prompt alone."""
        lines = [] if self._session.app.is_done else self._output.last_lines(shutil.get_terminal_size().columns - 1)
        return [("", "".join(f"{line}\n" for line in lines)), ("bold", "› ")]

    def _toolbar(self) -> str:
        waiting = f", {self._talk.waiting} waiting" if self._talk.waiting else ""
        return f"answering{waiting} · Esc stops" if self._is_busy else "Enter asks · Ctrl-D leaves · /help"

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()

        @keys.add("enter")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.validate_and_handle()

        @keys.add("c-j")
        def _(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @keys.add("escape", eager=True)
        def _(_event: KeyPressEvent) -> None:
            if self._is_busy:
                self._talk.stop()

        @keys.add("f2")
        def _(_event: KeyPressEvent) -> None:
            self._talk.enter("/copy")

        @keys.add("c-c")
        def _(event: KeyPressEvent) -> None:
            if self._is_busy:
                self._talk.stop()
            else:
                event.current_buffer.reset()

        return keys

"""`rx-assistant chat`: lines from a pipe, and a person at a terminal."""

from __future__ import annotations

import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import ioctl
from pathlib import Path
from typing import Self

import pyte
import pytest
from test_cli_terminal import COMMANDS, GUARD, SEEN, evil_server

from rx_assistant import AssistantClient, local

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}


def piped(lines: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rx_assistant", "chat", *arguments]
    return subprocess.run(
        command, input=lines, env=ENVIRONMENT, capture_output=True, text=True, timeout=GUARD, check=False
    )


class Terminal:
    """A person at `rx-assistant chat`, in a terminal of 30 lines and 90 columns."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 90, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rx_assistant", "chat", *arguments],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env={**ENVIRONMENT, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"},
        )
        os.close(theirs)
        self.raw = b""
        self._screen = pyte.HistoryScreen(90, 30, history=2000)
        self._emulator = pyte.ByteStream(self._screen)

    def __enter__(self) -> Self:
        self.until("›")
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    @property
    def shown(self) -> str:
        """What a person sees: the lines that were scrolled away, then the screen."""
        gone = ("".join(line[column].data for column in range(90)) for line in self._screen.history.top)
        return "\n".join(line.rstrip() for line in (*gone, *self._screen.display))

    def press(self, keys: str) -> None:
        """Press keys once nothing is printed: while it prints, a prompt leaves the keys to the terminal."""
        self.rest()
        os.write(self._ours, keys.encode())

    def until(self, text: str, times: int = 1) -> None:
        """Wait until a text is shown so many times."""
        end = time.monotonic() + GUARD
        while self.shown.count(text) < times:
            assert self.read(), self.shown
            assert time.monotonic() < end, self.shown

    def rest(self) -> None:
        """Wait until nothing more is written for a moment, as a person does."""
        length = -1
        while length < len(self.raw):
            length = len(self.raw)
            for _ in range(10):
                self.read()

    def shows_keys(self) -> bool:
        """Whether the terminal handles keys itself: it shows them, and Ctrl-C is a signal."""
        return bool(termios.tcgetattr(self._ours)[3] & termios.ICANON)

    def leave(self) -> int:
        """Press Ctrl-D; gives the exit code."""
        self.press("\x04")
        while self.read():
            pass
        return self.process.wait(GUARD)

    def read(self) -> bool:
        if not select.select([self._ours], [], [], 0.05)[0]:
            return self.process.poll() is None
        try:
            more = os.read(self._ours, 65536)
        except OSError:  # the terminal is gone with the process
            return False
        self.raw += more
        self._emulator.feed(more)
        return bool(more)


@contextmanager
def endless() -> Iterator[local.Server]:
    """A server that answers a question with `story` in it without an end, and any other in a sentence."""
    story = [{"text": "Once **upon** a time there was\n\n"}, {"text": "and so on "}, "hang"]
    with local.serve(
        script={"runs": [{"match": "story", "turns": [story]}, {"turns": [[{"text": "You asked: {message}"}]]}]}
    ) as server:
        yield server


def posted(server: local.Server, ending: str) -> int:
    return sum(request.method == "POST" and request.path.endswith(ending) for request in server.requests)


# -- a pipe ------------------------------------------------------------------------------------------------------------


def test_each_line_of_a_pipe_is_a_question_on_one_thread() -> None:
    with endless() as server:
        done = piped("first\n\nsecond\n", "--base-url", server.base_url)
        assert (done.returncode, done.stdout) == (0, "You asked: first\nYou asked: second\n")
        assert (posted(server, "/threads"), posted(server, "/runs")) == (1, 2)


def test_a_run_that_fails_does_not_end_the_conversation_and_is_exit_code_1() -> None:
    script = {"runs": [{"match": "bad", "turns": [[{"fail": "No."}]]}, {"turns": [[{"text": "Yes."}]]}]}
    with local.serve(script=script) as server:
        good = piped("bad\ngood\n", "--base-url", server.base_url)
        bad = piped("good\nbad\n", "--base-url", server.base_url)
    assert (good.returncode, bad.returncode) == (0, 1)
    assert "the run failed: No." in good.stderr
    assert bad.stderr.endswith("rx-assistant: the run failed: No. (server_error)\n")


def test_an_assistant_and_a_thread_are_gone_on_with(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("The tower is 300 metres high.")
    with local.serve() as server, AssistantClient(base_url=server.base_url) as client:
        assistant = client.assistants.create(model="local", tools=[{"type": "file_search"}])
        thread = client.threads.create(messages=[{"role": "user", "content": "earlier"}])
        where = ("--assistant", assistant.id, "--thread", thread.id, "--base-url", server.base_url)
        done = piped("How high is the tower?\n", *where, "--file", str(tmp_path / "notes.txt"))
        assert done.returncode == 0, done.stderr
        assert "300 metres" in done.stdout
        assert [message.role for message in client.threads.messages.list(thread.id)] == ["assistant", "user", "user"]
        assert len(client.assistants.list().data) == 1


def test_an_id_without_its_server_is_wrong_usage() -> None:
    done = piped("", "--thread", "thread_1")
    assert done.returncode == 2
    assert "give --base-url" in done.stderr


# -- a terminal --------------------------------------------------------------------------------------------------------


def test_five_turns_by_keyboard_alone() -> None:
    with endless() as server, Terminal("--base-url", server.base_url) as terminal:
        terminal.press("one\r")
        terminal.until("You asked: one")
        terminal.press("a story\r")
        terminal.until("Once upon a time there was")  # a finished block is printed as Markdown
        terminal.until("and so on")  # the growing one is a part of the prompt
        terminal.press("two\nlines\r")  # during the answer; Ctrl-J begins a new line
        terminal.press("\x1b")
        terminal.until("the run ended as 'cancelled'")
        terminal.until("You asked: two")
        terminal.press("/again\r")
        terminal.until("You asked: two", 2)
        terminal.press("/edit three\r")
        terminal.until("You asked: three")
        assert terminal.leave() == 0
        assert (posted(server, "/runs"), posted(server, "/cancel"), posted(server, "/threads")) == (5, 1, 2)


def test_a_server_that_is_gone_is_reported_once_and_the_chat_goes_on() -> None:
    with endless() as server, Terminal("--base-url", server.base_url) as terminal:
        terminal.press("one\r")
        terminal.until("You asked: one")
        server.stop()
        terminal.press("two\r")
        terminal.until("no reply came")
        terminal.rest()
        assert terminal.shown.count("no reply came") == 1
        assert terminal.leave() == 0


def test_leaving_during_an_answer_cancels_its_run() -> None:
    with endless() as server, AssistantClient(base_url=server.base_url) as client:
        thread = client.threads.create()
        with Terminal("--base-url", server.base_url, "--thread", thread.id) as terminal:
            terminal.press("a story\r")
            terminal.until("and so on")
            assert terminal.leave() == 0
        assert [run.status for run in client.threads.runs.list(thread.id)] == ["cancelled"]


def test_ctrl_c_stops_the_answer_and_else_clears_the_line() -> None:
    with endless() as server, Terminal("--base-url", server.base_url) as terminal:
        terminal.press("half a quest\x03one\r")
        terminal.until("You asked: one")
        terminal.press("a story\r")
        terminal.until("and so on")
        terminal.press("\x03")
        terminal.until("the run ended as 'cancelled'")
        assert terminal.leave() == 0


def test_a_signal_stops_the_answer_and_not_the_program() -> None:
    with endless() as server, Terminal("--base-url", server.base_url) as terminal:
        terminal.press("a story\r")
        terminal.until("and so on")
        terminal.process.send_signal(signal.SIGINT)
        terminal.until("the run ended as 'cancelled'")
        terminal.press("one\r")
        terminal.until("You asked: one")
        assert terminal.leave() == 0


def test_keys_belong_to_the_prompt_also_while_it_prints() -> None:
    blocks = [{"text": f"block{number}\n\n"} for number in range(300)]
    script = {"runs": [{"turns": [[{"text": "begun "}, {"gate": "prompt"}, *blocks, {"text": "end"}]]}]}
    with local.serve(script=script) as server, Terminal("--base-url", server.base_url) as terminal:
        terminal.press("many\r")
        terminal.until("begun")  # as a part of the prompt
        server.release("prompt")
        while "block299" not in terminal.shown:
            assert not terminal.shows_keys()
            terminal.read()
        assert terminal.leave() == 0


def test_an_earlier_thread_is_shown_and_files_and_commands_work(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("The tower is 300 metres high.")
    with local.serve() as server, AssistantClient(base_url=server.base_url) as client:
        thread = client.threads.create(
            messages=[{"role": "user", "content": "before"}, {"role": "assistant", "content": "An **earlier** answer"}]
        )
        with Terminal("--base-url", server.base_url, "--thread", thread.id) as terminal:
            terminal.until("An earlier answer")
            terminal.press(f"/file {tmp_path}/notes.txt\r")
            terminal.until("goes with the next question")
            terminal.press("How high is the tower?\r")
            terminal.until("300 metres")
            terminal.press("/file nothing\r")
            terminal.until("No such file")
            terminal.press("/thread\r")
            terminal.until(thread.id)
            terminal.press("/help\r")
            terminal.until("attach a file to the next question")
            terminal.press("/quit\r")
            terminal.process.wait(GUARD)


@pytest.mark.parametrize("fail", [False, True])
def test_an_answer_commands_no_terminal(fail: bool) -> None:
    with evil_server(fail) as url, Terminal("--base-url", url) as terminal:
        terminal.press("hello\r")
        terminal.until(*(("the run failed",) if fail else ("message_creation completed", 2)))
        terminal.leave()
        commands = [command for command in COMMANDS if command != b"\x08"]  # the prompt moves its own cursor with it
        assert [command for command in commands if command in terminal.raw] == []
        assert SEEN in terminal.shown

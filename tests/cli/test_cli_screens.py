"""What is on the screen of a real terminal emulator, tmux: narrow, wide, without colours, in the C locale."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rx_assistant import AssistantClient, local
from rx_assistant.local import RunContext
from rx_assistant.local.engine import (
    Action,
    Arguments,
    Citation,
    CodeCall,
    CodeInput,
    CodeLogs,
    FunctionCall,
    Gate,
    ImageFile,
    Incomplete,
    NewPart,
    Refusal,
    Text,
)

GUARD = 60  # seconds that nothing here should ever need
LONG = "x" * 400


class Everything:
    """Says everything there is to say; or calls a function, and hesitates in its arguments."""

    async def run(self, context: RunContext) -> AsyncIterator[Action]:
        if "table" in context.question:
            yield Text("| A long heading | Another one | And one |\n|---|---|---|\n| umbrella-makersZZ | b | c |\n")
        elif "call" not in context.question:
            for action in _everything():
                yield action
        elif context.tool_outputs:
            yield Text("It is late.")
        else:
            yield FunctionCall("get_local_time")
            yield Arguments('{"timezone": ')
            yield Gate("half a call")
            yield Arguments('"Asia/Tokyo"}')


def _everything() -> Iterator[Action]:
    yield CodeCall()
    yield CodeInput("print(6 * 7)")
    yield CodeLogs("42")
    yield Text("Some **bold**")
    yield Text("【4:0†notes.txt】", (Citation("file-notes"),))
    yield Text(f"\n\n```python\nanswer = 42\n```\n\n{LONG}\n\nשלום עולם and 🚀")
    yield NewPart()
    yield Text("Another part")
    yield NewPart()
    yield ImageFile("file-picture")
    yield Refusal("I cannot help with that.")
    yield Incomplete()


ASKED = [
    "· tool_calls in_progress",
    "⚙ code_interpreter(print(6 * 7))",
    "  → 42",
    "· tool_calls completed",
    "· message_creation in_progress",
    "Some **bold**[1]",
    "",
    "```python",
    "answer = 42",
    "```",
    "",
    LONG,
    "",
    "שלום עולם and 🚀",
    "Another part",
    "I cannot help with that.",
    "! the assistant refuses",
    "▣ image file-picture",
    "! the message is incomplete: max_tokens",
    "· message_creation completed",
    "[1] 【4:0†notes.txt】 file-notes",
    "rx-assistant: the run is incomplete: max_completion_tokens",
    "[exit 1]",
]

CHATTED = [
    "· tool_calls in_progress",
    "⚙ code_interpreter(print(6 * 7))",
    "  → 42",
    "Some bold[1]",
    "answer = 42",
    LONG,
    "שלום עולם and 🚀",
    "Another part",
    "I cannot help with that.",
    "! the assistant refuses",
    "▣ image file-picture",
]


@pytest.fixture(scope="module")
def server() -> Iterator[local.Server]:
    with local.serve(engine=Everything()) as running:
        yield running


class Screen:
    """A terminal in which a command runs."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def run(self, *arguments: str, columns: int = 80, **environment: str) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
        own = [f"{name}={shlex.quote(value)}" for name, value in environment.items()]
        command = [sys.executable, "-m", "rx_assistant", *arguments]
        shell = f'env -u COLUMNS -u LINES {" ".join(own)} {shlex.join(command)}; echo "[exit $?]"; cat'
        size = ["-x", str(columns), "-y", "50"]
        self._tmux("-f", os.devnull, "new-session", "-d", *size, shell, env={**inherited, "TERM": "xterm-256color"})

    def press(self, *keys: str) -> None:
        self._tmux("send-keys", *keys)

    def lines(self, *options: str) -> list[str]:
        """What stands on the screen and above it; lines that the terminal has wrapped are one."""
        shown = self._tmux("capture-pane", "-p", "-J", "-S", "-500", *options)
        return [line.rstrip() for line in shown.rstrip().split("\n")]

    def until(self, is_so: Callable[[str], object]) -> list[str]:
        """Wait for what is on the screen."""
        end = time.monotonic() + GUARD
        while not is_so("\n".join(lines := self.lines())):
            assert time.monotonic() < end, "\n".join(lines)
            time.sleep(0.05)
        return lines

    def clipboard(self) -> str:
        return self._tmux("show-buffer")

    def accept_clipboard(self) -> None:
        self._tmux("set-option", "-g", "set-clipboard", "on")

    def close(self) -> None:
        command = ["tmux", "-S", str(self._socket), "kill-server"]
        subprocess.run(command, capture_output=True, timeout=GUARD, check=False)

    def _tmux(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        command = ["tmux", "-u", "-S", str(self._socket), *arguments]
        done = subprocess.run(command, env=env, capture_output=True, timeout=GUARD, check=True)
        return done.stdout.decode()


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    if shutil.which("tmux") is None:
        pytest.skip("tmux is not installed")
    screen = Screen(tmp_path / "tmux")
    yield screen
    screen.close()


KINDS = {
    "narrow": (30, {}),
    "wide": (160, {}),
    "no colour": (80, {"NO_COLOR": "1"}),
    "C locale": (80, {"LC_ALL": "C"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_shown_whole(screen: Screen, server: local.Server, kind: str) -> None:
    columns, environment = KINDS[kind]
    screen.run("ask", "Everything", "--base-url", server.base_url, columns=columns, **environment)
    lines = screen.until(lambda shown: "[exit 1]" in shown)
    assert lines[0].startswith("· assistant asst_")
    assert lines[1:] == ASKED
    colours = re.findall(r"\x1b\[[\d;]*3[1-7]m", "".join(screen.lines("-e")))
    assert bool(colours) == ("NO_COLOR" not in environment)


@pytest.mark.parametrize("kind", KINDS)
def test_a_conversation_is_shown_whole(screen: Screen, server: local.Server, kind: str) -> None:
    columns, environment = KINDS[kind]
    screen.run("chat", "--base-url", server.base_url, columns=columns, **environment)
    screen.until(lambda shown: "Enter asks" in shown)
    screen.press("Everything", "Enter")
    lines = screen.until(lambda shown: "max_completion_tokens" in shown)
    shown = "".join(re.sub(r"\s", "", line) for line in lines)
    assert [line for line in CHATTED if line.replace(" ", "") not in shown] == []


def test_a_call_is_shown_while_it_is_written_above_the_prompt(screen: Screen, server: local.Server) -> None:
    screen.run("chat", "--base-url", server.base_url, columns=30)
    screen.until(lambda shown: "Enter asks" in shown)
    screen.press("call", "Enter")
    screen.until(lambda shown: '⚙ get_local_time({"timezone":\n' in shown and "answering" in shown)
    server.release("half a call")
    lines = screen.until(lambda shown: "message_creation completed" in shown)
    at = lines.index('⚙ get_local_time({"timezone":')
    assert lines[at + 1] == '"Asia/Tokyo"})'


def test_words_in_narrow_tables_are_not_cut_off(screen: Screen, server: local.Server) -> None:
    screen.run("chat", "--base-url", server.base_url, columns=30)
    screen.until(lambda shown: "Enter asks" in shown)
    screen.press("table", "Enter")
    lines = screen.until(lambda shown: "message_creation completed" in shown)
    assert "…" not in "".join(lines)
    assert "ZZ" in "".join(lines)


def test_code_is_copied_by_key(screen: Screen, server: local.Server) -> None:
    screen.run("chat", "--base-url", server.base_url)
    screen.accept_clipboard()
    screen.until(lambda shown: "Enter asks" in shown)
    screen.press("F2")
    screen.until(lambda shown: "there is no block of code yet" in shown)
    screen.press("Everything", "Enter")
    screen.until(lambda shown: "max_completion_tokens" in shown and "Enter asks" in shown)
    screen.press("F2")
    screen.until(lambda shown: "copied" in shown)
    assert screen.clipboard() == "answer = 42\n"


@pytest.mark.parametrize("columns", [30, 80, 160])
def test_bars_fit_the_terminal(screen: Screen, server: local.Server, columns: int, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("The answer is 42.")
    with AssistantClient(base_url=server.base_url) as client:
        store = client.vector_stores.create(name="notes").id
    file = str(tmp_path / "notes.txt")
    screen.run("upload", file, "--vector-store", store, "--base-url", server.base_url, columns=columns)
    lines = screen.until(lambda shown: "[exit 0]" in shown)
    assert "completed: 1 of 1 files indexed" in " ".join(line.strip() for line in lines)
    assert "…" not in "".join(lines)
    assert ("bytes" in "".join(lines)) == (columns >= 80)


def test_files_that_are_refused_are_named(screen: Screen, server: local.Server, tmp_path: Path) -> None:
    (tmp_path / "picture.bin").write_bytes(bytes(100))
    with AssistantClient(base_url=server.base_url) as client:
        store = client.vector_stores.create(name="notes").id
    screen.run("upload", str(tmp_path / "picture.bin"), "--vector-store", store, "--base-url", server.base_url)
    lines = screen.until(lambda shown: "[exit 1]" in shown)
    assert lines[-2].startswith("rx-assistant: not indexed: picture.bin (file-")


def test_a_long_state_fits_the_terminal(screen: Screen) -> None:
    names = [f"function_{number}" for number in range(5)]
    script = {"runs": [{"turns": [[{"calls": [{"function": name, "arguments": "{}"} for name in names]}]]}]}
    with local.serve(script=script) as server, AssistantClient(base_url=server.base_url) as client:
        tools: Any = [{"type": "function", "function": {"name": name}} for name in names]
        assistant = client.assistants.create(model="any", tools=tools)
        run = client.threads.create_and_run(assistant_id=assistant.id)
        thread = run.thread_id
        screen.run("watch", run.id, "--thread", thread, "--base-url", server.base_url, columns=40)
        lines = screen.until(lambda shown: "[exit 0]" in shown)
    assert [name for name in names if name not in " ".join(lines)] == []
    assert "…" not in "".join(lines)
    assert re.search(r"\d:\d\d:\d\d$", lines[0])


def test_a_bar_vanishes_when_it_fails(screen: Screen, server: local.Server) -> None:
    screen.run("watch", "run_1", "--thread", "thread_1", "--base-url", server.base_url)
    lines = screen.until(lambda shown: "[exit 1]" in shown)
    assert lines[0].startswith("rx-assistant: Error code: 404")

"""What a model, a tool or a server says never commands the terminal that shows it; pipes get it unchanged."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loopback import Loopback, Received, Wire

from rx_assistant import local
from rx_assistant.cli import run
from rx_assistant.gui import printable

GUARD = 60  # seconds that nothing here should ever need

EVIL = "\x1b]52;c;cm0gLXJm\x07\x1b[35;5m\x9b2J\x90q\x08\x7f\u202e\u2066\u200b[/red][bold]"
COMMANDS = (b"\x1b]52", b"\x1b[35;5m", b"\x07", b"\x08", b"\x7f", *map(str.encode, "\x9b\x90\u202e\u2066\u200b"))
SEEN = "[/red][bold]"


def test_controls_are_replaced_one_by_one() -> None:
    assert printable("a\tb\r\n\x1b[0m\x00\x9f\x7f é日🎉") == "a\tb\n�[0m��� é日🎉"
    every = "".join(map(chr, range(0x100)))
    assert "".join(map(printable, every)) == printable(every)
    assert not set(map(ord, printable(every))) & ({*range(0x20), *range(0x7F, 0xA0)} - {9, 10})


def test_text_is_shown_in_the_order_in_which_it_was_written() -> None:
    overrides = [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
    assert printable("".join(map(chr, overrides))) == "�" * 9
    assert printable("access\u202e nimda") == "access� nimda"


def test_characters_that_show_nothing_go_and_joiners_stay() -> None:
    assert printable("rm\u200b\u2060\ufeff\U000e0041 -rf") == "rm -rf"
    assert printable("a\u2028b\u2029c") == "a\nb\nc"
    for text in ("👩\u200d🚀", "می\u200cخواهم", "❤\ufe0f", "שלום\u200f", "e\u0301"):
        assert printable(text) == text


def in_terminal(*arguments: str, stdout: int | None = None) -> tuple[bytes, int]:
    """What a terminal is sent, and the exit code; `stdout` may go elsewhere."""
    ours, theirs = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    with subprocess.Popen(
        [sys.executable, "-m", "rx_assistant", *arguments],
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
        env={**kept, "TERM": "xterm-256color", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"},
    ) as process:
        os.close(theirs)
        shown = bytearray()
        try:
            while data := os.read(ours, 65536):
                shown += data
        except OSError:  # the terminal is gone with the process
            pass
        code = process.wait(GUARD)
    os.close(ours)
    return bytes(shown), code


def harmless(shown: bytes) -> bool:
    return SEEN.encode() in shown and not any(command in shown for command in COMMANDS)


@contextmanager
def evil_server(fail: bool) -> Iterator[str]:
    """A server whose words are all evil: text, tool name, arguments, outputs, logs, and the error at the end."""
    code = {"code": EVIL, "logs": [EVIL]}
    function = {"function": EVIL, "arguments": EVIL, "id": "call_1"}
    after = [{"fail": EVIL}] if fail else [{"text": EVIL}]
    turns = [[{"calls": [code]}, {"text": EVIL}, {"calls": [function]}], after]
    with local.serve(script={"runs": [{"turns": turns}]}) as server:
        yield server.base_url


@pytest.mark.parametrize("debug", [[], ["--debug"]])
@pytest.mark.parametrize("fail", [False, True])
def test_an_answer_commands_no_terminal(fail: bool, debug: list[str]) -> None:
    with evil_server(fail) as url:
        shown, code = in_terminal("ask", "hello", "--base-url", url, *debug)
    assert code == int(fail)
    assert harmless(shown), shown


def test_a_pipe_gets_the_text_as_it_is_while_notes_go_to_a_terminal(tmp_path: Path) -> None:
    with evil_server(False) as url, (tmp_path / "out").open("wb") as out:
        shown, code = in_terminal("ask", "hello", "--base-url", url, stdout=out.fileno())
    assert code == 0
    assert (tmp_path / "out").read_bytes() == (EVIL + EVIL + "\n").encode()
    assert harmless(shown), shown


def test_a_replay_commands_no_terminal(tmp_path: Path) -> None:
    delta = {"id": "msg_1", "delta": {"content": [{"index": 0, "type": "text", "text": {"value": EVIL}}]}}
    body = f"event: thread.message.delta\ndata: {json.dumps(delta)}\n\nevent: error\ndata: {json.dumps(EVIL)}\n\n"
    (tmp_path / "run.sse").write_text(body)
    for options in ([], ["--json"]):
        shown, code = in_terminal("replay", str(tmp_path / "run.sse"), *options)
        assert code == 1
        assert harmless(shown), shown


async def evil_objects(request: Received, wire: Wire) -> None:
    """A run, a file and a batch, none of which is well."""
    error = {"code": EVIL, "message": EVIL}
    body: dict[str, object]
    if "/runs/" in request.path:
        call = {"id": "c", "type": "function", "function": {"name": EVIL, "arguments": EVIL}}
        action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [call]}}
        body = {"id": "run_1", "object": "thread.run", "thread_id": "t", "status": "requires_action"}
        body |= {"required_action": action}
        if request.path.endswith("/run_2"):
            body |= {"status": "failed", "last_error": error}
    elif request.path.endswith("/files") and request.method == "POST":
        body = {"id": "file_1", "object": "file", "bytes": 1, "filename": EVIL, "purpose": "assistants"}
    elif request.path.endswith("/files"):
        file = {"id": EVIL, "object": "vector_store.file", "status": "failed", "last_error": error}
        body = {"object": "list", "data": [file], "has_more": False}
    else:
        counts = {"in_progress": 0, "completed": 0, "failed": 1, "cancelled": 0, "total": 1}
        body = {"id": "vsfb_1", "object": "vector_store.file_batch", "status": EVIL, "file_counts": counts}
        body |= {"vector_store_id": "vs_1"}
        if request.method == "GET":
            body |= {"status": "failed"}
    await wire.json(body)


@pytest.mark.parametrize(("run_id", "expected"), [("run_1", 0), ("run_2", 1)])
def test_watching_commands_no_terminal_and_reads_no_markup(run_id: str, expected: int) -> None:
    with Loopback(evil_objects) as server:
        shown, code = in_terminal("watch", run_id, "--thread", "t", "--interval", "1", "--base-url", server.url)
    assert code == expected
    assert harmless(shown), shown


def test_an_upload_commands_no_terminal_and_reads_no_markup(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a")
    with Loopback(evil_objects) as server:
        arguments = ("upload", str(tmp_path / "a.txt"), "--vector-store", "vs_1", "--base-url", server.url)
        shown, code = in_terminal(*arguments)
    assert code == 1
    assert harmless(shown), shown


def test_watching_in_a_pipe_prints_the_words_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback(evil_objects) as server:
        assert run(["watch", "run_1", "--thread", "t", "--interval", "1", "--base-url", server.url]) == 0
    assert EVIL in capsys.readouterr().out


async def refuse(request: Received, wire: Wire) -> None:
    """An error in evil words."""
    await wire.json({"error": {"message": EVIL, "type": EVIL, "param": None, "code": EVIL}}, status=404)


@pytest.mark.parametrize("arguments", [("ask", "x"), ("watch", "run_1", "--thread", "t")])
def test_an_error_of_a_server_commands_no_terminal(arguments: tuple[str, ...]) -> None:
    with Loopback(refuse) as server:
        shown, code = in_terminal(*arguments, "--base-url", server.url)
    assert code == 1
    assert harmless(shown), shown

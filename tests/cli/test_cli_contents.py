"""What a run holds besides text, on the screen: refusals, images, citations, outputs of code; and what ended badly."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from cli.test_cli_terminal import in_terminal
from loopback import Loopback, Received, Wire
from rich.console import Console

from rx_assistant import AssistantClient, local
from rx_assistant.cli import run
from rx_assistant.cli.output import Output

GUARD = 60  # seconds that nothing here should ever need

MARK = "【4:0†menu.txt】"
LOGS = {"index": 0, "type": "logs", "logs": "42"}
DRAWN = {"index": 1, "type": "image", "image": {"file_id": "file_drawn"}}
CITED = {"index": 0, "type": "file_citation", "text": MARK, "file_citation": {"file_id": "file_menu"}}


def frame(name: str, data: object) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def message_delta(index: int, **part: object) -> str:
    return frame("thread.message.delta", {"id": "msg_1", "delta": {"content": [{"index": index, **part}]}})


def step_delta(index: int, **call: object) -> str:
    details = {"type": "tool_calls", "tool_calls": [{"index": index, **call}]}
    return frame("thread.run.step.delta", {"id": "step_1", "delta": {"step_details": details}})


def code(source: str, **more: object) -> str:
    return step_delta(0, id="call_1", type="code_interpreter", code_interpreter={"input": source, **more})


def everything(status: str = "completed", **fields: object) -> str:
    """A run with code, a citation that is cut in two, an image and a refusal."""
    whole = {"input": "a = 6\nprint(a*7)", "outputs": [LOGS, DRAWN]}
    calls = [{"id": "call_1", "type": "code_interpreter", "code_interpreter": whole}]
    step = {"id": "step_1", "type": "tool_calls", "step_details": {"type": "tool_calls", "tool_calls": calls}}
    content: list[dict[str, Any]] = [
        {"type": "text", "text": {"value": f"Soup{MARK}.", "annotations": [CITED]}},
        {"type": "image_file", "image_file": {"file_id": "file_7"}},
        {"type": "refusal", "refusal": "I cannot."},
    ]
    return "".join(
        [
            frame("thread.run.created", {"id": "run_1", "status": "queued"}),
            code("a = 6\n"),
            code("print(a*7)", outputs=[LOGS]),
            frame("thread.run.step.completed", {**step, "status": "completed"}),
            message_delta(0, type="text", text={"value": "Soup【4:"}),
            message_delta(0, type="text", text={"value": "0†menu.txt】.", "annotations": [CITED]}),
            message_delta(1, type="image_file", image_file={"file_id": "file_7"}),
            message_delta(2, type="refusal", refusal="I can"),
            message_delta(2, type="refusal", refusal="not."),
            frame("thread.message.completed", {"id": "msg_1", "status": "completed", "content": content}),
            frame(f"thread.run.{status}", {"id": "run_1", "status": status, **fields}),
            "event: done\ndata: [DONE]\n\n",
        ]
    )


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "run.sse"
    path.write_text(everything())
    return path


def test_a_pipe_gets_text_and_refusal_as_they_are_and_notes_tell_the_rest(
    recording: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["replay", str(recording)]) == 0
    said = capfd.readouterr()
    assert said.out == f"Soup{MARK}.I cannot.\n"
    assert said.err.splitlines() == [
        "⚙ code_interpreter(a = 6",
        "print(a*7))",
        "  → 42",
        "  → ▣ image file_drawn",
        "· tool_calls completed",
        "! the assistant refuses",
        "▣ image file_7",
        f"[1] {MARK} file_menu",
    ]


def test_a_terminal_shows_numbers_for_citations_and_each_call_once(recording: Path) -> None:
    shown, exit_code = in_terminal("replay", str(recording))
    text = shown.decode()
    assert exit_code == 0
    assert "Soup[1].\r\nI cannot." in text
    assert text.count("print(a*7)") == text.count("code_interpreter(") == 1
    assert f"[1] {MARK} file_menu" in text


def test_an_incomplete_run_says_why_and_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.sse"
    path.write_text(everything("incomplete", incomplete_details={"reason": "max_completion_tokens"}))
    assert run(["replay", str(path)]) == 1
    assert "rx-assistant: the run is incomplete: max_completion_tokens" in capfd.readouterr().err


def test_an_incomplete_message_says_why(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.sse"
    cut = {"id": "msg_1", "status": "incomplete", "incomplete_details": {"reason": "content_filter"}, "content": []}
    ended = frame("thread.run.completed", {"id": "run_1", "status": "completed"}) + "event: done\ndata: [DONE]\n\n"
    path.write_text(
        message_delta(0, type="text", text={"value": "So"}) + frame("thread.message.incomplete", cut) + ended
    )
    run(["replay", str(path)])
    assert "! the message is incomplete: content_filter" in capfd.readouterr().err


def interleaved(output: Output) -> None:
    output.call_begins("a", "first")
    output.call_goes_on("a", "{\n")
    output.call_begins("b", "second")
    output.call_goes_on("b", "[")
    output.call_goes_on("a", "1")
    output.call_goes_on("b", "2]")
    output.call_ends("a", "first", "{\n1}")
    output.call_ends("b", "second", "[2]")


def interrupted(output: Output) -> None:
    output.call_begins("a", "first")
    output.call_goes_on("a", "{\n")
    output.note("a note")
    output.call_goes_on("a", "1")
    output.call_ends("a", "first", "{\n1}")


@pytest.mark.parametrize(
    ("calls", "lines"),
    [
        (interleaved, ["⚙ first({", "1})", "⚙ second([2])"]),
        (interrupted, ["⚙ first({", "", "a note", "⚙ first(… 1})"]),
    ],
)
def test_no_part_of_a_call_is_shown_twice_in_a_terminal(calls: Callable[[Output], None], lines: list[str]) -> None:
    screen = io.StringIO()
    output = Output(io.StringIO(), Console(file=screen, force_terminal=True, color_system=None, soft_wrap=True))
    calls(output)
    assert screen.getvalue().splitlines() == lines


def variables(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")} | more


def rx(*arguments: str, **more: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in this process, whose imports are done. Both outputs are one."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    with mock.patch.dict(os.environ, variables(**more), clear=True), redirect_stdout(out), redirect_stderr(out):
        code = run([*arguments])
    out.seek(0)
    return subprocess.CompletedProcess(arguments, code, out.buffer.read())


def rx_process(*arguments: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run a command whose two outputs are one pipe."""
    return subprocess.run(
        [sys.executable, "-m", "rx_assistant", *arguments],
        input=data,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=GUARD,
        env=variables(),
        check=False,
    )


def test_notes_start_on_a_line_of_their_own_where_both_outputs_are_one_pipe() -> None:
    done = rx_process("ask", "hello")
    (step,) = (line for line in done.stdout.decode().splitlines() if "message_creation completed" in line)
    assert step == "· message_creation completed"


def test_a_dash_is_stdin(recording: Path) -> None:
    assert b"I cannot." in rx_process("replay", "-", data=recording.read_bytes()).stdout
    asked = rx_process("ask", "-", data="Grüße\n".encode())
    assert (asked.returncode, "Grüße" in asked.stdout.decode()) == (0, True)
    empty = rx_process("ask", "-")
    assert (empty.returncode, b"empty stdin" in empty.stdout) == (2, True)


def test_a_key_without_a_server_is_told() -> None:
    refused = rx("ask", "hello", "--api-key", "k")
    assert (refused.returncode, b"give --base-url" in refused.stdout) == (2, True)
    told = rx("ask", "hello", OPENAI_API_KEY="k")
    assert (told.returncode, b"the key is not used" in told.stdout) == (0, True)


def test_ids_are_shown_and_asked_again() -> None:
    with local.serve() as server, AssistantClient(base_url=server.base_url) as client:
        first = rx("ask", "hello", "--base-url", server.base_url).stdout.decode()
        assistant, thread = (
            next(word.strip(",") for word in first.split() if word.startswith(kind)) for kind in ("asst_", "thread_")
        )
        assert ", run run_" in first
        again = rx("ask", "more", "--base-url", server.base_url, "--assistant", assistant, "--thread", thread)
        assert again.returncode == 0, again.stdout
        questions = [message.role for message in client.threads.messages.list(thread, order="asc")]
        assert questions == ["user", "assistant", "user", "assistant"]
        assert len(list(client.assistants.list())) == 1
    assert rx("ask", "hello", "--thread", thread).returncode == 2


def test_watch_shows_what_the_run_has_written(capfd: pytest.CaptureFixture[str]) -> None:
    with local.serve() as server, AssistantClient(base_url=server.base_url) as client:
        assistant = client.assistants.create(model="local")
        ended = client.threads.create_and_run_poll(
            assistant_id=assistant.id, thread={"messages": [{"role": "user", "content": "hello"}]}, poll_interval_ms=10
        )
        assert run(["watch", ended.id, "--thread", ended.thread_id, "--base-url", server.base_url]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == "completed"
    assert "hello" in lines[1]


def test_nothing_is_uploaded_for_a_store_that_does_not_exist(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def refuse(request: Received, wire: Wire) -> None:
        error = {"message": "No vector store found with id 'vs_9'.", "type": "invalid_request_error", "code": None}
        await wire.json({"error": error}, 404)

    (tmp_path / "a.txt").write_text("a")
    with Loopback(refuse) as server:
        assert run(["upload", str(tmp_path / "a.txt"), "--vector-store", "vs_9", "--base-url", server.url]) == 1
        assert [request.method for request in server.requests] == ["GET"]
    assert "vs_9" in capfd.readouterr().err


@pytest.mark.parametrize("engine", ["json:loads", "json:JSONDecodeError", "os:getcwd", "json:no_such_thing", "json"])
def test_an_engine_that_is_none_is_one_sentence(engine: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", "--port", "0", "--engine", engine]) == 2
    said = capfd.readouterr().err
    assert said.startswith("rx-assistant: engine must ")
    assert said.count("\n") == 1

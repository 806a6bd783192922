"""`rx-assistant watch` and `rx-assistant upload`, as real processes: in a pipe, in a terminal, interrupted."""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback, Received, Wire
from polling_faces import Answers, silent

from rx_assistant import AssistantClient, local
from rx_assistant.cli import run

GUARD = 60  # seconds that nothing here should ever need


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return kept | {"PYTHONUNBUFFERED": "1", "COLUMNS": "100"} | more


@contextmanager
def started(*arguments: str, url: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "rx_assistant", *arguments, "--base-url", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def in_terminal(*arguments: str, url: str) -> tuple[str, int]:
    """What a terminal of 100 columns is sent, and the exit code."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "rx_assistant", *arguments, "--base-url", url],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(TERM="xterm-256color"),
    ) as process:
        os.close(theirs)
        shown = bytearray()
        while True:
            try:
                data = os.read(ours, 65536)
            except OSError:  # the terminal is gone with the process
                break
            if not data:
                break
            shown += data
        code = process.wait(GUARD)
    os.close(ours)
    return shown.decode(), code


def command(capsys: pytest.CaptureFixture[str], *arguments: str, url: str) -> tuple[int, list[str], str]:
    """Exit code, lines on stdout, stderr; run in this process, with no terminal."""
    code = run([*arguments, "--base-url", url])
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


WATCH = ("watch", "run_1", "--thread", "thread_1", "--interval", "1")


class TestWatch:
    def test_in_a_pipe_each_new_state_is_a_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        with Loopback(Answers(["queued", "queued", "in_progress", "in_progress", "completed"])) as server:
            code, lines, err = command(capsys, *WATCH, url=server.url)
        assert (code, lines, err) == (0, ["queued", "in_progress", "completed"], "")

    def test_a_run_that_failed_is_told_in_a_sentence(self, capsys: pytest.CaptureFixture[str]) -> None:
        failed = {"status": "failed", "last_error": {"code": "server_error", "message": "it broke"}}
        with Loopback(Answers([failed])) as server:
            code, lines, err = command(capsys, *WATCH, url=server.url)
        assert (code, lines) == (1, ["failed"])
        assert "it broke (server_error)" in err
        assert len(err.splitlines()) == 1

    def test_what_a_run_waits_for_is_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        calls = [{"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}]
        waiting = {
            "status": "requires_action",
            "required_action": {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}},
        }
        with Loopback(Answers([waiting])) as server:
            code, lines, _ = command(capsys, *WATCH, url=server.url)
        assert (code, lines) == (0, ["requires_action: get_weather"])

    def test_the_timeout_and_a_missing_run_are_errors_in_a_sentence(self, capsys: pytest.CaptureFixture[str]) -> None:
        with Loopback(Answers(["in_progress"])) as server:
            code, _, err = command(capsys, *WATCH, "--timeout", "0.05", url=server.url)
        assert (code, "not finished within 0.05 s" in err) == (1, True)
        with Loopback(Answers([404])) as server:
            code, lines, err = command(capsys, *WATCH, url=server.url)
        assert (code, lines, len(err.splitlines())) == (1, [], 1)

    def test_without_a_server_it_says_what_to_give(self, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("OPENAI_BASE_URL", raising=False)
            assert run(["watch", "run_1", "--thread", "t"]) == 2
        assert "--base-url" in capsys.readouterr().err

    def test_in_a_terminal_the_states_are_one_moving_line(self) -> None:
        with Loopback(Answers(["queued", "in_progress", "completed"])) as server:
            shown, code = in_terminal("watch", "run_1", "--thread", "thread_1", "--interval", "150", url=server.url)
        assert code == 0
        first, *rest = (shown.index(state) for state in ("queued", "in_progress", "completed"))
        assert "\n" not in shown[first : rest[-1]]
        assert [first, *rest] == sorted([first, *rest])
        assert any(frame in shown for frame in "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")

    def test_ctrl_c_ends_it_at_once(self) -> None:
        with Loopback(Answers(["queued", silent])) as server, started(*WATCH, url=server.url) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "queued\n"
            server.wait_for(lambda: len(server.requests) == 2)
            process.send_signal(signal.SIGINT)
            assert process.wait(GUARD) == 130
            server.wait_for(lambda: not server.open_connections)


class TestUpload:
    def test_in_a_pipe_each_step_is_a_line(self, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
        paths = files(tmp_path, 3)
        with local.serve(poll_after_ms=2) as server:
            store = new_store(server.base_url)
            code, lines, err = command(capsys, "upload", "--vector-store", store, *paths, url=server.base_url)
        assert (code, err) == (0, "")
        assert lines[-1] == "completed: 3 of 3 files indexed"
        assert "uploaded 3 of 3 files" in lines
        assert len(lines) == len(set(lines))

    def test_files_that_could_not_be_taken_in_are_named(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        (tmp_path / "noise.bin").write_bytes(bytes(range(256)))
        paths = [*files(tmp_path, 1), str(tmp_path / "noise.bin")]
        with local.serve(poll_after_ms=2) as server:
            store = new_store(server.base_url)
            code, lines, err = command(capsys, "upload", "--vector-store", store, *paths, url=server.base_url)
        assert code == 1
        assert lines[-1] == "completed: 1 of 2 files indexed"
        assert re.search(r"noise\.bin \(file-\w+\): \S+", err)

    def test_a_store_that_is_not_there_is_told_in_a_sentence(
        self, capsys: pytest.CaptureFixture[str], tmp_path: Path
    ) -> None:
        with local.serve() as server:
            code, _, err = command(
                capsys, "upload", "--vector-store", "vs_none", *files(tmp_path, 1), url=server.base_url
            )
        assert code == 1
        assert "vs_none" in err
        assert len(err.splitlines()) == 1

    def test_a_file_that_is_not_there_is_a_mistake_in_usage(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert run(["upload", "--vector-store", "vs", "/nowhere/at/all"]) == 2
        assert run(["upload", "--vector-store", "vs"]) == 2
        assert "FILE" in capsys.readouterr().err

    def test_in_a_terminal_a_bar_moves(self, tmp_path: Path) -> None:
        paths = files(tmp_path, 3, size=300_000)
        with local.serve(poll_after_ms=2) as server:
            store = new_store(server.base_url)
            shown, code = in_terminal("upload", "--vector-store", store, *paths, url=server.base_url)
        assert code == 0
        assert "━" in shown
        assert "900.0/900.0 kB" in shown
        assert "completed: 3 of 3 files indexed" in shown

    def test_ctrl_c_stops_the_uploads(self, tmp_path: Path) -> None:
        async def hold(request: Received, wire: Wire) -> None:
            if request.method == "GET":
                await wire.json({"id": "vs_1", "object": "vector_store"})
            else:
                await wire.peer_gone()

        paths = files(tmp_path, 4)
        with Loopback(hold) as server, started("upload", "--vector-store", "vs_1", *paths, url=server.url) as process:
            server.wait_for(lambda: len(server.requests) == 5)
            process.send_signal(signal.SIGINT)
            assert process.wait(GUARD) == 130
            server.wait_for(lambda: not server.open_connections)


def files(folder: Path, count: int, size: int = 100) -> list[str]:
    for number in range(count):
        (folder / f"{number}.txt").write_text(f"note {number} " * (size // 7))
    return [str(folder / f"{number}.txt") for number in range(count)]


def new_store(url: str) -> str:
    with AssistantClient(base_url=url) as client:
        store: Any = client.vector_stores.create()
    return str(store.id)

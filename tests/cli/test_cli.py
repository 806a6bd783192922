"""The command line as a person uses it: real processes, pipes, a terminal, Ctrl-C."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest import mock

import pytest
from reference import RECORDINGS

from rx_assistant import ServerSentEvent, SSEDecoder, local
from rx_assistant.cli import run

GUARD = 30  # seconds that nothing here should ever need


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return kept | {"PYTHONUNBUFFERED": "1", "TZ": "UTC"} | more


def rx(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, whose imports are done, with an environment and outputs of its own."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with mock.patch.dict(os.environ, environment(**more), clear=True), redirect_stdout(out), redirect_stderr(err):
        code = run([*arguments])
    out.seek(0)
    err.seek(0)
    return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


def rx_process(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rx_assistant", *arguments],
        capture_output=True,
        text=True,
        timeout=GUARD,
        env=environment(**more),
        check=False,
    )


@contextmanager
def start(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "rx_assistant", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def frame(name: str, data: object) -> bytes:
    return f"event: {name}\ndata: {data if isinstance(data, str) else json.dumps(data)}\n\n".encode()


def run_object(status: str, **more: object) -> dict[str, object]:
    return {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": status, **more}


def delta(text: str) -> bytes:
    content = [{"index": 0, "type": "text", "text": {"value": text}}]
    return frame(
        "thread.message.delta", {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": content}}
    )


class Script(BaseHTTPRequestHandler):
    """A server that answers the three creations, and streams what the test says, when it says so."""

    protocol_version = "HTTP/1.1"
    frames: Iterator[bytes]
    cancelled: threading.Event

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        path = self.path.split("/v1", 1)[1]
        if path.endswith("/cancel"):
            self.cancelled.set()
            self.reply(run_object("cancelling"))
        elif path.endswith("/runs"):
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            try:
                for data in self.frames:
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")
            except OSError:
                self.close_connection = True
        else:
            self.reply({"id": path.strip("/").replace("/", "_") + "_1", "object": "made"})

    def reply(self, body: dict[str, object]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def scripted(frames: Iterator[bytes]) -> Iterator[tuple[str, threading.Event]]:
    cancelled = threading.Event()
    handler = type("Scripted", (Script,), {"frames": frames, "cancelled": cancelled})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1", cancelled
    finally:
        server.shutdown()
        server.server_close()
        thread.join(GUARD)


def completed_text(path: Path) -> str | None:
    """The text of a recording's completed messages; None where it holds none."""
    texts: list[str] = []
    for event in SSEDecoder().feed(path.read_bytes()):
        name, data = event.event, event.data
        if name == "message" and data.startswith('{"'):
            wrapped = json.loads(data)
            name, data = wrapped.get("event", ""), json.dumps(wrapped.get("data"))
        if name in ("thread.message.completed", "thread.message.incomplete"):
            content = json.loads(data)["content"]
            texts += [part["text"]["value"] for part in content if part["type"] == "text"]
    return "".join(texts) if texts else None


@pytest.mark.skipif(not RECORDINGS, reason="the reference data is not beside this checkout")
def test_replay_prints_the_text_that_the_recording_holds(capfd: pytest.CaptureFixture[str]) -> None:
    checked = 0
    for path in RECORDINGS:
        code = run(["replay", str(path)])
        printed = capfd.readouterr().out
        whole = completed_text(path)
        if whole is not None and "langchain" not in path.name:
            assert printed.removesuffix("\n") == whole.removesuffix("\n"), path.name
            checked += 1
        ends_badly = any(word in path.name for word in ("stream_error", "go-Test", "ruby"))
        assert code == int(ends_badly), path.name
    assert checked >= 17


@pytest.mark.skipif(not RECORDINGS, reason="the reference data is not beside this checkout")
def is_ending(event: ServerSentEvent) -> bool:
    return event.data == "[DONE]" or event.event == "error" or event.data.startswith('{"error"')


def test_replay_as_json_prints_one_event_a_line(capfd: pytest.CaptureFixture[str]) -> None:
    for path in RECORDINGS:
        run(["replay", "--json", str(path)])
        lines = capfd.readouterr().out.splitlines()
        items = [each for each in SSEDecoder().feed(path.read_bytes()) if not is_ending(each)]
        assert len(lines) == len(items)
        assert all({"event", "data"} == set(json.loads(line)) for line in lines)


def test_ask_shows_a_tool_call_its_output_and_the_answer() -> None:
    done = rx("ask", "What time is it?")
    assert done.returncode == 0, done.stderr
    assert "get_local_time(" in done.stderr
    answer = next(line for line in done.stderr.splitlines() if "→" in line).partition("→ ")[2]
    assert answer in done.stdout
    assert done.stdout.count("\n") == 1
    assert done.stderr.count("⚙") == 1, "the call is shown once, though its step comes again after the outputs"


def test_ask_offers_tools_of_a_module_and_shows_their_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weather_tools.py").write_text(
        'def get_weather(city: str):\n    "The weather in a city."\n    yield "asking"\n    yield f"{city}: 12 C"\n'
        "tools = [get_weather]\nnone = 3\n"
    )
    done = rx_process("ask", "How is the weather in Paris?", "--tools", "weather_tools:tools", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "Paris: 12 C" in done.stdout
    assert "… get_weather: asking" in done.stderr
    assert "→ Paris: 12 C" in done.stderr
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("weather_tools:none", "weather_tools:missing", "no_module:tools", "weather_tools"):
        refused = rx("ask", "x", "--tools", name)
        assert refused.returncode == 2
        assert f"--tools must be module:object with a ToolSet, got '{name}'" in refused.stderr


def test_the_first_text_is_shown_before_the_last_is_sent() -> None:
    shown = threading.Event()

    def frames() -> Iterator[bytes]:
        yield frame("thread.run.created", run_object("queued"))
        yield delta("first ")
        assert shown.wait(GUARD), "nothing was printed while the rest was held back"
        yield delta("last")
        yield frame("thread.run.completed", run_object("completed")) + frame("done", "[DONE]")

    with scripted(frames()) as (base_url, _), start("ask", "x", "--base-url", base_url) as process:
        assert process.stdout is not None
        assert process.stdout.read(6) == "first "
        shown.set()
        assert process.stdout.read() == "last\n"
        assert process.wait(GUARD) == 0
        assert process.stderr is not None
        process.stderr.read()


def test_a_run_that_fails_is_one_sentence_and_exit_code_1() -> None:
    failed = run_object("failed", last_error={"code": "rate_limit_exceeded", "message": "Too much."})
    frames = iter([frame("thread.run.failed", failed), frame("done", "[DONE]")])
    with scripted(frames) as (base_url, _):
        done = rx("ask", "x", "--base-url", base_url)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "rx-assistant: the run failed: Too much. (rate_limit_exceeded)"


def test_a_broken_stream_is_one_sentence_and_exit_code_1_and_the_text_stays() -> None:
    frames = iter([frame("thread.run.created", run_object("queued")), delta("half a sen")])
    with scripted(frames) as (base_url, _):
        done = rx("ask", "x", "--base-url", base_url)
        shown = rx("ask", "x", "--base-url", base_url, "--debug")
    assert done.returncode == 1
    assert done.stdout == "half a sen\n"
    *ids, last = done.stderr.splitlines()
    assert last.startswith("rx-assistant: the stream ended after 2 events")
    assert ids == ["· assistant None, thread thread_1, run run_1"]
    assert "Traceback" in shown.stderr


def test_a_server_that_is_not_there_is_one_sentence_and_exit_code_1() -> None:
    done = rx("ask", "x", "--base-url", "http://127.0.0.1:9/v1")
    assert done.returncode == 1
    assert done.stderr.startswith("rx-assistant: ")
    assert "127.0.0.1:9" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["watch", "run_1", "--thread", "thread_1"], ["upload", __file__, "--vector-store", "v"]]
)
def test_without_a_server_the_options_are_named_that_give_one(arguments: list[str]) -> None:
    done = rx(*arguments)
    assert done.returncode == 2
    assert "give --base-url or set OPENAI_BASE_URL" in done.stderr


@pytest.mark.parametrize(
    "arguments", [["ask"], ["ask", " "], ["replay", "no such file"], ["dance"], ["serve", "--port", "x"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    assert rx_process(*arguments).returncode == 2


def test_the_list_of_commands_is_not_cut_off() -> None:
    assert "..." not in rx("--help", COLUMNS="80").stdout.replace("[ARGS]...", "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("arguments", "code"), [("ask hello", 0), ("ask -", 2), ("chat", 0), ("models", 1), ("serve --port x", 2)]
)
def test_a_standard_stream_that_is_closed_is_empty_or_takes_everything(arguments: str, code: int, closed: str) -> None:
    done = subprocess.run(
        f"exec {sys.executable} -m rx_assistant {arguments} {closed}",
        shell=True,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=GUARD,
        env=environment(),
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode == code or arguments == "models"  # this machine may have a model server


def test_ctrl_c_cancels_the_run_and_is_exit_code_130() -> None:
    over = threading.Event()

    def frames() -> Iterator[bytes]:
        yield frame("thread.run.created", run_object("in_progress"))
        yield delta("working")
        over.wait(GUARD)

    with scripted(frames()) as (base_url, cancelled), start("ask", "x", "--base-url", base_url) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(7) == "working"
        process.send_signal(signal.SIGINT)
        assert process.wait(GUARD) == 130
        assert cancelled.is_set()
        over.set()
        assert "Traceback" not in process.stderr.read()
        process.stdout.read()


def test_what_was_recorded_replays_as_it_was_shown(tmp_path: Path) -> None:
    file = tmp_path / "run.sse"
    asked = rx("ask", "What time is it?", "--record", str(file))
    replayed = rx("replay", str(file))
    assert (asked.returncode, replayed.returncode) == (0, 0)
    assert replayed.stdout == asked.stdout
    assert "get_local_time(" in replayed.stderr


def test_a_full_disk_costs_the_recording_and_not_the_answer() -> None:
    done = rx("ask", "hello", "--record", "/dev/full")
    assert done.returncode == 0
    assert "hello" in done.stdout
    assert "recording" in done.stderr


def test_the_environment_names_the_server() -> None:
    with local.serve() as server:
        done = rx("ask", "hello", OPENAI_BASE_URL=server.base_url)
        assert done.returncode == 0
        assert sum(request.method == "POST" and request.path.endswith("/runs") for request in server.requests) == 1


def test_serve_answers_until_ctrl_c() -> None:
    with start("serve", "--port", "0") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        said = ""
        while "http://" not in said:
            said = process.stderr.readline() or process.stdout.readline()
            assert process.poll() is None
        base_url = next(word for word in said.split() if word.startswith("http://")).strip("().,")
        base_url = base_url if base_url.endswith("/v1") else base_url.rstrip("/") + "/v1"
        assert rx("ask", "hello", "--base-url", base_url).returncode == 0
        process.send_signal(signal.SIGINT)
        assert process.wait(GUARD) in (0, 130)
        assert "Traceback" not in process.stderr.read() + process.stdout.read()


def test_serve_says_that_it_waits_for_open_streams(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text(json.dumps({"runs": [{"turns": [[{"text": "Hello"}, "hang"]]}]}))
    with start("serve", "--port", "0", "--script", str(tmp_path / "script.json")) as process:
        assert process.stderr is not None
        base_url = process.stderr.readline().split()[-1]
        with start("ask", "hello", "--base-url", base_url) as asking:
            assert asking.stdout is not None
            assert asking.stdout.read(5) == "Hello"
            process.send_signal(signal.SIGINT)
            while "open streams get 5 s to end: 1; a second signal breaks them" not in process.stderr.readline():
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            assert process.wait(GUARD) == 0
            assert asking.wait(GUARD) == 1


def test_in_a_terminal_a_note_never_lands_in_the_middle_of_the_text() -> None:
    frames = iter(
        [
            frame("thread.run.created", run_object("queued")),
            delta("some text"),
            frame("thread.run.step.completed", {"id": "step_1", "type": "message_creation", "status": "completed"}),
            frame("thread.run.completed", run_object("completed")) + frame("done", "[DONE]"),
        ]
    )
    with scripted(frames) as (base_url, _):
        outer, inner = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "rx_assistant", "ask", "x", "--base-url", base_url],
            stdout=inner,
            stderr=inner,
            env=environment(TERM="xterm"),
        )
        os.close(inner)
        screen = b""
        try:
            while piece := os.read(outer, 4096):
                screen += piece
        except OSError:  # the other end is closed
            pass
        os.close(outer)
        assert process.wait(GUARD) == 0
    lines = [line for line in screen.decode().splitlines() if line]
    assert "some text" in lines
    assert any("message_creation completed" in line and "some text" not in line for line in lines)


def test_without_the_extra_it_says_which_extra_to_install() -> None:
    code = (
        "import sys; sys.modules['click'] = None\n"
        "sys.argv = ['rx-assistant', 'ask', 'x']\n"
        "from rx_assistant.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=GUARD, check=False)
    assert done.returncode == 1
    assert "pip install 'rx_assistant[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_server_that_is_not_there_is_one_line() -> None:
    command = [sys.executable, "-m", "rx_assistant", "ask", "x", "--base-url", "http://127.0.0.1:9/v1"]
    for more in ([], ["--assistant", "asst_1", "--thread", "thread_1"]):
        done = subprocess.run([*command, *more], capture_output=True, text=True, timeout=GUARD, check=False)
        assert done.returncode == 1
        assert re.fullmatch(r"rx-assistant: no reply came .*\n", done.stderr), done.stderr


def test_the_end_of_the_program_searches_nothing_for_cycles() -> None:
    code = (
        "import atexit, gc, sys; atexit.register(lambda: print(gc.get_freeze_count() > 10_000))\n"
        "sys.argv = ['rx-assistant', '--version']\n"
        "from rx_assistant.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=GUARD, check=True)
    assert done.stdout.endswith("True\n")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    file = tmp_path / "run.sse"
    body = frame("thread.run.created", run_object("queued")) + delta("Grüße – ✓\n") * 3000
    file.write_bytes(body + frame("thread.run.completed", run_object("completed")) + frame("done", "[DONE]"))
    return file


def test_what_the_terminal_has_no_character_for_is_a_question_mark(recording: Path) -> None:
    done = rx_process("replay", str(recording), PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.startswith("Gr??e ? ?\n")


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_text_that_cannot_be_written_is_exit_code_1(recording: Path, more: list[str]) -> None:
    command = [sys.executable, "-m", "rx_assistant", "replay", str(recording), *more]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=GUARD, env=environment(), check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith("rx-assistant: [Errno 28]")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_a_pipe_that_is_closed_early_ends_the_command_in_silence(recording: Path, more: list[str]) -> None:
    with start("replay", str(recording), *more) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(GUARD) == 1
        assert process.stderr.read() == ""


LOCALES = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "C, as Python likes it": {"LC_ALL": "C"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
}


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("question", ["Grüße 😀".encode(), b"not \xff UTF-8"], ids=["UTF-8", "other bytes"])
def test_a_question_of_any_bytes_is_asked_in_any_locale(locale: str, question: bytes) -> None:
    with local.serve() as server:
        to = ["--base-url", server.base_url, "--", question]
        command = [sys.executable, "-m", "rx_assistant", "ask", *to]
        variables = environment(**LOCALES[locale])
        done = subprocess.run(command, capture_output=True, timeout=GUARD, env=variables, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    assert len(done.stdout) > 10


def test_help_loads_nothing_that_it_does_not_show() -> None:
    code = (
        "import sys; from rx_assistant.cli import run; run(['--help'])\n"
        "slow = {'importlib.metadata', 'msgspec', 'pydantic', 'reactivex', 'rich', 'httpx', 'asyncio'}\n"
        "print(slow & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("Usage: rx-assistant")
    assert done.stderr == "set()\n"

"""The server as a process and a neighbour: how it starts and stops, what it refuses, what it does not let grow."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from guard import GUARD

import rx_assistant.local
from rx_assistant.errors import ConfigurationError
from rx_assistant.local.engine import Failure, RunContext, Text
from rx_assistant.local.engines import load_engine
from rx_assistant.local.frame_log import CutError, FrameLog, Spool
from rx_assistant.local.server import listening_socket

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "example.com", "::"])
def test_a_host_that_others_reach_needs_a_key(host):
    with pytest.raises(ConfigurationError, match="API key"):
        rx_assistant.local.serve(host=host)
    with pytest.raises(ConfigurationError, match="API key"):
        rx_assistant.local.run(host=host)
    rx_assistant.local.serve(host=host, api_key="secret")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_loopback_hosts_need_none(host):
    with rx_assistant.local.serve(host=host) as server:
        assert httpx.get(server.base_url.replace("/v1", "/healthz")).json() == {"status": "ok"}


def test_a_server_shows_its_address():
    with rx_assistant.local.serve() as server:
        assert repr(server) == f"Server('{server.base_url}')"
        assert not server.base_url.endswith(":0/v1")


def test_health_needs_no_key():
    with rx_assistant.local.serve(api_key="secret") as server:
        assert httpx.get(server.base_url.replace("/v1", "/healthz")).status_code == 200
        refused = httpx.get(f"{server.base_url}/assistants")
        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        for headers in ({"authorization": "Bearer secret"}, {"api-key": "secret"}):
            assert httpx.get(f"{server.base_url}/assistants", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("path", "key", "told"),
    [("", "secret", "let the client's base URL end with it"), ("/v1", "", "give your client one, which it sends")],
)
def test_a_client_that_was_set_up_wrongly_is_told_how_to_set_it_up(path, key, told):
    with rx_assistant.local.serve(api_key="secret") as server:
        address = server.base_url.removesuffix("/v1") + path
        with (
            rx_assistant.AssistantClient(base_url=address, api_key=key) as client,
            pytest.raises(rx_assistant.APIStatusError, match=told),
        ):
            client.assistants.list()


def test_a_port_that_is_taken_is_an_os_error():
    with rx_assistant.local.serve() as server:
        port = int(server.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
        with pytest.raises(OSError, match=r"cannot listen on 127\.0\.0\.1:\d+: .*in use; port 0 takes a free one"):
            rx_assistant.local.serve(port=port).start()


def test_a_server_is_started_once():
    with rx_assistant.local.serve() as server, pytest.raises(RuntimeError, match="already"):
        server.start()


@pytest.mark.anyio
async def test_it_can_be_used_in_async_with():
    before = set(threading.enumerate())
    async with rx_assistant.local.serve() as server, httpx.AsyncClient(base_url=server.base_url) as http:
        assert (await http.post("/threads")).status_code == 200
    left = {thread for thread in threading.enumerate() if thread.name == "rx_assistant.local"}
    assert not left - before


def test_it_is_an_asgi_application_too():
    async def use() -> int:
        app = rx_assistant.local.app()
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://local/v1") as http:
            assistant = (await http.post("/assistants", json={"model": "any"})).json()["id"]
            body = {"assistant_id": assistant, "stream": True, "thread": {}}
            with anyio.fail_after(GUARD):
                response = await http.post("/threads/runs", json=body)
            async with app.router.lifespan_context(app):
                pass
            return response.content.count(b"\n\n")

    assert asyncio.run(use()) > 10


def test_files_vanish_with_the_server(connect):
    api = connect()
    api.upload("a.txt", "content")
    (directory,) = {Path(thing).parent for thing in _open_files(api)}
    assert directory.is_dir()
    api.server.stop()
    assert not directory.exists()


def _open_files(api) -> list[Path]:
    return list(api.server._state.files.directory.iterdir())


def test_bodies_have_a_largest_size():
    with rx_assistant.local.serve(max_body_bytes=1000, max_file_bytes=1000) as server:
        response = httpx.post(f"{server.base_url}/threads", content=b" " * 1001)
        assert (response.status_code, response.json()["error"]["code"]) == (413, "request_too_large")
        files = {"file": ("a.txt", b"x" * 1001)}
        response = httpx.post(f"{server.base_url}/files", files=files, data={"purpose": "assistants"})
        assert (response.status_code, response.json()["error"]["code"]) == (413, "file_too_large")
        files = {"file": ("a.txt", b"x" * 1000)}
        assert httpx.post(f"{server.base_url}/files", files=files, data={"purpose": "assistants"}).status_code == 200
        assert httpx.get(f"{server.base_url}/files").json()["data"][0]["bytes"] == 1000


@pytest.mark.parametrize(
    ("content_type", "content", "param"),
    [
        ("application/json", b"{}", None),
        ("multipart/form-data", b"", None),
        ("multipart/form-data; boundary=x", b"garbage", None),
        ("multipart/form-data; boundary=x", b"--x--\r\n", "file"),
        ("multipart/form-data; boundary=x", b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\na', None),
    ],
)
def test_broken_uploads_are_refused(server, content_type, content, param):
    response = httpx.post(f"{server.base_url}/files", content=content, headers={"content-type": content_type})
    assert (response.status_code, response.json()["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "purpose"),
        ({"purpose": "fun"}, "purpose"),
        ({"purpose": "assistants", "surplus": "x"}, "surplus"),
        ({"purpose": "assistants", "expires_after[anchor]": "created_at"}, "expires_after.seconds"),
        (
            {"purpose": "assistants", "expires_after[anchor]": "created_at", "expires_after[seconds]": "soon"},
            "expires_after.seconds",
        ),
        (
            {"purpose": "assistants", "expires_after[anchor]": "created_at", "expires_after[seconds]": "1"},
            "expires_after.seconds",
        ),
        ({"purpose": "assistants", "expires_after": "never"}, "expires_after"),
    ],
)
def test_fields_of_an_upload_are_checked(api, fields, param):
    error = api.refused("POST", "/files", files={"file": ("a.txt", b"a")}, data=fields)
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert api("GET", "/files")["data"] == []
    assert _open_files(api) == []


def test_a_file_expires(api, monkeypatch):
    expiry = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "3600"}
    file = api.upload("a.txt", "content", **expiry)
    monkeypatch.setattr("rx_assistant.local.objects.now", lambda: file["expires_at"])
    assert api("GET", "/files")["data"] == []
    assert api.refused("GET", f"/files/{file['id']}", expect=404)["message"] == f"No such File object: {file['id']}"
    assert _open_files(api) == []


def test_directories_in_file_names_are_dropped(api):
    assert api.upload("../../etc/passwd", "x")["filename"] == "passwd"
    assert api.upload("C:\\docs\\a.txt", "x")["filename"] == "a.txt"


def test_every_reply_has_a_request_id_of_its_own(server):
    ids = {httpx.get(f"{server.base_url}/{path}").headers["x-request-id"] for path in ("assistants", "x", "threads/x")}
    assert len(ids) == 3
    assert all(id.startswith("req_") for id in ids)


def test_streams_have_the_headers_of_the_service(play):
    api = play([{"text": "a"}])
    body = {"assistant_id": api.assistant(), "stream": True}
    response = api.http.post("/threads/runs", json=body)
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in response.headers
    assert response.headers["x-request-id"].startswith("req_")


# Readers


def drain(log: FrameLog) -> bytes:
    async def read() -> bytes:
        return b"".join([part async for part in log.read()])

    return asyncio.run(read())


def test_every_reader_of_a_frame_log_begins_at_its_first_frame():
    async def use() -> list[bytes]:
        log = FrameLog()
        log.append(b"one")
        first = asyncio.create_task(_read(log))
        await asyncio.sleep(0)
        log.append(b"two")
        log.end(done=False)
        return [await first, await _read(log)]

    async def _read(log: FrameLog) -> bytes:
        return b"".join([part async for part in log.read()])

    assert asyncio.run(use()) == [b"onetwo", b"onetwo"]


def test_a_frame_log_past_its_limit_drops_its_oldest_frames_and_breaks_slow_readers():
    log = FrameLog(limit=1000)
    for _ in range(100):
        log.append(b"x" * 100)
    assert log.size <= 1000
    log.end(done=False)
    with pytest.raises(CutError):
        drain(log)


def test_nothing_comes_after_the_end_of_a_frame_log():
    log = FrameLog()
    log.end()
    log.emit("thread.run.cancelling", {})
    log.cut()
    assert drain(log) == b"event: done\ndata: [DONE]\n\n"


def test_the_frames_of_one_turn_are_in_the_file_before_a_reader_gets_them_and_at_the_end_of_the_turn(tmp_path):
    async def use() -> None:
        spool = Spool(tmp_path / "frames")
        log = FrameLog(spool=spool)
        for _ in range(3):
            log.append(b"a\n\n")
        assert not spool.path.exists()
        reading = log.read()
        assert await anext(reading) == b"a\n\n" * 3 == spool.path.read_bytes()
        log.append(b"b\n\n")
        await asyncio.sleep(0)
        assert spool.path.read_bytes() == b"a\n\n" * 3 + b"b\n\n"
        await reading.aclose()
        log.append(b"c\n\n")
        log.abandon()
        assert FrameLog(spool=Spool(spool.path)).joined() == b"a\n\n" * 3 + b"b\n\nc\n\n"

    asyncio.run(use())


@pytest.mark.parametrize("wanted", [False, True])
def test_the_file_of_a_log_that_has_ended_is_complete_or_deleted(tmp_path, wanted):
    async def use() -> None:
        spool = Spool(tmp_path / "frames")
        spool.is_wanted = wanted
        log = FrameLog(limit=10, spool=spool)
        for _ in range(9):
            log.append(b"a\n\n")  # more than the log keeps
        log.end(done=False)
        await asyncio.sleep(0)
        assert spool.path.exists() == wanted
        assert not wanted or spool.path.read_bytes() == b"a\n\n" * 9

    asyncio.run(use())


def test_a_disk_that_refuses_frames_is_an_error_once_and_readers_go_on(tmp_path):
    async def use() -> None:
        log = FrameLog(spool=Spool(tmp_path / "missing" / "frames"))
        log.append(b"a")
        log.write()
        with pytest.raises(FileNotFoundError):
            log.append(b"b")
        log.append(b"c")
        log.end(done=False)
        assert b"".join([part async for part in log.read()]) == b"abc"

    asyncio.run(use())


def test_what_is_sent_at_once_is_bounded():
    async def use() -> list[int]:
        log = FrameLog()
        for _ in range(1000):
            log.append(b"x" * 1000)
        log.end(done=False)
        return [len(part) async for part in log.read()]

    sizes = asyncio.run(use())
    assert sum(sizes) == 1_000_000
    assert max(sizes) < 70_000


@contextmanager
def lazy_reader(api, assistant: str, thread: str):
    """A connection that asks for a stream and reads nothing of it."""
    with socket.create_connection((api.http.base_url.host, api.http.base_url.port)) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = b'{"assistant_id": "%s", "stream": true}' % assistant.encode()
        head = (
            f"POST /v1/threads/{thread}/runs HTTP/1.1\r\nhost: localhost\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        lazy.sendall(head.encode() + body)
        while not (runs := api("GET", f"/threads/{thread}/runs")["data"]):
            time.sleep(0.005)
        assert api.wait(runs[0])["status"] == "completed"
        yield


MUCH = {"runs": [{"turns": [[{"text": "x" * 8_000_000, "chunk": 100_000}]]}]}


@pytest.mark.unjudged
def test_a_reader_that_takes_nothing_is_let_go(connect):
    api = connect(script=MUCH, write_timeout=0.05)
    thread = api.thread("hi")
    with lazy_reader(api, api.assistant(), thread):
        while api.server._state.readers.count:
            api("GET", f"/threads/{thread}")


@pytest.mark.unjudged
def test_a_reader_that_takes_nothing_does_not_hold_up_the_end(connect):
    api = connect(script=MUCH)
    with lazy_reader(api, api.assistant(), api.thread("hi")):
        assert api.server._state.readers.count == 1
        api.server.stop()
        gc.collect()


# In the foreground


PROGRAM = """
import sys, rx_assistant.local
rx_assistant.local.run(port=0, on_listening=lambda url: print(url, flush=True), log_level="error", script={
    "runs": [{"turns": [[{"text": "a"}, {"pause": float(sys.argv[1])}, {"text": "b"}]]}]})
print("bye", flush=True)
"""


@pytest.fixture
def foreground():
    """Starts `run` in a process of its own; gives the process and the base URL."""
    started = []

    def start(pause: float):
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "error", "-c", PROGRAM, str(pause)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        started.append(process)
        return process, process.stdout.readline().strip()

    yield start
    for process in started:
        process.kill()
        process.communicate()


def watch(url: str, body_of_stream: list[bytes], begun: threading.Event) -> None:
    assistant = httpx.post(f"{url}/assistants", json={"model": "any"}).json()["id"]
    body = {"assistant_id": assistant, "stream": True}
    try:
        with httpx.stream("POST", f"{url}/threads/runs", json=body, timeout=20) as response:
            for part in response.iter_raw():
                body_of_stream.append(part)
                if b"thread.message.delta" in part:
                    begun.set()
    except httpx.RemoteProtocolError:
        body_of_stream.append(b"CUT")


@pytest.mark.parametrize(("pause", "signals", "ending"), [(0.3, 1, b"[DONE]\n\n"), (3600, 2, b"CUT")])
def test_a_signal_lets_streams_end_and_a_second_one_cuts_them(foreground, pause, signals, ending):
    process, url = foreground(pause)
    heard: list[bytes] = []
    begun = threading.Event()
    reader = threading.Thread(target=watch, args=(url, heard, begun))
    reader.start()
    assert begun.wait(20)
    process.send_signal(signal.SIGINT)
    if signals == 2:
        with httpx.Client() as http:
            while http.post(f"{url}/threads").status_code != 503:
                time.sleep(0.005)
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    reader.join()
    assert (out, err, process.returncode) == ("bye\n", "", 0)
    assert b"".join(heard).endswith(ending)


# Engines


class Echo:
    """An engine of one's own."""

    async def run(self, context: RunContext):
        yield Text(f"{context.model}: {context.question}")


class Broken:
    async def run(self, context: RunContext):
        yield Text("before")
        raise ZeroDivisionError("by zero")


class Endless:
    async def run(self, context: RunContext):
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                yield Text("I do not stop")


def test_an_engine_of_ones_own_answers(connect):
    api = connect(engine=Echo())
    thread = api.thread("hi")
    api.wait(api.start(api.assistant(model="mine"), thread))
    assert api.messages(thread)[-1]["content"][0]["text"]["value"] == "mine: hi"


def test_an_engine_that_raises_fails_the_run_and_never_the_server(connect):
    api = connect(engine=Broken())
    run = api.wait(api.start(api.assistant(), api.thread("hi")))
    assert run["last_error"] == {"code": "server_error", "message": "The engine failed. The server's log says why."}
    assert api.http.get("/assistants").status_code == 200


def test_an_engine_that_swallows_its_cancellation_is_stopped_all_the_same(connect):
    api = connect(engine=Endless())
    run = api.wait(api.start(api.assistant(), api.thread("hi")), "in_progress")
    api("POST", f"/threads/{run['thread_id']}/runs/{run['id']}/cancel")
    assert api.wait(run, "cancelled")["usage"]["total_tokens"] == 0


def test_engines_are_loaded_by_name(tmp_path, monkeypatch):
    (tmp_path / "my_engine_module.py").write_text(
        "class Mine:\n    async def run(self, context):\n        yield None\nready = Mine()\nempty = 7\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("builtin", "my_engine_module:Mine", "my_engine_module:ready"):
        assert callable(load_engine(name).run)
    for name in ("my_engine_module", "my_engine_module:none", "none_such_module:x", "my_engine_module:empty", ""):
        with pytest.raises(ConfigurationError, match="engine"):
            load_engine(name)


def test_an_engine_and_a_script_are_one_too_many():
    with pytest.raises(ConfigurationError, match="got both"):
        rx_assistant.local.serve(engine="builtin", script={})
    with pytest.raises(ConfigurationError, match="script must be given"):
        rx_assistant.local.serve(engine="scripted")
    rx_assistant.local.serve(engine="scripted", script={})


def test_actions_that_make_no_sense_fail_the_run(connect):
    class Confused:
        async def run(self, context: RunContext):
            from rx_assistant.local.engine import Arguments

            yield Arguments("{}", index=3)

    api = connect(engine=Confused())
    run = api.wait(api.start(api.assistant(), api.thread("hi")))
    assert "never opened" in run["last_error"]["message"]


def test_an_engine_sees_the_conversation_the_tools_and_the_outputs(connect):
    seen: list[RunContext] = []

    class Watching:
        async def run(self, context: RunContext):
            seen.append(context)
            yield Failure("enough")

    api = connect(engine=Watching())
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}, {"type": "file_search"}]
    assistant = api.assistant(tools=tools, instructions="Be kind.")
    thread = api.thread("one", "two")
    api.wait(api.start(assistant, thread, temperature=0, metadata={"a": "b"}, additional_instructions="Be brief."))
    (context,) = seen
    assert [(message.role, message.text) for message in context.messages] == [("user", "one"), ("user", "two")]
    assert (context.instructions, context.temperature, context.turn) == ("Be kind.\nBe brief.", 0.0, 0)
    assert [function.name for function in context.functions] == ["f"]
    assert (context.file_search, context.code_interpreter, context.metadata) == (True, False, {"a": "b"})


def test_small_replies_do_not_wait_for_acknowledgements():
    with listening_socket("127.0.0.1", 0) as listener:
        assert listener.proto == socket.IPPROTO_TCP  # or asyncio leaves Nagle's algorithm on: 40 ms per request


def test_an_address_that_is_told_takes_connections_already():
    with listening_socket("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname(), timeout=5):
        pass


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "python_multipart", "yaml"])
def test_a_missing_package_names_the_extra(package):
    code = f"import sys; sys.modules[{package!r}] = None; import rx_assistant.local; rx_assistant.local.serve"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert "pip install 'rx_assistant[local]'" in done.stderr.splitlines()[-1]

"""A server can always be stopped, and leaves nothing behind in the temporary directory."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

import rx_assistant.local
from rx_assistant.local import loop
from rx_assistant.local.engine import Text

ROOT = Path(__file__).resolve().parents[2]

ENGINES = """
import asyncio, time, threading
from rx_assistant.local.engine import Text

class Quick:
    async def run(self, context):
        yield Text("done")

class SwallowsOne:
    async def run(self, context):
        yield Text("before")
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(3600)

class SwallowsAll:
    async def run(self, context):
        yield Text("before")
        waiting = asyncio.get_running_loop().create_future()
        while True:
            try:
                await asyncio.shield(waiting)
            except BaseException:
                pass

class InAThread:
    async def run(self, context):
        yield Text("before")
        await asyncio.to_thread(threading.Event().wait)

class Blocks:
    async def run(self, context):
        yield Text("before")
        time.sleep(3600)

class BlocksAndSwallows:
    async def run(self, context):
        yield Text("before")
        while True:
            try:
                time.sleep(3600)
            except BaseException:
                pass
"""
FOREGROUND = (
    ENGINES
    + """
import sys, rx_assistant.local
rx_assistant.local.run(port=0, on_listening=lambda url: print(url, flush=True), log_level="critical",
    engine=globals()[sys.argv[1]](), grace=float(sys.argv[2]))
print("bye", flush=True)
"""
)
NEVER_STOPPED = (
    ENGINES
    + """
import sys, httpx, rx_assistant.local
server = rx_assistant.local.serve(engine=globals()[sys.argv[1]]())
server.start()
httpx.post(server.base_url + "/files", files={"file": ("a.txt", b"a")}, data={"purpose": "assistants"})
assistant = httpx.post(server.base_url + "/assistants", json={"model": "any"}).json()["id"]
with httpx.stream("POST", server.base_url + "/threads/runs", json={"assistant_id": assistant, "stream": True}) as body:
    for line in body.iter_lines():
        if line == "event: thread.message.delta":
            break
print("bye", flush=True)
"""
)
WITHOUT_LIFESPAN = """
import asyncio, httpx, rx_assistant.local
async def use():
    transport = httpx.ASGITransport(rx_assistant.local.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://local/v1") as http:
        file = {"file": ("a.txt", b"a")}
        assert (await http.post("/files", files=file, data={"purpose": "assistants"})).status_code == 200
asyncio.run(use())
print("bye", flush=True)
"""
HOSTED = (
    ENGINES
    + """
import sys, uvicorn, rx_assistant.local
config = uvicorn.Config(rx_assistant.local.app(engine=globals()[sys.argv[1]]()), port=0, log_level="critical")
listener = config.bind_socket()
listener.listen()  # a request before the server is up waits instead of being refused
print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
try:
    uvicorn.Server(config).run([listener])
except KeyboardInterrupt:
    print("bye", flush=True)
"""
)
FORKED = """
import os, sys, rx_assistant.local, httpx
with rx_assistant.local.serve() as server:
    file = {"file": ("a.txt", b"a")}
    id = httpx.post(server.base_url + "/files", files=file, data={"purpose": "assistants"}).json()["id"]
    child = os.fork()
    if not child:
        sys.exit()
    os.waitpid(child, 0)
    print(httpx.get(server.base_url + "/files/" + id + "/content").text, flush=True)
"""


@pytest.fixture
def program(tmp_path):
    """Starts a program whose temporary directory is `tmp_path`."""
    started = []

    def start(code: str, *arguments: str, **options) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "-c", code, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def begin(url: str) -> threading.Thread:
    """A stream of a new run that is being read, once its first text has come; a file was uploaded before."""
    httpx.post(f"{url}/files", files={"file": ("a.txt", b"a")}, data={"purpose": "assistants"})
    assistant = httpx.post(f"{url}/assistants", json={"model": "any"}).json()["id"]
    begun = threading.Event()

    def read() -> None:
        try:
            body = {"assistant_id": assistant, "stream": True}
            with httpx.stream("POST", f"{url}/threads/runs", json=body, timeout=60) as response:
                for line in response.iter_lines():
                    if line == "event: thread.message.delta":
                        begun.set()
        except httpx.HTTPError:
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    assert begun.wait(20)
    return reader


def ends(process: subprocess.Popen, seconds: float) -> tuple[str, str, int]:
    """What the process wrote, and its exit code; it must end within so many seconds."""
    out, err = process.communicate(timeout=seconds)
    return out, err, process.returncode


STOPPABLE = ["Quick", "SwallowsOne", "SwallowsAll", "InAThread"]


@pytest.mark.parametrize("engine", STOPPABLE)
@pytest.mark.parametrize(("sig", "code", "said"), [("SIGINT", 0, "bye\n"), ("SIGTERM", -15, ""), ("SIGHUP", -1, "")])
def test_one_signal_stops_a_server_whatever_its_engine_does(program, tmp_path, engine, sig, code, said):
    process = program(FOREGROUND, engine, "0")
    url = process.stdout.readline().strip()
    begin(url)
    process.send_signal(getattr(signal, sig))
    assert ends(process, 15) == (said, "", code)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("engine", [name for name in STOPPABLE if name != "InAThread"])
def test_a_host_of_the_application_can_be_stopped_whatever_the_engine_does(program, tmp_path, engine):
    process = program(HOSTED, engine)
    url = process.stdout.readline().strip()
    httpx.post(f"{url}/files", files={"file": ("a.txt", b"a")}, data={"purpose": "assistants"})
    assistant = httpx.post(f"{url}/assistants", json={"model": "any"}).json()["id"]
    thread = httpx.post(f"{url}/threads").json()["id"]
    body = {"assistant_id": assistant, "additional_messages": [{"role": "user", "content": "hi"}]}
    httpx.post(f"{url}/threads/{thread}/runs", json=body)
    while len(httpx.get(f"{url}/threads/{thread}/messages").json()["data"]) < 2:
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err, code = ends(process, 20)
    assert (out, code) == ("bye\n", 0), err
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_cuts_what_the_first_lets_end(program, tmp_path):
    process = program(FOREGROUND, "SwallowsAll", "3600")
    url = process.stdout.readline().strip()
    reader = begin(url)
    process.send_signal(signal.SIGTERM)
    while httpx.post(f"{url}/threads").status_code != 503:
        time.sleep(0.005)
    assert reader.is_alive()
    process.send_signal(signal.SIGTERM)
    assert ends(process, 15) == ("", "", -15)
    assert list(tmp_path.iterdir()) == []


def test_a_second_signal_interrupts_an_engine_that_blocks(program, tmp_path):
    process = program(FOREGROUND, "Blocks", "3600")
    begin(process.stdout.readline().strip())
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)  # two signals at once are one
    process.send_signal(signal.SIGINT)
    out, err, code = ends(process, 15)
    assert (out, code) == ("bye\n", 0), err
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_blocks_and_swallows_everything_ends_with_the_process(program, tmp_path):
    process = program(FOREGROUND, "BlocksAndSwallows", "3600")
    begin(process.stdout.readline().strip())
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)  # two signals at once are one
    process.send_signal(signal.SIGTERM)
    out, err, code = ends(process, 20)
    assert (out, code) == ("", 1)
    assert "the engine cannot be stopped" in err
    assert list(tmp_path.iterdir()) == []


def test_a_signal_that_is_ignored_stays_ignored(program):
    process = program(FOREGROUND, "Quick", "0", preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    url = process.stdout.readline().strip()
    process.send_signal(signal.SIGHUP)
    assert httpx.post(f"{url}/threads").status_code == 200
    process.send_signal(signal.SIGINT)
    assert ends(process, 15) == ("bye\n", "", 0)


@pytest.mark.parametrize("engine", [*STOPPABLE, "Blocks"])
def test_a_server_that_is_never_stopped_ends_with_its_program_and_leaves_nothing(program, tmp_path, engine):
    assert ends(program(NEVER_STOPPED, engine), 20) == ("bye\n", "", 0)
    assert list(tmp_path.iterdir()) == []


def test_an_application_without_a_lifespan_leaves_nothing(program, tmp_path):
    assert ends(program(WITHOUT_LIFESPAN), 20) == ("bye\n", "", 0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_the_end_of_a_forked_child_takes_nothing_from_its_parent(program, tmp_path):
    assert ends(program(FORKED), 20) == ("a\n", "", 0)
    assert list(tmp_path.iterdir()) == []


def test_a_server_whose_engine_blocks_is_not_waited_for():
    blocked, release = threading.Event(), threading.Event()

    class Blocking:
        async def run(self, context):
            yield Text("before")
            blocked.set()
            release.wait(60)

    server = rx_assistant.local.serve(engine=Blocking())
    server.start()
    file = httpx.post(f"{server.base_url}/files", files={"file": ("a.txt", b"a")}, data={"purpose": "assistants"})
    directory = server._state.files.directory
    assistant = httpx.post(f"{server.base_url}/assistants", json={"model": "any"}).json()["id"]
    httpx.post(f"{server.base_url}/threads/runs", json={"assistant_id": assistant})
    assert blocked.wait(20)
    begun = time.monotonic()
    server.stop()
    assert time.monotonic() - begun < 5
    assert file.status_code == 200
    assert not directory.exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.base_url}/assistants")
    release.set()
    server._thread.join(20)
    assert not server._thread.is_alive()


def test_an_engine_may_stop_its_own_server(connect):
    async def run(context):
        api.server.stop()
        yield Text("never")

    api = connect(engine=SimpleNamespace(run=run))
    api.start(api.assistant(), api.thread("hi"))
    api.server._thread.join(20)
    assert not api.server._thread.is_alive()


def workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "rx_assistant.local worker"}


def until(reached) -> None:
    deadline = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.fixture
def executor():
    """The executor of the server's loop. All its threads end."""
    before = workers()
    executor = loop._Daemons()
    yield executor
    executor.shutdown()
    until(lambda: workers() <= before)


def test_calls_one_after_the_other_share_a_thread(executor):
    assert len({executor.submit(threading.get_ident).result(20) for _ in range(20)}) == 1


def test_a_call_that_does_not_return_delays_no_other(executor):
    returned = threading.Event()
    executor.submit(threading.get_ident).result(20)  # its thread is idle now
    waiting = [executor.submit(returned.wait, 20) for _ in range(50)]
    executor.submit(returned.set)
    assert all(call.result(20) for call in waiting)


def test_few_threads_wait_for_further_calls(executor):
    before, barrier = workers(), threading.Barrier(50)
    for call in [executor.submit(barrier.wait, 20) for _ in range(50)]:
        call.result(20)
    until(lambda: len(workers() - before) <= loop._MOST_IDLE)


def test_the_error_of_a_call_reaches_its_caller_and_leaves_the_thread_usable(executor):
    thread = executor.submit(threading.get_ident).result(20)
    with pytest.raises(SystemExit, match="foreign"):
        executor.submit(sys.exit, "foreign").result(20)
    assert executor.submit(threading.get_ident).result(20) == thread


def test_a_call_that_is_cancelled_before_it_begins_leaves_its_thread_usable(executor):
    begin, made, cancelled = threading.Event(), [], threading.Event()

    def first() -> int:
        begin.wait(20)
        return threading.get_ident()

    def follow(_: object) -> None:
        """On the thread that has just returned, so the next call cannot begin before it is cancelled."""
        assert executor.submit(made.append, "cancelled").cancel()
        cancelled.set()

    call = executor.submit(first)
    call.add_done_callback(follow)
    begin.set()
    assert cancelled.wait(20)
    until(lambda: executor._idle)
    assert executor.submit(threading.get_ident).result(20) == call.result(20)
    assert made == []


def test_no_idle_thread_is_left_when_the_loop_has_ended():
    before = workers()

    async def use() -> None:
        barrier = threading.Barrier(5)
        await asyncio.gather(*(asyncio.to_thread(barrier.wait, 20) for _ in range(5)))

    for _ in range(50):
        loop.run(use())
        assert workers() <= before


def test_a_thread_ends_when_its_call_returns_after_the_loop_has_ended():
    before, returned = workers(), threading.Event()

    async def use() -> None:
        running, here = asyncio.Event(), asyncio.get_running_loop()
        here.run_in_executor(None, lambda: (here.call_soon_threadsafe(running.set), returned.wait(20)))
        await running.wait()

    loop.run(use())
    assert workers() - before
    returned.set()
    until(lambda: workers() <= before)

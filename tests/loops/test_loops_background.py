"""background(): streams and calls on a loop of their own, from any thread, on asyncio and trio."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, wait
from typing import Any, Literal, cast

import anyio
import anyio.lowlevel
import pytest
from loopback import GUARD, Loopback, Received, Wire
from run_server import RUN, finish, hang, refuse

from rx_assistant import loops
from rx_assistant.client import AsyncAssistantClient
from rx_assistant.errors import NotFoundError, StreamClosedError
from rx_assistant.loops import Background, background
from rx_assistant.operators import text_deltas
from rx_assistant.streams import AsyncAssistantStream, replay, replay_async

Backend = Literal["asyncio", "trio"]


def new_threads(before: set[threading.Thread]) -> list[str]:
    """The threads of this package. Idle threads of trio and asyncio for name lookups end by themselves."""
    names = [thread.name for thread in set(threading.enumerate()) - before]
    return [name for name in names if not name.startswith(("Trio thread", "asyncio_"))]


@pytest.fixture
def bg(anyio_backend: str) -> Iterator[Background]:
    """A running loop; nothing of it is left afterwards."""
    before = set(threading.enumerate())
    with background(cast("Backend", anyio_backend)) as running:
        yield running
    until = time.monotonic() + GUARD
    while left := new_threads(before):  # the thread of timers ends by itself, soon after its last timer
        assert time.monotonic() < until, left
        time.sleep(0.001)
    gc.collect()


class Heard:
    """A subscriber that can be waited for."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.threads: set[str] = set()
        self.ending: list[Any] = []
        self._changed = threading.Condition()

    def on_next(self, item: Any) -> None:
        self._note(self.items, item)

    def on_error(self, error: Exception) -> None:
        self._note(self.ending, error)

    def on_completed(self) -> None:
        self._note(self.ending, "completed")

    def _note(self, where: list[Any], what: Any) -> None:
        with self._changed:
            where.append(what)
            self.threads.add(threading.current_thread().name)
            self._changed.notify_all()

    def wait(self, claim: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(claim, GUARD), (self.items, self.ending)


def streaming(bg: Background, url: str, **policies: Any) -> tuple[AsyncAssistantStream, Heard, AsyncAssistantClient]:
    client = AsyncAssistantClient(base_url=url, max_retries=0)
    stream = client.threads.runs.stream("thread_1", assistant_id="asst_1", **policies)
    heard = Heard()
    stream.pipe(text_deltas()).subscribe(heard)
    assert bg.start(stream) is stream
    return stream, heard, client


def close(bg: Background, client: AsyncAssistantClient) -> None:
    bg.call(client.aclose).result(GUARD)


def test_a_started_stream_runs_to_its_end_on_the_loops_thread(bg: Background) -> None:
    with Loopback(finish) as server:
        _, heard, client = streaming(bg, server.url)
        heard.wait(lambda: heard.ending)
        close(bg, client)
    assert ("".join(heard.items), heard.ending) == ("two words", ["completed"])
    assert heard.threads == {"rx-assistant-background"}


def test_a_stream_that_has_ended_gives_its_connection_back(bg: Background) -> None:
    with Loopback(finish) as server:
        client = AsyncAssistantClient(base_url=server.url)
        for _ in range(3):
            heard = Heard()
            stream = client.threads.runs.stream("thread_1", assistant_id="asst_1")
            stream.subscribe(heard)
            bg.start(stream)
            heard.wait(lambda heard=heard: heard.ending)  # type: ignore[misc]
            bg.call(stream.get_final_run).result(GUARD)
        assert server.opened == 1
        close(bg, client)


def test_start_returns_before_the_request_is_answered(bg: Background) -> None:
    arrived, go_on = threading.Event(), threading.Event()

    async def slow(request: Any, wire: Any) -> None:
        arrived.set()
        await anyio.to_thread.run_sync(go_on.wait)
        await finish(request, wire)

    with Loopback(slow) as server:
        _, heard, client = streaming(bg, server.url)
        assert arrived.wait(GUARD)
        assert heard.items == []
        go_on.set()
        heard.wait(lambda: heard.ending)
        close(bg, client)


def test_what_the_api_answers_comes_to_on_error(bg: Background) -> None:
    with Loopback(refuse) as server:
        _, heard, client = streaming(bg, server.url)
        heard.wait(lambda: heard.ending)
        close(bg, client)
    assert [type(error) for error in heard.ending] == [NotFoundError]


def test_closing_from_another_thread_closes_the_response_at_once(bg: Background) -> None:
    with Loopback(hang) as server:
        stream, heard, client = streaming(bg, server.url)
        heard.wait(lambda: len(heard.items) == 2)
        stream.close()
        server.wait_for(lambda: server.endings)
        heard.wait(lambda: heard.ending)
        close(bg, client)
    assert [type(error) for error in heard.ending] == [StreamClosedError]


def test_disposing_from_another_thread_closes_the_response_of_a_stream_that_is_to_close(bg: Background) -> None:
    with Loopback(hang) as server:
        client = AsyncAssistantClient(base_url=server.url)
        stream = client.threads.runs.stream("thread_1", assistant_id="asst_1", on_idle="close")
        heard = Heard()
        subscription = stream.pipe(text_deltas()).subscribe(heard)
        bg.start(stream)
        heard.wait(lambda: len(heard.items) == 2)
        subscription.dispose()
        server.wait_for(lambda: server.endings)
        close(bg, client)


def test_cancelling_from_another_thread_posts_once_and_gives_the_answer(bg: Background) -> None:
    with Loopback(hang) as server:
        stream, heard, client = streaming(bg, server.url)
        heard.wait(lambda: heard.items)
        answers = [stream.cancel().result(GUARD) for _ in range(2)]
        close(bg, client)
        posted = [request.path for request in server.requests if request.path.endswith("/cancel")]
    assert [answer.status for answer in answers] == ["cancelling", "cancelling"]
    assert posted == ["/v1/threads/thread_1/runs/run_1/cancel"]


def test_leaving_closes_what_was_started(anyio_backend: str) -> None:
    before = set(threading.enumerate())
    with Loopback(hang) as server:
        with background(cast("Backend", anyio_backend)) as bg:
            _, heard, client = streaming(bg, server.url)
            heard.wait(lambda: len(heard.items) == 2)
        server.wait_for(lambda: server.endings)
        heard.wait(lambda: heard.ending)
        assert [type(error) for error in heard.ending] == [StreamClosedError]
        server.wait_for(lambda: new_threads(before) == ["Loopback"])
    del client
    gc.collect()


def test_leaving_cancels_the_run_that_everybody_has_left_where_asked(anyio_backend: str) -> None:
    with Loopback(hang) as server:
        with background(cast("Backend", anyio_backend)) as bg:
            client = AsyncAssistantClient(base_url=server.url)
            stream = client.threads.runs.stream("thread_1", assistant_id="asst_1", on_idle="cancel")
            heard = Heard()
            subscription = stream.pipe(text_deltas()).subscribe(heard)
            bg.start(stream)
            heard.wait(lambda: len(heard.items) == 2)
            subscription.dispose()  # the grace of a second has not passed when the block is left
        posted = [request.path for request in server.requests if request.path.endswith("/cancel")]
    assert posted == ["/v1/threads/thread_1/runs/run_1/cancel"]


def test_leaving_cancels_abandoned_runs_all_at_once(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "LOOP_SECONDS", 60.0)  # should they wait for each other, the guard will tell
    waiting: dict[int, Wire] = {}
    most: list[int] = [0]

    async def patient(request: Received, wire: Wire) -> None:
        """Answers no cancel before there are two of them."""
        if not request.path.endswith("/cancel"):
            await hang(request, wire)
            return
        waiting[wire.number] = wire
        most[0] = max(most[0], len(waiting))
        if len(waiting) == 2:
            for other in waiting.values():
                await other.json({**RUN, "status": "cancelling"})
        await wire.peer_gone()
        del waiting[wire.number]

    with Loopback(patient) as server, background(cast("Backend", anyio_backend)) as bg:
        client = bg.enter(AsyncAssistantClient(base_url=server.url))
        for _ in range(2):
            stream = client.threads.runs.stream("thread_1", assistant_id="asst_1", on_idle="cancel", idle_grace=1000)
            heard = Heard()
            subscription = stream.pipe(text_deltas()).subscribe(heard)
            bg.start(stream)
            heard.wait(lambda heard=heard: len(heard.items) == 2)
            subscription.dispose()
    assert most == [2]


def test_leaving_in_the_middle_of_a_request_closes_it(anyio_backend: str) -> None:
    arrived = threading.Event()

    async def silent(request: Any, wire: Any) -> None:
        arrived.set()
        await wire.peer_gone()

    with Loopback(silent) as server:
        with background(cast("Backend", anyio_backend)) as bg:
            _, heard, _ = streaming(bg, server.url)
            assert arrived.wait(GUARD)
        server.wait_for(lambda: server.endings)
    assert [type(error) for error in heard.ending] == [StreamClosedError]


def test_a_call_gives_its_result_or_its_exception(bg: Background) -> None:
    async def double(number: int, *, times: int = 1) -> int:
        await anyio.lowlevel.checkpoint()
        return 2**times * number

    async def fail(message: str) -> None:
        raise KeyError(message)

    assert bg.call(double, 21).result(GUARD) == 42
    assert bg.call(double, 21, times=2).result(GUARD) == 84
    assert repr(bg.call(fail, "no").exception(GUARD)) == "KeyError('no')"


def test_cancelling_the_future_cancels_the_task(bg: Background) -> None:
    began, cancelled = threading.Event(), threading.Event()

    async def wait() -> None:
        began.set()
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    future = bg.call(wait)
    assert began.wait(GUARD)
    assert future.cancel()
    assert cancelled.wait(GUARD)


def test_leaving_cancels_calls(anyio_backend: str) -> None:
    began = threading.Event()

    async def wait() -> None:
        began.set()
        await anyio.sleep_forever()

    with background(cast("Backend", anyio_backend)) as bg:
        future: Future[None] = bg.call(wait)
        assert began.wait(GUARD)
    with pytest.raises(CancelledError):
        future.result(GUARD)


def test_a_request_while_the_block_is_left_gets_an_answer(anyio_backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def leaving() -> Background:
        """A background whose block is left between the look whether it is running and the asking."""
        bg = background(cast("Backend", anyio_backend)).__enter__()
        loop = bg._running()
        monkeypatch.setattr(bg, "_running", lambda: bg.__exit__(None, None, None) or loop)
        return bg

    future = leaving().call(double, 1)
    assert wait([future], GUARD).done == {future}
    assert future.cancelled()
    stream, heard = replay_async(b""), Heard()
    stream.subscribe(heard)
    leaving().start(stream)
    heard.wait(lambda: heard.ending)
    assert [type(error) for error in heard.ending] == [StreamClosedError]


def test_what_is_no_exception_ends_the_call_as_well(bg: Background) -> None:
    async def leave() -> None:
        raise SystemExit(3)

    future = bg.call(leave)
    assert isinstance(future.exception(GUARD), SystemExit)


def test_entering_on_the_loops_own_thread_is_refused(bg: Background) -> None:
    async def enter() -> None:
        bg.enter(Resource([], "a"))

    with pytest.raises(RuntimeError, match="use `async with` here"):
        bg.call(enter).result(GUARD)


def test_a_resource_that_is_never_entered_does_not_hold_up_the_leaving(anyio_backend: str) -> None:
    entering, told = threading.Event(), list[BaseException]()

    class Endless(Resource):
        async def __aenter__(self) -> str:
            entering.set()
            await anyio.sleep_forever()
            return self.name

    def enter(bg: Background) -> None:
        try:
            bg.enter(Endless([], "endless"))
        except CancelledError as error:
            told.append(error)

    with background(cast("Backend", anyio_backend)) as bg:
        thread = threading.Thread(target=enter, args=(bg,))
        thread.start()
        assert entering.wait(GUARD)
    thread.join(GUARD)
    assert len(told) == 1


def test_a_busy_loop_never_holds_up_the_caller(bg: Background) -> None:
    busy, go_on = threading.Event(), threading.Event()

    async def block() -> None:
        busy.set()
        go_on.wait(GUARD)

    async def answer() -> str:
        return "answer"

    bg.call(block)
    assert busy.wait(GUARD)
    began = time.monotonic()
    future, stream = bg.call(answer), replay_async(b"")
    bg.start(stream)
    stream.close()
    assert time.monotonic() - began < GUARD / 2
    assert not future.done()
    go_on.set()
    assert future.result(GUARD) == "answer"


def test_the_time_operators_of_a_stream_run_on_its_loop(bg: Background) -> None:
    from rx_assistant.operators import coalesce

    heard = Heard()
    body = b"".join(b'event: x\ndata: {"n":%d}\n\n' % n for n in range(50))
    stream = replay_async(body, events_per_second=2000)
    stream.pipe(coalesce(0.05, adjacent=lambda a, b: True, join=lambda items: items[-1])).subscribe(heard)
    bg.start(stream)
    heard.wait(lambda: heard.ending)
    assert heard.items[-1].json() == {"n": 49}
    assert len(heard.items) < 50
    assert heard.threads == {"rx-assistant-background"}


async def double(number: int) -> int:
    return 2 * number


class Resource:
    """Knows when it was entered and left, and by which task."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name

    async def __aenter__(self) -> str:
        self.task = anyio.get_current_task()
        if self.name == "bad":
            raise KeyError(self.name)
        self.log.append(f"enter {self.name}")
        return self.name

    async def __aexit__(self, *_: object) -> None:
        assert anyio.get_current_task() == self.task
        await anyio.lowlevel.checkpoint()
        self.log.append(f"leave {self.name}")


def test_resources_are_left_last_behind_the_streams_that_use_them(anyio_backend: str) -> None:
    log: list[str] = []
    with Loopback(hang) as server:
        with background(cast("Backend", anyio_backend)) as bg:
            assert bg.enter(Resource(log, "a")) == "a"
            client = bg.enter(AsyncAssistantClient(base_url=server.url))
            bg.enter(Resource(log, "b"))
            heard = Heard()
            stream = client.threads.runs.stream("thread_1", assistant_id="asst_1")
            stream.pipe(text_deltas()).subscribe(heard.on_next, lambda error: log.append(type(error).__name__))
            bg.start(stream)
            heard.wait(lambda: len(heard.items) == 2)
            with pytest.raises(KeyError):
                bg.enter(Resource(log, "bad"))
        assert log == ["enter a", "enter b", "StreamClosedError", "leave b", "leave a"]


def test_it_says_what_is_wrong(anyio_backend: str) -> None:
    idle = background(cast("Backend", anyio_backend))
    with pytest.raises(RuntimeError, match="inside `with background"):
        idle.call(double, 1)
    with idle:
        with pytest.raises(TypeError, match="must be an AsyncAssistantStream"):
            idle.start(replay(b""))  # type: ignore[type-var]
        with pytest.raises(RuntimeError, match="started already"):
            idle.__enter__()
    with pytest.raises(RuntimeError, match="not running"):
        idle.start(replay_async(b""))

"""Reading, waiting and closing: synchronous streams on several threads, and in callbacks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from faces import first, got, last, listed
from streams_bodies import (
    DONE,
    GUARD,
    FedBody,
    StreamFace,
    answer,
    delta,
    elsewhere,
    joined,
    message,
    names,
    on_every_face,
    run,
    sync_stream,
    until,
)

from rx_assistant.errors import APIConnectionError, StreamClosedError
from rx_assistant.streams import AssistantStream

TEXTS = ("a", "b", "c")
NAMES = ["run.created", "run.in_progress", "message.created", *["message.delta"] * 3]
NAMES += ["message.completed", "run.completed"]
CONNECTED = pytest.mark.parametrize("connected", [False, True], ids=["", "connected"])


class Note:
    """A subscriber that notes events' texts, its ending and its threads."""

    def __init__(self, stream: Any) -> None:
        self.got: list[Any] = []
        self.threads: set[int] = set()
        self.over = threading.Event()
        self.subscription = stream.text_deltas.subscribe(self._next, self._end, lambda: self._end("completed"))

    def _next(self, text: str) -> None:
        self.threads.add(threading.get_ident())
        self.got.append(text)

    def _end(self, ending: object) -> None:
        self.got.append(ending)
        self.over.set()


# -- sending -----------------------------------------------------------------------------------------------------------


@on_every_face
async def test_building_and_subscribing_send_nothing_and_every_use_sends_once(face: StreamFace) -> None:
    opened: list[None] = []

    def open() -> Any:
        opened.append(None)
        return face.body(*answer(*TEXTS))

    stream = face.opened(open)
    note = Note(stream)
    stream.text_deltas.map(str).subscribe(note.got.append).dispose()
    assert opened == []
    async with face.block(stream):
        assert opened == [None]
        assert note.got == []
        await got(stream.until_done())
        assert names(await listed(stream)) == NAMES
        assert (await last(stream)).event == "thread.run.completed"
        assert (await got(stream.get_final_run())).status == "completed"
        [whole] = await got(stream.get_final_messages())
        assert whole.content[0].text.value == "abc"
        assert await got(stream.get_final_run_steps()) == []
        assert stream.request_id == "req_1"
    assert opened == [None]
    assert note.got == [*TEXTS, "completed"]


@pytest.mark.parametrize(
    "use",
    [list, lambda s: s.until_done(), lambda s: s.run(), lambda s: s.get_final_run(), lambda s: s.connect()],
    ids=["for", "until_done", "run", "get_final_run", "connect"],
)
def test_without_a_block_the_first_use_sends_the_request(use: Callable[[AssistantStream], object]) -> None:
    body = FedBody(*answer(*TEXTS))
    stream = sync_stream(body)
    note = Note(stream)
    use(stream)
    assert note.over.wait(GUARD)
    assert note.got == [*TEXTS, "completed"]
    until(lambda: body.endings == ["finish"])


@on_every_face
async def test_what_the_request_raises_comes_out_of_the_block_and_reaches_those_who_wait(face: StreamFace) -> None:
    refused = APIConnectionError()

    def open() -> Any:
        raise refused

    stream = face.opened(open)
    note = Note(stream)
    with pytest.raises(APIConnectionError) as raised:
        async with face.block(stream):
            raise AssertionError("the block must not be entered")
    assert raised.value is refused
    assert note.got == [refused]
    for use in (stream.until_done, stream.get_final_run, lambda: listed(stream)):
        with pytest.raises(APIConnectionError):
            await got(use())


def test_two_threads_that_enter_send_one_request() -> None:
    opened: list[None] = []
    gate = threading.Event()

    def open() -> FedBody:
        opened.append(None)
        assert gate.wait(GUARD)
        return FedBody(*answer(*TEXTS))

    stream = AssistantStream(open)
    got: list[list[str]] = [[], []]
    threads = [elsewhere(lambda into=into: into.extend(stream.text_deltas)) for into in got]
    until(lambda: len(opened) == 1)
    gate.set()
    joined(*threads)
    assert got == [[*TEXTS]] * 2
    assert opened == [None]


# -- which thread pumps -----------------------------------------------------------------------------------------------


def test_subscribers_are_called_on_the_thread_that_waits() -> None:
    with sync_stream(FedBody(*answer(*TEXTS))) as stream:
        note = Note(stream)
        joined(elsewhere(stream.until_done))
        assert len(note.threads) == 1
        assert note.threads != {threading.get_ident()}


def test_after_connect_one_background_thread_reads_and_delivers_whoever_waits() -> None:
    body = FedBody()
    with sync_stream(body) as stream:
        note = Note(stream)
        stream.connect()
        stream.connect()
        waiters = [elsewhere(stream.until_done) for _ in range(2)]
        loop = elsewhere(lambda: list(stream))
        body.feed(*answer(*TEXTS))
        joined(*waiters, loop)
        stream.until_done()
    assert note.got == [*TEXTS, "completed"]
    assert len(body.readers) == 1
    assert note.threads == body.readers
    assert threading.get_ident() not in body.readers


def test_a_connected_stream_delivers_while_nobody_waits() -> None:
    body = FedBody()
    with sync_stream(body) as stream:
        note = Note(stream)
        stream.connect()
        body.feed(*answer(*TEXTS))
        assert note.over.wait(GUARD)
    assert note.got == [*TEXTS, "completed"]


def test_whoever_waits_takes_over_when_the_one_who_reads_leaves() -> None:
    body = FedBody()
    with sync_stream(body) as stream:
        note = Note(stream)
        first = iter(stream.text_deltas)
        reader = elsewhere(lambda: next(first))
        assert body.waiting.wait(GUARD)
        waiter = elsewhere(stream.until_done)
        body.feed(*answer(*TEXTS)[:4])
        joined(reader)  # it has its item, and leaves the turn
        body.feed(*answer(*TEXTS)[4:])
        joined(waiter)
    assert note.got == [*TEXTS, "completed"]
    assert len(body.readers) == 2


def test_a_subscriber_that_exits_its_thread_does_not_stop_a_connected_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def exit_once(text: str) -> None:
        if text == "a":
            raise SystemExit

    body = FedBody()
    with sync_stream(body) as stream:
        stream.text_deltas.subscribe(exit_once)
        note = Note(stream)
        stream.connect()
        body.feed(*answer(*TEXTS))
        assert note.over.wait(GUARD)
    assert note.got == [*TEXTS, "completed"]
    assert "raised an exception that is not an Exception" in caplog.text


def test_nothing_is_delivered_while_nobody_wants_it() -> None:
    body = FedBody(*answer(*TEXTS))
    with sync_stream(body) as stream:
        note = Note(stream)
        assert (body.reads, note.got) == (0, [])
        next(iter(stream))
        assert (body.reads, note.got) == (1, [])


def test_one_chunk_with_everything_is_delivered_event_by_event_to_a_loop() -> None:
    with sync_stream(FedBody(b"".join(answer(*TEXTS)))) as stream:
        note = Note(stream)
        for number, event in enumerate(stream, start=1):
            assert stream.log.position == number
            assert stream.current_event is event
        assert note.got == [*TEXTS, "completed"]


# -- closing -----------------------------------------------------------------------------------------------------------


def close_here(stream: AssistantStream) -> None:
    stream.close()


def close_elsewhere(stream: AssistantStream) -> None:
    joined(elsewhere(stream.close))


@pytest.mark.parametrize("close", [close_here, close_elsewhere])
@pytest.mark.parametrize("connected", [False, True], ids=["", "connected"])
def test_closing_gives_whoever_waits_a_stream_closed_error_once(
    close: Callable[[AssistantStream], None], connected: bool
) -> None:
    body = FedBody(*answer(*TEXTS)[:5])
    raised: list[type] = []
    with sync_stream(body) as stream:
        note = Note(stream)
        if connected:
            stream.connect()

        def wait(use: Callable[[], object]) -> None:
            try:
                use()
            except StreamClosedError as error:
                raised.append(type(error))

        waiters = [
            elsewhere(lambda use=use: wait(use))
            for use in (stream.until_done, lambda: list(stream), stream.get_final_messages)
        ]
        until(lambda: "b" in note.got)
        assert body.waiting.wait(GUARD)
        close(stream)
        joined(*waiters)
        close(stream)
    assert raised == [StreamClosedError] * 3
    assert note.got[:2] == ["a", "b"]
    assert [type(ending) for ending in note.got[2:]] == [StreamClosedError]
    assert body.endings[0] == "close"


@pytest.mark.parametrize("close", [close_here, close_elsewhere])
@pytest.mark.parametrize("pump", ["loop", "wait", "connect"])
def test_closing_inside_a_callback_ends_after_the_event_in_delivery(
    close: Callable[[AssistantStream], None], pump: str
) -> None:
    body = FedBody(b"".join(answer(*TEXTS)))

    def act(text: str) -> None:
        if text == "b":
            close(stream)

    with sync_stream(body) as stream:
        before = Note(stream)
        stream.text_deltas.subscribe(act, lambda _: None)
        after = Note(stream)
        if pump == "connect":
            stream.connect()
        with pytest.raises(StreamClosedError):
            list(stream) if pump == "loop" else stream.until_done()
    for note in (before, after):
        assert note.got[:2] == ["a", "b"]
        assert [type(ending) for ending in note.got[2:]] == [StreamClosedError]


@on_every_face
async def test_leaving_the_block_early_is_neither_logged_nor_raised(
    face: StreamFace, caplog: pytest.LogCaptureFixture
) -> None:
    body = face.body(*answer(*TEXTS))
    async with face.block(face.over(body)) as stream:
        note = Note(stream)
        stream.text_deltas.subscribe(lambda _: None)  # has no on_error
        await first(stream.text_deltas)
    assert [type(item) for item in note.got] == [str, StreamClosedError]
    assert caplog.records == []
    assert body.endings == ["close"]


@CONNECTED
@on_every_face
async def test_an_exception_of_the_block_leaves_it_as_it_is(face: StreamFace, connected: bool) -> None:
    body = face.body(*answer(*TEXTS))
    with pytest.raises(ZeroDivisionError) as raised:
        async with face.block(face.over(body)) as stream:
            if connected:
                await got(stream.connect())
            raise ZeroDivisionError
    assert raised.value.__context__ is None
    assert body.endings in ([["close"], ["finish"]] if connected else [["close"]])


@on_every_face
async def test_a_closed_error_knows_what_arrived(face: StreamFace) -> None:
    async with face.block(face.over(face.body(*answer("a", "b")))) as stream:
        async for text in face.each(stream.text_deltas):
            if text == "b":
                await got(stream.close())
                break
        with pytest.raises(StreamClosedError) as raised:
            await got(stream.until_done())
    assert raised.value.request_id == "req_1"
    assert raised.value.snapshot is not None
    assert raised.value.snapshot.messages[0].content[0].text.value == "ab"


@on_every_face
async def test_closing_after_the_end_changes_nothing(face: StreamFace) -> None:
    body = face.body(*answer(*TEXTS))
    async with face.block(face.over(body)) as stream:
        note = Note(stream)
        await got(stream.until_done())
        await got(stream.close())
        assert (await got(stream.get_final_run())).status == "completed"
    assert note.got == [*TEXTS, "completed"]
    assert body.endings == ["finish"]


def test_closing_a_connected_stream_waits_until_its_thread_has_gone() -> None:
    class SlowToLeave(FedBody):
        def read(self) -> bytes:
            chunk = super().read()
            if self.endings:
                threading.Event().wait(0.05)
            return chunk

    body = SlowToLeave(*answer(*TEXTS)[:3])
    with sync_stream(body) as stream:
        stream.connect()
        assert body.waiting.wait(GUARD)
        readers = [thread for thread in threading.enumerate() if thread.ident in body.readers]
        assert [thread.is_alive() for thread in readers] == [True]
    assert [thread.is_alive() for thread in readers] == [False]


@on_every_face
async def test_closing_before_the_first_use_sends_nothing(face: StreamFace) -> None:
    def open() -> Any:
        raise AssertionError("nothing was to be sent")

    stream = face.opened(open)
    note = Note(stream)
    await got(stream.close())
    assert [type(item) for item in note.got] == [StreamClosedError]
    with pytest.raises(StreamClosedError):
        await got(stream.until_done())
    with pytest.raises(StreamClosedError):
        async with face.block(stream):
            raise AssertionError("the block must not be entered")


def test_closing_while_the_request_is_being_sent_closes_what_comes_of_it() -> None:
    body = FedBody(*answer(*TEXTS))
    sending, go_on = threading.Event(), threading.Event()

    def open() -> FedBody:
        sending.set()
        assert go_on.wait(GUARD)
        return body

    stream = AssistantStream(open)
    raised: list[type] = []

    def wait() -> None:
        try:
            stream.until_done()
        except StreamClosedError as error:
            raised.append(type(error))

    waiter = elsewhere(wait)
    assert sending.wait(GUARD)
    stream.close()
    go_on.set()
    joined(waiter)
    assert raised == [StreamClosedError]
    assert "close" in body.endings
    assert body.reads == 0


def test_what_a_body_raises_after_closing_is_ignored() -> None:
    body = FedBody()
    with sync_stream(body) as stream:
        note = Note(stream)
        stream.connect()
        assert body.waiting.wait(GUARD)
        body.close = lambda: body.feed(APIConnectionError("torn off"))  # type: ignore[method-assign]
        stream.close()
        assert note.over.wait(GUARD)
    assert [type(item) for item in note.got] == [StreamClosedError]


# -- warnings ----------------------------------------------------------------------------------------------------------


@on_every_face
async def test_a_block_that_was_left_unread_is_warned_about(face: StreamFace, caplog: pytest.LogCaptureFixture) -> None:
    async with face.block(face.over(face.body(*answer(*TEXTS)))) as stream:
        Note(stream)
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert "until_done()" in record.message
    assert "connect()" in record.message


@on_every_face
async def test_no_warning_without_subscribers_after_reading_or_in_an_exception(
    face: StreamFace, caplog: pytest.LogCaptureFixture
) -> None:
    async with face.block(face.over(face.body(*answer(*TEXTS)))):
        pass
    async with face.block(face.over(face.body(*answer(*TEXTS)))) as stream:
        Note(stream)
        await first(stream)
    with pytest.raises(ZeroDivisionError):
        async with face.block(face.over(face.body(*answer(*TEXTS)))) as stream:
            raise ZeroDivisionError(Note(stream))
    assert caplog.records == []


# -- context -----------------------------------------------------------------------------------------------------------


@on_every_face
async def test_the_context_follows_the_events(face: StreamFace) -> None:
    async with face.block(face.over(face.body(*answer("a", "b")))) as stream:
        assert stream.current_event is None
        assert stream.current_run is None
        seen = []
        async for event in face.each(stream):
            assert stream.current_event is event
            current = stream.current_message_snapshot
            text = None if current is None or not current.content else current.content[0].text.value
            seen.append((names([event])[0], stream.current_run and stream.current_run.status, text))
    assert seen == [
        ("run.created", "queued", None),
        ("run.in_progress", "in_progress", None),
        ("message.created", "in_progress", None),
        ("message.delta", "in_progress", "a"),
        ("message.delta", "in_progress", "ab"),
        ("message.completed", "in_progress", "ab"),
        ("run.completed", "completed", "ab"),
    ]


@on_every_face
async def test_events_without_a_run_give_a_typed_error_for_the_run(face: StreamFace) -> None:
    async with face.block(face.over(face.body(message("created"), delta("a"), DONE))) as stream:
        with pytest.raises(Exception, match="without an event of a run"):
            await got(stream.get_final_run())
        assert len(await got(stream.get_final_messages())) == 1


@on_every_face
async def test_waiting_for_a_stream_gives_its_last_event(face: StreamFace) -> None:
    async with face.block(face.over(face.body(run("queued"), run("in_progress"), DONE))) as stream:
        assert (await last(stream)).event == "thread.run.in_progress"


def test_two_threads_that_end_a_stream_at_once_close_its_body_once() -> None:
    class Overtaken(dict[int, object]):
        visited = False

        def setdefault(self, key: int, token: object = None, /) -> object:
            if not self.visited:
                self.visited = True
                joined(elsewhere(stream.driver.settle))
            return super().setdefault(key, token)

    body = FedBody(*answer("a")[:3])
    stream = sync_stream(body)
    next(stream)
    stream.driver._settling = Overtaken()
    stream.close()
    assert body.endings == ["close"]

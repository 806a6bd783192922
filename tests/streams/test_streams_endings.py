"""No silent endings (law L11): each way a body can stop is a good end or a typed error, on both faces."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest
from cases import in_one_test
from faces import got, last
from streams_bodies import (
    DONE,
    FedBody,
    StreamFace,
    answer,
    delta,
    error,
    event,
    message,
    on_every_face,
    run,
    sync_stream,
)

from rx_assistant.errors import (
    APIConnectionError,
    EventDecodeError,
    EventTooLargeError,
    IdleTimeoutError,
    NotAnEventStreamError,
    ReadTimeoutError,
    RxAssistantError,
    ServerErrorEvent,
    StreamTruncatedError,
)
from rx_assistant.events import ErrorEvent
from rx_assistant.streams import AssistantStream, AsyncAssistantStream

END = b""
BEGUN = [run("queued"), run("in_progress"), message("created"), delta("a")]
TERMINAL = ["completed", "failed", "cancelled", "expired", "incomplete", "requires_action"]
BLANKLESS = b"".join([*BEGUN, run("completed"), DONE]).replace(b"\n\n", b"\n")


class Ending(NamedTuple):
    """What a body gives, what comes of it, and how many events come before."""

    chunks: list[Any]
    outcome: Any  # None, a type, or the very error
    events: int


WELL: dict[str, Ending] = {
    "done": Ending([*BEGUN, DONE], None, 4),
    "done, and the body goes on": Ending([*BEGUN, DONE + delta("b"), delta("c")], None, 4),
    "done and more in one chunk": Ending([b"".join([*BEGUN, DONE, run("failed"), DONE])], None, 4),
    "done before anything else": Ending([DONE], None, 0),
    "done without its blank line": Ending([*BEGUN, DONE[:-1], END], None, 4),
    "done without its newline": Ending([*BEGUN, DONE[:-2], END], None, 4),
    "done without a name": Ending([*BEGUN, b"data: [DONE]\n\n"], None, 4),
    "done without a name and a blank line": Ending([*BEGUN, b"data: [DONE]", END], None, 4),
    **{f"{status}, then the end": Ending([*BEGUN, run(status), END], None, 5) for status in TERMINAL},
    **{f"{status}, then a break": Ending([*BEGUN, run(status), APIConnectionError()], None, 5) for status in TERMINAL},
    "completed, then a read timeout": Ending([*BEGUN, run("completed"), ReadTimeoutError()], None, 5),
    "completed, then half a frame": Ending([*BEGUN, run("completed"), DONE[:9], END], None, 5),
    "completed, then comments": Ending([*BEGUN, run("completed"), b": bye\n\n", END], None, 5),
}

BADLY: dict[str, Ending] = {
    "nothing at all": Ending([END], StreamTruncatedError, 0),
    "comments only": Ending([b": hello\n\n", END], StreamTruncatedError, 0),
    "the end while queued": Ending([run("queued"), END], StreamTruncatedError, 1),
    "the end in the middle": Ending([*BEGUN, END], StreamTruncatedError, 4),
    "the end inside a frame": Ending([*BEGUN, delta("b")[:30], END], StreamTruncatedError, 4),
    "a frame without its blank line": Ending([*BEGUN, run("completed")[:-1], END], StreamTruncatedError, 4),
    "the end while cancelling": Ending([*BEGUN, run("cancelling"), END], StreamTruncatedError, 5),
    "a break": Ending([*BEGUN, APIConnectionError("reset")], StreamTruncatedError, 4),
    "a read timeout": Ending([*BEGUN, slow := ReadTimeoutError()], slow, 4),
    "an idle timeout": Ending([*BEGUN, idle := IdleTimeoutError()], idle, 4),
    "html": Ending([html := NotAnEventStreamError("html", content_type="text/html", head=b"<html>")], html, 0),
    "a source that raises": Ending([*BEGUN, broken := OSError("no such disk")], broken, 4),
    "error as a message": Ending([*BEGUN, error(message="Sorry.", code="x", type="y")], ServerErrorEvent, 4),
    "error wrapped": Ending([*BEGUN, error(error={"message": "Sorry.", "code": "x"})], ServerErrorEvent, 4),
    "error, and the body goes on": Ending([*BEGUN, error(message="Sorry.") + delta("b"), DONE], ServerErrorEvent, 4),
    "error without its blank line": Ending([*BEGUN, error(message="Sorry.")[:-1], END], ServerErrorEvent, 4),
    "error after the run has failed": Ending([*BEGUN, run("failed"), error(message="Sorry.")], ServerErrorEvent, 5),
    "error that is no JSON": Ending([*BEGUN, b"event: error\ndata: {\n\n"], ServerErrorEvent, 4),
    "half of an error": Ending([*BEGUN, b"event: error\ndata: {", END], ServerErrorEvent, 4),
    "error as text": Ending([*BEGUN, b'data: {"error":"Sorry."}\n\n', DONE], ServerErrorEvent, 4),
    "error behind half a frame": Ending(
        [*BEGUN, delta("b")[:40], b'event: error\ndata: {"error":"Sorry."}\n\n', DONE], ServerErrorEvent, 4
    ),
    "error behind half a frame, without its blank line": Ending(
        [*BEGUN, delta("b")[:40], b"\nevent: error\ndata: Sorry.", END], ServerErrorEvent, 4
    ),
    "done behind half a frame": Ending([*BEGUN, delta("b")[:40], b"\n" + DONE, END], StreamTruncatedError, 4),
    "no blank lines": Ending([BLANKLESS, END], StreamTruncatedError, 0),
    "no blank lines, and then a break": Ending([BLANKLESS, APIConnectionError()], StreamTruncatedError, 0),
    "no blank line but the last": Ending([BLANKLESS + b"\n", END], StreamTruncatedError, 0),
    "no blank lines after the first events": Ending([*BEGUN, BLANKLESS, END], StreamTruncatedError, 4),
    "half a done": Ending([*BEGUN, b"event: done\ndata: [DON", END], StreamTruncatedError, 4),
    "a done without data": Ending([*BEGUN, b"event: done\n\n", END], StreamTruncatedError, 4),
    "html after events": Ending([*BEGUN, b"<html><h1>502</h1>\n\n</html>", END], StreamTruncatedError, 4),
    "blank lines without end": Ending([b"\n" * 1000] * 4, EventTooLargeError, 0),
    "spaces without end": Ending([b" " * 1000] * 4, EventTooLargeError, 0),
    "too large an event": Ending([*BEGUN, delta("x" * 5000)], EventTooLargeError, 4),
    "too large after others in one chunk": Ending([b"".join(BEGUN) + delta("x" * 5000)], EventTooLargeError, 4),
}

ALL = WELL | BADLY


def check(ending: Ending, failure: Exception | None, got: list[Any], endings: list[Any]) -> None:
    outcome = ending.outcome
    if outcome is None:
        assert failure is None
        assert endings == ["completed"]
    else:
        assert failure is outcome if isinstance(outcome, Exception) else type(failure) is outcome
        assert endings == [failure]
    assert len(got) == ending.events
    if isinstance(failure, RxAssistantError):
        assert failure.request_id == "req_1"
        assert failure.snapshot is not None
        assert bool(failure.snapshot.messages) == (ending.events >= 4)


@contextmanager
def raising(failure: Exception | None) -> Iterator[None]:
    """What is in here raises just that error, or none."""
    if failure is None:
        yield
        return
    with pytest.raises(type(failure)) as raised:
        yield
    assert raised.value is failure


CONNECTED = pytest.mark.parametrize("connected", [False, True], ids=["", "connected"])


@CONNECTED
@on_every_face
@in_one_test("ending", ALL.values(), ids=ALL)
async def test_a_stream_ends_well_or_with_a_typed_error_after_everything_that_came(
    face: StreamFace, ending: Ending, connected: bool
) -> None:
    body = face.body(*ending.chunks)
    got_events: list[Any] = []
    endings: list[Any] = []
    async with face.block(face.over(body, max_event_bytes=3000)) as stream:
        stream.subscribe(got_events.append, endings.append, lambda: endings.append("completed"))
        if connected:
            await got(stream.connect())
        failure = None
        try:
            await got(stream.until_done())
        except Exception as error:
            failure = error
        check(ending, failure, got_events, endings)
        looped: list[Any] = []
        with raising(failure):
            async for item in face.each(stream):
                looped.append(item)  # noqa: PERF401  # what came before the error counts
        assert looped == got_events
        late: list[Any] = []
        stream.subscribe(late.append, late.append, lambda: late.append("completed"))
        await face.until(lambda: len(late) == len(got_events) + 1)
        assert late == [*got_events, *endings]
    assert body.endings == ["finish" if ending.outcome is None else "close"]


@CONNECTED
@on_every_face
async def test_closing_what_has_ended_well_gives_the_connection_back(face: StreamFace, connected: bool) -> None:
    body = face.body(*BEGUN, DONE)
    errors: list[Exception] = []
    async with face.block(face.over(body)) as stream:
        stream.subscribe(on_error=errors.append, on_completed=lambda: stream.close() and None)
        if connected:
            await got(stream.connect())
        await got(stream.until_done())
    assert body.endings == ["finish"]
    assert errors == []


BREATH = [b": still there\n\n", run("queued")[:9], run("queued")[9:], b": still there\n\n", run("completed"), DONE]


@on_every_face
async def test_a_body_is_told_of_events_and_not_of_comments_or_parts_of_events(face: StreamFace) -> None:
    body = face.body(*BREATH)
    async with face.block(face.over(body)) as stream:
        await got(stream.until_done())
    assert (body.reads, body.seen) == (len(BREATH), 2)  # the ending is no event


@on_every_face
async def test_a_stream_is_resumed_as_often_as_that_brings_events(face: StreamFace) -> None:
    bodies = [face.body(delta(letter), END) for letter in "bcdefgh"]
    rest = iter([*bodies, face.body(run("completed"), DONE)])
    async with face.block(face.over(face.body(*BEGUN, END), resume=lambda *_: next(rest))) as stream:
        await got(stream.until_done())
        assert stream.snapshot.text == "abcdefgh"
    assert all(body.endings == ["close"] for body in bodies)


@on_every_face
async def test_what_breaks_again_and_again_without_an_event_is_truncated(face: StreamFace) -> None:
    bodies: list[Any] = []

    def resume(*_: Any) -> Any:
        bodies.append(face.body(delta("b"), END) if not bodies else face.body(END))
        return bodies[-1]

    async with face.block(face.over(face.body(*BEGUN, END), resume=resume)) as stream:
        with pytest.raises(StreamTruncatedError):
            await got(stream.until_done())
        assert stream.snapshot.text == "ab"
    assert len(bodies) == 6
    assert all(body.endings == ["close"] for body in bodies)


@on_every_face
async def test_a_stream_that_cannot_be_resumed_ends_as_the_break_says(face: StreamFace) -> None:
    body = face.body(*BEGUN, APIConnectionError("reset"))
    async with face.block(face.over(body, resume=lambda *_: None)) as stream:
        with pytest.raises(StreamTruncatedError) as raised:
            await got(stream.until_done())
        assert isinstance(raised.value.__cause__, APIConnectionError)


@on_every_face
@in_one_test("name", WELL)
async def test_after_a_good_end_the_getters_give_what_there_is(face: StreamFace, name: str) -> None:
    async with face.block(face.over(face.body(*WELL[name].chunks))) as stream:
        await got(stream.until_done())
        messages = await got(stream.get_final_messages())
        assert len(messages) == (name != "done before anything else")
        if messages:
            assert (await got(stream.get_final_run())).status in {*TERMINAL, "in_progress"}


@on_every_face
@in_one_test("name", BADLY)
async def test_after_a_break_every_getter_raises_it(face: StreamFace, name: str) -> None:
    body = face.body(*BADLY[name].chunks)
    async with face.block(face.over(body, max_event_bytes=3000)) as stream:
        for use in (stream.get_final_run, stream.get_final_messages, stream.get_final_run_steps):
            with pytest.raises((RxAssistantError, OSError)) as raised:
                await got(use())
            assert raised.value is stream.log.failure
        for _ in range(2):
            with pytest.raises((RxAssistantError, OSError)) as raised:
                await last(stream)
            assert raised.value is stream.log.failure


def test_an_error_event_is_an_ending_and_no_item_and_tells_what_the_server_said() -> None:
    said = {"message": "Sorry.", "code": "server_error", "type": "server", "param": "tools"}
    for payload in (said, {"error": said}):
        with sync_stream(FedBody(*BEGUN, event("error", payload))) as stream:
            names: list[str] = []
            with pytest.raises(ServerErrorEvent, match=r"Sorry\.") as raised:
                for each in stream:
                    names.append(each.data.object)  # noqa: PERF401
            assert len(names) == 4
        error = raised.value
        assert (error.code, error.type, error.param) == ("server_error", "server", "tools")
        assert isinstance(error.event, ErrorEvent)
        assert json.loads(error.event.raw) == payload


def test_the_most_common_loop_reads_every_item_and_the_endings_are_none() -> None:
    for chunks in (answer("a", "b"), [*BEGUN, run("requires_action"), DONE]):
        with sync_stream(FedBody(*chunks)) as stream:
            kinds = {event.data.object for event in stream}
        assert kinds >= {"thread.run", "thread.message", "thread.message.delta"}


TAILS = {
    "html": (b"<html><body>502 Bad Gateway</body></html>", "502 Bad Gateway"),
    "html with blank lines": (b"<html>\r\n\r\n<h1>502 Bad Gateway</h1>\r\n\r\n</html>\r\n\r\n", "502 Bad Gateway"),
    "json": (b'{"error": {"message": "upstream is gone"}}', "upstream is gone"),
    "json over lines": (b'{\n\n  "detail": "upstream is gone"\n}', "upstream is gone"),
    "half a frame": (delta("never read")[:-5], "never read"),
    "text in a frame": (b"data: Internal Server Error\n\n", "Internal Server Error"),
    "an event of another kind": (b'event: thread.broken\ndata: {"why": "a bug"}\n\n', "a bug"),
    "an error without data": (b"event: error\n\n", "event: error"),
    "no blank lines": (BLANKLESS, "event: thread.run.created"),
    "no blank lines but the last": (BLANKLESS + b"\n", "queued"),
}


@in_one_test("tail", TAILS)
@in_one_test("size", [1, 7, 1000])
def test_a_truncated_stream_shows_what_came_last_and_was_no_event(tail: str, size: int) -> None:
    body, said = TAILS[tail]
    whole = b"".join([*BEGUN, b": ping\n\n", body])
    chunks = [whole[start : start + size] for start in range(0, len(whole), size)]
    with sync_stream(FedBody(*chunks, END)) as stream, pytest.raises(StreamTruncatedError) as raised:
        stream.until_done()
    assert said in str(raised.value)
    assert "ping" not in str(raised.value)
    assert len(str(raised.value)) < 500


def test_a_truncated_stream_says_how_far_it_came() -> None:
    with (
        sync_stream(FedBody(*BEGUN, APIConnectionError("reset by peer"))) as stream,
        pytest.raises(
            StreamTruncatedError, match=r"after 4 events \(\d+ bytes\); the run was still 'in_progress'"
        ) as raised,
    ):
        stream.until_done()
    assert isinstance(raised.value.__cause__, APIConnectionError)
    with sync_stream(FedBody(BEGUN[0], END)) as stream, pytest.raises(StreamTruncatedError, match=r"after 1 event \("):
        stream.until_done()
    with sync_stream(FedBody(END)) as stream, pytest.raises(StreamTruncatedError, match="before its first event"):
        stream.until_done()


def test_a_malformed_payload_ends_only_the_chain_that_reads_it() -> None:
    broken = b'event: thread.message.completed\ndata: {"id": 7\n\n'
    got: list[str] = []
    errors: list[Exception] = []
    with sync_stream(FedBody(run("queued"), broken, run("completed"), DONE)) as stream:
        stream.map(lambda event: event.data).subscribe(lambda _: None, errors.append)
        stream.map(lambda event: event.event).subscribe(got.append)
        stream.until_done()
        assert stream.get_final_run().status == "completed"
    assert [type(error) for error in errors] == [EventDecodeError]
    assert len(got) == 3


def test_frames_without_names_are_understood() -> None:
    """Some proxies wrap name and payload into one."""
    wrapped = []
    for each in answer("a")[:-1]:
        name, payload = (line.split(b": ", 1)[1] for line in each.strip().split(b"\n"))
        wrapped.append(b'data: {"event": "%s", "data": %s}\n\n' % (name, payload))
    with sync_stream(FedBody(*wrapped, b"data: [DONE]\n\n")) as stream:
        assert list(stream.text_deltas) == ["a"]
        assert stream.get_final_run().status == "completed"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_chunks_of_any_size_end_the_same_way(size: int) -> None:
    whole = b"".join([*BEGUN, run("completed"), DONE[:-1]])
    chunks = [whole[start : start + size] for start in range(0, len(whole), size)]
    with sync_stream(FedBody(*chunks, over=True)) as stream:
        assert len(list(stream)) == 5
        assert stream.log.failure is None


@on_every_face
async def test_a_delta_whose_name_was_corrupted_is_logged_once(
    face: StreamFace, caplog: pytest.LogCaptureFixture
) -> None:
    corrupted = delta("lost").replace(b"message.delta", b"message.dolta", 1)
    async with face.block(face.over(face.body(*BEGUN, corrupted, corrupted, run("completed"), DONE))) as stream:
        await got(stream.until_done())
    lines = [line.getMessage() for line in caplog.records if "corrupted" in line.message]
    assert [
        line.startswith("event 'thread.message.dolta' has the payload of a 'thread.message.delta'") for line in lines
    ] == [True]


def test_both_faces_have_the_same_options_and_limits() -> None:
    one, other = (
        {each.name: each.default for each in inspect.signature(kind).parameters.values()}
        for kind in (AssistantStream, AsyncAssistantStream)
    )
    assert one == other | {"abort": None}  # only a thread that is blocked has to be aborted
    assert one["max_pending"] == one["max_event_bytes"] == 16 * 1024 * 1024


@on_every_face
async def test_the_current_event_is_the_last_that_a_reader_was_given(face: StreamFace) -> None:
    async with face.block(face.over(face.body(*answer("a", "b")))) as stream:
        assert stream.current_event is None
        async for event in face.each(stream):
            assert stream.current_event is event
        assert stream.current_event.event == "thread.run.completed"
    async with face.block(face.over(face.body(*answer("a", "b")))) as unread:
        await got(unread.until_done())
        assert unread.current_event.event == "thread.run.completed"

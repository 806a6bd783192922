"""AG-UI streams read: `decode`, `verify` and `compact`."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ag_ui.core import RunAgentInput, RunFinishedEvent, RunStartedEvent, TextMessageChunkEvent, UserMessage
from ag_ui.encoder import EventEncoder
from browsers.web_servers import asgi
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from rx_assistant import (
    AsyncStream,
    EventDecodeError,
    EventTooLargeError,
    ProtocolError,
    ServerErrorEvent,
    Stream,
    StreamTruncatedError,
)
from rx_assistant.web.ag_ui import compact, decode, verify
from rx_assistant.web.ag_ui.json_patch import patched

RUN = {"threadId": "t", "runId": "r"}
STARTED, FINISHED = {"type": "RUN_STARTED", **RUN}, {"type": "RUN_FINISHED", **RUN}
ERROR = {"type": "RUN_ERROR", "message": "too much", "code": "rate_limit"}


def text(*pieces: str, of: str = "m") -> list[Any]:
    contents = [{"type": "TEXT_MESSAGE_CONTENT", "messageId": of, "delta": piece} for piece in pieces]
    return [{"type": "TEXT_MESSAGE_START", "messageId": of}, *contents, {"type": "TEXT_MESSAGE_END", "messageId": of}]


def body(*events: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)


def types(stream: Stream[Any]) -> list[str]:
    return [event.type.value for event in stream]


def test_a_stream_is_hot_and_typed() -> None:
    stream = decode(body(STARTED, *text("It ", "is"), FINISHED))
    seen: list[Any] = []
    stream.subscribe(seen.append)
    assert types(stream) == types(stream) == [each.type.value for each in seen]
    assert [each.delta for each in seen if each.type.value == "TEXT_MESSAGE_CONTENT"] == ["It ", "is"]


@pytest.mark.parametrize("size", [1, 3, 50])
def test_any_cut_into_chunks_gives_the_same_events(size: int) -> None:
    whole = body(STARTED, *text("é", "😀"), FINISHED)
    chunks = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert list(decode(iter(chunks))) == list(decode(whole))


def test_a_recording_is_a_source_too(tmp_path: Path) -> None:
    (tmp_path / "run.sse").write_bytes(body(STARTED, FINISHED))
    assert types(decode(tmp_path / "run.sse")) == ["RUN_STARTED", "RUN_FINISHED"]


@pytest.mark.anyio
async def test_an_asynchronous_source_gives_an_asynchronous_stream() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield body(STARTED)
        yield body(*text("a", "b"), FINISHED)

    stream = decode(chunks())
    assert isinstance(stream, AsyncStream)
    found = [event.type.value async for event in stream.pipe(verify(), compact())]
    assert found == ["RUN_STARTED", "TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END", "RUN_FINISHED"]


def ends(stream: Stream[Any]) -> tuple[list[str], Exception | None]:
    found: list[str] = []
    try:
        found.extend(event.type.value for event in stream)
    except Exception as error:
        return found, error
    return found, None


def test_a_run_error_is_an_event_and_then_the_error_of_the_stream() -> None:
    found, error = ends(decode(body(STARTED, ERROR)))
    assert found == ["RUN_STARTED", "RUN_ERROR"]
    assert isinstance(error, ServerErrorEvent)
    assert (error.code, error.error.message) == ("rate_limit", "too much")


def test_another_run_may_follow_a_failed_one() -> None:
    found, error = ends(decode(body(STARTED, ERROR, STARTED, FINISHED)).pipe(verify()))
    assert (found[-1], error) == ("RUN_FINISHED", None)


@pytest.mark.parametrize("cut", [b"", body(STARTED), body(STARTED, *text("a")), body(STARTED, FINISHED, STARTED)])
def test_an_end_in_the_middle_of_a_run_is_an_error(cut: bytes) -> None:
    _, error = ends(decode(cut))
    assert isinstance(error, StreamTruncatedError)
    assert "RUN_FINISHED" in str(error)


def test_a_break_in_the_middle_of_a_run_keeps_its_cause() -> None:
    def breaking() -> Iterator[bytes]:
        yield body(STARTED)
        raise httpx.ReadError("gone")

    _, error = ends(decode(breaking()))
    assert isinstance(error, StreamTruncatedError)
    assert "gone" in repr(error.__cause__)


def test_events_of_the_future_are_left_out_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "rx_assistant")
    new = {"type": "HOLOGRAM_STARTED", "x": 1}
    assert ends(decode(body(STARTED, new, new, FINISHED))) == (["RUN_STARTED", "RUN_FINISHED"], None)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("payload", [b"{", b"[1]", b'"x"', b'{"type": "TEXT_MESSAGE_START"}', b'{"type": 1}', b"{}"])
def test_what_is_not_an_event_ends_the_chain(payload: bytes) -> None:
    stream = decode(body(STARTED) + b"data: " + payload + b"\n\n" + body(FINISHED))
    found, error = ends(stream)
    assert (found, type(error)) == (["RUN_STARTED"], EventDecodeError)


def test_an_error_inside_a_payload_is_not_the_end() -> None:
    custom = {"type": "CUSTOM", "name": "x", "value": 1, "error": {"message": "no end"}, "event": "done", "data": "x"}
    assert ends(decode(body(STARTED, custom, FINISHED))) == (["RUN_STARTED", "CUSTOM", "RUN_FINISHED"], None)


def test_a_large_event_is_refused() -> None:
    _, error = ends(decode(body(STARTED, *text("x" * 2000)), max_event_bytes=1000))
    assert isinstance(error, EventTooLargeError)


def test_comments_ids_and_names_are_no_obstacle() -> None:
    event = b"id: 7\nevent: message\n: ping\ndata: " + json.dumps(FINISHED).encode() + b"\n\n"
    assert types(decode(b": hello\n\nretry: 5\n\n" + body(STARTED) + event)) == ["RUN_STARTED", "RUN_FINISHED"]


@pytest.mark.parametrize(
    ("events", "complaint"),
    [
        ([FINISHED], "expected 'RUN_STARTED'"),
        ([STARTED, STARTED], "must end first"),
        ([STARTED, *text("a")[:2], FINISHED], "text message 'm'"),
        ([STARTED, *text("a")[1:], FINISHED], "must have been begun"),
        ([STARTED, FINISHED, *text("a")], "expected 'RUN_STARTED'"),
        ([STARTED, {"type": "STEP_FINISHED", "stepName": "s"}], "step 's'"),
    ],
)
def test_verify_says_what_was_expected(events: list[Any], complaint: str) -> None:
    _, error = ends(decode(body(*events, FINISHED)).pipe(verify()))
    assert isinstance(error, ProtocolError)
    assert complaint in str(error)


def test_what_is_open_at_the_end_is_compacted_too() -> None:
    stream = decode(body(STARTED, *text("a", "b")[:-1])).pipe(compact())
    found: list[Any] = []
    errors: list[Exception] = []
    stream.subscribe(found.append, errors.append)
    with pytest.raises(StreamTruncatedError):
        stream.run()
    assert [getattr(each, "delta", None) for each in found] == [None, None, "ab"]
    assert isinstance(errors[0], StreamTruncatedError)


REFERENCE = FastAPI()


@REFERENCE.post("/")
async def agent(given: RunAgentInput) -> StreamingResponse:
    """What the protocol's guide for servers shows, with the package's own encoder."""
    encoder = EventEncoder()

    def events() -> Iterator[str]:
        yield encoder.encode(RunStartedEvent(thread_id=given.thread_id, run_id=given.run_id))
        for word in str(given.messages[-1].content).split():
            yield encoder.encode(TextMessageChunkEvent(message_id="m", delta=word))
        yield encoder.encode(RunFinishedEvent(thread_id=given.thread_id, run_id=given.run_id))

    return StreamingResponse(events(), media_type=encoder.get_content_type())


ASKED = RunAgentInput(thread_id="t", run_id="r", messages=[UserMessage(id="q", role="user", content="one two")])
ANSWERED = ["RUN_STARTED", "TEXT_MESSAGE_CHUNK", "TEXT_MESSAGE_CHUNK", "RUN_FINISHED"]


def test_a_server_of_the_package_is_read() -> None:
    payload = ASKED.model_dump(by_alias=True)
    with asgi(REFERENCE) as address, httpx.stream("POST", address, json=payload) as response:
        assert types(decode(response).pipe(verify())) == ANSWERED


@pytest.mark.anyio
async def test_a_server_of_the_package_is_read_on_event_loops() -> None:
    payload = ASKED.model_dump(by_alias=True)
    with asgi(REFERENCE) as address:
        async with httpx.AsyncClient() as client, client.stream("POST", address, json=payload) as response:
            stream: Any = decode(response)
            assert [event.type.value async for event in stream.pipe(verify())] == ANSWERED


@pytest.mark.parametrize(
    ("document", "operations", "expected"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 2]}, [{"op": "add", "path": "/a/1", "value": 9}], {"a": [1, 9, 2]}),
        ({"a/b": {"m~n": 1}}, [{"op": "replace", "path": "/a~1b/m~0n", "value": 2}], {"a/b": {"m~n": 2}}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": [1]}], [1]),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
        ({"a": [1]}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": [1], "b": [1]}),
        ({"a": None}, [{"op": "test", "path": "/a", "value": None}, {"op": "remove", "path": "/a"}], {}),
        ({"": 1}, [{"op": "remove", "path": "/"}], {}),
        ({"a": 1}, [{"op": "remove", "path": "/b"}], ValueError),
        ({"a": [1]}, [{"op": "add", "path": "/a/2", "value": 1}], ValueError),
        ({"a": [1]}, [{"op": "add", "path": "/a/01", "value": 1}], ValueError),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": True}], ValueError),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a", "path": "/a/b"}], ValueError),
        ({"a": 1}, [{"op": "add", "path": "b", "value": 1}], ValueError),
        ({"a": 1}, [{"op": "add", "path": "/a/b", "value": 1}], ValueError),
    ],
)
def test_json_patches(document: Any, operations: list[Any], expected: Any) -> None:
    before = json.dumps(document)
    if expected is ValueError:
        with pytest.raises(ValueError, match="must"):
            patched(document, operations)
    else:
        assert patched(document, operations) == expected
    assert json.dumps(document) == before

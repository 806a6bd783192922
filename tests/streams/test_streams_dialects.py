"""Streams of Chat Completions and Responses, read as runs: what real servers sent, cut anywhere, on every face."""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cases import in_one_test
from reference import SHARED

import rx_assistant
from rx_assistant import AssistantEventHandler, errors, operators as ax
from rx_assistant.events import StreamEvent, UnknownEvent
from rx_assistant.lifecycle import RUN_STOPS
from rx_assistant.snapshots import RunSnapshot
from rx_assistant.streams import AssistantStream, AsyncAssistantStream
from rx_assistant.streams.dialects import ChatDecoding, ResponsesDecoding

CHAT = sorted((SHARED / "chat").glob("*.sse")) + sorted((SHARED / "chat" / "live").glob("*.sse"))
CHUNKS = sorted((SHARED / "chat" / "chunks").glob("*.jsonl"))
RESPONSES = sorted((SHARED / "wire" / "responses").glob("*.[sj][sl]*"))
OURS = {path.name for path in CHAT if "responses" in path.name and path.parent.name == "live"}
"""Recordings beside the chat streams that speak Responses."""
ALL = [("responses" if path.name in OURS else "chat", path) for path in (*CHAT, *CHUNKS)]
ALL += [("responses", path) for path in RESPONSES]
EACH = in_one_test(("dialect", "path"), ALL, ids=[path.name for _, path in ALL])


def body(path: Path) -> bytes:
    """The recorded body; chunks that were kept without frames get them back."""
    data = path.read_bytes()
    if path.suffix != ".jsonl":
        return data
    framed = b"".join(b"data: " + line + b"\n\n" for line in data.splitlines() if line.strip())
    return framed + (b"data: [DONE]\n\n" if path.parent.name == "chunks" else b"")


def decoding(dialect: str, **options: Any) -> Any:
    """A decoding whose ids and times are the same in each run of the test."""
    numbers = itertools.count()
    kind = ChatDecoding if dialect == "chat" else ResponsesDecoding
    return kind(2**24, new_id=lambda prefix: f"{prefix}{next(numbers)}", now=lambda: 1, **options)


class Pieces:
    """A body that comes in the given pieces."""

    request_id = None
    holds_connection = False

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = iter(pieces)

    def read(self) -> bytes:
        return next(self._pieces, b"")

    def saw_event(self) -> None: ...
    def finish(self) -> None: ...
    def close(self) -> None: ...


def stream_of(dialect: str, pieces: list[bytes], **options: Any) -> AssistantStream:
    return AssistantStream(lambda: Pieces([piece for piece in pieces if piece]), decoding=decoding(dialect, **options))


def told(stream: AssistantStream) -> tuple[list[tuple[str, bytes]], type[Exception] | None]:
    """All events, and the type of the error that ended the stream."""
    found: list[tuple[str, bytes]] = []
    try:
        found.extend((event.event, event.raw) for event in stream)
    except errors.StreamError as error:
        return found, type(error)
    return found, None


def cut(data: bytes, seed: int) -> list[bytes]:
    """The bytes in pieces of any size, single bytes included."""
    chance = random.Random(seed)
    edges = sorted({0, len(data), *(chance.randrange(len(data) + 1) for _ in range(chance.choice([1, 5, 60])))})
    return [data[start:end] for start, end in itertools.pairwise(edges)]


# -- L1: chunking ------------------------------------------------------------------------------------------------------


@EACH
def test_chunking_never_changes_the_events(dialect: str, path: Path) -> None:
    data = body(path)
    whole = told(stream_of(dialect, [data]))
    assert whole[0] or not data
    for seed in range(2):
        assert told(stream_of(dialect, cut(data, seed))) == whole
    if len(data) < 10_000:
        assert told(stream_of(dialect, [data[at : at + 1] for at in range(len(data))])) == whole


def test_each_event_is_out_with_its_last_byte(shared: Path) -> None:
    data = body(shared / "chat" / "live" / "llamacpp__text.sse")
    first, stream = data.index(b"\n\n") + 2, stream_of("chat", [data])
    feed = stream._feed
    assert feed.take(data[: first - 2]) == 0
    assert feed.take(data[first - 2 : first]) > 0


# -- endings (L11) -----------------------------------------------------------------------------------------------------


@EACH
def test_a_recording_ends_well_with_its_run_or_as_cut(dialect: str, path: Path) -> None:
    stream = stream_of(dialect, [body(path)])
    events, error = told(stream)
    last = stream.current_run
    if last is None:
        assert not body(path)
        assert error is errors.StreamTruncatedError
        return
    if error is None:
        assert last.status in RUN_STOPS
        assert events[-1][0].startswith("thread.run.")
    else:
        assert error is errors.StreamTruncatedError
        assert last.status == "in_progress"


@pytest.mark.parametrize("dialect", ["chat", "responses"])
def test_a_body_that_breaks_off_anywhere_ends_well_or_as_cut(dialect: str, shared: Path) -> None:
    chat, answer = "live/llamacpp__text.sse", "llm__test_responses_basic_streaming.0.sse"
    path = shared / "chat" / chat if dialect == "chat" else shared / "wire" / "responses" / answer
    data = body(path)
    whole = told(stream_of(dialect, [data]))[0]
    proofs = (b'"finish_reason":"', b'"finish_reason": "', b"[DONE]") if dialect == "chat" else (b"response.completed",)
    proved = max(0, min((at for proof in proofs if (at := data.find(proof)) >= 0), default=len(data)))
    for end in range(0, len(data), 7):
        stream = stream_of(dialect, [data[:end]])
        events, error = told(stream)
        if error is None:
            assert end > proved
            assert events[-1][0] == whole[-1][0]
        else:
            assert error is errors.StreamTruncatedError
            assert events == whole[: len(events)]
            with pytest.raises(errors.StreamTruncatedError) as caught:
                stream.until_done()
            assert caught.value.snapshot is not None


CHUNK = '{"model":"m","choices":[{"index":0,"delta":%s,"finish_reason":%s}]}'


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    return b"data: " + (CHUNK % (json.dumps(delta), json.dumps(finish))).encode() + b"\n\n"


HELLO = [chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo"})]
STOP = chunk({}, "stop")
DONE = b"data: [DONE]\n\n"


@pytest.mark.parametrize(
    ("rest", "status"),
    [
        ([STOP, DONE], "completed"),
        ([STOP], "completed"),
        ([DONE], "completed"),
        ([chunk({}, "length")], "incomplete"),
        ([b'data: {"error":{"message":"overloaded"}}\n\n'], "failed"),
        ([b"data: [DONE]"], "completed"),
    ],
    ids=["both", "finish_reason", "done", "length", "error", "no line end"],
)
def test_a_chat_stream_that_says_how_it_ends_ends_well(rest: list[bytes], status: str) -> None:
    stream = stream_of("chat", [*HELLO, *rest])
    assert "".join(stream.text_deltas) == "Hello"
    assert stream.get_final_run().status == status


def test_nothing_is_read_behind_done() -> None:
    def pieces() -> Iterator[bytes]:
        yield from [*HELLO, STOP, DONE]
        raise AssertionError("read on behind [DONE]")

    stream = rx_assistant.replay(pieces(), dialect="chat")
    assert stream.get_final_run().status == "completed"


@pytest.mark.parametrize("before", [[], HELLO], ids=["empty", "half"])
def test_a_chat_stream_that_says_nothing_of_its_end_was_cut(before: list[bytes]) -> None:
    stream = stream_of("chat", before)
    with pytest.raises(errors.StreamTruncatedError) as caught:
        stream.until_done()
    assert caught.value.snapshot is not None
    texts = [part.text.value for message in caught.value.snapshot.messages for part in message.content]
    assert texts == (["Hello"] if before else [])


def test_text_that_was_held_back_arrives_before_the_cut() -> None:
    stream = stream_of("chat", [chunk({"content": "<think>half a thou"}), chunk({"content": "ght"})])
    heard: list[str] = []
    with pytest.raises(errors.StreamTruncatedError):
        heard.extend(stream.text_deltas)
    assert "".join(heard) == "<think>half a thought"


def test_the_error_of_a_cut_stream_shows_what_came_last() -> None:
    stream = stream_of("chat", [*HELLO, b"upstream connect error\n"])
    with pytest.raises(errors.StreamTruncatedError, match="upstream connect error"):
        stream.until_done()


def test_an_event_that_is_too_large_comes_after_those_before_it() -> None:
    data = b"".join([*HELLO, b"data: " + b"x" * 5000])
    for pieces in ([data], [data[:200], data[200:]]):
        heard: list[str] = []
        stream = rx_assistant.replay([*pieces, b"\n\n"], dialect="chat", max_event_bytes=1000)
        with pytest.raises(errors.EventTooLargeError):
            heard.extend(stream.text_deltas)
        assert "".join(heard) == "Hello"


def test_a_body_of_json_is_read_as_one_chunk() -> None:
    answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}
    stream = rx_assistant.replay(json.dumps(answer, indent=1).encode(), dialect="chat")
    assert "".join(stream.text_deltas) == "Hi"
    item = {"type": "message", "id": "msg_1", "status": "completed", "content": [{"type": "output_text", "text": "Hi"}]}
    response = {"id": "resp_1", "object": "response", "status": "completed", "output": [item]}
    stream = rx_assistant.replay(json.dumps(response, indent=1).encode(), dialect="responses")
    assert "".join(stream.text_deltas) == "Hi"
    assert stream.get_final_run().id == "resp_1"


def test_json_of_a_response_that_goes_on_is_no_ending() -> None:
    stream = rx_assistant.replay(b'{"id": "resp_1", "object": "response", "status": "queued"}', dialect="responses")
    with pytest.raises(errors.StreamTruncatedError):
        stream.until_done()


def test_a_cancelled_response_is_a_cancelled_run() -> None:
    frames = [
        {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
        {"type": "response.output_text.delta", "output_index": 0, "delta": "Hel"},
        {"type": "response.cancelled", "response": {"id": "resp_1", "status": "cancelled"}},
    ]
    data = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in frames)
    stream = rx_assistant.replay(data, dialect="responses")
    names = [event.event for event in stream.pipe(ax.verify(mode="strict"))]
    assert names[-2:] == ["thread.run.cancelling", "thread.run.cancelled"]
    assert stream.get_final_run().status == "cancelled"
    assert stream.get_final_messages()[0].status == "incomplete"


# -- what the stream is made of ----------------------------------------------------------------------------------------


@EACH
def test_events_pass_the_grammar_and_add_up_to_their_finals(dialect: str, path: Path) -> None:
    """L3, in what the streams of these protocols have: texts and arguments."""
    stream = stream_of(dialect, [body(path)])
    texts: dict[str, str] = {}
    events: list[StreamEvent] = []
    try:
        for event in stream.pipe(ax.verify(mode="strict")):
            events.append(event)
            if event.event == "thread.message.delta":
                texts[event.data.id] = texts.get(event.data.id, "") + "".join(part for _, part in event.text_fragments)
            if event.event in {"thread.message.completed", "thread.message.incomplete"}:
                parts = [part.text.value for part in event.data.content if part.type == "text"]
                assert "".join(parts) == texts.get(event.data.id, "")
    except errors.StreamTruncatedError:
        return
    final = events[-1].data
    if final.required_action is not None:
        asked = final.required_action.submit_tool_outputs.tool_calls
        calls = [call for step in stream.snapshot.steps for call in getattr(step.step_details, "tool_calls", ())]
        shown = [(call.id, call.function.name, call.function.arguments) for call in calls if call.type == "function"]
        assert shown == [(call.id, call.function.name, call.function.arguments) for call in asked]


@EACH
def test_kept_events_and_snapshots_never_change(dialect: str, path: Path) -> None:
    """L4: a snapshot that is read late shows what it showed at its time."""
    data = body(path)
    early: list[str] = []
    with rx_assistant.replay([data], dialect=dialect) as stream:  # type: ignore[arg-type]  # a text of the table
        kept = []
        try:
            for at, event in enumerate(stream):
                if at % 17 == 0:
                    kept.append((event, stream.snapshot))
                    early.append(first_part(stream.snapshot))
        except errors.StreamTruncatedError:
            pass
    assert [first_part(snapshot) for _, snapshot in kept] == early


def first_part(snapshot: RunSnapshot) -> str:
    """The first content part of the first message, as JSON."""
    return "".join(message.content[0].to_json() for message in snapshot.messages[:1] if message.content)


@EACH
def test_messages_and_calls_are_told_once(dialect: str, path: Path) -> None:
    """L5, as a handler sees it."""

    class Handler(AssistantEventHandler):
        def __init__(self) -> None:
            super().__init__()
            self.texts = ""
            self.created: list[str] = []
            self.done: list[str] = []

        def on_text_created(self, text: Any) -> None:
            self.created.append("text")

        def on_text_delta(self, delta: Any, snapshot: Any) -> None:
            self.texts += delta.value or ""

        def on_text_done(self, text: Any) -> None:
            self.done.append("text")

        def on_tool_call_created(self, tool_call: Any) -> None:
            self.created.append(tool_call.id)

        def on_tool_call_done(self, tool_call: Any) -> None:
            self.done.append(tool_call.id)

    handler, stream = Handler(), stream_of(dialect, [body(path)])
    stream.attach(handler)
    try:
        stream.until_done()
    except errors.StreamTruncatedError:
        return
    calls = [call for call in handler.created if call != "text"]
    assert len(calls) == len({*calls})
    assert handler.texts == "".join(stream.text_deltas)
    if stream.get_final_run().status in {"completed", "requires_action"}:
        assert sorted(handler.done) == sorted(handler.created)


def test_an_event_keeps_the_payload_that_it_was_made_from() -> None:
    extra = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"!"},"logprobs":{"content":[1]}}]}\n\n'
    stream = stream_of("chat", [*HELLO, extra, STOP, DONE])
    sources = [event.source for event in stream if event.event == "thread.message.delta"]
    assert sources[-1] == json.loads(extra[6:])


def test_reasoning_is_read_from_both() -> None:
    chat = stream_of("chat", [chunk({"reasoning_content": "hm"}), *HELLO, STOP, DONE])
    assert "".join(chat.pipe(ax.reasoning_deltas())) == "hm"
    delta = {"type": "response.reasoning_summary_text.delta", "output_index": 0, "delta": "hm"}
    end = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed"}}
    data = b"".join(b"data: " + json.dumps(each).encode() + b"\n\n" for each in (delta, end))
    responses = stream_of("responses", [data])
    assert "".join(responses.pipe(ax.reasoning_deltas())) == "hm"


def two() -> list[bytes]:
    """Two choices, told by turns."""
    ends = ({"index": 0, "delta": {}, "finish_reason": "stop"}, {"index": 1, "delta": {}, "finish_reason": "length"})
    told = [
        b'data: {"model":"m","choices":[{"index":%d,"delta":{"content":"%s"}}]}\n\n' % (index, text)
        for index, text in ((0, b"A"), (1, b"B"), (0, b"a"), (1, b"b"))
    ]
    return [*told, b"data: " + json.dumps({"choices": ends}).encode() + b"\n\n", DONE]


def test_choice_picks_the_run() -> None:
    first, second = (rx_assistant.replay([*two()], dialect="chat", choice=choice) for choice in (0, 1))
    assert "".join(first.text_deltas) == "Aa"
    assert first.get_final_run().status == "completed"
    assert "".join(second.text_deltas) == "Bb"
    assert second.get_final_run().status == "incomplete"
    others = [event for event in first if isinstance(event, UnknownEvent)]
    assert [event.source["choices"][0]["delta"]["content"] for event in others[:2]] == ["B", "b"]


@pytest.mark.anyio
async def test_a_leading_think_tag_stays_in_the_text_where_it_is_wanted() -> None:
    body = b'data: {"choices":[{"delta":{"content":"<think>hm</think>Hi"},"finish_reason":"stop"}]}\n\n'
    assert "".join(rx_assistant.replay([body], dialect="chat").text_deltas) == "Hi"
    assert "".join(rx_assistant.replay([body], dialect="chat", thinking="text").text_deltas) == "<think>hm</think>Hi"
    async with rx_assistant.replay_async([body], dialect="chat", thinking="text") as stream:
        assert "".join([text async for text in stream.text_deltas]) == "<think>hm</think>Hi"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thinking": "text"}, "thinking must be 'reasoning' unless dialect is 'chat', got 'text'"),
        ({"dialect": "responses", "thinking": "text"}, "thinking must be 'reasoning' unless dialect is 'chat'"),
        ({"dialect": "chat", "thinking": "none"}, "thinking must be 'reasoning' or 'text', got 'none'"),
    ],
)
def test_wrong_options_about_thinking_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rx_assistant.replay(b"", **options)


@pytest.mark.parametrize(
    "options", [{"dialect": "chatty"}, {"dialect": "responses", "choice": 1}, {"choice": 1}], ids=str
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        rx_assistant.replay(b"", **options)
    with pytest.raises(ValueError, match="must be"):
        rx_assistant.replay_async(b"", **options)


# -- faces -------------------------------------------------------------------------------------------------------------


@EACH
@pytest.mark.anyio
async def test_the_asynchronous_face_gives_the_same(dialect: str, path: Path) -> None:
    data = body(path)
    whole = told(stream_of(dialect, [data]))

    async def open() -> Any:
        from rx_assistant.streams.sources import AsyncReplayBody

        return AsyncReplayBody(cut(data, 3), None, None)

    found: list[tuple[str, bytes]] = []
    error: type[Exception] | None = None
    async with AsyncAssistantStream(open, decoding=decoding(dialect)) as stream:
        try:
            async for event in stream:
                found += [(event.event, event.raw)]
        except errors.StreamError as broken:
            error = type(broken)
    assert (found, error) == whole


@pytest.mark.anyio
async def test_replay_async_reads_dialects(shared: Path) -> None:
    path = shared / "chat" / "live" / "llamacpp__text.sse"
    async with rx_assistant.replay_async(path, dialect="chat", chunk_size=11) as stream:
        text = "".join([piece async for piece in stream.text_deltas])
    assert text == "".join(rx_assistant.replay(path, dialect="chat").text_deltas)


def transport(content: bytes, kind: str = "text/event-stream") -> httpx.MockTransport:
    return httpx.MockTransport(lambda _: httpx.Response(200, headers={"content-type": kind}, stream=_Bytes(content)))


class _Bytes(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, content: bytes) -> None:
        self._content = content

    def __iter__(self) -> Iterator[bytes]:
        yield self._content

    async def __aiter__(self) -> Any:
        yield self._content


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
def test_a_response_that_somebody_opened_is_read(kind: str) -> None:
    answer = b"".join([*HELLO, STOP, DONE])
    if kind == "application/json":
        answer = b'{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]}'
    with httpx.Client(transport=transport(answer, kind)) as client, client.stream("POST", "http://x/") as response:
        stream = rx_assistant.from_response(response, dialect="chat")
        assert isinstance(stream, AssistantStream)
        assert "".join(stream.text_deltas) == "Hello"


@pytest.mark.anyio
async def test_an_asynchronous_response_is_read() -> None:
    answer = b"".join([*HELLO, STOP, DONE])
    async with (
        httpx.AsyncClient(transport=transport(answer)) as client,
        client.stream("POST", "http://x/") as response,
        rx_assistant.from_response(response, dialect="chat") as stream,
    ):
        assert isinstance(stream, AsyncAssistantStream)
        assert "".join([piece async for piece in stream.text_deltas]) == "Hello"


def test_html_is_no_chat_stream() -> None:
    page = transport(b"<html>", "text/html")
    with httpx.Client(transport=page) as client, client.stream("POST", "http://x/") as response:
        stream = rx_assistant.from_response(response, dialect="chat")
        assert isinstance(stream, AssistantStream)
        with pytest.raises(errors.NotAnEventStreamError):
            stream.until_done()


# -- recordings --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", [True, False], ids=["whole", "cut"])
def test_a_recording_of_such_a_stream_replays_as_an_assistants_stream(ended: bool, tmp_path: Path) -> None:
    stream = stream_of("chat", [*HELLO, *([STOP, DONE] if ended else [])])
    stream.record(tmp_path / "run.sse")
    first = told(stream)
    again = rx_assistant.replay(tmp_path / "run.sse")
    sources: list[object] = []
    again.subscribe(lambda event: sources.append(event.source), lambda _: None)
    assert told(again) == first
    assert sources == [None] * len(first[0])

"""`error` events of every shape: the server's words are the error's message."""

from __future__ import annotations

import pytest
from cases import in_one_test

from rx_assistant.errors import ServerErrorEvent
from rx_assistant.events import DoneEvent, ErrorEvent, ThreadMessageDelta, UnknownEvent, classify, frame, proves_done
from rx_assistant.sse import SSEDecoder

SHAPES = {
    "nested": b'{"error":{"message":"boom","type":"server_error","param":null,"code":null}}',
    "flat": b'{"message":"boom","type":"server_error","param":null,"code":null}',
    "plain text": b"boom",
    "a JSON string": b'"boom"',
    "error is a text": b'{"error":"boom"}',
    "error is a list": b'{"error":["boom"]}',
    "error holds a detail": b'{"error":{"detail":"boom"}}',
    "an error within an error": b'{"error":{"error":{"message":"boom"}}}',
    "detail": b'{"detail":"boom"}',
    "detail of FastAPI": b'{"detail":[{"loc":["body"],"msg":"boom","type":"missing"}]}',
    "errors": b'{"errors":[{"message":"boom"}]}',
    "a list": b'["boom"]',
    "a list of objects": b'[{"error":{"message":"boom"}}]',
    "a numeric code": b'{"error":{"message":"boom","code":500}}',
    "codes that are no text": b'{"error":{"message":"boom","code":["x"],"type":7,"param":{}}}',
    "twice": b'{"error":{"message":"boom"},"message":"boom"}',
    "words under no known name": b'{"what":"boom"}',
    "HTML": b"<html><b>boom</b></html>",
    "cut": b'{"error":{"message":"boom',
    "with a byte that is no UTF-8": b"boom \xff",
    "behind half a frame": b'{"id":"msg_1","delta":{"con\n{"error":"boom"}',
    "text behind half a frame": b'{"id":"msg_1","delta":{"con\nboom',
}


@in_one_test("shape", SHAPES)
def test_the_servers_words_are_the_message(shape: str) -> None:
    event = ErrorEvent(SHAPES[shape])
    assert "boom" in event.data.message
    assert event.data is event.data
    assert event.raw == SHAPES[shape]
    assert event.data.code in (None, "500", ["x"])  # a code that is no text is kept as it came
    assert ServerErrorEvent(event.data, event=event).code in (None, "500", "['x']")


@pytest.mark.parametrize("raw", [b"", b"  ", b"null", b"{}", b"[]", b"7", b"[" * 100_000, b'"\\ud83d"'])
def test_an_error_without_words_still_has_a_message(raw: bytes) -> None:
    message = ErrorEvent(raw).data.message
    assert message
    assert len(message) < 5000


def test_several_words_are_all_told() -> None:
    both = ErrorEvent(b'{"status":500,"error":"Internal Server Error","message":"boom"}').data.message
    assert both == "boom; Internal Server Error"


def test_a_long_message_is_cut_and_stays_whole_on_the_event() -> None:
    event = ErrorEvent(b"x" * 100_000)
    assert len(event.data.message) < 5000
    assert len(event.raw) == 100_000


HALF = b'event: thread.message.delta\ndata: {"id":"msg_1","object":"thread.message.delta","del'
GLUED = {
    "at once": HALF + b'event: error\ndata: {"error":"boom"}\n\n',
    "behind a line end": HALF + b'\nevent: error\ndata: {"error":"boom"}\n\n',
    "without a name": HALF + b'\ndata: {"error":{"message":"boom"}}\n\n',
    "as text": HALF + b"event: error\ndata: boom\n\n",
    "inside a name": b'event: thread.messevent: error\ndata: {"error":"boom"}\n\n',
    "over several lines": HALF + b'\ndata: {\ndata:  "error":\ndata:  "boom"}\n\n',
    "with done glued to it": HALF + b'\nevent: error\ndata: {"error":"boom"}\nevent: done\ndata: [DONE]\n\n',
    "with a capital": b"event: Error\ndata: boom\n\n",
}


@pytest.mark.parametrize("how", GLUED)
def test_an_error_that_is_glued_to_half_a_frame_is_an_error(how: str) -> None:
    frames: list[tuple[bytes, bytes]] = []
    SSEDecoder().push(GLUED[how], frames.append)
    [(kind, payload)] = [classify(*each) for each in frames]
    assert kind is ErrorEvent
    event = kind(payload)
    assert isinstance(event, ErrorEvent)
    assert event.data.message == "boom"
    again: list[tuple[bytes, bytes]] = []
    SSEDecoder().push(frame(event), again.append)
    assert classify(*again[0]) == (ErrorEvent, payload)


@pytest.mark.parametrize(
    ("data", "is_error"),
    [
        (b'{"error":"boom"}', True),
        (b'{"error":{"message":"boom"}}', True),
        (b'{"detail":"boom"}', True),
        (b'{"message":"boom","code":"x"}', True),
        (b'{"event":"error","message":"boom"}', True),
        (b'{"error":null}', False),
        (b'{"error":""}', False),
        (b'{"message":"still there"}', False),
        (b'{"id":"x","detail":"low"}', False),
        (b'{"object":"thread.message","message":"m","code":"c"}', False),
        (b'{"type":"ping"}', False),
        (b"ping", False),
        (b'"error"', False),
        (b"[]", False),
    ],
)
def test_a_frame_without_a_name_is_an_error_where_it_says_so(data: bytes, is_error: bool) -> None:
    kind, payload = classify(b"", data)
    assert (kind is ErrorEvent) == is_error
    assert is_error or isinstance(kind(payload), UnknownEvent)


def test_payloads_over_several_lines_stay_what_they_are() -> None:
    assert classify(b"thread.message.delta", b'{"id":\n"msg_1"}') == (ThreadMessageDelta, b'{"id":\n"msg_1"}')
    assert classify(b"thread.message.delta", b'{"id":\n"ms') == (ThreadMessageDelta, b'{"id":\n"ms')
    assert classify(b"thread.message.delta", b'{"id":"ms\n[DONE]') == (ThreadMessageDelta, b'{"id":"ms\n[DONE]')


@pytest.mark.parametrize(
    ("data", "good"),
    [
        (b"[DONE]", True),
        (b" [DONE] ", True),
        (b"", True),
        (b"{}", True),
        (b'{"id":1}\n[DONE]', False),
        (b"a\nb", False),
    ],
)
def test_a_done_that_frames_ran_into_proves_nothing(data: bytes, good: bool) -> None:
    assert classify(b"done", data)[0] is DoneEvent
    assert proves_done(data) is good

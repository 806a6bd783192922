"""encode, and that decode ∘ encode is the identity."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings, strategies as st

from rx_assistant.sse import ServerSentEvent, SSEDecoder, encode

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))
line = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"))
events = st.builds(
    ServerSentEvent,
    event=st.just("message") | line.filter(bool),
    data=text,
    id=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0")),
    retry=st.none() | st.integers(0, 10**18 - 1),
)


def decode_in(size: int, body: bytes) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    return [event for i in range(0, len(body), size) for event in decoder.feed(body[i : i + size])]


@settings(deadline=None)
@given(st.lists(events, max_size=5), st.integers(1, 50))
def test_decoding_what_was_encoded_gives_equal_events_in_any_chunking(sent: list[ServerSentEvent], size: int) -> None:
    body, last_id = b"", ""
    for event in sent:
        body += encode(event, last_id)
        last_id = event.id
    assert decode_in(size, body) == sent


@pytest.mark.parametrize(
    ("event", "frame"),
    [
        (ServerSentEvent("done", "[DONE]"), b"event: done\ndata: [DONE]\n\n"),
        (ServerSentEvent(data="x"), b"data: x\n\n"),
        (ServerSentEvent(data=""), b"data: \n\n"),
        (ServerSentEvent("a", "1\n\n2\n"), b"event: a\ndata: 1\ndata: \ndata: 2\ndata: \n\n"),
        (ServerSentEvent("a", "é", "7", 50), "event: a\nid: 7\nretry: 50\ndata: é\n\n".encode()),
    ],
)
def test_a_frame_is_written_as_the_wire_has_it(event: ServerSentEvent, frame: bytes) -> None:
    assert encode(event) == frame


def test_an_id_is_written_only_where_it_changes() -> None:
    event = ServerSentEvent(data="x", id="7")
    assert encode(event, last_event_id="7") == b"data: x\n\n"
    assert encode(ServerSentEvent(data="x"), last_event_id="7") == b"id: \ndata: x\n\n"


@pytest.mark.parametrize(
    "event",
    [
        ServerSentEvent(data="a\rb"),
        ServerSentEvent(event=""),
        ServerSentEvent(event="a\nb"),
        ServerSentEvent(event="a\rb"),
        ServerSentEvent(id="a\nb"),
        ServerSentEvent(id="a\0b"),
        ServerSentEvent(retry=-1),
        ServerSentEvent(retry=10**18),
    ],
    ids=repr,
)
def test_what_no_frame_can_say_is_refused(event: ServerSentEvent) -> None:
    with pytest.raises(ValueError):
        encode(event)


def test_events_are_values_and_read_only() -> None:
    event = ServerSentEvent()
    with pytest.raises(AttributeError):
        event.data = "x"  # type: ignore[misc]  # this is what the test is about
    assert not hasattr(event, "__dict__")
    assert event == ServerSentEvent("message", "", "", None)
    assert len({event, ServerSentEvent()}) == 1
    assert pickle.loads(pickle.dumps(event)) == event
    assert repr(event) == "ServerSentEvent(event='message', data='', id='', retry=None)"

"""The narrow reading of delta events says what the model says, and spares the model where it can."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cases import in_one_test
from hypothesis import given, settings, strategies as st
from reference import RECORDINGS

from rx_assistant.errors import EventDecodeError
from rx_assistant.events import StreamEvent, ThreadMessageDelta, ThreadRunStepDelta, classify
from rx_assistant.events._deltas import _Delta
from rx_assistant.sse import SSEDecoder

TEXT = (
    b'{"id":"msg_1","object":"thread.message.delta","delta":{"content":'
    b'[{"index":0,"type":"text","text":{"value":%b}}]}}'
)
STEP = (
    b'{"id":"step_1","object":"thread.run.step.delta","delta":{"step_details":{"type":"tool_calls","tool_calls":'
    b'[{"index":0,"type":"function","function":{"arguments":%b}}]}}}'
)


def model_reading(event: ThreadMessageDelta | ThreadRunStepDelta) -> tuple[str, tuple[Any, ...]]:
    """Identity and fragments, taken from the payload by a plain JSON parser."""
    payload = json.loads(event.raw.decode("utf-8", "replace"))
    if isinstance(event, ThreadMessageDelta):
        parts = payload["delta"].get("content") or []
        texts = [(part["index"], (part.get("text") or {}).get("value")) for part in parts if part["type"] == "text"]
        return payload["id"], tuple(text for text in texts if text[1] is not None)
    calls = payload["delta"]["step_details"].get("tool_calls") or []
    inputs = [(c["index"], c["type"], (c.get("function") or {}).get("arguments")) for c in calls]
    inputs += [(c["index"], c["type"], (c.get("code_interpreter") or {}).get("input")) for c in calls]
    return payload["id"], tuple(found for found in inputs if found[2] is not None)


def narrow_reading(event: ThreadMessageDelta | ThreadRunStepDelta) -> tuple[str, tuple[Any, ...]]:
    if isinstance(event, ThreadMessageDelta):
        return event.message_id, event.text_fragments
    return event.step_id, event.input_fragments


def is_spared(event: ThreadMessageDelta | ThreadRunStepDelta) -> bool:
    return event.is_plain


@in_one_test("path", RECORDINGS, ids=lambda path: path.stem[:60])
def test_the_narrow_reading_of_every_recorded_delta_is_the_models(path: Path) -> None:
    found: list[Any] = []
    SSEDecoder().push(path.read_bytes(), lambda frame: found.append(classify(*frame)))
    for kind, payload in found:
        event = kind(payload)
        if isinstance(event, ThreadMessageDelta | ThreadRunStepDelta):
            assert narrow_reading(event) == model_reading(event)


@settings(deadline=None)
@given(st.text(), st.text(min_size=1), st.integers(0, 10**7), st.booleans(), st.booleans(), st.booleans())
def test_however_it_is_written_the_narrow_reading_is_the_models(
    value: str, identity: str, index: int, ascii_only: bool, spaced: bool, annotated: bool
) -> None:
    text = {"value": value, **({"annotations": []} if annotated else {})}
    content = [{"index": index, "type": "text", "text": text}]
    call = {"index": index, "type": "code_interpreter", "code_interpreter": {"input": value}}
    details = {"type": "tool_calls", "tool_calls": [call]}
    separators = None if spaced else (",", ":")
    for kind, payload in (
        (ThreadMessageDelta, {"id": identity, "object": "thread.message.delta", "delta": {"content": content}}),
        (ThreadRunStepDelta, {"id": identity, "object": "thread.run.step.delta", "delta": {"step_details": details}}),
    ):
        written = json.dumps(payload, ensure_ascii=ascii_only, separators=separators)
        event = kind(written.encode("utf-8", "surrogatepass"))
        assert narrow_reading(event) == model_reading(event)


def layouts(payload: dict[str, Any], further: dict[str, Any]) -> dict[str, bytes]:
    """The same delta as different servers write it: the same text, with other spaces, orders, fields and escapes."""
    compact = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return {
        "compact": compact.encode(),
        "spaced": json.dumps(payload, ensure_ascii=False).encode(),
        "indented": json.dumps(payload, ensure_ascii=False, indent=2).encode(),
        "another order": json.dumps(reversed_keys(payload), ensure_ascii=False).encode(),
        "further fields": json.dumps(with_fields(payload, further), ensure_ascii=False).encode(),
        "escapes": "".join(rf"\u{ord(c):04x}" if c.isalpha() else c for c in compact).encode(),
    }


def reversed_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reversed_keys(value[key]) for key in reversed(value)}
    return [reversed_keys(item) for item in value] if isinstance(value, list) else value


def with_fields(value: Any, further: dict[str, Any]) -> Any:
    if isinstance(value, dict):
        return {**further, **{key: with_fields(item, further) for key, item in value.items()}}
    return [with_fields(item, further) for item in value] if isinstance(value, list) else value


MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "object": "thread.message.delta",
    "delta": {"content": [{"index": 3, "type": "text", "text": {"value": 'sí, "ça" 好'}}]},
}
CODE: dict[str, Any] = {
    "id": "step_1",
    "object": "thread.run.step.delta",
    "delta": {
        "step_details": {
            "type": "tool_calls",
            "tool_calls": [{"index": 3, "type": "code_interpreter", "code_interpreter": {"input": 'f("é")'}}],
        }
    },
}
FURTHER: dict[str, Any] = {
    "logprobs": [{"token": "s", "bytes": [115], "top_logprobs": []}],
    "x_vendor": {"trace": None, "took": 1.5e-3, "flags": [True, {}]},
    "role": "assistant",
    "annotations": [],
    "outputs": [],
    "name": None,
}


@pytest.mark.parametrize("layout", layouts(MESSAGE, {}))
def test_every_layout_of_a_plain_delta_is_read_narrowly(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    message = ThreadMessageDelta(layouts(MESSAGE, FURTHER)[layout])
    code = ThreadRunStepDelta(layouts(CODE, FURTHER)[layout])
    expected = [("msg_1", ((3, 'sí, "ça" 好'),)), ("step_1", ((3, "code_interpreter", 'f("é")'),))]
    with monkeypatch.context() as patched:
        patched.setattr(_Delta, "payload", property(lambda event: pytest.fail("it became a dict")))
        assert [narrow_reading(message), narrow_reading(code)] == expected
        assert (message.is_plain, code.is_plain) == (True, True)
    assert [model_reading(message), model_reading(code)] == expected


@pytest.mark.parametrize("size", ["9" * 5_000, "[" * 300 + "]" * 300, '{"a":' * 250 + "1" + "}" * 250])
def test_what_the_model_refuses_in_another_field_the_narrow_reading_refuses(size: str) -> None:
    for kind, payload in ((ThreadMessageDelta, MESSAGE), (ThreadRunStepDelta, CODE)):
        event = kind(json.dumps({**payload, "vendor": "@"}).replace('"@"', size).encode())
        for reading in (narrow_reading, is_spared, lambda event: event.data):
            with pytest.raises(EventDecodeError):
                reading(event)


SPARED = [b'"plain"', b'""', b'" \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"', b'"line\\n\\"quoted\\" \\u00e4 \\\\"']


@pytest.mark.parametrize("value", SPARED)
def test_ordinary_fragments_build_no_model(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(StreamEvent, "_decode", asked.append)
    assert ThreadMessageDelta(TEXT % value).text_fragments == ((0, json.loads(value)),)
    assert ThreadRunStepDelta(STEP % value).input_fragments == ((0, "function", json.loads(value)),)
    assert asked == []


def test_both_readings_are_done_at_most_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def counting(event: StreamEvent, decode: Callable[[StreamEvent], Any] = StreamEvent._decode) -> Any:
        asked.append(event.event)
        return decode(event)

    monkeypatch.setattr(StreamEvent, "_decode", counting)
    for value in (b'"plain"', b"null"):
        event = ThreadMessageDelta(TEXT % value)
        for _ in range(3):
            assert (event.message_id, event.data.id, len(event.text_fragments)) == ("msg_1", "msg_1", value != b"null")
    assert asked == ["thread.message.delta"] * 2


BROKEN = [b'"', b'"\\x"', b'"tab\t"', b'"nul\x00"', b'"a"b"', b'"a"}', b'"a\\"', b'"\\u12"']


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize(("kind", "frame"), [(ThreadMessageDelta, TEXT), (ThreadRunStepDelta, STEP)])
def test_what_the_model_refuses_the_narrow_reading_refuses(kind: Any, frame: bytes, value: bytes) -> None:
    event = kind(frame % value)
    for reading in (narrow_reading, is_spared, lambda event: event.data):
        with pytest.raises(EventDecodeError):
            reading(event)


@pytest.mark.parametrize("value", [b"7", b"[]", b"{}", b"true", b"1.5"])
@pytest.mark.parametrize(("kind", "frame"), [(ThreadMessageDelta, TEXT), (ThreadRunStepDelta, STEP)])
def test_what_is_no_text_is_no_fragment_and_stays_in_the_model(kind: Any, frame: bytes, value: bytes) -> None:
    event = kind(frame % value)
    assert narrow_reading(event)[1] == ()
    assert event.data.model_dump(exclude_unset=True) == json.loads(event.raw)


def test_half_a_character_is_a_replacement_in_both_readings() -> None:
    event = ThreadMessageDelta(TEXT % rb'"a\ud83d"')
    assert event.text_fragments == ((0, "a\ufffd"),)
    assert event.data.delta.content[0].text.value == "a\ufffd"
    assert event.is_torn
    assert not ThreadMessageDelta(TEXT % rb'"a\ud83d\ude00"').is_torn
    assert not ThreadMessageDelta(TEXT % b"null").is_torn


def test_bad_utf8_in_a_fragment_is_replaced_in_both_readings() -> None:
    event = ThreadMessageDelta(TEXT % b'"a\xff\xe2\x82\\n"')
    assert event.text_fragments == ((0, "a\ufffd\ufffd\n"),)
    assert event.data.delta.content[0].text.value == "a\ufffd\ufffd\n"


def test_missing_pieces_are_no_fragments() -> None:
    for raw in (b"{}", b'{"id":null,"delta":null}', b'{"delta":{"content":[{"type":"text"},{"type":"new"}]}}'):
        assert (ThreadMessageDelta(raw).message_id, ThreadMessageDelta(raw).text_fragments) == ("", ())
    for raw in (b"{}", b'{"delta":{"step_details":{"type":"message_creation"}}}'):
        assert (ThreadRunStepDelta(raw).step_id, ThreadRunStepDelta(raw).input_fragments) == ("", ())


def test_a_fragment_without_index_belongs_where_it_stands() -> None:
    event = ThreadMessageDelta(
        b'{"delta":{"content":[{"type":"text","text":{"value":"a"}},{"type":"text","text":{"value":"b"}}]}}'
    )
    assert event.text_fragments == ((0, "a"), (1, "b"))

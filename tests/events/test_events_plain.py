"""The models of plain deltas are built without validation, and do not differ from validated ones."""

from __future__ import annotations

import threading
from typing import Any

import plain_models
import pytest

from rx_assistant.events import ThreadMessageDelta, ThreadRunStepDelta, _plain
from rx_assistant.events._base import validator
from rx_assistant.types import ReadOnlyList

TEXT = b'{"id":"msg_1","object":"thread.message.delta","delta":{"content":[{"index":0,"type":"text","text":%b}]}}'
CALL = b'{"id":"step_1","delta":{"step_details":{"type":"tool_calls","tool_calls":[%b]}},"object":"x"}'

PLAIN = {
    "text": ("MessageDeltaEvent", TEXT % b'{"value":" caf\\u00e9"}'),
    "text, annotations": ("MessageDeltaEvent", TEXT % b'{"annotations": [], "value": ""}'),
    "text, role": ("MessageDeltaEvent", (TEXT % b'{"value":"a"}').replace(b'"content"', b'"role":"user","content"')),
    "text, no object": (
        "MessageDeltaEvent",
        (TEXT % b'{"value":"a"}').replace(b'"object":"thread.message.delta",', b""),
    ),
    "arguments": ("RunStepDeltaEvent", CALL % b'{"index":1,"type":"function","function":{"arguments":"{"}}'),
    "first arguments": (
        "RunStepDeltaEvent",
        CALL % b'{"index":0,"id":"c","type":"function","function":{"name":"f","arguments":"","output":null}}',
    ),
    "code": ("RunStepDeltaEvent", CALL % b'{"index":0,"type":"code_interpreter","code_interpreter":{"input":"1"}}'),
    "first code": (
        "RunStepDeltaEvent",
        CALL % b'{"id":"c","index":0,"type":"code_interpreter","code_interpreter":{"input":"","outputs":[]}}',
    ),
}
OTHER = {
    "further field": ("MessageDeltaEvent", TEXT % b'{"value":"a","x":1}'),
    "null": ("MessageDeltaEvent", TEXT % b'{"value":null}'),
    "number": ("MessageDeltaEvent", TEXT % b'{"value":1}'),
    "annotation": ("MessageDeltaEvent", TEXT % b'{"value":"a","annotations":[{"index":0,"type":"file_path"}]}'),
    "two parts": ("MessageDeltaEvent", (TEXT % b'{"value":"a"}').replace(b"}]", b"},{}]")),
    "float index": ("MessageDeltaEvent", (TEXT % b'{"value":"a"}').replace(b"0", b"0.0")),
    "outputs": ("RunStepDeltaEvent", CALL % b'{"index":0,"type":"code_interpreter","code_interpreter":{"outputs":[]}}'),
    "search": ("RunStepDeltaEvent", CALL % b'{"index":0,"type":"file_search","file_search":{}}'),
}


def refuse(raw: bytes | str) -> Any:
    raise AssertionError(f"it was validated: {raw!r}")


@pytest.mark.parametrize("seed", [1, 2])
def test_built_and_validated_models_never_differ(seed: int) -> None:
    seen = plain_models.run(700, seed)
    assert min(seen["built"], seen["validated"], seen["refused"]) > 50, seen


@pytest.mark.parametrize(("model", "raw"), PLAIN.values(), ids=PLAIN)
def test_plain_deltas_are_built_without_validation(model: str, raw: bytes) -> None:
    _plain.reader(model, refuse)(raw)
    assert plain_models.check(raw, model) == "built"


@pytest.mark.parametrize(("model", "raw"), OTHER.values(), ids=OTHER)
def test_all_other_deltas_are_validated(model: str, raw: bytes) -> None:
    assert plain_models.check(raw, model) == "validated"


def test_the_data_of_events_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, name in ((ThreadMessageDelta, "text"), (ThreadRunStepDelta, "code")):
        model, raw = PLAIN[name]
        monkeypatch.setattr(kind, "_reader", staticmethod(_plain.reader(model, refuse)))
        assert kind(raw).data == validator(model)(raw)
        monkeypatch.setattr(kind, "_reader", None)
        assert kind(raw).data == validator(model)(raw)
        assert kind._reader is not validator(model)


def test_after_another_payload_some_are_validated_and_then_plain_ones_are_built_again() -> None:
    validated: list[Any] = []
    read = _plain.reader("MessageDeltaEvent", validated.append)
    plain, other = PLAIN["text"][1], OTHER["annotation"][1]
    for raw in (plain, other, *[plain] * 8):
        read(raw)
    assert validated == [other, *[plain] * (len(validated) - 1)]
    assert len(validated) < 6


def test_threads_that_meet_other_payloads_do_not_stop_the_building() -> None:
    validated: list[Any] = []
    read = _plain.reader("MessageDeltaEvent", validated.append)
    plain, other = PLAIN["text"][1], OTHER["number"][1]

    def work() -> None:
        for _ in range(300):
            read(other)
            read(plain)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert any(read(plain) is not None for _ in range(8))


def test_a_later_pydantic_whose_models_hold_more_validates_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_plain, "_SLOTS", _plain._SLOTS[:-1])
    validate = validator("MessageDeltaEvent")
    assert _plain.reader("MessageDeltaEvent", validate) is validate


def test_changing_what_a_model_returns_changes_no_other_model() -> None:
    first, second = (ThreadMessageDelta(PLAIN["text, annotations"][1]).data for _ in range(2))
    text = first.delta.content[0].text
    first.model_fields_set.clear()
    with pytest.raises(TypeError, match="read-only"):
        text.annotations.append(None)
    with pytest.raises(TypeError, match="read-only"):
        first.model_extra["x"] = 1
    copied = text.model_copy(update={"x": 1, "value": "b"})
    copied.model_fields_set.add("y")
    assert (copied.value, copied.x, text.value) == ("b", 1, "")
    assert second.model_fields_set == {"id", "object", "delta"}
    assert second.delta.content[0].text.model_dump(exclude_unset=True) == {"value": "", "annotations": []}
    assert type(second.delta.content) is ReadOnlyList

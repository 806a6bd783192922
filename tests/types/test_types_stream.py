"""The models that a stream holds: exact, forgiving and read-only."""

from __future__ import annotations

import copy
import json
import pickle

import pytest

from rx_assistant import types as t

TEXT_DELTA = (
    b'{"id":"msg_1","object":"thread.message.delta","delta":{"content":'
    b'[{"index":0,"type":"text","text":{"value":" favorite"}}]}}'
)
CODE_DELTA = (
    b'{"id":"step_1","object":"thread.run.step.delta","delta":{"step_details":{"type":"tool_calls",'
    b'"tool_calls":[{"index":0,"type":"code_interpreter","code_interpreter":{"input":"import"}}]}}}'
)


def test_a_text_delta_reads_as_its_models() -> None:
    event = t.MessageDeltaEvent.model_validate_json(TEXT_DELTA)
    assert event.delta.content is not None
    block = event.delta.content[0]
    assert isinstance(block, t.TextDeltaBlock)
    assert block.text is not None
    assert block.text.value == " favorite"
    assert block.text.annotations is None
    assert block.text.model_fields_set == {"value"}


def test_a_code_delta_reads_as_its_models() -> None:
    event = t.RunStepDeltaEvent.model_validate_json(CODE_DELTA)
    assert isinstance(event.delta.step_details, t.ToolCallDeltaObject)
    assert event.delta.step_details.tool_calls is not None
    call = event.delta.step_details.tool_calls[0]
    assert isinstance(call, t.CodeInterpreterToolCallDelta)
    assert call.code_interpreter is not None
    assert call.code_interpreter.input == "import"


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_equal_and_as_read_only(copied: object) -> None:
    event = t.MessageDeltaEvent.model_validate_json(TEXT_DELTA)
    twin = copied(event)  # type: ignore[operator]
    assert twin == event
    assert hash(twin) == hash(event)
    assert twin.model_fields_set == event.model_fields_set
    assert twin.model_dump_json(exclude_unset=True).encode() == TEXT_DELTA
    with pytest.raises(TypeError, match="read-only"):
        twin.delta.content.clear()


def test_dumping_gives_back_what_was_read() -> None:
    event = t.RunStepDeltaEvent.model_validate_json(CODE_DELTA)
    assert event.model_dump(exclude_unset=True) == json.loads(CODE_DELTA)
    assert event.model_dump_json(exclude_unset=True).encode() == CODE_DELTA


def test_text_where_an_object_belongs_stays_text() -> None:
    delta = t.MessageDelta.model_validate({"content": [{"index": 0, "type": "text", "text": "not an object"}]})
    assert delta.content is not None
    block = delta.content[0]
    assert isinstance(block, t.TextDeltaBlock)
    assert (block.index, block.text) == (0, "not an object")


def test_an_unknown_type_keeps_its_json() -> None:
    part = {"index": 2, "type": "audio", "audio": {"data": ["AAAA"]}}
    delta = t.MessageDelta.model_validate({"content": [part]})
    assert delta.content is not None
    block = delta.content[0]
    assert isinstance(block, t.UnknownDeltaBlock)
    assert (block.index, block.type) == (2, "audio")
    assert block.model_dump(exclude_unset=True) == part

"""A value of the wrong type costs its field, and nothing else: not the object, not the page, not a dump's silence."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from cases import in_one_test
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from types_catalogue import MODELS, UNIONS, is_model, tags

from rx_assistant import types as t

ODD: list[Any] = [True, 1.5, 2**70, "2025-01-01T00:00:00Z", "", {}, {"a": {"b": [1]}}, [], [None, 1, "x", {}]]

RUN: dict[str, Any] = {
    "id": "run_1",
    "object": "thread.run",
    "created_at": 1757876416.56,
    "thread_id": 17,
    "status": "failed",
    "last_error": "the server is busy",
    "metadata": {"tools": {"a": [1]}},
    "usage": {"prompt_tokens": 2.25, "total_tokens": 3},
    "tools": ["code_interpreter", {"type": "function", "function": "weather"}, {"type": "telepathy"}],
    "incomplete_details": "max_tokens",
    "temperature": "1",
    "parallel_tool_calls": "yes",
    "expires_at": "2025-09-14T19:00:00Z",
}


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """A warning anywhere is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def names(model: type[BaseModel]) -> list[tuple[str, str]]:
    """The fields that are no tag, with their names on the wire."""
    return [(name, field.alias or name) for name, field in model.model_fields.items() if not field.is_required()]


def tagged(model: type[BaseModel]) -> dict[str, Any]:
    return {"type": min(tags(model))} if any(field.is_required() for field in model.model_fields.values()) else {}  # type: ignore[arg-type]


def test_a_run_with_odd_values_keeps_them_and_loses_nothing_else() -> None:
    run = t.Run.model_validate_json(json.dumps(RUN))
    assert (run.created_at, run.last_error, run.metadata) == (1757876416.56, "the server is busy", RUN["metadata"])
    assert (run.id, run.thread_id, run.status) == ("run_1", "17", "failed")
    assert run.usage is not None
    assert (run.usage.prompt_tokens, run.usage.total_tokens) == (2.25, 3)
    assert run.tools[0] == "code_interpreter"
    assert isinstance(run.tools[1], t.FunctionTool)
    assert isinstance(run.tools[2], t.UnknownTool)
    assert run.to_dict() == {**RUN, "thread_id": "17"}


@in_one_test("model", MODELS, ids=lambda model: str(model.__name__))
def test_each_field_of_each_model_takes_each_odd_value(model: type[t.WireModel]) -> None:
    for name, wire in names(model):
        for odd in ODD:
            given = {**tagged(model), wire: odd, "extra": 1}
            value = model.model_validate_json(json.dumps(given))
            assert value.model_extra == {"extra": 1}
            dumped = value.model_dump(exclude_unset=True, by_alias=True)
            if name == "index" or name == "id" or name.endswith("_id") or name in ("code", "param"):
                dumped[wire] = odd  # read as text or as a number where it can be
            assert dumped == given
            assert json.loads(value.model_dump_json(exclude_unset=True, by_alias=True)).keys() == given.keys()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=3),
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=6,
)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_json_of_any_shape_is_given_back(data: st.DataObject) -> None:
    model = data.draw(st.sampled_from([t.Run, t.Message, t.RunStep, t.MessageDeltaEvent, t.RunStepDeltaEvent]))
    keys = {"content", "delta", "text", "value", "annotations", "step_details", "tool_calls", "function", "type"}
    fields = st.sampled_from(sorted({*model.model_fields, *keys} - {"id"}))
    given = data.draw(st.dictionaries(fields, json_values, max_size=6))
    given = {key: value for key, value in given.items() if not key.endswith("_id")}
    value = model.model_validate_json(json.dumps(given))
    assert value.model_dump(exclude_unset=True, by_alias=True) == given
    assert value.model_fields_set == given.keys()
    assert model.model_validate(value.model_dump(exclude_unset=True, by_alias=True)) == value
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    hash(value)


@pytest.mark.parametrize("wrong", ["[]", "7", '"text"', "null"])
def test_only_what_is_no_object_is_refused(wrong: str) -> None:
    for model in (t.Run, t.Usage, t.ListPage[t.Run]):
        with pytest.raises(ValidationError):
            model.model_validate_json(wrong)


def test_an_odd_item_of_a_page_costs_that_item() -> None:
    page = t.ListPage[t.Message].model_validate({"data": [{"id": "msg_1", "created_at": 1.5}, "lost"], "has_more": 0})
    assert [type(item) for item in page.data] == [t.Message, str]
    assert page.has_more == 0


@pytest.mark.parametrize(("sent", "read"), [(5, "5"), (1.5, "1.5"), ("x", "x"), (None, None), (True, True), ([1], [1])])
def test_ids_are_text_where_they_can_be(sent: Any, read: Any) -> None:
    run = t.Run.model_validate_json(json.dumps({"id": sent, "thread_id": sent}))
    assert (run.id, run.thread_id) == (read, read)


@pytest.mark.parametrize(("sent", "read"), [("0", 0), ("12", 12), (2.0, 2), (3, 3), ("x", "x"), ("-1", "-1"), ([], [])])
def test_an_index_is_a_number_where_it_can_be(sent: Any, read: Any) -> None:
    block = t.TextDeltaBlock.model_validate_json(json.dumps({"index": sent, "type": "text"}))
    assert block.index == read


def test_what_is_kept_raw_is_read_only() -> None:
    run: Any = t.Run.model_validate({"metadata": [{"a": []}], "last_error": {"code": 1, "message": [2]}})
    changes = [run.metadata.reverse, run.metadata[0].clear, run.metadata[0]["a"].clear, run.last_error.message.pop]
    for change in changes:
        with pytest.raises(TypeError, match="read-only"):
            change()


def test_models_inside_a_users_model_are_as_forgiving() -> None:
    class Row(BaseModel):
        run: t.Run
        parts: list[t.MessageContent] = []

    row = Row.model_validate_json(json.dumps({"run": RUN, "parts": [{"type": "text", "text": "plain"}]}))
    assert row.run == t.Run.model_validate(RUN)
    assert isinstance(row.parts[0], t.TextContentBlock)
    assert Row.model_validate_json(row.model_dump_json(exclude_unset=True)) == row
    assert TypeAdapter(list[t.Run]).dump_python([row.run], exclude_unset=True) == [row.run.to_dict()]


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_every_model_and_union_has_a_json_schema(mode: Any) -> None:
    for model in MODELS:
        model.model_json_schema(mode=mode)
    for union in UNIONS.values():
        TypeAdapter(union).json_schema(mode=mode)
    run = t.Run.model_json_schema(mode=mode)
    assert run["properties"]["created_at"]["anyOf"] == [{"type": "integer"}, {"type": "null"}]
    assert run["properties"]["usage"]["anyOf"] == [{"$ref": "#/$defs/Usage"}, {"type": "null"}]


def test_the_sdks_names_for_dumps_are_there() -> None:
    schema = t.JSONSchema.model_validate({"schema": {"type": "object"}, "name": None})
    assert schema.to_dict() == {"schema": {"type": "object"}, "name": None}
    assert schema.to_dict(use_api_names=False, exclude_none=True) == {"schema_": {"type": "object"}}
    assert schema.to_dict(exclude_unset=False)["strict"] is None
    assert json.loads(schema.to_json()) == schema.to_dict()
    assert schema.to_json(indent=None) == schema.model_dump_json(exclude_unset=True, by_alias=True)
    assert schema._request_id is None


def test_every_model_has_the_sdks_names() -> None:
    for model in MODELS:
        assert is_model(model)
        assert callable(model.to_dict)
        assert callable(model.to_json)

"""What a model does with things that its version has never heard of: it lives with them, and loses nothing."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from cases import in_one_test
from pydantic import TypeAdapter, ValidationError
from types_catalogue import KNOWN, MODELS, UNIONS, UNKNOWN, alternatives, tags

from rx_assistant import types as t

STRANGE: dict[str, Any] = {"aura": {"colours": ["green", {"shade": 3}], "size": None}}


def name_of(value: Any) -> str:
    return str(getattr(value, "__name__", value))


def least(model: type[t.WireModel]) -> dict[str, Any]:
    """The smallest input that the model takes: nothing, or the tag that makes it a member of its union."""
    return {"type": min(tags(model))} if model.model_fields.get("type", NEEDLESS).is_required() else {}


NEEDLESS = t.Run.model_fields["id"]

MEMBERS = [
    (union, member, tag)
    for union in UNIONS.values()
    for member in alternatives(union)
    if isinstance(member, type) and issubclass(member, t.WireModel) and member in KNOWN and least(member)
    for tag in sorted(tags(member))
]


@in_one_test("union", UNIONS.values(), ids=UNIONS)
@in_one_test("strange", [{"type": "telepathy", **STRANGE}, {"type": None}, {}, {"index": 3}])
def test_an_unknown_member_of_any_union_keeps_its_json(union: Any, strange: dict[str, Any]) -> None:
    adapter = TypeAdapter(union)
    for value in (adapter.validate_python(strange), adapter.validate_json(json.dumps(strange))):
        assert isinstance(value, t.UnknownMember)
        assert value.type == strange.get("type")  # type: ignore[attr-defined]
        assert value.model_dump(exclude_unset=True) == strange
        assert json.loads(value.model_dump_json(exclude_unset=True)) == strange


def test_every_unknown_model_belongs_to_a_union() -> None:
    members = [member for union in UNIONS.values() for member in alternatives(union)]
    assert [model.__name__ for model in UNKNOWN if model not in members] == []


@in_one_test(("union", "member", "tag"), MEMBERS, ids=lambda case: case[2])
def test_a_known_type_with_a_wrong_body_costs_the_field_and_not_the_type(union: Any, member: Any, tag: str) -> None:
    for name in member.model_fields:
        if name == "type":
            continue
        given = {"type": tag, name: [[]]}
        value = TypeAdapter(union).validate_json(json.dumps(given))
        assert type(value) is member
        assert getattr(value, name) == [[]]
        assert value.model_dump(exclude_unset=True) == given


@in_one_test("union", UNIONS.values(), ids=UNIONS)
@in_one_test("wrong", [5, ["type"]], ids=str)
def test_what_is_no_member_at_all_is_an_error(union: Any, wrong: Any) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(union).validate_json(json.dumps(wrong))


@in_one_test("union", UNIONS.values(), ids=UNIONS)
@in_one_test("odd", [{"type": 5}, {"type": ["text"]}, {"type": {}}], ids=str)
def test_an_object_whose_type_is_no_word_is_an_unknown_member(union: Any, odd: Any) -> None:
    value = TypeAdapter(union).validate_json(json.dumps(odd))
    assert isinstance(value, t.UnknownMember)
    assert value.model_dump(exclude_unset=True) == odd


@in_one_test("model", MODELS, ids=name_of)
def test_a_model_lives_without_any_field_but_its_tag(model: type[t.WireModel]) -> None:
    given = least(model)
    value = model.model_validate_json(json.dumps(given))
    assert value.model_fields_set == set(given)
    assert value.model_dump(exclude_unset=True, by_alias=True) == given
    value.model_dump_json()  # a default that does not fit its annotation would warn
    for name in value.model_fields_set.symmetric_difference(model.model_fields):
        assert getattr(value, name) in (None, [], *get_args(model.model_fields[name].annotation))


@in_one_test("model", MODELS, ids=name_of)
def test_a_model_keeps_fields_that_it_does_not_know(model: type[t.WireModel]) -> None:
    given = {**least(model), **STRANGE}
    value = model.model_validate_json(json.dumps(given))
    assert value.model_extra == STRANGE
    assert value.aura == STRANGE["aura"]  # type: ignore[attr-defined]
    assert value.model_dump(exclude_unset=True, by_alias=True) == given
    assert json.loads(value.model_dump_json(exclude_unset=True, by_alias=True)) == given


@in_one_test("model", MODELS, ids=name_of)
def test_a_model_takes_null_for_any_field_but_its_tag(model: type[t.WireModel]) -> None:
    given = {field.alias or name: None for name, field in model.model_fields.items()} | least(model)
    value = model.model_validate_json(json.dumps(given))
    assert value.model_dump(by_alias=True) == given
    assert json.loads(value.model_dump_json(by_alias=True)) == given


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (t.Run, {"status": "hibernating"}),
        (t.Run, {"reasoning_effort": "superhuman", "tool_choice": "sometimes", "response_format": "verse"}),
        (t.Run, {"last_error": {"code": "tool_user_error", "message": "no"}}),
        (t.Message, {"role": "system", "status": "archived"}),
        (t.RunStep, {"type": "thinking", "status": "paused", "last_error": {"code": "boredom"}}),
        (t.VectorStore, {"status": "frozen"}),
        (t.FileObject, {"purpose": "answers", "status": "deleted"}),
        (t.ImageFile, {"detail": "ultra"}),
        (t.VectorStoreFileBatch, {"object": "vector_store.files_batch", "status": "expired"}),
    ],
)
def test_new_words_are_read_as_they_are(model: type[t.WireModel], given: dict[str, Any]) -> None:
    value = model.model_validate_json(json.dumps(given))
    assert value.model_dump(exclude_unset=True) == given


def test_error_codes_that_are_numbers_are_read_as_text() -> None:
    assert t.ErrorObject.model_validate_json('{"code":404,"message":"no","param":7}').code == "404"


def test_numbers_of_attributes_and_filters_stay_what_they_are() -> None:
    body = '{"attributes":{"year":2024,"share":0.5,"draft":true,"name":"a"}}'
    assert t.VectorStoreFile.model_validate_json(body).model_dump_json(exclude_unset=True) == body


def test_at_run_time_the_type_of_an_unknown_member_is_the_wires_word() -> None:
    details = t.RunStep.model_validate({"step_details": {"type": "thinking"}}).step_details
    assert isinstance(details, t.UnknownStepDetails)
    assert str(details.type) == "thinking"

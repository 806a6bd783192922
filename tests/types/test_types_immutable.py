"""What was handed out stays as it was, however it is held."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cases import in_one_test
from pydantic import ValidationError
from reference import SHARED
from types_catalogue import MODELS

from rx_assistant import types as t

RUN = {
    "id": "run_1",
    "metadata": {"a": "b"},
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"required": ["x"]}}}],
    "new": {"deep": [{"er": []}]},
}

LIST_CHANGES: dict[str, Callable[[Any], Any]] = {
    "append": lambda x: x.append(1),
    "extend": lambda x: x.extend([1]),
    "insert": lambda x: x.insert(0, 1),
    "remove": lambda x: x.remove(2),
    "pop": lambda x: x.pop(),
    "clear": lambda x: x.clear(),
    "sort": lambda x: x.sort(reverse=True),
    "reverse": lambda x: x.reverse(),
    "__setitem__": lambda x: x.__setitem__(slice(0, 1), [5]),
    "__delitem__": lambda x: x.__delitem__(0),
    "__iadd__": lambda x: x.__iadd__([1]),
    "__imul__": lambda x: x.__imul__(2),
}

DICT_CHANGES: dict[str, Callable[[Any], Any]] = {
    "setdefault": lambda x: x.setdefault("z", 1),
    "update": lambda x: x.update(a=2),
    "pop": lambda x: x.pop("a"),
    "popitem": lambda x: x.popitem(),
    "clear": lambda x: x.clear(),
    "__setitem__": lambda x: x.__setitem__("a", 2),
    "__delitem__": lambda x: x.__delitem__("a"),
    "__ior__": lambda x: x.__ior__({"a": 2}),
}

COPIES: dict[str, Callable[[Any], Any]] = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
}


def containers(value: Any) -> Iterator[Any]:
    """Every list and dict inside a model, the unknown fields' included."""
    if isinstance(value, t.WireModel):
        for item in (*value.__dict__.values(), *(value.model_extra or {}).values()):
            yield from containers(item)
    elif isinstance(value, list | dict):
        yield value
        for item in value.values() if isinstance(value, dict) else value:
            yield from containers(item)


@in_one_test("change", LIST_CHANGES)
def test_a_list_refuses_every_change(change: str) -> None:
    numbers = t.ReadOnlyList([1, 2, 3])
    with pytest.raises(TypeError, match=r"read-only: copy it with list\("):
        LIST_CHANGES[change](numbers)
    assert numbers == [1, 2, 3]


@in_one_test("change", DICT_CHANGES)
def test_a_dict_refuses_every_change(change: str) -> None:
    letters = t.ReadOnlyDict(a=1, b=2)
    with pytest.raises(TypeError, match=r"read-only: copy it with dict\("):
        DICT_CHANGES[change](letters)
    assert letters == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("kind", "changes", "harmless"),
    [
        (list, LIST_CHANGES, {"copy", "count", "index"}),
        (dict, DICT_CHANGES, {"copy", "fromkeys", "get", "items", "keys", "values"}),
    ],
)
def test_no_method_was_forgotten(kind: type, changes: dict[str, Any], harmless: set[str]) -> None:
    public = {name for name in dir(kind) if not name.startswith("_")}
    assert public - harmless - set(changes) == set()
    assert {name for name in dir(kind) if name.startswith(("__set", "__del", "__i"))} - set(changes) <= {
        "__setattr__",
        "__delattr__",
        "__init__",
        "__init_subclass__",
        "__iter__",
    }


def test_copies_of_a_list_and_a_dict_can_be_changed() -> None:
    assert type(t.ReadOnlyList([1]).copy()) is list
    assert type(list(t.ReadOnlyList([1]))) is list
    assert type(t.ReadOnlyList([1]) + [2]) is list  # noqa: RUF005
    assert type(t.ReadOnlyDict(a=1).copy()) is dict
    assert type(t.ReadOnlyDict(a=1) | {"b": 2}) is dict


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_lists_and_dicts_copy_as_themselves(copied: Callable[[Any], Any]) -> None:
    value = t.ReadOnlyList([t.ReadOnlyDict(a=t.ReadOnlyList([1]))])
    twin = copied(value)
    assert twin == value
    assert [type(one) for one in containers(twin)] == [t.ReadOnlyList, t.ReadOnlyDict, t.ReadOnlyList]
    assert hash(twin) == hash(value)


@in_one_test("model", MODELS, ids=lambda model: model.__name__)
def test_no_attribute_of_any_model_can_be_set_or_deleted(model: type[t.WireModel]) -> None:
    value = model.model_construct(new="field")
    for name in (*model.model_fields, "new", "other"):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(value, name, None)
    for name in (*model.model_fields, "new"):
        with pytest.raises(ValidationError, match="frozen"):
            delattr(value, name)


@in_one_test("model", MODELS, ids=lambda model: model.__name__)
@in_one_test("copied", COPIES.values(), ids=COPIES)
def test_every_model_copies_as_itself(model: type[t.WireModel], copied: Callable[[Any], Any]) -> None:
    value = model.model_construct(new={"a": [1]})
    twin = copied(value)
    assert type(twin) is model
    assert twin == value
    assert twin.model_fields_set == value.model_fields_set


def test_a_run_is_read_only_to_any_depth() -> None:
    for run in (t.Run.model_validate(RUN), t.Run.model_validate_json(json.dumps(RUN))):
        found = list(containers(run))
        assert len(found) == 8
        assert {type(one) for one in found} == {t.ReadOnlyList, t.ReadOnlyDict}


def test_every_container_of_every_recorded_event_is_read_only() -> None:
    if not SHARED.is_dir():
        pytest.skip("the recordings are not beside this checkout")
    models = {"thread": t.Thread, "thread.run": t.Run, "thread.run.step": t.RunStep, "thread.message": t.Message}
    seen: set[type] = set()
    for path in (SHARED / "wire" / "recordings").glob("*.sse"):
        for line in path.read_text("utf-8").splitlines():
            if line.startswith("data: {"):
                model = models.get(json.loads(line[6:]).get("object"))
                seen |= {type(one) for one in containers(model and model.model_validate_json(line[6:]))}
    assert seen == {t.ReadOnlyList, t.ReadOnlyDict}


def test_a_model_does_not_share_what_it_was_built_from() -> None:
    source = copy.deepcopy(RUN)
    run = t.Run.model_validate(source)
    source["metadata"]["a"] = "changed"  # type: ignore[index]
    source["new"]["deep"].append("changed")  # type: ignore[index]
    assert run.model_dump(exclude_unset=True) == RUN


def test_the_sets_and_dicts_that_pydantic_hands_out_are_not_its_own() -> None:
    run = t.Run.model_validate(RUN)
    run.model_fields_set.clear()
    assert run.model_fields_set == {"id", "metadata", "tools"} | {"new"}
    assert run.model_extra is not None
    with pytest.raises(TypeError, match="read-only"):
        run.model_extra["new"] = 1
    assert run.model_dump(exclude_unset=True) == RUN


def test_equal_models_have_equal_hashes() -> None:
    one, other = t.Run.model_validate(RUN), t.Run.model_validate_json(json.dumps(RUN))
    assert one == other
    assert len({one, other}) == 1

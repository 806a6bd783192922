"""Plain deltas and their neighbours: the model built without validation does not differ from the validated one.

The suite runs a sample; `python tests/plain_models.py [COUNT] [SEED]` runs 200 000.
"""

from __future__ import annotations

import copy
import json
import pickle
import sys
import time
from collections import Counter
from collections.abc import Iterator
from random import Random
from typing import Any

from generated import WORDS
from mutated import MUTATIONS, ODD

from rx_assistant.events._base import Reader, validator
from rx_assistant.events._plain import reader
from rx_assistant.types import WireModel

Json = dict[str, Any]

NUMBERS = [0, 1, 7, -1, 2**63, 2**70]
INSTEAD = [None, 1.0, True, "0", "text", [], {}, [None], 5]
CALLS = {"function": ("arguments", {"name": "f", "output": None}), "code_interpreter": ("input", {"outputs": []})}


def plain_delta(rng: Random) -> Json:
    """A delta that appends one text, with some of the fields that plain deltas may have."""
    text = "".join(rng.choices(WORDS, k=rng.randint(0, 3)))
    if rng.random() < 0.5:
        value = chosen({"value": text}, {"annotations": []}, rng)
        part = {"index": rng.choice(NUMBERS), "type": "text", "text": value}
        delta = chosen({"content": [part]}, {"role": rng.choice(["assistant", "robot", None])}, rng)
        return chosen({"id": "msg_1", "delta": delta}, {"object": "thread.message.delta"}, rng)
    kind = rng.choice(list(CALLS))
    field, further = CALLS[kind]
    call = {"index": rng.choice(NUMBERS), "type": kind, kind: chosen({field: text}, further, rng)}
    details = {"type": "tool_calls", "tool_calls": [chosen(call, {"id": rng.choice(["call_1", None])}, rng)]}
    return chosen({"id": "step_1", "delta": {"step_details": details}}, {"object": "thread.run.step.delta"}, rng)


def chosen(value: Json, further: Json, rng: Random) -> Json:
    """The object with some of the further fields, in any order."""
    members = [*value.items(), *(each for each in further.items() if rng.random() < 0.5)]
    rng.shuffle(members)
    return dict(members)


def objects(value: Any) -> Iterator[Json]:
    """All objects inside a JSON value."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(item)


def nearly_plain(value: Json, rng: Random) -> None:
    """Replace, remove or add one field, or repeat one piece."""
    target = rng.choice(list(objects(value)))
    key = rng.choice(list(target))
    choice = rng.randrange(4)
    if choice == 0:
        target[key] = copy.deepcopy(rng.choice(INSTEAD + ODD))
    elif choice == 1:
        del target[key]
    elif choice == 2:
        target[rng.choice(["x_vendor", "id", "role", "index", "name", "annotations", "__dict__"])] = rng.choice(ODD)
    elif isinstance(target[key], list):
        target[key] += target[key]


def written(value: Json, rng: Random) -> bytes:
    """The JSON in one of the layouts of servers, with a key twice, or with some bytes changed."""
    text = json.dumps(value, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, None, 1]))
    if rng.random() < 0.1:
        text = text.replace("{", '{"id": "first", ', 1)
    if rng.random() < 0.1:
        text = "".join(rf"\u{ord(c):04x}" if c.isalpha() and rng.random() < 0.1 else c for c in text)
    raw = text.encode("utf-8", "surrogatepass")
    if rng.random() < 0.2:
        try:
            return rng.choice(MUTATIONS)(raw, rng)
        except (ValueError, LookupError):
            pass
    return raw


def read(read: Reader, raw: bytes) -> WireModel | None:
    """The model; None if the payload is refused."""
    try:
        found: WireModel = read(raw)
    except (ValueError, RecursionError):
        return None
    return found


def shape(value: Any) -> Any:
    """All that is inside, with the types of everything and the order of the fields."""
    if isinstance(value, WireModel):
        names = [(name, shape(item)) for name, item in value.__dict__.items()]
        return type(value), names, value.model_fields_set, value.model_extra, value.__pydantic_private__
    if isinstance(value, list):
        return type(value), [shape(item) for item in value]
    return type(value), value


def readings(model: WireModel) -> Iterator[Any]:
    """Everything that a program can read from a model, from its copies, and from what it was pickled into."""
    yield from (repr(model), str(model), hash(model), list(model), model.model_extra)
    for options in ({}, {"exclude_unset": True}, {"exclude_none": True}, {"exclude_defaults": True}):
        yield model.model_dump(**options)
        yield model.model_dump_json(by_alias=True, **options)
    yield from (model.to_dict(), model.to_json(), model.model_dump(mode="json"))
    yield shape(model)
    changed = model.model_copy(update={"id": "other", "x_vendor": [1]})
    again = (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model)), model.model_copy(deep=True))
    for each in (*again, changed, type(model).model_validate(model.to_dict())):
        yield shape(each)
    yield from (each == model for each in (*again, changed))


def differ(built: WireModel, validated: WireModel) -> str | None:
    """How the models differ."""
    if not (built == validated and validated == built and type(built) is type(validated)):
        return f"{built!r} != {validated!r}"
    for found, wanted in zip(readings(built), readings(validated), strict=True):
        if found != wanted:
            return f"{found!r} != {wanted!r}"
    try:
        built.id = "other"  # type: ignore[attr-defined]
    except ValueError:
        return None
    return "the built model can be changed"


def check(raw: bytes, model: str) -> str:
    """Compare both ways of reading a payload: built, validated or refused. Raises AssertionError."""
    asked = []

    def validate(raw: bytes | str) -> Any:
        asked.append(raw)
        return validator(model)(raw)

    found, wanted = read(reader(model, validate), raw), read(validator(model), raw)
    if found is None or wanted is None:
        assert found is wanted, raw
        return "refused"
    difference = None if asked else differ(found, wanted)
    assert difference is None, f"{raw!r}: {difference}"
    return "validated" if asked else "built"


def run(count: int, seed: int) -> Counter[str]:
    """Read `count` payloads; raises AssertionError on the first whose models differ."""
    rng = Random(seed)
    seen: Counter[str] = Counter()
    while seen.total() < count:
        value = plain_delta(rng)
        kind = "MessageDeltaEvent" if value["id"] == "msg_1" else "RunStepDeltaEvent"
        if rng.random() < 0.5:
            nearly_plain(value, rng)
        seen[check(written(value, rng), kind)] += 1
    return seen


if __name__ == "__main__":
    begun = time.perf_counter()
    outcome = run(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print(f"{outcome.total()} payloads in {time.perf_counter() - begun:.1f} s, no difference: {dict(outcome)}")

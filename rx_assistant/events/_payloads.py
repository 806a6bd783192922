"""The payloads of delta events as plain dicts, for code that needs more than the text and less than the model.

A shape lists the fields that the narrow reading and the fold use, with their types. A payload that matches is used
unchanged. Otherwise `conformed` makes a payload that matches: it leaves out malformed values (in the model they stay as
they were on the wire), and reads ids and indexes as the model does. Fields outside the shape may hold anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Shape: TypeAlias = "Mapping[str, type | Shape | tuple[Shape]]"
"""Key → type of its value, shape of the object there, or (shape,) of the objects in the array there."""

_ANNOTATION: Final[Shape] = {"index": int, "type": str, "file_citation": {}, "file_path": {}}
_CONTENT: Final[Shape] = {
    "index": int,
    "type": str,
    "text": {"value": str, "annotations": (_ANNOTATION,)},
    "refusal": str,
    "image_file": {},
    "image_url": {},
}
MESSAGE: Final[Shape] = {"id": str, "delta": {"role": str, "content": (_CONTENT,)}}

_OUTPUT: Final[Shape] = {"index": int, "type": str, "logs": str, "image": {}}
_CALL: Final[Shape] = {
    "index": int,
    "id": str,
    "type": str,
    "function": {"name": str, "arguments": str, "output": str},
    "code_interpreter": {"input": str, "outputs": (_OUTPUT,)},
    "file_search": {},
}
_DETAILS: Final[Shape] = {"type": str, "message_creation": {}, "tool_calls": (_CALL,)}
STEP: Final[Shape] = {"id": str, "delta": {"step_details": _DETAILS}}


def fits(value: object, shape: Shape) -> bool:
    """Whether `value` is an object whose keys hold null or a value of the type that the shape lists for them."""
    if type(value) is not dict:
        return False
    wanted_at = shape.get
    for key, item in value.items():
        wanted: Any = wanted_at(key)
        if type(item) is wanted or wanted is None or item is None:
            continue
        if type(wanted) is dict:
            if not fits(item, wanted):
                return False
        elif type(wanted) is not tuple or type(item) is not list:
            return False
        else:
            for one in item:
                if not fits(one, wanted[0]):
                    return False
    return True


def conformed(value: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """The object without malformed values. A malformed item of an array becomes null, so that positions stay.

    Raises ValueError when its `index` is neither an integer nor digits, because its position is unknown then.
    """
    found: dict[str, Any] = {}
    for key, item in value.items():
        wanted: Any = shape.get(key)
        if wanted is None or item is None or type(item) is wanted:
            found[key] = item
        elif type(wanted) is dict:
            if type(item) is dict:
                found[key] = conformed(item, wanted)
        elif type(wanted) is tuple:
            if type(item) is list:
                found[key] = [_conformed_item(one, wanted[0]) for one in item]
        elif key == "index":
            found[key] = _as_key(key, item)
        else:
            _take_key(found, key, item)
    return found


def _conformed_item(value: object, shape: Shape) -> dict[str, Any] | None:
    try:
        return conformed(value, shape) if isinstance(value, dict) else None
    except ValueError:
        return None


def _take_key(found: dict[str, Any], key: str, item: object) -> None:
    """Add an id that is a number as text. Other malformed values are left out."""
    try:
        found[key] = _as_key(key, item)
    except ValueError:
        pass


def _as_key(name: str, value: object) -> str | int:
    from rx_assistant.types._keys import key_reader  # imported here, because it loads the package of the models

    as_key = key_reader(name)
    if as_key is None:
        raise ValueError(f"a malformed value of {name!r} cannot be read as an id or index")
    return as_key(value)

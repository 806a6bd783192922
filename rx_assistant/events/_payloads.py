"""The payloads of delta events as plain dicts, for readers who need more than a text and less than a model.

The shapes below are stricter than the wire models: a payload that fits one is accepted by the model, unconverted, so
that the dict is what the model would dump. What does not fit is for the model to judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

Shape: TypeAlias = "Mapping[str, type | Shape | tuple[Shape]]"
"""Key → type of its value, shape of the object there, or (shape,) of the objects in the array there."""

_FILE: Final[Shape] = {"file_id": str, "quote": str}
_IMAGE: Final[Shape] = {"file_id": str, "url": str, "detail": str}
_ANNOTATION: Final[Shape] = {
    "index": int,
    "type": str,
    "text": str,
    "start_index": int,
    "end_index": int,
    "file_citation": _FILE,
    "file_path": _FILE,
}
_CONTENT: Final[Shape] = {
    "index": int,
    "type": str,
    "text": {"value": str, "annotations": (_ANNOTATION,)},
    "refusal": str,
    "image_file": _IMAGE,
    "image_url": _IMAGE,
}
MESSAGE: Final[Shape] = {"id": str, "object": str, "delta": {"role": str, "content": (_CONTENT,)}}

_OUTPUT: Final[Shape] = {"index": int, "type": str, "logs": str, "image": _FILE}
_CALL: Final[Shape] = {
    "index": int,
    "id": str,
    "type": str,
    "function": {"name": str, "arguments": str, "output": str},
    "code_interpreter": {"input": str, "outputs": (_OUTPUT,)},
    "file_search": type(None),  # rare and rich: the model reads it
}
_DETAILS: Final[Shape] = {"type": str, "message_creation": {"message_id": str}, "tool_calls": (_CALL,)}
STEP: Final[Shape] = {"id": str, "object": str, "delta": {"step_details": _DETAILS}}


def fits(value: object, shape: Shape) -> bool:
    """Whether it is an object whose known keys hold null or exactly what the shape says. Unknown keys may hold
    anything."""
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

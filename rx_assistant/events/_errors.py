"""A server's error in any shape → an ErrorObject. Shapes: `{"error": {…}}`, a flat object, a text, a list.

Also finds an error after an incomplete frame. A proxy that loses its upstream writes its error where the last frame
broke off, so both arrive as one frame with several lines of data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from rx_assistant.events._base import json_reader
from rx_assistant.events._json_text import text_of

if TYPE_CHECKING:
    from rx_assistant.types import ErrorObject

_SILENT: Final = "(the server gave no reason)"
_LONGEST: Final = 4000  # characters of a message; the event keeps the whole payload
_LINES: Final = 100  # lines, counted from the end, in which an error may begin
_DEEPEST: Final = 8  # levels of JSON in which a message is looked for
_WORDS: Final = (
    "message",
    "error",
    "detail",
    "details",
    "errors",
    "msg",
    "error_message",
    "error_description",
    "description",
    "reason",
    "title",
)
"""The members that hold a server's message, in the order of preference."""

_FLAT: Final = {"detail", "message", "msg", "code", "status", "status_code", "type", "param", "title", "instance"}
"""The members of an error object that has no `error` member."""

_NAMED: Final = "event: error", "event:error"


def read_error(payload: bytes | str) -> ErrorObject:
    """The error in an `error` event's payload. Its message is a text that is never empty."""
    from rx_assistant.types import ErrorObject

    text = (text_of(payload) if isinstance(payload, bytes) else payload).strip()
    value = _value(text)
    nested = value.get("error") if isinstance(value, dict) else None
    fields = nested if isinstance(nested, dict) else value if isinstance(value, dict) else {}
    message = "; ".join(dict.fromkeys(_words(value, 0))) or text or _SILENT
    if fields.get("message") == message and len(message) <= _LONGEST:
        try:
            return ErrorObject.model_validate_json(json.dumps(fields))
        except ValueError:
            pass  # leave out a malformed member, and keep the others
    texts = {name: _scalar(fields.get(name)) for name in ("code", "param", "type") if name in fields}
    shown = message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"
    return ErrorObject.model_validate({**{k: v for k, v in texts.items() if k != "type" or v}, "message": shown})


def glued_error(data: bytes) -> bytes | None:
    """The payload of the error in a frame whose data lines are not one JSON value; None if there is no error."""
    text = text_of(data)
    if _is_json(text):
        return None
    lines = text.splitlines()
    if lines and lines[-1].strip() == "[DONE]":
        lines.pop()
    for at in range(len(lines) - 1, max(len(lines) - 1 - _LINES, -1), -1):
        rest = "\n".join(lines[at:])
        if (is_error(rest) or (at > 0 and lines[at - 1].endswith(_NAMED))) and rest:
            return rest.encode("utf-8", "replace")
    return None


def is_error(text: str) -> bool:
    """Whether a frame without a name reports an error."""
    if text[:1] != "{":
        return False
    value = _loaded(text)
    if not isinstance(value, dict):
        return False
    if value.get("error"):
        return True
    if value.get("object") or value.get("id"):
        return False
    flat = isinstance(value.get("message"), str) and ("code" in value or "param" in value)
    return (bool(value.get("detail") or flat) and value.keys() <= _FLAT) or value.get("event") == "error"


def _value(text: str) -> Any:
    """The text's JSON value, or the value of its last lines after an incomplete frame; else the text itself."""
    if _is_json(text):
        return _loaded(text)
    if "\n" in text:
        rest = glued_error(text.encode("utf-8", "replace"))
        if rest is not None:
            return _loaded(text_of(rest))
    return text


def _loaded(text: str) -> Any:
    try:
        return json_reader()(text)
    except (ValueError, RecursionError):
        return text


def _is_json(text: str) -> bool:
    try:
        json_reader()(text)
    except (ValueError, RecursionError):
        return False
    return True


def _words(value: Any, depth: int) -> Iterator[str]:
    """The texts in a JSON value; of an object, the texts of the members in `_WORDS`."""
    if isinstance(value, str):
        if value.strip():
            yield value.strip()
    elif isinstance(value, list) and depth < _DEEPEST:
        for item in value:
            yield from _words(item, depth + 1)
    elif isinstance(value, Mapping) and depth < _DEEPEST:
        for name in _WORDS:
            yield from _words(value.get(name), depth + 1)


def _scalar(value: Any) -> str | None:
    return None if value is None or isinstance(value, dict | list) else str(value)

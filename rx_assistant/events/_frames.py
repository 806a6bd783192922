"""Server-sent events ⇄ stream events: the class of a frame, and the frame of an event.

Some proxies send no event names, but wrap each payload: `data: {"event": NAME, "data": PAYLOAD}`, `data: {"error": …}`,
`data: [DONE]`. Others write an error where a frame broke off. Only this module handles both.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache, partial
from json import JSONDecoder
from typing import Any, Final, TypeAlias

from rx_assistant.events._base import StreamEvent
from rx_assistant.events._errors import glued_error, is_error
from rx_assistant.events._json_text import text_of
from rx_assistant.events._kinds import BY_NAME, DoneEvent, ErrorEvent, ReasoningDelta, UnknownEvent

Kind: TypeAlias = Callable[[bytes], StreamEvent]
"""Bytes of a payload → the event: an event class, or a small callable where the name is unknown."""

KINDS: Final[dict[bytes, Kind]] = {
    **{name.encode(): kind for name, kind in BY_NAME.items()},
    b"thread.run.reasoning.delta": ReasoningDelta,
}
"""The table that `classify` reads first. Hot loops may read it directly."""
_NAMELESS: Final = (b"", b"message")
_DONE: Final = b"[DONE]"


def _no_number(digits: str) -> None:
    """Read a number as None: numbers are not used here, and converting a long one is slow."""


_read_json: Final = JSONDecoder(parse_int=_no_number, parse_float=_no_number).raw_decode
_skip_space: Final = re.compile(r"[ \t\n\r]*").match
_line_end: Final = re.compile(rb"\r\n|\r|\n")


def classify(name: bytes, data: bytes) -> tuple[Kind, bytes]:
    """A frame's kind and payload: `kind(payload)` creates the event.

    The payload of a named frame is not read, unless its data has several lines. Never raises.
    """
    if b"\n" in data:
        error = glued_error(data)
        if error is not None:
            return ErrorEvent, error
    kind = KINDS.get(name)
    if kind is not None:
        return kind, data
    if name in _NAMELESS:
        return _unwrap(data)
    return (ErrorEvent if _names_an_error(name) else unknown_kind(name)), data


def proves_done(data: bytes) -> bool:
    """Whether a `done` frame with this data completes the stream.

    It does not if the data has several lines: the blank lines between frames were lost.
    """
    return data.strip() == _DONE or b"\n" not in data.strip()


def _names_an_error(name: bytes) -> bool:
    """Whether the name means `error`: in capital letters, or after half of another name."""
    return name.lower() == b"error" or name.endswith((b"event: error", b"event:error"))


def frame(event: StreamEvent) -> bytes:
    """The event as one server-sent event; decoding it gives an equal event."""
    lines = _line_end.split(event.raw) if b"\n" in event.raw or b"\r" in event.raw else [event.raw]
    return b"".join([b"event: ", event.event.encode(), b"\n", *(b"data: " + line + b"\n" for line in lines), b"\n"])


@lru_cache(maxsize=256)
def unknown_kind(name: bytes) -> Kind:
    """A function that creates an unknown event of that name from its bytes."""
    return partial(UnknownEvent, text_of(name))


def _unwrap(data: bytes) -> tuple[Kind, bytes]:
    """A frame without a name: the event that a proxy wrapped in it, else an unknown event `message`."""
    if data.strip() == _DONE:
        return DoneEvent, _DONE
    text = text_of(data)
    try:
        members = _members(text)
    except (ValueError, RecursionError):
        members = {}
    wrapped = _wrapped_name(members)
    if wrapped is not None:
        value, own_text = members["data"]
        inner = (value if isinstance(value, str) else own_text).encode("utf-8", "backslashreplace")  # halves as escapes
        return KINDS.get(wrapped) or unknown_kind(wrapped), inner
    if members and is_error(text):
        return ErrorEvent, data
    return unknown_kind(b"message"), data


def _wrapped_name(members: dict[str, tuple[Any, str]]) -> bytes | None:
    """The event name in a wrapper; None if the object is not a wrapper, or a frame cannot hold the name."""
    name = members["event"][0] if "event" in members and "data" in members else None
    if not isinstance(name, str) or "\n" in name or "\r" in name:
        return None
    encoded = name.encode("utf-8", "replace")
    return None if encoded in _NAMELESS else encoded


def _members(text: str) -> dict[str, tuple[Any, str]]:
    """The members of a JSON object: name → (value, the value's JSON text). Raises ValueError for other text."""
    found: dict[str, tuple[Any, str]] = {}
    at = _expect("{", text, 0)
    while True:
        key, at = _read_json(text, at)
        start = _expect(":", text, at)
        value, at = _read_json(text, start)
        found[key] = value, text[start:at]
        at = _after_space(text, at)
        if text[at : at + 1] == "}" and not text[at + 1 :].strip(" \t\n\r"):
            return found
        at = _expect(",", text, at)


def _expect(mark: str, text: str, at: int) -> int:
    at = _after_space(text, at)
    if text[at : at + 1] != mark:
        raise ValueError(f"the JSON object must continue with {mark!r} at {at}")
    return _after_space(text, at + 1)


def _after_space(text: str, at: int) -> int:
    space = _skip_space(text, at)
    return space.end() if space else at

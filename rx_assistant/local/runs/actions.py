"""Checks of the actions that an engine yields, before they change anything: every field must have its declared type.

The checks are made from the annotations in `engine.py`, once per class. A checked action can always be encoded as
JSON, so applying it cannot fail half-way.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

from rx_assistant.local.engine import Action

_LARGEST = 2**53

Check: TypeAlias = Callable[[object, str], None]
"""Return if a value fits, otherwise raise EngineError. The text is the place of the value, such as `Text.value`."""


class EngineError(Exception):
    """The run cannot continue: the engine violated the protocol, or a resource is no longer usable.

    The message is for the engine's author and becomes the run's `last_error`. It names types and places, never values.
    """


def check_action(action: object) -> None:
    """Raise EngineError if `action` is not an action, or if a field has a wrong type."""
    check = _CHECKS.get(type(action)) or _check_for(action)
    check(action, "")


def _check_for(action: object) -> Check:
    """The check for an action's class, which may be a subclass of an action."""
    kind = type(action)
    cls = next((known for known in kind.__mro__ if known in _KINDS), None)
    if cls is None:
        wanted = "actions of rx_assistant.local.engine"
        raise EngineError(f"An engine must yield {wanted}, got {_kind(action)}.{_hint(action)}")
    check = _check_of(cls)
    if cls is kind:
        _CHECKS[cls] = check
    return check


def check_argument(value: object, kind: type[str] | type[bytes] | type[int], where: str) -> None:
    """Raise EngineError if an argument that an engine passes to a function of its context has a wrong type."""
    _PLAIN[kind](value, where)


def check_given(given: object) -> None:
    """Raise EngineError if the result of `Engine.run` does not work in `async for`."""
    if not hasattr(given, "__aiter__"):
        found = _kind(given)
        raise EngineError(
            f"Engine.run must return an async iterator, got {found}: write it as an async generator,"
            " `async def` with `yield`."
        )


def _kind(value: object) -> str:
    """The value's type in words. Closes a coroutine, so that Python does not warn about it too."""
    if inspect.iscoroutine(value):
        value.close()
        return "a coroutine"
    if value is None:
        return "None"
    return f"the class {value.__name__}" if isinstance(value, type) else f"a value of type {type(value).__name__}"


def _hint(value: object) -> str:
    if isinstance(value, str):
        return " Yield Text(value) for text."
    if isinstance(value, type) and value in _KINDS:
        return f" Yield {value.__name__}() instead."
    return ""


def _wrong(where: str, wanted: str, value: object) -> EngineError:
    hint = ": await it first" if inspect.iscoroutine(value) else ""
    return EngineError(f"{where} must be {wanted}, got {_kind(value)}{hint}.")


@cache
def _check_of(hint: Any) -> Check:
    """The check for one annotation."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _either(parts)
    if origin is Literal:
        return _one_of(parts)
    if origin is tuple:
        return _each(_check_of(parts[0]))
    if origin is not None and issubclass(origin, Mapping):
        return _mapping(_check_of(parts[0]), _check_of(parts[1]))
    return _PLAIN[hint] if hint in _PLAIN else _record(hint)


def _record(cls: type) -> Check:
    hints = get_type_hints(cls)
    checks = [(field.name, f"{cls.__name__}.{field.name}", _check_of(hints[field.name])) for field in fields(cls)]

    def check(value: object, where: str) -> None:
        if not isinstance(value, cls):
            raise _wrong(where, f"of type {cls.__name__}", value)
        for name, place, inner in checks:
            inner(getattr(value, name, None), place)

    return check


def _either(hints: tuple[Any, ...]) -> Check:
    """The check of several alternatives, with or without None."""
    kinds = [hint for hint in hints if hint is not NoneType]
    checks = [_check_of(hint) for hint in kinds]

    def check(value: object, where: str) -> None:
        if value is None and NoneType in hints:
            return
        if len(checks) == 1:
            checks[0](value, where)
        elif not any(_fits(inner, value) for inner in checks):
            raise _wrong(where, " or ".join(_WORDS[kind] for kind in kinds), value)

    return check


def _fits(check: Check, value: object) -> bool:
    try:
        check(value, "")
    except EngineError:
        return False
    return True


def _one_of(values: tuple[object, ...]) -> Check:
    wanted = "one of " + ", ".join(repr(value) for value in values)

    def check(value: object, where: str) -> None:
        if not isinstance(value, str):
            raise _wrong(where, wanted, value)
        if value not in values:
            raise EngineError(f"{where} must be {wanted}, got another string.")

    return check


def _each(inner: Check) -> Check:
    def check(value: object, where: str) -> None:
        if not isinstance(value, list | tuple):
            raise _wrong(where, "a tuple", value)
        for item in value:
            inner(item, f"An item of {where}")

    return check


def _mapping(name: Check, inner: Check) -> Check:
    def check(value: object, where: str) -> None:
        if not isinstance(value, Mapping):
            raise _wrong(where, "a mapping", value)
        for key, item in value.items():
            name(key, f"A name in {where}")
            inner(item, f"A value in {where}")

    return check


def _text(value: object, where: str) -> None:
    if not isinstance(value, str):
        raise _wrong(where, _WORDS[str], value)


def _bytes(value: object, where: str) -> None:
    if not isinstance(value, bytes):
        raise _wrong(where, _WORDS[bytes], value)


def _count(value: object, where: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(where, _WORDS[int], value)
    if not 0 <= value < _LARGEST:
        raise EngineError(f"{where} must be at least 0 and less than 2**53, got another integer.")


def _number(value: object, where: str) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong(where, _WORDS[float], value)
    if not (math.isfinite(value) if isinstance(value, float) else abs(value) < _LARGEST):
        raise EngineError(f"{where} must be a finite number below 2**53.")


def _json(value: object, where: str) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise _wrong(where, "JSON", value) from None


def _flag(value: object, where: str) -> None:
    if not isinstance(value, bool):
        raise _wrong(where, _WORDS[bool], value)


_WORDS: Mapping[object, str] = {
    str: "a string",
    bytes: "bytes",
    int: "an integer",
    float: "a finite number",
    bool: "a boolean",
}
_PLAIN: Mapping[object, Check] = {str: _text, bytes: _bytes, int: _count, float: _number, bool: _flag, object: _json}
_KINDS: frozenset[type] = frozenset(get_args(Action))
_CHECKS: dict[type, Check] = {}
"""The checks of the actions that were seen so far."""

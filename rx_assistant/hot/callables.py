"""Callables whose call runs none of their code: a call of them as a callback would do nothing, in silence."""

from __future__ import annotations

import functools
import inspect

_KINDS = (
    (inspect.iscoroutinefunction, "an async function"),
    (inspect.isasyncgenfunction, "an async generator function"),
    (inspect.isgeneratorfunction, "a generator function"),
)


def deferred(callback: object) -> str | None:
    """Name the kind of function, such as "a generator function", if a call runs none of its code; else None.

    Partial functions and objects with `__call__` are looked into.
    """
    while isinstance(callback, functools.partial):
        callback = callback.func
    for candidate in (callback, getattr(callback, "__call__", None)):  # noqa: B004 - it may be a generator function
        for is_kind, name in _KINDS:
            if is_kind(candidate):
                return name
    return None

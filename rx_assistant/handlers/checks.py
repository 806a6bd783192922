"""Finds callbacks that would have no effect: with `yield`, with an `async def` that is not awaited, or misspelt."""

from __future__ import annotations

import difflib
import inspect
import logging
import re
import weakref
from collections.abc import Callable
from typing import Any

from rx_assistant.hot import deferred

_log = logging.getLogger("rx_assistant")
_SIMILAR = 0.85  # "on_text_deltas" to "on_text_delta" is 0.96; "on_message" to "on_message_done" is 0.8
_warned: weakref.WeakSet[type] = weakref.WeakSet()


def check_callbacks(handler: object, base: type, *, awaited: bool) -> None:
    """Raise TypeError for a callback whose code a call would not run; warn of a method with a misspelt callback name.

    `awaited`: the handler's callbacks may be coroutine functions. The warning is logged once for each class.
    """
    callbacks = [name for name in vars(base) if name.startswith("on_")]
    for name in callbacks:
        kind = deferred(getattr(handler, name))
        if kind is not None and not (awaited and kind == "an async function"):
            raise _refusal(f"{type(handler).__name__}.{name}", kind)
    if type(handler) not in _warned:
        _warned.add(type(handler))
        _warn_of_misspelt(handler, base, callbacks)


def refuse_deferred(callback: Callable[..., Any], result: object) -> None:
    """Raise TypeError when a callback returned a generator or coroutine, which would not run.

    `check_callbacks` does not see such a function below a decorator.
    """
    if inspect.isgenerator(result):
        raise _refusal(_name(callback), "a generator function")
    if inspect.isasyncgen(result):
        raise _refusal(_name(callback), "an async generator function")
    if inspect.iscoroutine(result):
        result.close()
        raise _refusal(_name(callback), "an async function")


def _name(callback: object) -> str:
    return str(getattr(callback, "__qualname__", None) or callback)


def _refusal(name: str, kind: str) -> TypeError:
    instead = (
        "derive the handler from AsyncAssistantEventHandler, or write a plain def"
        if kind == "an async function"
        else "write it without `yield`; to yield the pieces to a web response, loop over `stream.text_deltas` instead"
    )
    return TypeError(f"{name} is {kind}, and calling it runs none of its code: {instead}")


def _warn_of_misspelt(handler: object, base: type, callbacks: list[str]) -> None:
    kind = type(handler)
    of_users = kind.__mro__[: kind.__mro__.index(base)]
    names = {name for each in (*of_users, handler) for name in vars(each) if name.startswith("on")}
    for name in sorted(names.difference(callbacks)):
        nearest = _nearest(name, callbacks)
        if nearest is not None and callable(getattr(handler, name)):
            _log.warning(
                "%s.%s is never called, because no callback has this name. Did you mean %s?",
                kind.__name__,
                name,
                nearest,
            )


def _nearest(name: str, callbacks: list[str]) -> str | None:
    """The callback with a very similar name; None if the method is probably not meant as a callback."""
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    close = difflib.get_close_matches(snake, callbacks, n=1, cutoff=_SIMILAR)
    return close[0] if close and close[0][:4] == snake[:4] else None

"""Blocks of the wrong kind: `async with` on a synchronous object, or `with` on an asynchronous one."""

from __future__ import annotations

from typing import TYPE_CHECKING


class SyncBlock:
    """An object for `with`. Type checkers refuse `async with` by themselves."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __aenter__(self):
            raise TypeError(f"{type(self).__name__} is synchronous: write `with`, without `async`")

        def __aexit__(self, kind, error, traceback):
            """Only looked for: Python does so before it calls `__aenter__`."""


class AsyncBlock:
    """An object for `async with`. Type checkers refuse `with` by themselves."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __enter__(self):
            raise TypeError(f"{type(self).__name__} is asynchronous: write `async with`")

        def __exit__(self, kind, error, traceback):
            """Only looked for: Python does so before it calls `__enter__`."""

"""TypeErrors for the wrong kind of block: `async with` on a synchronous object, or `with` on an asynchronous one."""

from __future__ import annotations

from typing import TYPE_CHECKING


class SyncBlock:
    """An object for `with`. `async with` raises TypeError, and type checkers report it."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __aenter__(self):
            raise TypeError(f"{type(self).__name__} is synchronous: write `with`, without `async`")

        def __aexit__(self, kind, error, traceback):
            """Never called. Python looks for it before it calls `__aenter__`."""


class AsyncBlock:
    """An object for `async with`. `with` raises TypeError, and type checkers report it."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __enter__(self):
            raise TypeError(f"{type(self).__name__} is asynchronous: write `async with`")

        def __exit__(self, kind, error, traceback):
            """Never called. Python looks for it before it calls `__enter__`."""

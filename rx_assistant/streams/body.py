"""The sources that a pump reads: an open response, a recording or polled states, as bytes of server-sent events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias

OPEN_BODIES: Final[dict[int, object]] = {}
"""The open bodies, by `id()`. A stream that is collected closes its body. The stream must be finalised before the
body's socket, which would warn too. So this reference keeps the body alive until it is closed."""


Take: TypeAlias = Callable[[bytes], object]
"""Takes a chunk; returns something false to get no more of them now."""


class Body(Protocol):
    """Bytes that arrive in chunks, on the thread that asks for them."""

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, for support and logs."""

    def read(self) -> bytes:
        """Return the next chunk; `b""` at the end. Raises only errors of rx_assistant."""
        ...

    def saw_event(self) -> None:
        """Note that a chunk held an event, for timeouts that count events, not bytes."""

    def finish(self) -> None:
        """Release the connection after a good end, after reading the few bytes that may be left; bounded in time."""

    def close(self) -> None:
        """Stop now; from any thread, idempotent, without waiting. A `read()` in progress ends soon, in any way."""


class AsyncBody(Protocol):
    """Bytes that arrive in chunks, for the task that asks for them."""

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, for support and logs."""

    async def read(self) -> bytes:
        """Return the next chunk; `b""` at the end. Raises only errors of rx_assistant."""
        ...

    def saw_event(self) -> None:
        """Note that a chunk held an event, for timeouts that count events, not bytes."""

    async def finish(self) -> None:
        """Release the connection after a good end, after reading the few bytes that may be left; bounded in time."""

    async def aclose(self) -> None:
        """Stop and free the connection; idempotent."""

    def close_soon(self) -> None:
        """Stop, from any thread, and return at once. A `read()` in progress ends if this thread can end it."""


def pour(body: AsyncBody, take: Take) -> Awaitable[bool]:
    """Read on: give each chunk to `take`, until it returns something false; False at the end of the body.

    A body that can read on by itself, without a coroutine for each chunk, has a method of this name.
    """
    own: Any = getattr(body, "pour", None)
    awaitable: Awaitable[bool] = _pour(body, take) if own is None else own(take)
    return awaitable


async def _pour(body: AsyncBody, take: Take) -> bool:
    while chunk := await body.read():
        if not take(chunk):
            return True
    return False

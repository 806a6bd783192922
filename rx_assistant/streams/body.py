"""The sources that a pump reads: an open response, a recording or polled states, as bytes of server-sent events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol, TypeAlias

OPEN_BODIES: Final[dict[int, object]] = {}
"""The open bodies, by `id()`. They stay alive until they are closed, so that a stream that is garbage-collected can
close its body. Without this reference, Python might collect the socket first, with a warning of its own."""


Take: TypeAlias = Callable[[bytes], object]
"""Takes a chunk. Returns a false value to get no further chunk now."""


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
        """Release the connection for reuse after a good end. Reads the bytes that are left, for a limited time."""

    def close(self) -> None:
        """Stop and close the connection; from any thread, idempotent, without waiting.

        A `read()` in progress ends soon: it returns or raises.
        """


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
        """Release the connection for reuse after a good end. Reads the bytes that are left, for a limited time."""

    async def aclose(self) -> None:
        """Stop and close the connection; idempotent."""

    def close_soon(self) -> None:
        """Stop, from any thread, and return at once. A `read()` in progress ends if this thread can end it."""


def pour(body: AsyncBody, take: Take) -> Awaitable[bool]:
    """Read chunks and pass each to `take`, until `take` returns a false value. False at the end of the body.

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

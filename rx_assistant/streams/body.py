"""What a pump reads from: an open response, a recording, polled states. Bytes of server-sent events, nothing else."""

from __future__ import annotations

from typing import Final, Protocol

OPEN: Final[dict[int, object]] = {}
"""The bodies that are open, by `id()`. A stream that is collected closes its body. It has to be finalised before the
body's socket is, which would warn too; so the body is kept alive here until it is closed."""


class Body(Protocol):
    """Bytes that arrive in chunks, on the thread that asks for them."""

    @property
    def request_id(self) -> str | None:
        """The server's name for the request, for support and logs."""

    def read(self) -> bytes:
        """Give the next chunk; `b""` at the end. Raises errors of ours only."""
        ...

    def saw_event(self) -> None:
        """Learn that a chunk held an event: for timeouts that count events, not bytes."""

    def finish(self) -> None:
        """Give the connection back after a good end, reading what little may be left; bounded in time."""

    def close(self) -> None:
        """Stop now; from any thread, idempotent, without waiting. A `read()` under way ends soon, somehow."""


class AsyncBody(Protocol):
    """Bytes that arrive in chunks, for the task that asks for them."""

    @property
    def request_id(self) -> str | None:
        """The server's name for the request, for support and logs."""

    async def read(self) -> bytes:
        """Give the next chunk; `b""` at the end. Raises errors of ours only."""
        ...

    def saw_event(self) -> None:
        """Learn that a chunk held an event: for timeouts that count events, not bytes."""

    async def finish(self) -> None:
        """Give the connection back after a good end, reading what little may be left; bounded in time."""

    async def aclose(self) -> None:
        """Stop and free the connection; idempotent."""

    def close_soon(self) -> None:
        """Stop, from any thread, and return at once; a `read()` under way ends if that can be done from here."""

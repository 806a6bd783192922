"""HTTP connections that send what one turn of the event loop writes in one piece.

uvicorn writes the head of a reply, each part of its body and its end separately, which costs a system call each, and
often wakes the client each time.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.auto import AutoHTTPProtocol

_MOST = 64 * 2**10  # bytes; more is written at once, so that a slow reader is noticed


class GatheringProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # uvicorn chooses the class
    """uvicorn's protocol on a transport that gathers."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        gathering = _Gathering(cast("asyncio.Transport", transport))
        super().connection_made(cast("asyncio.Transport", gathering))


class _Gathering:
    """A transport. All but `write`, `close` and `abort` is done by the transport below."""

    def __init__(self, below: asyncio.Transport) -> None:
        self._below = below
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []
        self._size = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._below, name)

    def write(self, data: bytes) -> None:
        """Keep the bytes until the end of this turn, or write them now if they are many."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size >= _MOST:
            self._flush()

    def close(self) -> None:
        """Write what is left, and close."""
        self._flush()
        self._below.close()

    def abort(self) -> None:
        """Close at once. What is left is lost."""
        self._parts.clear()
        self._below.abort()

    def _flush(self) -> None:
        parts, self._parts, self._size = self._parts, [], 0
        if parts and not self._below.is_closing():
            self._below.write(b"".join(parts))

"""Ending a read that blocks in another thread: by shutting the connection's socket down.

A response cannot be closed while somebody reads it, and a socket must not be closed under a reader: its number may
be somebody else's connection a moment later. Shutting down is safe, if it is done through a duplicate of the
descriptor that nobody else closes; and if it is never done after the response has given its connection back, for
then the next request on that connection would die. `Cutter` is that duplicate and that rule.
"""

from __future__ import annotations

import socket
from threading import RLock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rx_assistant.http.transports import Response


class Cutter:
    """A way to cut one response's connection, until it is released. All methods may be called from any thread."""

    __slots__ = ("_lock", "_socket")

    def __init__(self, response: Response) -> None:
        self._lock = RLock()
        self._socket = _duplicate(response)

    @property
    def possible(self) -> bool:
        """Whether there is a socket that belongs to this response alone."""
        return self._socket is not None

    def cut(self) -> None:
        """Shut the connection down, if it is still ours. A blocked read ends at once. Never blocks, never raises."""
        with self._lock:
            if self._socket is not None:
                shut_down(self._socket)

    def release(self) -> None:
        """From here on `cut` does nothing: the connection is about to serve others."""
        with self._lock:
            held, self._socket = self._socket, None
        if held is not None:
            held.close()


def _duplicate(response: Response) -> socket.socket | None:
    """A second descriptor for the connection; None on HTTP/2, which shares it, and where there is no socket."""
    stream = response.extensions.get("network_stream")
    if stream is None or response.http_version not in {"HTTP/1.1", "HTTP/1.0"}:
        return None
    return duplicate(stream)


def duplicate(stream: Any) -> socket.socket | None:
    """A second descriptor for a connection's socket, which nobody else closes; None where there is no socket."""
    original = stream.get_extra_info("socket")
    try:
        return socket.fromfd(original.fileno(), original.family, original.type)
    except (AttributeError, OSError, ValueError):
        return None


def shut_down(connection: socket.socket) -> None:
    """End the connection: whoever reads from it or writes to it stops at once. Never blocks, never raises."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass

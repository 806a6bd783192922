"""Requests that another thread may break off: one at a time, over a connection of their own.

A thread that waits for a reply sits in a blocking read until the reply comes. Closing the socket under it is not safe,
shutting the connection down is, if it serves nobody else. So a line has a connection that is its own, and learns of
its socket when it is opened. Where the HTTP client was given, a line can only cut what was opened for its own request;
on a connection that was there before, the waiting thread ends with the reply.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping
from typing import Any

from rx_assistant.errors import APIConnectionError
from rx_assistant.http.cutting import duplicate, shut_down
from rx_assistant.http.options import NO_OPTIONS, CallOptions
from rx_assistant.http.request import Request
from rx_assistant.http.session import Reply, Session

_OPENED = ("connect_tcp.complete", "connect_unix_socket.complete")


class Line:
    """Sends a session's requests until it is cut. `cut()` works from any thread, `send()` is for one at a time."""

    def __init__(self, session: Session) -> None:
        self._session = session.line(self._trace, self._pause)
        self._broken = threading.Event()
        self._lock = threading.Lock()
        self._sending = False
        self._socket: socket.socket | None = None

    def send(self, request: Request, options: CallOptions = NO_OPTIONS) -> Reply:
        """The reply to a request; APIConnectionError once the line has been cut."""
        with self._lock:
            self._raise_if_cut()
            self._sending = True
        try:
            return self._session.send(request, options)
        finally:
            with self._lock:
                self._sending = False
                if self._broken.is_set() or not self._session.owned:
                    self._hold(None)
            if self._broken.is_set():
                self._session.close()

    def cut(self) -> bool:
        """Break off the request under way, and send no other; False if it can only be waited for. Never blocks."""
        with self._lock:
            self._broken.set()
            if self._socket is not None:
                shut_down(self._socket)
            if self._sending:
                return self._socket is not None or self._session.owned
            self._hold(None)
        self._session.close()
        return True

    def _raise_if_cut(self) -> None:
        if self._broken.is_set():
            raise APIConnectionError("the request was broken off")

    def _pause(self, seconds: float) -> None:
        """The wait before another try."""
        self._broken.wait(seconds)
        self._raise_if_cut()

    def _trace(self, name: str, info: Mapping[str, Any]) -> None:
        """What the HTTP library tells of its progress."""
        if name.endswith(_OPENED):
            with self._lock:
                self._hold(duplicate(info["return_value"]))
                if self._broken.is_set() and self._socket is not None:
                    shut_down(self._socket)
        elif name.endswith("start_tls.complete"):
            tls = info["return_value"].get_extra_info("ssl_object")
            if tls is not None and tls.selected_alpn_protocol() == "h2":
                with self._lock:  # such a connection may serve others at the same time
                    self._hold(None)

    def _hold(self, opened: socket.socket | None) -> None:
        held, self._socket = self._socket, opened
        if held is not None:
            held.close()

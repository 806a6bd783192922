"""One call's connection on threads, and how another thread interrupts it.

A thread that connects or reads is blocked in the operating system. Another thread must not close its socket, because
the number of the descriptor may belong to another connection a moment later. It can shut the connection down through a
second descriptor. This is safe while no other call uses the connection.

    Connection   an httpx client and the socket that it opened last; one call at a time uses it
    Abort        ends a call from any thread

This package makes `owned` connections: each has its own httpx client, so its socket is known from the moment it is
opened. A passed client shares its connections among its users. Their socket is known if this call opens the connection,
and otherwise from the head of the reply on. On HTTP/2, and without a socket, it is never known.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from rx_assistant.errors import APIConnectionError, RxAssistantError
from rx_assistant.grace import CLOSE_SECONDS
from rx_assistant.hot import Sleepers, start_thread

if TYPE_CHECKING:
    from rx_assistant.http.transports import Response

T = TypeVar("T")

_OPENED = ("connect_tcp.complete", "connect_unix_socket.complete")
_ENCRYPTED = "start_tls.complete"
_CLOSING = "response_closed.started"


class Connection:
    """An httpx client for one call at a time, and the socket that it opened last."""

    __slots__ = (
        "_copy",
        "_lock",
        "_process",
        "_stream",
        "http",
        "idle_since",
        "is_discarded",
        "is_left",
        "is_shut",
        "owned",
    )

    def __init__(self, http: Any, *, owned: bool) -> None:
        self.http = http
        self.owned = owned
        self.is_shut = False
        self.is_discarded = False
        self.is_left = False  # an abandoned thread still uses it
        self.idle_since = 0.0
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._stream: Any = None  # httpcore's network stream
        self._copy: socket.socket | None = None  # a second descriptor; only this object closes it

    @property
    def is_open(self) -> bool:
        """Whether the next request can use the connection. If an idle one is readable, the server has closed it."""
        return self._copy is not None and self._is_alive() and not self._stream.get_extra_info("is_readable")

    @property
    def has_socket(self) -> bool:
        """Whether `shut` can end a blocked read."""
        return self._copy is not None

    def trace(self, name: str, info: Mapping[str, Any]) -> None:
        """httpcore's `trace` extension: note the socket of each connection that it opens."""
        if name.endswith(_OPENED):
            self._use(info["return_value"], duplicate(info["return_value"]))
        elif name.endswith(_ENCRYPTED):
            stream = info["return_value"]
            tls = stream.get_extra_info("ssl_object")
            if tls is not None and tls.selected_alpn_protocol() == "h2":  # it may serve other calls at the same time
                self._use(None, None)
            else:
                self._stream = stream
        elif name.endswith(_CLOSING) and not self.owned:  # httpcore is about to give the connection to another call
            self.give_up_socket()

    def learn(self, response: Response) -> None:
        """Take the socket from the reply, if this call has not opened the connection."""
        stream = response.extensions.get("network_stream")
        if self._copy is None and stream is not None and response.http_version in {"HTTP/1.1", "HTTP/1.0"}:
            self._use(stream, duplicate(stream))

    def shut(self) -> bool:
        """End the connection, even if it is opened later.

        False if there is no socket yet. A forked child does not touch the connections of its parent.
        """
        with self._lock:
            if self._process != os.getpid():
                return False
            self.is_shut = True
            if self._copy is None:
                return False
            shut_down(self._copy)
            return True

    def give_up_socket(self) -> None:
        """From now on, `shut` has no effect on the connection, because it may serve other calls."""
        self._use(None, None)

    def settle(self) -> None:
        """Close the second descriptor if httpcore has closed the connection, so that nothing keeps it open."""
        if not self._is_alive():
            self._use(None, None)

    def close(self) -> None:
        """Close the connection and the client. Only for an owned connection that no call uses."""
        self._use(None, None)
        if not self.is_discarded:
            self.http.close()

    def discard(self) -> None:
        """End the connection without calling its client: an interrupt may have left the client's locks taken."""
        self.is_discarded = True
        self.shut()
        held = None if self._stream is None else self._stream.get_extra_info("socket")
        self._use(None, None)
        if held is not None and not self.is_left:  # httpcore will not close it any more
            held.close()

    def __del__(self) -> None:
        copy = getattr(self, "_copy", None)
        if copy is not None:
            copy.close()

    def forget(self) -> None:
        """Close the descriptors in a forked child. The parent keeps the connection. Takes no lock."""
        for held in (self._copy, None if self._stream is None else self._stream.get_extra_info("socket")):
            if held is not None:
                held.close()

    def _is_alive(self) -> bool:
        held = None if self._stream is None else self._stream.get_extra_info("socket")
        return held is not None and held.fileno() != -1

    def _use(self, stream: Any, copy: socket.socket | None) -> None:
        with self._lock:
            before, self._copy, self._stream = self._copy, copy, stream
            if self.is_shut and copy is not None:
                shut_down(copy)
        if before is not None:
            before.close()


class Abort:
    """Ends HTTP calls from any thread, in any wait. One call at a time may use it."""

    __slots__ = ("_connection", "_sleepers", "reason", "was_cut")

    def __init__(self) -> None:
        self.reason: RxAssistantError | None = None
        self._sleepers = Sleepers()
        self._connection: Connection | None = None
        self.was_cut = False  # whether the wait of the current request was cut

    def abort(self, reason: RxAssistantError | None = None) -> bool:
        """End the active call, and refuse all later calls with `reason`.

        Returns at once. Returns False if the call ends only with the server's next bytes: on a connection of a passed
        client that was already open.
        """
        self.reason = self.reason or reason or APIConnectionError("the request was broken off")
        return self.cut()

    def cut(self) -> bool:
        """End the current wait of the call. Never blocks, never raises."""
        self.was_cut = True
        self._sleepers.wake()
        connection = self._connection
        return connection is None or connection.shut() or connection.owned

    def check(self) -> None:
        """Raise the reason if the calls were aborted."""
        if self.reason is not None:
            raise self.reason

    @property
    def has_socket(self) -> bool:
        """Whether a read can be ended at once."""
        connection = self._connection
        return connection is not None and connection.has_socket

    def pause(self, seconds: float) -> None:
        """Wait between two tries."""
        self._sleepers.sleep(lambda: self.reason is not None, seconds)
        self.check()

    def hold(self, connection: Connection) -> None:
        """Begin a request on this connection."""
        self._connection, self.was_cut = connection, False
        self.check()  # last, because `abort` sets the reason before it looks for a connection

    def let_go(self) -> Connection | None:
        """Detach the connection from this call, so that the call's `abort` cannot cut it, and return it."""
        connection, self._connection = self._connection, None
        return connection

    def discard(self) -> None:
        """Never reuse an owned connection: the call was interrupted inside httpcore."""
        if self._connection is not None and self._connection.owned:
            self._connection.discard()

    def run(self, call: Callable[[], T], connection: Connection, give_back: Callable[[Connection], None]) -> T:
        """The result of `call`, which runs on another thread. That thread is abandoned if the wait is cut.

        Nothing else can end a name lookup or a connect, because they block without a socket that could be shut down.
        An abandoned thread returns the connection itself.

        Raises:
            Abandoned: the wait was cut.
        """
        errand = _Errand(self._sleepers, call, lambda: give_back(connection))
        errand.start()
        try:
            self._sleepers.sleep(lambda: errand.is_done or self.was_cut)
        except BaseException:
            self.cut()
            raise
        finally:
            connection.is_left = errand.abandon()
        if connection.is_left:
            raise Abandoned
        if errand.error is not None:
            raise errand.error
        return errand.result  # type: ignore[return-value]  # it is done


class Abandoned(Exception):  # it never leaves this package
    """A thread was abandoned, with the connection that it uses."""


class _Errand:
    """A call on its own thread."""

    def __init__(self, sleepers: Sleepers, call: Callable[[], object], clean_up: Callable[[], None]) -> None:
        self.is_done = False
        self.result: object = None
        self.error: BaseException | None = None
        self._sleepers = sleepers
        self._call = call
        self._clean_up = clean_up
        self._fate: dict[int, str] = {}  # key 0: whether the caller got the result or has left; set once

    def start(self) -> None:
        context = copy_context()  # it holds the parent span of tracing
        name = "rx_assistant connecting"
        start_thread(threading.Thread(target=context.run, args=(self._run,), name=name, daemon=True))

    def abandon(self) -> bool:
        """The caller stops waiting. True if the thread continues alone."""
        return self._fate.setdefault(0, "left") == "left"

    def _run(self) -> None:
        result, error = None, None
        try:
            result = self._call()
        except BaseException as raised:
            error = raised
        self.result, self.error = result, error
        if self._fate.setdefault(0, "done") == "done":
            self.is_done = True
            self._sleepers.wake()
            return
        close = getattr(result, "close", None)
        if close is not None:
            close()
        self._clean_up()


class Opening:
    """The connection that a call on an event loop is opening. If TLS is interrupted, httpcore does not close it.

    An object of this class is the `trace` extension of the request.
    """

    __slots__ = ("_stream",)

    def __init__(self) -> None:
        self._stream: Any = None

    async def __call__(self, name: str, info: Mapping[str, Any]) -> None:
        if name.endswith(_OPENED):
            self._stream = info["return_value"]
        elif name.endswith(_ENCRYPTED) or name.startswith(
            "http2."
        ):  # httpcore closes it from here on, and other calls may use it
            self._stream = None

    async def aclose(self) -> None:
        """Close it, also while the task is being cancelled."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await stream.aclose()


def duplicate(stream: Any) -> socket.socket | None:
    """A second descriptor for a connection's socket; None where there is no socket."""
    original = stream.get_extra_info("socket")
    try:
        return socket.fromfd(original.fileno(), original.family, original.type)
    except (AttributeError, OSError, ValueError):
        return None


def shut_down(connection: socket.socket) -> None:
    """End the connection: reads and writes on it end at once. Never blocks, never raises."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass

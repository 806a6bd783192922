"""The server on a socket: in its own thread for tests and programs, or in the foreground for the command line.

It can always be stopped. On the event loop, every wait for foreign code has a limit (`foreign.py`, `loop.py`). If code
blocks the event loop itself, `Server.stop` returns after `_STOPPING` seconds. In the foreground, if the event loop has
not handled the first signal yet, the second signal raises KeyboardInterrupt in the blocking code. If the code swallows
that too, the process ends `_STOPPING` seconds after the second signal.
"""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

import anyio
import uvicorn

from rx_assistant.errors import ConfigurationError
from rx_assistant.local import loop
from rx_assistant.local.admission import is_loopback
from rx_assistant.local.application import build
from rx_assistant.local.gathering import GatheringProtocol
from rx_assistant.local.state import RequestRecord, State

_PATIENCE = 0.5
_STOPPING = 4.0
_COLLECTING = (10_000, 10, 50)
_BACKLOG = 2048  # as uvicorn has it
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))

_log = logging.getLogger("rx_assistant.local")


class Listener(uvicorn.Server):
    """A uvicorn server that reports when it listens and stops at once on request.

    Open streams get `grace` seconds to end. A second signal, or the end of that time, breaks them.
    """

    def __init__(self, state: State, log_level: str, grace: float = 0.0, *, access_log: bool = False) -> None:
        super().__init__(_config(state, log_level, access_log))
        self.listening = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._state = state
        self._grace = grace
        self._stop = asyncio.Event()
        self._hurry = asyncio.Event()
        self._hurried = False
        self._signals: list[int] = []
        self._last_resort = threading.Timer(_STOPPING, self._die)
        self._last_resort.daemon = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await self._state.start()
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        """Waits for `stop()`, also when an engine cancels every task that it finds."""
        while not self._stop.is_set():
            try:
                await self._stop.wait()
            except asyncio.CancelledError:
                _log.warning("foreign code has cancelled the server's own task, which goes on")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._state.draining = True
        if self._grace:
            if count := self._state.readers.count:
                _log.info("open streams get %g s to end: %d; a second signal breaks them", self._grace, count)
            readers = asyncio.ensure_future(self._state.readers.gone())
            hurry = asyncio.ensure_future(self._hurry.wait())
            await asyncio.wait({readers, hurry}, timeout=self._grace, return_when=asyncio.FIRST_COMPLETED)
            readers.cancel()
            hurry.cancel()
        with _quiet():
            await self._state.close()
            await self._let_go(sockets or [])

    async def _let_go(self, sockets: list[socket.socket]) -> None:
        """Close listeners and connections, by force if a reader takes nothing. uvicorn's own shutdown is slower."""
        for server in self.servers:
            server.close()
        for listener in sockets:
            listener.close()
        connections, tasks = self.server_state.connections, self.server_state.tasks
        for connection in list(connections):
            connection.shutdown()
        try:
            async with asyncio.timeout(_PATIENCE):
                while connections or tasks:  # noqa: ASYNC110 - uvicorn does not report their end
                    await asyncio.sleep(0.002)
        except TimeoutError:
            for connection in list(connections):
                connection.transport.abort()
            await asyncio.sleep(0)

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Install no signal handlers: `foreground` has its own."""
        yield

    def foreground(self, listener: socket.socket) -> None:
        """Serve on the main thread until a signal arrives. After that, signals have their usual effect again."""
        before = {sig: signal.getsignal(sig) or signal.SIG_DFL for sig in _SIGNALS}
        handled = [sig for sig in _SIGNALS if before[sig] is not signal.SIG_IGN]  # `nohup` ignores SIGHUP
        for sig in handled:
            signal.signal(sig, self.handle_exit)
        try:
            with _rare_collections():
                loop.run(self.serve([listener]))
        finally:
            self._last_resort.cancel()
            for sig in handled:
                signal.signal(sig, before[sig])
            self._state.discard()
        for sig in dict.fromkeys(self._signals):
            signal.raise_signal(sig)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal stops the server, the second breaks open streams. See the module's header for more."""
        blocked = self.should_exit and not self._stop.is_set()
        if self._hurried:
            blocked = not self._hurry.is_set()
        self._signals.append(sig)
        if self.should_exit:
            self._hurry_up()
        self.stop()
        if blocked:
            raise KeyboardInterrupt

    def _hurry_up(self) -> None:
        if not self._hurried:
            self._hurried = True
            self._last_resort.start()
        self.tell(self._hurry.set)

    def _die(self) -> None:
        """End the process from another thread, because the main thread is blocked by foreign code."""
        os.write(2, b"rx_assistant.local: the engine cannot be stopped, so the process ends\n")
        self._state.files.close()
        os._exit(1)

    def stop(self) -> None:
        """From any thread, or from a signal."""
        self.should_exit = True
        self.tell(self._stop.set)

    def tell(self, what: Callable[[], object]) -> None:
        """Call `what` on the server's loop, unless the loop has ended."""
        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            pass


class Server:
    """A local Assistants server in its own thread, as a context manager for `with` and `async with`."""

    def __init__(self, state: State, host: str, port: int, log_level: str) -> None:
        refuse_open_host(host, state.settings.api_key)
        self._state = state
        self._host = host
        self._port = port
        self._log_level = log_level
        self._listener: Listener | None = None
        self._thread: threading.Thread | None = None
        self._socket: socket.socket | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r})"

    @property
    def base_url(self) -> str:
        """The URL for clients, ending in `/v1`. If no port was given, it is known once the server listens."""
        return base_url(self._host, self._port)

    @property
    def requests(self) -> Sequence[RequestRecord]:
        """The requests so far, oldest first."""
        return list(self._state.requests)

    def release(self, gate: str) -> None:
        """Let runs continue that wait at this gate. From any thread."""
        if self._listener is not None:
            self._listener.tell(lambda: self._state.release(gate))

    def start(self) -> None:
        """Start the server, and return when it listens."""
        if self._thread is not None:
            raise RuntimeError("the server has been started already")
        if self._state.settings.upstream is not None:
            self._state.settings.upstream.check()
        self._socket = listener = listening_socket(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._listener = Listener(self._state, self._log_level)
        self._thread = threading.Thread(
            target=self._serve, args=(self._listener, listener), name="rx_assistant.local", daemon=True
        )
        self._thread.start()
        self._listener.listening.wait()

    def stop(self) -> None:
        """Break open streams, close the socket and end the thread, within 4 seconds.

        If an engine blocks the event loop for longer, the thread ends when the engine returns.
        """
        if self._listener is not None:
            self._listener.stop()
        if self._thread is None or self._thread is threading.current_thread():
            return
        self._thread.join(_STOPPING)
        if self._thread.is_alive() and self._socket is not None:
            _log.warning("an engine blocks the event loop of %r: its thread goes on until the engine returns", self)
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._state.files.close()

    @staticmethod
    def _serve(server: Listener, listener: socket.socket) -> None:
        with listener:
            try:
                loop.run(server.serve([listener]))
            finally:
                server.listening.set()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Server:
        await anyio.to_thread.run_sync(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.stop)


def base_url(host: str, port: int) -> str:
    """The URL for clients, ending in `/v1`."""
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"


def _config(state: State, log_level: str, access_log: bool) -> uvicorn.Config:
    return uvicorn.Config(
        build(state),
        loop="asyncio",
        http=GatheringProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level=log_level,
        access_log=access_log and log_level in ("info", "debug", "trace"),  # else uvicorn makes lines for nothing
        date_header=False,
        server_header=False,
    )


@contextmanager
def _rare_collections() -> Iterator[None]:
    """The garbage collector skips the objects that exist now, such as modules, and runs less often.

    Open streams are many objects that live for seconds; without this the collector takes a fifth of the time.
    """
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*_COLLECTING)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop uvicorn's error message about a stream that was cut on purpose."""
    log = logging.getLogger("uvicorn.error")
    log.addFilter(_is_news)
    try:
        yield
    finally:
        log.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return "without completing response" not in record.getMessage()


def listening_socket(host: str, port: int) -> socket.socket:
    """A listening socket, so that its address can be announced. Port 0 selects a free port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio disables Nagle's algorithm only if the protocol is given explicitly
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        hint = "; port 0 takes a free one" if error.errno == errno.EADDRINUSE else ""
        raise type(error)(error.errno, f"cannot listen on {host}:{port}: {error.strerror or error}{hint}") from error
    return listener


def refuse_open_host(host: str, api_key: str | None) -> None:
    """Raise ConfigurationError if other machines can reach the host and no key is set."""
    if api_key is None and not is_loopback(host):
        raise ConfigurationError(
            f"host {host!r} can be reached from other machines: set an API key, or listen on 127.0.0.1"
        )

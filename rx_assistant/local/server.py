"""The server on a socket: in a thread of its own for tests and programs, or in the foreground for the command line."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Sequence
from types import TracebackType

import anyio
import uvicorn

from rx_assistant.errors import ConfigurationError
from rx_assistant.local.app import build
from rx_assistant.local.state import RequestRecord, State


class _Uvicorn(uvicorn.Server):
    """Says when it listens, stops the moment it is told to, and breaks open streams instead of waiting for them."""

    def __init__(self, config: uvicorn.Config, state: State) -> None:
        super().__init__(config)
        self.listening = threading.Event()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._state = state
        self._stop = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._state.close()
        await super().shutdown(sockets)

    def stop(self) -> None:
        """From any thread."""
        self.should_exit = True
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self._stop.set)


class Server:
    """A local Assistants server in a thread of its own, as a context manager, `async with` included."""

    def __init__(self, state: State, host: str, port: int, log_level: str) -> None:
        refuse_open_host(host, state.settings.api_key)
        self._state = state
        self._host = host
        self._port = port
        self._log_level = log_level
        self._uvicorn: _Uvicorn | None = None
        self._thread: threading.Thread | None = None

    @property
    def base_url(self) -> str:
        """Where clients send their requests, ending in `/v1`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/v1"

    @property
    def requests(self) -> Sequence[RequestRecord]:
        """The requests so far, oldest first."""
        return list(self._state.requests)

    def release(self, gate: str) -> None:
        """Lets runs that wait at that gate go on, from any thread."""
        if self._uvicorn is not None and self._uvicorn.loop is not None:
            self._uvicorn.loop.call_soon_threadsafe(self._state.release, gate)

    def start(self) -> None:
        """Listens; returns when it does."""
        if self._thread is not None:
            raise RuntimeError("the server has been started already")
        listener = listening_socket(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._uvicorn = _Uvicorn(config(self._state, self._log_level), self._state)
        self._thread = threading.Thread(
            target=self._serve, args=(self._uvicorn, listener), name="rx_assistant.local", daemon=True
        )
        self._thread.start()
        self._uvicorn.listening.wait()

    def stop(self) -> None:
        """Breaks open streams, closes the socket and ends the thread."""
        if self._uvicorn is not None:
            self._uvicorn.stop()
        if self._thread is not None:
            self._thread.join()

    @staticmethod
    def _serve(server: _Uvicorn, listener: socket.socket) -> None:
        with listener:
            try:
                server.run(sockets=[listener])
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


def config(state: State, log_level: str) -> uvicorn.Config:
    """How uvicorn serves the state."""
    return uvicorn.Config(
        build(state),
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_level=log_level,
        access_log=False,
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def refuse_open_host(host: str, api_key: str | None) -> None:
    """ConfigurationError for a host that others can reach, unless a key is asked of them."""
    if api_key is None and not _is_loopback(host):
        raise ConfigurationError(
            f"host {host!r} can be reached from other machines: set an API key, or listen on 127.0.0.1"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False

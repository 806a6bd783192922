"""The server without a port: a transport for the clients of httpx and httpx2, synchronous and asynchronous.

The server has one thread with its own event loop, so it serves synchronous and asynchronous callers. Each request is an
ASGI exchange on that loop. The caller waits for the head of the reply, then for each piece of its body, while the
server writes it. A slow reader slows the server down, like a full socket. The thread holds no reference to the
transport. It ends when the transport is closed or garbage-collected.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import lru_cache
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio
import httpx
from starlette.types import ASGIApp, Message, Scope

from rx_assistant.http.event_loops import current_loop
from rx_assistant.local import loop
from rx_assistant.local.state import State

if TYPE_CHECKING:
    import httpx2

    class _Transports(  # type: ignore[misc]  # pyright: ignore[reportIncompatibleMethodOverride]  # httpx or httpx2
        httpx.BaseTransport, httpx.AsyncBaseTransport, httpx2.BaseTransport, httpx2.AsyncBaseTransport
    ): ...

else:

    class _Transports(httpx.BaseTransport, httpx.AsyncBaseTransport): ...


T = TypeVar("T")

_STOPPING = 4.0
_ROOM = 64 * 2**10
_CUT = "the server closed the connection before the reply was complete"


class Transport(_Transports):
    """Pass it to a client of httpx or httpx2 as `transport=`.

    The client calls `close()` or `aclose()` at its end. They break open replies and end the server and its thread. A
    request after that raises RuntimeError.
    """

    def __init__(self, state: State, build: Callable[[State], ASGIApp]) -> None:
        self._server = _Server(state, build)
        self._closing = weakref.finalize(self, self._server.stop)

    def handle_request(self, request: Any) -> Any:
        """The reply as a Response of the request's library. Its body is streamed."""
        library, wait = _library_of(request), _read_timeout(request)
        exchange = self._server.exchange(request, request.read())
        status, headers = self._server.wait(exchange.head(), library, request, wait)

        def take() -> bytes | None:
            return self._server.wait(exchange.take(), library, request, wait)

        body = _body_classes(library)[0](take, lambda: self._server.tell(exchange.leave))
        return library.Response(status, headers=headers, stream=body, request=request)

    async def handle_async_request(self, request: Any) -> Any:
        """The same on asyncio and trio."""
        library, wait = _library_of(request), _read_timeout(request)
        exchange = self._server.exchange(request, await request.aread())
        status, headers = await self._server.wait_async(exchange.head(), library, request, wait)

        async def take() -> bytes | None:
            return await self._server.wait_async(exchange.take(), library, request, wait)

        body = _body_classes(library)[1](take, lambda: self._server.tell(exchange.leave))
        return library.Response(status, headers=headers, stream=body, request=request)

    def close(self) -> None:
        """End the server and its thread, and wait for them, for 4 seconds at most."""
        self._closing()
        self._server.join(_STOPPING)

    async def aclose(self) -> None:
        """The same without blocking the event loop."""
        self._closing()
        with anyio.CancelScope(shield=True), anyio.move_on_after(_STOPPING):
            await _finished(self._server.ended)
        self._server.join(0.1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.aclose()


class _CutError(Exception):
    """The server ended a reply before it was complete."""


class _Server:
    """The server's state on an event loop in its own thread. The first request starts the thread."""

    def __init__(self, state: State, build: Callable[[State], ASGIApp]) -> None:
        self.ended: Future[None] = Future()
        self._state = state
        self._build = build
        self._lock = threading.RLock()  # the garbage collector may call `stop` at any line
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._app: ASGIApp | None = None
        self._stop = asyncio.Event()
        self._stopped = False
        self._waits: set[Future[Any]] = set()

    def exchange(self, request: Any, body: bytes) -> _Exchange:
        """A new exchange that has not begun. Starts the thread if it does not run."""
        with self._lock:
            if self._stopped:
                raise RuntimeError("the transport is closed: make a new one with rx_assistant.local.transport()")
            if self._thread is None:
                listening = threading.Event()
                self._thread = threading.Thread(
                    target=self._run, args=(listening,), name="rx_assistant.local", daemon=True
                )
                self._thread.start()
                listening.wait()
            assert self._app is not None
            return _Exchange(self._app, _scope(request), body)

    def _run(self, listening: threading.Event) -> None:
        try:
            loop.run(self._main(listening))
        finally:
            listening.set()
            with self._lock:
                self._stopped = True
                waits = list(self._waits)
            for future in waits:
                future.cancel()
            self.ended.set_result(None)

    async def _main(self, listening: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        await self._state.start()
        self._app = self._build(self._state)
        listening.set()
        await self._stop.wait()
        self._state.draining = True
        await self._state.close()

    def stop(self) -> None:
        """End the server soon; from any thread."""
        with self._lock:
            self._stopped = True
            if self._thread is None:
                self._state.discard()
                if not self.ended.done():
                    self.ended.set_result(None)
        self.tell(self._stop.set)

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread."""
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join(seconds)

    def tell(self, what: Callable[[], object]) -> None:
        """Call `what` on the server's loop, unless the loop has ended."""
        with suppress(RuntimeError):
            if self._loop is not None:
                self._loop.call_soon_threadsafe(what)

    def wait(self, work: Coroutine[Any, Any, T], library: ModuleType, request: Any, seconds: float | None) -> T:
        """Run the work on the server's loop and block until it is done. Raises the errors of httpx or httpx2."""
        future = self._submit(work)
        try:
            return future.result(seconds)
        except TimeoutError:
            raise library.ReadTimeout("the server has not answered in time", request=request) from None
        except (_CutError, CancelledError):
            raise library.RemoteProtocolError(_CUT, request=request) from None
        finally:
            self._forget(future)

    async def wait_async(
        self, work: Coroutine[Any, Any, T], library: ModuleType, request: Any, seconds: float | None
    ) -> T:
        """The same for a task of any event loop."""
        future = self._submit(work)
        try:
            with anyio.fail_after(seconds):
                await _finished(future)
            return future.result()
        except TimeoutError:
            raise library.ReadTimeout("the server has not answered in time", request=request) from None
        except (_CutError, CancelledError):
            raise library.RemoteProtocolError(_CUT, request=request) from None
        finally:
            self._forget(future)

    def _submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        with self._lock:
            assert self._loop is not None
            if self._stopped:
                work.close()
                future: Future[T] = Future()
                future.cancel()
                return future
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
            self._waits.add(future)
            return future

    def _forget(self, future: Future[Any]) -> None:
        future.cancel()
        self._waits.discard(future)


class _Exchange:
    """One request and its reply, on the server's loop."""

    def __init__(self, app: ASGIApp, scope: Scope, body: bytes) -> None:
        self._app = app
        self._scope = scope
        self._body: bytes | None = body
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._whole = False
        self._task: asyncio.Task[None] | None = None
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._gone = asyncio.Event()

    async def head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        """Begin, and return status and headers. If the caller stops waiting for them, it has disconnected."""
        self._task = asyncio.ensure_future(self._answer())
        try:
            while self._head is None:
                await self._more()
        except asyncio.CancelledError:
            self.leave()
            raise
        return self._head

    async def take(self) -> bytes | None:
        """The bytes written since the last call; None at the end."""
        while not self._pieces:
            if self._whole:
                return None
            await self._more()
        pieces = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._room.set()
        return pieces

    def leave(self) -> None:
        """The reader has stopped reading."""
        self._gone.set()
        self._room.set()

    async def _more(self) -> None:
        if self._task is None or self._task.done():
            raise _CutError
        self._news.clear()
        await self._news.wait()

    async def _answer(self) -> None:
        try:
            await self._app(self._scope, self._receive, self._send)
        finally:
            self._news.set()
            asyncio.get_running_loop().call_soon(self._news.set)  # once this task is done

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._head = (message["status"], list(message.get("headers", ())))
        elif not self._gone.is_set():
            body = message.get("body", b"")
            if body:
                self._pieces.append(body)
                self._size += len(body)
            self._whole = not message.get("more_body", False)
        self._news.set()
        while self._size > _ROOM and not self._gone.is_set():
            self._room.clear()
            await self._room.wait()


async def _finished(future: Future[Any]) -> None:
    """Returns when the future is done; for a task of asyncio or trio."""
    caller = current_loop()
    done = anyio.Event()
    call_soon = caller.call_soon_threadsafe if isinstance(caller, asyncio.AbstractEventLoop) else caller.run_sync_soon

    def tell(_: Future[Any]) -> None:
        with suppress(RuntimeError):  # the caller's loop is over
            call_soon(done.set)

    future.add_done_callback(tell)
    await done.wait()


def _scope(request: Any) -> Scope:
    path, _, query = request.url.raw_path.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": path,
        "query_string": query,
        "server": None,
        "client": None,
        "root_path": "",
    }


def _library_of(request: Any) -> ModuleType:
    """The library of the request: httpx or httpx2."""
    roots = [kind.__module__.partition(".")[0] for kind in type(request).__mro__]
    return sys.modules[next((root for root in roots if root in ("httpx", "httpx2")), "httpx")]


def _read_timeout(request: Any) -> float | None:
    found = request.extensions.get("timeout", {}).get("read")
    return None if found is None else float(found)


@lru_cache
def _body_classes(library: Any) -> tuple[type[Any], type[Any]]:
    """The bodies of replies. The library requires classes derived from its own."""

    class Body(library.SyncByteStream):  # type: ignore[misc]  # httpx or httpx2
        def __init__(self, take: Callable[[], bytes | None], leave: Callable[[], None]) -> None:
            self._take, self._leave = take, leave

        def __iter__(self) -> Iterator[bytes]:
            return iter(self._take, None)

        def close(self) -> None:
            self._leave()

    class AsyncBody(library.AsyncByteStream):  # type: ignore[misc]  # httpx or httpx2
        def __init__(self, take: Callable[[], Coroutine[Any, Any, bytes | None]], leave: Callable[[], None]) -> None:
            self._take, self._leave = take, leave

        async def __aiter__(self) -> AsyncIterator[bytes]:
            while (piece := await self._take()) is not None:
                yield piece

        async def aclose(self) -> None:
            self._leave()

    return Body, AsyncBody

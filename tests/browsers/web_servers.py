"""Real servers for the responses under test, and browsers that read them from a socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import uvicorn

from rx_assistant import ServerSentEvent, SSEDecoder


@contextmanager
def asgi(app: Any) -> Generator[str]:
    """The address of an ASGI application on uvicorn, in a thread."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=1))
        serving = threading.Thread(target=server.run, args=([listener],))
        serving.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        finally:
            server.should_exit = True
            serving.join()


@contextmanager
def wsgi(app: Any) -> Generator[str]:
    """The address of a WSGI application on werkzeug's server, in threads."""
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True)
    serving = threading.Thread(target=server.serve_forever)
    serving.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        serving.join()
        server.server_close()


def until(condition: Callable[[], bool]) -> bool:
    """Wait for a state, for as long as a busy machine may need; whether it came."""
    end = time.monotonic() + 60
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def frames(body: bytes) -> list[ServerSentEvent]:
    """The server-sent events of a body."""
    return SSEDecoder().feed(body)


def blocks_with_ids(body: bytes) -> list[tuple[str, bytes]]:
    """Each block of a body with its cursor, without the first, which says `retry`."""
    found = []
    for block in body.split(b"\n\n")[1:-1]:
        ids = [line[4:].decode() for line in block.split(b"\n") if line.startswith(b"id: ")]
        found.append((ids[0] if ids else "", block))
    return found

"""A web worker of the relay benchmark: a bare ASGI application that sends runs to browsers as server-sent events.

python -m benchmarks._relay_worker REDIS_URL shared|each      prints its port; ends when its input does
"""

from __future__ import annotations

import asyncio
import resource
import sys
import threading
from typing import Any

import redis.asyncio
import uvicorn

from rx_assistant.relay import RedisRelay

HEAD = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


class Application:
    """`/KEY` is the stream of a run; `/cpu` the seconds of processor that the worker has used."""

    def __init__(self, url: str, kind: str) -> None:
        self._relay = RedisRelay(url)
        self._kind = kind
        self._client: Any = redis.asyncio.Redis.from_url(url, max_connections=10_000) if kind == "each" else None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """One request."""
        key = scope["path"][1:]
        await send({"type": "http.response.start", "status": 200, "headers": HEAD})
        if key == "cpu":
            used = resource.getrusage(resource.RUSAGE_SELF)
            body = str(used.ru_utime + used.ru_stime).encode()
            await send({"type": "http.response.body", "body": body})
            return
        await send({"type": "http.response.body", "body": b": here\n\n", "more_body": True})
        follow = self._each if self._kind == "each" else self._shared
        async for frames in follow(key):
            await send({"type": "http.response.body", "body": frames, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _shared(self, key: str) -> Any:
        """Our way: one read for all runs and followers of the process."""
        async for entry in self._relay.tail(key, patience=60):
            yield entry.frames

    async def _each(self, key: str) -> Any:
        """As others do it: a blocking read, and so a connection, for each follower."""
        last, name = "0-0", self._relay._name(key, "log")
        while True:
            for _, found in await self._client.xread({name: last}, block=5000):
                for number, fields in found:
                    last = number
                    yield fields[b"f"]
                    if b"z" in fields:
                        return


def main(url: str, kind: str) -> None:
    """Serve until the input ends."""
    config = uvicorn.Config(
        Application(url, kind), port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1, backlog=4096
    )
    server = uvicorn.Server(config)

    def stop() -> None:
        sys.stdin.read()
        server.should_exit = True

    listener = config.bind_socket()
    listener.listen(4096)
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=stop, daemon=True).start()
    asyncio.run(server.serve([listener]))


if __name__ == "__main__":
    main(*sys.argv[1:])

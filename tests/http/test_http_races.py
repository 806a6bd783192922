"""A stream that is closed while its last bytes are read harms no other request: none gets a dead connection.

The moment of closing is drawn anew in each round. Other requests share the connections, and none is tried again.
"""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import anyio
import httpcore._synchronization as httpcore_locks
import httpx
import httpx2
import pytest
from loopback import GUARD, Loopback, Received, Wire

import rx_assistant
from rx_assistant import errors
from rx_assistant.client import AssistantClient, AsyncAssistantClient

ROUNDS = int(os.environ.get("RX_ASSISTANT_ROUNDS", "50"))
EVENT = b'event: thread.created\ndata: {"id": "thread_1"}\n\n'
DONE = b"event: done\ndata: [DONE]\n\n"


async def answers(request: Received, wire: Wire) -> None:
    if request.path.endswith("/runs"):
        await wire.events()
        for _ in range(3):
            await wire.chunk(EVENT)
        await wire.chunk(DONE)
        await wire.end()
    else:
        await wire.json({"id": "asst_1", "object": "assistant"})


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(answers) as server:
        yield server


@pytest.mark.parametrize("library", [None, httpx, httpx2], ids=["own", "httpx", "httpx2"])
def test_on_threads(server: Loopback, library: Any) -> None:
    http = None if library is None else library.Client()
    stop, dice = threading.Event(), random.Random(1)
    with AssistantClient(base_url=server.url, http_client=http, max_retries=0) as client:

        def others() -> int:
            count = 0
            while not stop.is_set():
                assert client.assistants.retrieve("asst_1").id == "asst_1"
                count += 1
            return count

        with ThreadPoolExecutor(3) as pool:
            asking = [pool.submit(others) for _ in range(2)]
            try:
                for _ in range(ROUNDS):
                    stream = client.threads.runs.stream("t", assistant_id="a")
                    with suppress(errors.StreamClosedError), stream:
                        closing = threading.Timer(dice.random() * 0.003, stream.close)
                        closing.start()
                        stream.until_done()
                    closing.join()
                    assert client.assistants.retrieve("asst_1").id == "asst_1"
            finally:
                stop.set()
            assert all(future.result(GUARD) for future in asking)
    if http is not None:
        http.close()


CLIENTS: dict[str, Callable[[], Any]] = {
    "own": lambda: None,
    "httpx": httpx.AsyncClient,
    "httpx2": httpx2.AsyncClient,
    "aiohttp": rx_assistant.aiohttp_client,
}


@pytest.mark.anyio
@pytest.mark.parametrize("library", CLIENTS)
async def test_on_event_loops(server: Loopback, library: str, anyio_backend_name: str) -> None:
    if library == "aiohttp" and anyio_backend_name == "trio":
        pytest.skip("aiohttp knows asyncio only")
    http, dice = CLIENTS[library](), random.Random(2)
    client = AsyncAssistantClient(base_url=server.url, http_client=http, max_retries=0)

    async def close_soon(stream: Any) -> None:
        for _ in range(dice.randrange(40)):
            await anyio.lowlevel.checkpoint()
        stream.close()

    for number in range(ROUNDS):
        stream = client.threads.runs.stream("t", assistant_id="a")
        async with anyio.create_task_group() as tasks:
            with suppress(errors.StreamClosedError, errors.StreamCancelledError):
                async with stream:
                    tasks.start_soon(close_soon, stream)
                    if number % 3:
                        await stream.until_done()
                    else:
                        with anyio.move_on_after(dice.random() * 0.003):
                            await stream.until_done()
        assert (await client.assistants.retrieve("asst_1")).id == "asst_1"
    await client.aclose()
    if http is not None:
        await http.aclose()


@pytest.mark.parametrize("moment", ["reading to the end", "closing"])
def test_an_interrupt_right_after_httpcore_took_a_lock_costs_only_that_connection(
    server: Loopback, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    armed = False
    enter = httpcore_locks.ThreadLock.__enter__

    def interrupted(lock: Any) -> Any:
        nonlocal armed
        entered = enter(lock)
        if armed and threading.current_thread() is threading.main_thread():
            armed = False
            raise KeyboardInterrupt
        return entered

    monkeypatch.setattr(httpcore_locks.ThreadLock, "__enter__", interrupted)
    with AssistantClient(base_url=server.url, max_retries=0) as client:
        stream = client.threads.runs.stream("t", assistant_id="a")
        next(stream)
        armed = True
        with pytest.raises(KeyboardInterrupt):
            if moment == "closing":
                stream.close()
            else:
                stream.until_done()
        assert not armed
        with suppress(errors.RxAssistantError):
            stream.close()
        with ThreadPoolExecutor(1) as pool:
            asking = pool.submit(client.assistants.retrieve, "asst_1")
            try:
                assert asking.result(timeout=GUARD).id == "asst_1"
            finally:
                monkeypatch.undo()
                if not asking.done():
                    client.close()

"""The contract over streams of both faces, on threads, asyncio and trio, each fed by a body that the test controls."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from hot.contract import Contract, sample
from hot.hot_rigs import Rig
from reactivex import operators as ops
from streams_bodies import AsyncFedBody, FedBody, async_stream, sync_stream

from rx_assistant import operators as ax
from rx_assistant.events import StreamEvent
from rx_assistant.hot import FOREVER
from rx_assistant.streams import AssistantStream, AsyncAssistantStream

GOOD_END = (b"event: done\ndata: [DONE]", b"")
"""An end that is no event: its block has no blank line."""


def item(number: int) -> bytes:
    return b'event: rig.item\ndata: {"number": %d}\n\n' % number


def number_of(event: StreamEvent) -> int:
    return int(json.loads(event.raw)["number"])


def derived(rig: Rig, name: str) -> Rig:
    if name == "operator":
        rig.observable = rig.observable.pipe(ax.events("rig.*"))
    elif name == "pipe":
        rig.observable = rig.observable.pipe(ops.filter(lambda event: event.event == "rig.item"), ops.map(number_of))
        rig.read = int
    elif name == "fluent":
        rig.observable = rig.observable.map(number_of)
        rig.read = int
    return rig


class Fed:
    """A synchronous stream that is read on whatever thread emits."""

    def __init__(self, keep: bool) -> None:
        self.left: list[None] = []
        self._body = FedBody()
        self._stream = sync_stream(self._body, replay="all" if keep else "none")
        note_idleness(self._stream, self.left)
        self._lock = threading.Lock()

    def rig(self, keep: bool) -> Rig:
        return Rig(
            self._stream,
            emit=lambda number: self._feed(item(number)),
            complete=lambda: self._feed(*GOOD_END),
            fail=self._feed,
            read=number_of,
            keeps=keep,
            many=5_000,
            left=self.left,
        )

    def _feed(self, *chunks: bytes | Exception) -> None:
        log = self._stream.log
        if log.ended:
            return
        with self._lock:  # of this test: so that each chunk is read once
            self._body.feed(*chunks)
            self._stream.driver.advance(log.length)
        log.want(FOREVER)


class AsyncFed:
    """An asynchronous stream that is read on its event loop, on a thread of its own."""

    def __init__(self, keep: bool, portal: BlockingPortal) -> None:
        self.left: list[None] = []
        self._portal = portal
        self._body = AsyncFedBody()
        self._stream = async_stream(self._body, replay="all" if keep else "none")
        note_idleness(self._stream, self.left)
        portal.call(self._stream.__aenter__)

    def rig(self, keep: bool) -> Rig:
        return Rig(
            self._stream,
            emit=lambda number: self._run(self._feed, item(number)),
            complete=lambda: self._run(self._feed, *GOOD_END),
            fail=lambda error: self._run(self._feed, error),
            read=number_of,
            keeps=keep,
            many=5_000,
            left=self.left,
        )

    def close(self) -> None:
        self._portal.call(self._stream.__aexit__, None, None, None)

    async def _feed(self, *chunks: bytes | Exception) -> None:
        log = self._stream.log
        if log.ended:
            return
        self._body.feed(*chunks)
        await self._stream.driver.advance(log.length)
        log.want(FOREVER)
        await self._stream.driver.settle()

    def _run(self, main: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
        loop = self._stream.driver.loop
        if loop is None or not loop.is_here():
            self._portal.call(main, *arguments)
            return
        with pytest.raises(StopIteration):  # inside a callback on the loop: the body is never empty, so nothing waits
            main(*arguments).send(None)


def note_idleness(stream: AssistantStream | AsyncAssistantStream, left: list[None]) -> None:
    stream.log.on_idle = lambda: left.append(None)


@pytest.fixture(scope="module")
def asyncio() -> Iterator[BlockingPortal]:
    """An event loop on a thread of its own."""
    with start_blocking_portal("asyncio") as portal:
        yield portal


@pytest.fixture(scope="module")
def trio() -> Iterator[BlockingPortal]:
    """The same with trio."""
    with start_blocking_portal("trio") as portal:
        yield portal


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    sample(metafunc, ("bare", "operator", "pipe", "fluent"), ("threads", "asyncio", "trio"), ("all", "none"))


class TestAStream(Contract):
    @pytest.fixture
    def rig(self, request: pytest.FixtureRequest) -> Iterator[Rig]:
        name, face, replay = request.param
        keep = replay == "all"
        if face == "threads":
            yield derived(Fed(keep).rig(keep), name)
            return
        fed = AsyncFed(keep, request.getfixturevalue(face))
        yield derived(fed.rig(keep), name)
        fed.close()

"""Bodies of event streams that are polled: an open response to the pump, repeated requests behind it."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio

from rx_assistant.errors import PollTimeoutError, RxAssistantError
from rx_assistant.hot import Sleepers
from rx_assistant.polling._pace import Backoff, Pace, Polled
from rx_assistant.polling._telling import RunObjects, Telling
from rx_assistant.polling._turns import TooLate
from rx_assistant.types import Run

Late = Callable[[Run | None], RxAssistantError]
"""The error for a deadline that has passed, from the run as it was last."""


class Reader(Protocol):
    """Fetches a run with its steps and messages."""

    request_id: str | None
    """The server's name for the last request."""

    def __call__(self) -> Polled[RunObjects]:
        """Fetch them as they are now."""
        ...

    def close(self) -> None:
        """Break off a fetch under way; from any thread, idempotent, without waiting."""


class AsyncReader(Protocol):
    """The same for event loops, where cancelling is enough."""

    request_id: str | None

    async def __call__(self) -> Polled[RunObjects]:
        """Fetch them as they are now."""
        ...


class _BodyBase:
    """What has been told, and when to ask again."""

    def __init__(
        self,
        reader: Reader | AsyncReader,
        telling: Telling,
        *,
        interval: float | None = None,
        backoff: Backoff | None = None,
        deadline: float | None = None,
        late: Late | None = None,
    ) -> None:
        self._names = reader
        self._telling = telling
        self._pace = Pace(interval, backoff)
        self._end = None if deadline is None else time.monotonic() + deadline
        self._late = late or (lambda run: _timed_out(deadline, run))
        self._wait = 0.0
        self._run: Run | None = None
        self._ready: bytes | None = None

    @property
    def request_id(self) -> str | None:
        """The server's name for the last request."""
        return self._names.request_id

    def saw_event(self) -> None:
        """Nothing to learn: the deadline does not depend on events."""

    def _left(self) -> float | None:
        """Seconds until the deadline; raises when it has passed."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise self._late(self._run)
        return left

    def _take(self, polled: Polled[RunObjects]) -> bytes:
        self._run = polled.value.run
        self._wait = self._pace.after(polled)
        return self._telling.tell(polled.value)


class PolledBody(_BodyBase):
    """Frames of what is new in a run that `reader` fetches. Nothing is sent before it is read, or begun."""

    def __init__(
        self,
        reader: Reader,
        telling: Telling,
        *,
        interval: float | None = None,
        backoff: Backoff | None = None,
        deadline: float | None = None,
        late: Late | None = None,
    ) -> None:
        super().__init__(reader, telling, interval=interval, backoff=backoff, deadline=deadline, late=late)
        self._reader = reader
        self._closed = False
        self._sleepers = Sleepers()

    def begin(self) -> None:
        """Fetch for the first time, so that whoever opens the stream gets the server's errors."""
        self._ready = self._turn()

    def read(self) -> bytes:
        frames, self._ready = self._ready or b"", None
        while not (frames or self._telling.over or self._closed):
            self._sleep()
            frames = b"" if self._closed else self._turn()
        return frames

    def finish(self) -> None:
        self.close()

    def close(self) -> None:
        self._closed = True
        self._sleepers.wake()
        self._reader.close()

    def _sleep(self) -> None:
        left = self._left()
        self._sleepers.sleep(lambda: self._closed, self._wait if left is None else min(self._wait, left))
        if not self._closed:
            self._left()

    def _turn(self) -> bytes:
        self._left()
        try:
            return self._take(self._reader())
        except TooLate as error:
            raise self._late(self._run) from error.__cause__


class AsyncPolledBody(_BodyBase):
    """The same for asyncio and trio."""

    def __init__(
        self,
        reader: AsyncReader,
        telling: Telling,
        *,
        interval: float | None = None,
        backoff: Backoff | None = None,
        deadline: float | None = None,
        late: Late | None = None,
    ) -> None:
        super().__init__(reader, telling, interval=interval, backoff=backoff, deadline=deadline, late=late)
        self._reader = reader
        self._closed = False
        self._scope: anyio.CancelScope | None = None

    async def begin(self) -> None:
        """Fetch for the first time, so that whoever opens the stream gets the server's errors."""
        self._ready = await self._in_time(self._turn)

    async def read(self) -> bytes:
        frames, self._ready = self._ready or b"", None
        if frames or self._telling.over or self._closed:
            return frames
        return await self._in_time(self._next)

    async def finish(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._closed = True
        if self._scope is not None:
            self._scope.cancel()

    def close_soon(self) -> None:
        self._closed = True

    async def _in_time(self, work: Callable[[], Awaitable[bytes]]) -> bytes:
        """What `work` gives; empty when the body is closed meanwhile, an error when the deadline comes first."""
        left = self._left()
        end = math.inf if left is None else anyio.current_time() + left
        frames: bytes | None = None
        with anyio.CancelScope(deadline=end) as self._scope:
            frames = await work()
        self._scope = None
        if frames is None and not self._closed:
            raise self._late(self._run)
        return frames or b""

    async def _next(self) -> bytes:
        frames = b""
        while not (frames or self._telling.over):
            await anyio.sleep(self._wait)
            frames = await self._turn()
        return frames

    async def _turn(self) -> bytes:
        return self._take(await self._reader())


def _timed_out(deadline: float | None, run: Run | None) -> PollTimeoutError:
    state = "nothing had been fetched" if run is None else f"the last status was {run.status!r}"
    return PollTimeoutError(f"the run was not finished within {deadline:g} s; {state}", run)

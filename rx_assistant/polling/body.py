"""Bodies of event streams that are polled: the pump reads them like an open response, and they send requests.

A polled body runs the loop of `loop.py` at the pace of its reader. It gives each fetched state as frames of events.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

import anyio

from rx_assistant.errors import RxAssistantError
from rx_assistant.hot import Sleepers
from rx_assistant.polling.loop import DeadlinePassed, PollLoop, timeout_error
from rx_assistant.polling.pace import Polled, PollSettings
from rx_assistant.polling.run_events import RunEventEncoder, RunObjects
from rx_assistant.types import Run

LateError = Callable[[Run | None], RxAssistantError]
"""Makes the error for a deadline that has passed, from the last fetched state of the run."""


class RunFetch(Protocol):
    """Fetches a run with its steps and messages."""

    def __call__(self) -> Polled[RunObjects]:
        """Fetch their current state."""
        ...

    def close(self) -> None:
        """Stop an active fetch; from any thread, idempotent, without waiting."""


class AsyncRunFetch(Protocol):
    """The same for event loops, where cancelling the task stops a fetch."""

    async def __call__(self) -> Polled[RunObjects]:
        """Fetch their current state."""
        ...


class _Body:
    """The common state of both faces: the loop, the deadline, and the frames that were not read yet."""

    def __init__(
        self,
        encoder: RunEventEncoder,
        settings: PollSettings,
        late_error: LateError | None = None,
    ) -> None:
        self._encoder = encoder
        self._loop = PollLoop(encoder.is_final, settings)
        self._end = None if settings.deadline is None else time.monotonic() + settings.deadline
        self._late_error = late_error or (lambda run: timeout_error(settings, run))
        self._wait: float | None = 0.0  # seconds before the next fetch; None after the final state
        self._unread: bytes | None = None
        self._closed = False

    @property
    def request_id(self) -> str | None:
        """The server's id of the last request for the run; None before the first."""
        last = self._loop.last
        return None if last is None else last.run._request_id

    def saw_event(self) -> None:
        """Do nothing: the deadline does not depend on events."""

    def _left(self) -> float | None:
        """Seconds until the deadline, None without one. Raises when it has passed."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise self._late()
        return left

    def _late(self) -> RxAssistantError:
        last = self._loop.last
        return self._late_error(None if last is None else last.run)

    def _frames(self, polled: Polled[RunObjects]) -> bytes:
        self._wait = self._loop.take(polled)
        return self._encoder.encode(polled.value)


class PolledBody(_Body):
    """The new frames of a run that `fetch` returns. No request is sent before `begin()` or the first `read()`."""

    def __init__(
        self,
        fetch: RunFetch,
        encoder: RunEventEncoder,
        settings: PollSettings,
        late_error: LateError | None = None,
    ) -> None:
        super().__init__(encoder, settings, late_error)
        self._fetch = fetch
        self._sleepers = Sleepers()

    def begin(self) -> None:
        """Send the first fetch now, so that opening the stream raises the server's errors."""
        try:
            self._unread = self._fetch_frames()
        except BaseException:
            self.close()
            raise

    def read(self) -> bytes:
        """The next frames, empty at the end."""
        frames, self._unread = self._unread or b"", None
        while not frames and self._wait is not None and not self._closed:
            self._sleep(self._wait)
            frames = b"" if self._closed else self._fetch_frames()
        return frames

    def finish(self) -> None:
        """The stream has ended."""
        self.close()

    def close(self) -> None:
        """End the active read; from any thread, idempotent."""
        self._closed = True
        self._sleepers.wake()
        self._fetch.close()

    def _sleep(self, seconds: float) -> None:
        left = self._left()
        self._sleepers.sleep(lambda: self._closed, seconds if left is None else min(seconds, left))
        if not self._closed:
            self._left()

    def _fetch_frames(self) -> bytes:
        self._left()
        try:
            return self._frames(self._fetch())
        except DeadlinePassed as error:
            raise self._late() from error.__cause__


class AsyncPolledBody(_Body):
    """The same for asyncio and trio."""

    def __init__(
        self,
        fetch: AsyncRunFetch,
        encoder: RunEventEncoder,
        settings: PollSettings,
        late_error: LateError | None = None,
    ) -> None:
        super().__init__(encoder, settings, late_error)
        self._fetch = fetch
        self._scope: anyio.CancelScope | None = None

    async def begin(self) -> None:
        """Send the first fetch now, so that opening the stream raises the server's errors."""
        self._unread = await self._before_the_deadline(self._fetch_frames)

    async def read(self) -> bytes:
        """The next frames, empty at the end."""
        frames, self._unread = self._unread or b"", None
        if frames or self._wait is None or self._closed:
            return frames
        return await self._before_the_deadline(self._next_frames)

    async def finish(self) -> None:
        """The stream has ended."""
        await self.aclose()

    async def aclose(self) -> None:
        """End the active read."""
        self._closed = True
        if self._scope is not None:
            self._scope.cancel()

    def close_soon(self) -> None:
        """Let the next read be the end; from any thread."""
        self._closed = True

    async def _before_the_deadline(self, work: Callable[[], Awaitable[bytes]]) -> bytes:
        """The result of `work`; empty if the body is closed first. Raises if the deadline passes first."""
        left = self._left()
        end = math.inf if left is None else anyio.current_time() + left
        frames: bytes | None = None
        with anyio.CancelScope(deadline=end) as self._scope:
            frames = await work()
        self._scope = None
        if frames is None and not self._closed:
            raise self._late()
        return frames or b""

    async def _next_frames(self) -> bytes:
        frames = b""
        while not frames and self._wait is not None:
            await anyio.sleep(self._wait)
            frames = await self._fetch_frames()
        return frames

    async def _fetch_frames(self) -> bytes:
        return self._frames(await self._fetch())

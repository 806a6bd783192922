"""Taking over the run of a producer that has died: ask the server for the run, and publish only what is missing.

Exactly one of all followers takes over, because the relay gives a generation to one claim only. What it publishes are
the events between the state that the log shows and the objects on the server, as for a stream that resumes by polling.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, reduce
from typing import TYPE_CHECKING, Any, Protocol, cast

import anyio.to_thread

from rx_assistant.errors import StreamInterruptedError
from rx_assistant.relay.catching_up import caught_up
from rx_assistant.relay.publishing import Publication
from rx_assistant.snapshots import RunSnapshot, fold
from rx_assistant.streams import AssistantStream, AsyncAssistantStream

if TYPE_CHECKING:
    from rx_assistant.relay.entries import RelayState
    from rx_assistant.relay.log import RelayLog
    from rx_assistant.relay.publishing import Sender
    from rx_assistant.streams import AsyncBody, Body
    from rx_assistant.types import Run


class Resumer(Protocol):
    """Asks the server of a run what a snapshot does not show yet. `AssistantClient` does."""

    def missing_events(self, run_id: str, thread_id: str, snapshot: RunSnapshot) -> Body:
        """The frames of the events after `snapshot`, until the run has ended or requires action."""
        ...


class AsyncResumer(Protocol):
    """The same for event loops. `AsyncAssistantClient` does."""

    async def missing_events(self, run_id: str, thread_id: str, snapshot: RunSnapshot) -> AsyncBody:
        """The frames of the events after `snapshot`, until the run has ended or requires action."""
        ...


def is_async(resumer: Resumer | AsyncResumer) -> bool:
    """Whether the resumer belongs to an event loop."""
    return inspect.iscoroutinefunction(resumer.missing_events)


def take(relay: RelayLog, sender: Sender, key: str, resumer: Resumer, generation: int) -> bool:
    """Take over after the producer of that generation, on a thread of its own; False if another follower does."""
    state = relay.claim(key, taking=generation)
    if state is None:
        return False
    publication: list[Publication] = []

    def open() -> Body:
        snapshot, run = _arrived(relay, key, state.count, publication[0])
        return resumer.missing_events(run.id, run.thread_id, snapshot)

    stream = AssistantStream(open)
    publication.append(Publication(sender, key, stream))
    publication[0].begin(claimed=state, keep=stream)
    stream.connect()
    return True


async def take_async(relay: RelayLog, sender: Sender, key: str, resumer: AsyncResumer, generation: int) -> bool:
    """The same in a task of the event loop."""
    claim: Callable[[], RelayState | None] = partial(relay.claim, key, taking=generation)
    state = await anyio.to_thread.run_sync(claim) if relay.is_remote else claim()
    if state is None:
        return False
    publication: list[Publication] = []

    async def open() -> AsyncBody:
        read = partial(_arrived, relay, key, state.count, publication[0])
        snapshot, run = await anyio.to_thread.run_sync(read)
        return await resumer.missing_events(run.id, run.thread_id, snapshot)

    stream = AsyncAssistantStream(open)
    publication.append(Publication(sender, key, stream))
    publication[0].begin(claimed=state, keep=stream)
    await stream.connect()
    return True


def _arrived(relay: RelayLog, key: str, count: int, publication: Publication) -> tuple[RunSnapshot, Run]:
    """The state that the log shows, and its run."""
    events, _ = caught_up(relay, key, count)
    snapshot = reduce(fold, events, RunSnapshot())
    run = snapshot.run
    if run is None or not (run.id and run.thread_id):
        raise StreamInterruptedError(f"run {key!r}: its producer has died before an event named the run")
    publication.resume_at(f"thread.run.{run.status}")
    return snapshot, cast("Any", run)

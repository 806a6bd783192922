"""A snapshot → as few events as possible that fold to an equal snapshot."""

from __future__ import annotations

from rx_assistant.events import StreamEvent, ThreadCreated
from rx_assistant.snapshots.difference import diff
from rx_assistant.snapshots.snapshot import RunSnapshot


def compacted(snapshot: RunSnapshot) -> list[StreamEvent]:
    """The events of a stream that has just reached this state: each object is created, then comes all its content.

    Folding further events onto the result gives what folding them onto `snapshot` gives.
    """
    events: list[StreamEvent] = [] if snapshot.thread is None else [ThreadCreated.from_data(snapshot.thread)]
    return events + diff(RunSnapshot(), run=snapshot.run, steps=snapshot.steps, messages=snapshot.messages)

"""A run's log → its state, folded page by page, so that memory is bounded by the state and not by the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rx_assistant.errors import CursorExpiredError
from rx_assistant.events import classify, frame
from rx_assistant.relay.entries import cursor_at
from rx_assistant.relay.tailing import PAGE
from rx_assistant.snapshots import RunSnapshot, compacted, fold
from rx_assistant.sse import SSEDecoder

if TYPE_CHECKING:
    from rx_assistant.relay.base import Relay

_EVENTS = 2000  # are folded onto one store before it is made anew, without the history


def caught_up(relay: Relay, key: str, end: int | None = None) -> tuple[RunSnapshot, int]:
    """The state of the run after what the relay has, up to event number `end`; and the number of the next event.

    Raises:
        CursorExpiredError: the relay has dropped events that are not in the stored snapshot.
    """
    position, frames = relay.stored_snapshot(key)
    snapshot = folded(RunSnapshot(), frames)
    events = 0
    while end is None or position < end:
        page = relay.read(key, position, PAGE)
        for entry in page:
            if entry.is_last or (end is not None and entry.end > end):
                return snapshot, position
            if entry.start > position:
                oldest = cursor_at(entry.start, entry.generation)
                message = f"run {key!r}: the relay no longer has the events from {position} to {entry.start}"
                raise CursorExpiredError(message, oldest=oldest, remaining=entry.frames)
            snapshot = folded(snapshot, entry.after(position).frames)
            events += entry.end - position
            position = entry.end
            if events >= _EVENTS:
                snapshot, events = folded(RunSnapshot(), compact_frames(snapshot)), 0
        if len(page) < PAGE:
            break
    return snapshot, position


def folded(snapshot: RunSnapshot, frames: bytes) -> RunSnapshot:
    """The snapshot after these frames."""
    blocks: list[tuple[bytes, bytes]] = []
    SSEDecoder(max_event_bytes=len(frames) + 1).push(frames, blocks.append)
    for block in blocks:
        kind, payload = classify(*block)
        snapshot = fold(snapshot, kind(payload))
    return snapshot


def compact_frames(snapshot: RunSnapshot) -> bytes:
    """The frames of as few events as possible that fold to an equal snapshot."""
    return b"".join([frame(event) for event in compacted(snapshot)])

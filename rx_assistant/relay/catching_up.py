"""A run's log → compacted events, page by page, so that memory is bounded by the state and not by the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rx_assistant.errors import CursorExpiredError
from rx_assistant.events import StreamEvent, classify
from rx_assistant.relay.entries import cursor_at
from rx_assistant.snapshots import Compactor
from rx_assistant.sse import Frame, SSEDecoder

if TYPE_CHECKING:
    from rx_assistant.relay.log import RelayLog

_PAGE = 128  # entries that are read at a time


def caught_up(relay: RelayLog, key: str, end: int | None = None) -> tuple[list[StreamEvent], int]:
    """The compacted events of what the relay has of a run, up to event number `end`; and the number of the next event.

    Raises:
        CursorExpiredError: the relay has dropped events that are not in the stored snapshot.
    """
    position, frames = relay.stored_snapshot(key)
    state = Compactor()
    _add(state, frames)
    while end is None or position < end:
        page = relay.read(key, position, _PAGE)
        for entry in page:
            if entry.is_last or (end is not None and entry.end > end):
                return state.events(), position
            if entry.start > position:
                oldest = cursor_at(entry.start, entry.generation)
                message = f"run {key!r}: the relay no longer has the events from {position} to {entry.start}"
                raise CursorExpiredError(message, oldest=oldest, remaining=entry.frames)
            _add(state, entry.after(position).frames)
            position = entry.end
        if len(page) < _PAGE:
            break
    return state.events(), position


def _add(state: Compactor, frames: bytes) -> None:
    blocks: list[Frame] = []
    SSEDecoder(max_event_bytes=len(frames) + 1).push(frames, blocks.append)
    for block in blocks:
        kind, payload = classify(*block)
        state.add(kind(payload))

"""Bytes of a body → events as a hot log stores them, and the ending of the stream, as far as the body shows it.

A `Decoding` belongs to one stream. It returns events of the Assistants protocol, whatever the protocol of the bytes. An
ending that the body shows is an event too: `done` or `error`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

from rx_assistant.errors import EventTooLargeError
from rx_assistant.events import (
    KINDS,
    DoneEvent,
    ErrorEvent,
    ThreadMessageDelta,
    ThreadRunStepDelta,
    classify,
    misnamed,
)
from rx_assistant.sse import Frame, SSEDecoder
from rx_assistant.streams.recording import unfinished

if TYPE_CHECKING:
    from rx_assistant.events import Kind

_log = logging.getLogger("rx_assistant")
_known = KINDS.get
_DELTAS = frozenset((ThreadMessageDelta, ThreadRunStepDelta))


Decoded: TypeAlias = "tuple[list[Kind], list[bytes], EventTooLargeError | None]"
"""The kinds of the events and their payloads, as a log stores them; and the error that came after them, or None."""


class Decoding(Protocol):
    """Decodes the bytes of one stream. It never raises: the error of an event that is too large is in the result."""

    def push(self, chunk: bytes) -> Decoded:
        """The events that `chunk` completes."""
        ...

    def end(self) -> Decoded:
        """The events that the end of the body completes. The last is `done` or `error` if the body shows an ending."""
        ...

    def restart(self) -> None:
        """Forget the unfinished event: another body continues where the last one broke."""

    @property
    def is_ending(self) -> bool:
        """Whether the body has shown its ending, or `end()` would return it."""
        ...

    @property
    def unread(self) -> bytes:
        """The beginning of the last bytes that did not become an event."""
        ...

    @property
    def rest(self) -> bytes:
        """The last bytes for the recording of a broken stream, so that its replay breaks in the same way."""
        ...


class FrameDecoding:
    """The part of a decoding that all protocols of server-sent events share: bytes → frames."""

    __slots__ = ("_decoder", "_max_event_bytes")

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._decoder = SSEDecoder(max_event_bytes=max_event_bytes)

    def frames(self, chunk: bytes) -> tuple[list[Frame], EventTooLargeError | None]:
        """The frames that `chunk` completes, and the error that came after them, or None."""
        frames: list[Frame] = []
        overflow: EventTooLargeError | None = None
        try:
            self._decoder.push(chunk, frames.append)
        except EventTooLargeError as error:
            overflow = error.with_traceback(None)  # the traceback would keep the stream alive
        return frames, overflow

    def restart(self) -> None:
        self._decoder = SSEDecoder(max_event_bytes=self._max_event_bytes)

    @property
    def unread(self) -> bytes:
        return self._decoder.unread


class AssistantsDecoding(FrameDecoding):
    """Server-sent events of the Assistants protocol."""

    __slots__ = ("_warned",)

    def __init__(self, max_event_bytes: int) -> None:
        super().__init__(max_event_bytes)
        self._warned = False

    def push(self, chunk: bytes) -> Decoded:
        lone = self._decoder.lone(chunk)
        if lone is not None and (kind := _known(lone[0])) is not None:
            kinds, payloads = [kind], [lone[1]]
            if kind not in _DELTAS and b".delta" in lone[1]:
                self._warn_of_misnamed(kinds, payloads)
            return kinds, payloads, None
        frames, overflow = ([lone], None) if lone is not None else self.frames(chunk)
        return *self._classified(frames), overflow

    def end(self) -> Decoded:
        """Return the ending in the last block, although its blank line is missing."""
        kind, payload = self._begun()
        return ([], [], None) if kind is None else ([kind], [payload], None)

    @property
    def is_ending(self) -> bool:
        return self._begun()[0] is not None

    @property
    def rest(self) -> bytes:
        pending = self._decoder.pending
        return self._decoder.unread + b"\n" if pending is None else unfinished(*pending)

    def _classified(self, frames: list[Frame]) -> tuple[list[Kind], list[bytes]]:
        """The result of `classify` for each frame; without a call for each if all names are known."""
        known = [_known(name) for name, _ in frames]
        payloads = [payload for _, payload in frames]
        if None not in known and b"\n" not in b"".join(payloads):
            if not _DELTAS.issuperset(known):
                self._warn_of_misnamed(cast("list[Kind]", known), payloads)
            return cast("list[Kind]", known), payloads
        pairs = [classify(*frame) for frame in frames]
        kinds, payloads = [kind for kind, _ in pairs], [payload for _, payload in pairs]
        self._warn_of_misnamed(kinds, payloads)
        return kinds, payloads

    def _warn_of_misnamed(self, kinds: list[Kind], payloads: list[bytes]) -> None:
        """Log the first delta that arrived under another event name."""
        for kind, payload in zip(kinds, payloads, strict=True):
            if self._warned or kind in _DELTAS or b".delta" not in payload:
                continue
            event = kind(payload)
            word = misnamed(event)
            if word is not None:
                self._warned = True
                _log.warning(
                    "event %r has the payload of a %r: its name was corrupted on the way, so its text is missing",
                    event.event,
                    word,
                )

    def _begun(self) -> tuple[Kind | None, bytes]:
        """Return the ending in the last block, although its blank line is missing; None if it has none."""
        pending = self._decoder.pending
        if pending is None:
            return None, b""
        kind, payload = classify(*pending)
        if kind is ErrorEvent or (kind is DoneEvent and payload.strip() == DoneEvent().raw):
            return kind, payload
        return None, b""

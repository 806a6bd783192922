"""Bytes ⇄ server-sent events (WHATWG HTML, section 9.2). Knows nothing of what the events mean.

How the decoder works: it first turns every line end into one LF. A block then ends at two LFs in a row.
A block that lies whole in one chunk is read in place; an incomplete block is collected in `_open`.
Between two calls these invariants hold:
- `_open` is empty or the beginning of one block: it neither starts with LF nor holds two LFs in a row;
- `_open` is no longer than `max_event_bytes`;
- `_skipped` holds the first bytes that made no event since the last one;
- each byte was searched and copied at most a constant number of times, for any cut into chunks.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from rx_assistant.errors import EventTooLargeError

__all__ = ["SSEDecoder", "ServerSentEvent", "encode"]

Frame: TypeAlias = tuple[bytes, bytes]
"""The name and the data of an event, as they came."""

_BOM = b"\xef\xbb\xbf"
_LF, _CR = b"\n\r"
_SHORT = 1024  # bytes of a chunk that may be one event
_SHOWN = 512  # bytes of what made no event that are kept for an error message
_RETRY_DIGITS = 18  # `retry` counts milliseconds; int() itself refuses absurd lengths


class ServerSentEvent(Struct, frozen=True, gc=False):
    """One dispatched event, as text. Read-only; `msgspec.structs.replace` makes a changed copy.

    `id` is the last event id so far, which an earlier block may have set. `retry` (ms) is from the event's own
    block.
    """

    event: str = "message"
    data: str = ""
    id: str = ""
    retry: int | None = None


class SSEDecoder:
    """Turns chunks of bytes into server-sent events, each as soon as its last byte arrives.

    The cut into chunks makes no difference. No input is malformed: lines that the standard does not define are
    skipped, and bad UTF-8 becomes U+FFFD. A last block without a blank line is not an event; see `pending`.

    A block may have `max_event_bytes` bytes: all its lines, comments included, each with one byte for its line
    end. A longer block raises `EventTooLargeError`. The decoder then forgets the block, and raises again at every
    further call.
    """

    __slots__ = (
        "_after_cr",
        "_block_retry",
        "_broken",
        "_guarded",
        "_head",
        "_limit",
        "_open",
        "_retry",
        "_short",
        "_skipped",
        "last_event_id",
    )

    def __init__(self, last_event_id: str = "", max_event_bytes: int = 16 * 2**20) -> None:
        if not isinstance(max_event_bytes, int) or max_event_bytes < 1:
            raise ValueError(f"max_event_bytes must be a number of bytes, at least 1, got {max_event_bytes!r}")
        self.last_event_id = last_event_id
        self._limit = max_event_bytes
        self._short = min(_SHORT, max_event_bytes)
        self._open = bytearray()
        self._skipped = b""
        self._retry: int | None = None
        self._block_retry: int | None = None
        # The next three are used only while _guarded is set, to keep the common chunk cheap.
        self._guarded = True
        self._head: bytes | None = b""  # bytes that may begin a BOM; None once this is decided
        self._after_cr = False
        self._broken = False

    @property
    def retry(self) -> int | None:
        """The last reconnection time (ms) that the server sent; it applies from the end of its line."""
        lines, _, _ = self._open.rpartition(b"\n")
        begun = _read_block(bytes(lines)).retry if b"retry" in lines else None
        return self._retry if begun is None else begun

    @property
    def pending(self) -> tuple[bytes, bytes] | None:
        """Name and data of the incomplete block at the end; None without a data line.

        The standard discards this block when the stream ends. Use it only to decide how the stream ended. If a
        body has no blank lines, all its frames are one block: the last name, and the data of all frames, one
        line each.
        """
        block = _read_block(bytes(self._open))
        return None if block.data is None else (block.name, block.data)

    @property
    def unread(self) -> bytes:
        """The first 512 bytes after the last event that did not become an event, without comments.

        They show HTML or JSON that a proxy wrote into the stream, or an incomplete block.
        """
        return (self._skipped + _unexpected_lines(bytes(self._open[: 2 * _SHOWN])))[:_SHOWN].strip()

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that this chunk completes.

        Raises EventTooLargeError when an event exceeds `max_event_bytes`. If the same chunk completes events
        before that one, this call returns them, and the next call raises (`feed(b"")` is enough).
        """
        if self._guarded:
            chunk = self._unguarded(chunk)
        frame = self.lone(chunk)
        if frame is not None:
            return [self._event(frame)]
        events: list[ServerSentEvent] = []
        try:
            if len(chunk) > self._limit:
                for start in range(0, len(chunk), self._limit):
                    events += self.feed(chunk[start : start + self._limit])
            else:
                self._read(self._complete(chunk), events)
        except EventTooLargeError:
            if not events:
                raise
        return events

    def push(self, chunk: bytes, emit: Callable[[Frame], object]) -> None:
        """Calls `emit((name, data))` for each event that this chunk completes: the fast form of `feed`.

        Both are bytes as they came, bad UTF-8 included: decode them with `errors="replace"`. `name` is
        empty where the block has no `event:` line; data lines are joined by LF. `emit` must not raise and must
        not push. `EventTooLargeError` is raised after all events before the large one have been emitted.
        """
        if self._guarded:
            chunk = self._unguarded(chunk)
        frame = self.lone(chunk)
        if frame is not None:
            emit(frame)
            return
        if len(chunk) > self._limit:
            for start in range(0, len(chunk), self._limit):
                self.push(chunk[start : start + self._limit], emit)
            return
        blocks = self._complete(chunk)
        if blocks[:7] != b"event: ":
            if blocks:
                self._dispatch(blocks, emit)
            return
        self._skipped = b""
        for block in blocks[7:].split(b"\n\nevent: "):
            name, found, data = block.partition(b"\ndata: ")
            if found and _LF not in data and _LF not in name:
                emit((name, data))
            else:
                self._dispatch(b"event: " + block, emit)

    def lone(self, chunk: bytes) -> Frame | None:
        """The frame of a chunk that is exactly one event of two lines, as a server sends it that flushes each event.

        Any other chunk is left for `push`: None.
        """
        if self._open or self._guarded or len(chunk) > self._short:
            return None
        lines = chunk.splitlines()  # lines of bytes end with CRLF, LF or CR, as in the standard
        if len(lines) != 3:
            return None
        name, data, blank = lines
        if blank or name[:7] != b"event: " or data[:6] != b"data: ":
            return None
        self._skipped = b""  # and an LF that follows a last CR is only one more blank line
        return name[7:], data[6:]

    def _read(self, blocks: bytes, events: list[ServerSentEvent]) -> None:
        """Append the events of complete blocks. All are decoded at once: a line end also ends a broken character."""
        if blocks[:7] != b"event: ":
            if blocks:
                self._dispatch(blocks, partial(self._collect, events))
            return
        self._skipped = b""
        raw: list[bytes] = []
        for at, block in enumerate(blocks[7:].decode("utf-8", "replace").split("\n\nevent: ")):
            name, found, data = block.partition("\ndata: ")
            if found and name and "\n" not in data and "\n" not in name:
                events.append(ServerSentEvent(name, data, self.last_event_id, None))
            else:
                raw = raw or blocks[7:].split(b"\n\nevent: ")
                self._dispatch(b"event: " + raw[at], partial(self._collect, events))

    def _collect(self, events: list[ServerSentEvent], frame: Frame) -> None:
        events.append(self._event(frame))

    def _event(self, frame: Frame) -> ServerSentEvent:
        name, data = frame
        text = data.decode("utf-8", "replace")
        return ServerSentEvent(
            name.decode("utf-8", "replace") or "message", text, self.last_event_id, self._block_retry
        )

    def _complete(self, chunk: bytes) -> bytes:
        """The blocks that the chunk completes, with a blank line between them; empty without any. The rest is kept.

        The chunk is within the limit, so a block inside it is too.
        """
        if _CR in chunk:
            last = chunk[-1]
            if last == _CR:
                self._after_cr = self._guarded = True
            lines = chunk.splitlines()
            if last in (_CR, _LF):
                lines.append(b"")
            chunk = b"\n".join(lines)
        if self._open:
            chunk = self._gather(chunk)
        elif chunk[:1] == b"\n":
            chunk = chunk.lstrip(b"\n")
        if chunk[-2:] == b"\n\n":
            return chunk[:-2]
        end = chunk.rfind(b"\n\n")
        if end < 0:
            if chunk:
                self._keep(chunk.lstrip(b"\n"))
            return b""
        if end + 2 < len(chunk):
            self._open += chunk[end + 2 :]
        return chunk[:end]

    def _unguarded(self, chunk: bytes) -> bytes:
        """The chunk without the stream's BOM, and without the second half of a line end."""
        if self._broken:
            raise EventTooLargeError(self._limit)
        if not chunk:
            return chunk
        if self._head is not None:
            chunk = self._without_bom(self._head, chunk)
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        self._guarded = self._head is not None
        return chunk

    def _without_bom(self, held: bytes, chunk: bytes) -> bytes:
        """The chunk without a leading BOM; empty while the bytes so far may still become a BOM."""
        head = held + chunk
        if len(head) < len(_BOM) and _BOM.startswith(head):
            self._head = head
            return b""
        self._head = None
        if head.startswith(_BOM):
            return head[len(_BOM) :]
        self._keep(held)
        return chunk

    def _gather(self, chunk: bytes) -> bytes:
        """The open block joined with this chunk; empty if the block does not end here (it is stored then)."""
        begun = self._open
        if begun[-1] == _LF and chunk[:1] == b"\n":
            end = 0
        else:
            end = chunk.find(b"\n\n") + 1
            if end == 0:
                self._keep(chunk)
                return b""
        self._admit(end)
        whole = b"".join((begun, chunk))
        begun.clear()
        return whole

    def _keep(self, part: bytes) -> None:
        self._admit(len(part))
        self._open += part

    def _admit(self, size: int) -> None:
        """Raises EventTooLargeError if so many more bytes make the open block too large."""
        if len(self._open) + size > self._limit:
            self._open.clear()
            self._broken = self._guarded = True
            raise EventTooLargeError(self._limit)

    def _dispatch(self, blocks: bytes, emit: Callable[[Frame], object]) -> None:
        """Reads blocks of any shape; blank lines around them are ignored."""
        for block in blocks.split(b"\n\n"):
            if block[:6] == b"data: " and _LF not in block:
                emit((b"", block[6:]))
                self._skipped = b""
                continue
            name, data, last_event_id, retry = _read_block(block)
            if last_event_id is not None:
                self.last_event_id = last_event_id.decode("utf-8", "replace")
            if retry is not None:
                self._retry = retry
            if data is not None:
                self._block_retry = retry
                emit((name, data))
                self._block_retry = None
                self._skipped = b""
            elif len(self._skipped) < _SHOWN:
                self._skipped = (self._skipped + _unexpected_lines(block[: 2 * _SHOWN]))[:_SHOWN]


class _Block(NamedTuple):
    name: bytes
    data: bytes | None
    id: bytes | None
    retry: int | None


def _read_block(block: bytes) -> _Block:
    """The fields of a block as the standard interprets them; None for each missing field."""
    name = b""
    data: list[bytes] = []
    last_event_id: bytes | None = None
    retry: int | None = None
    for line in block.split(b"\n"):
        field, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
        elif field == b"id" and b"\0" not in value:
            last_event_id = value
        elif field == b"retry" and value.isdigit() and len(value) <= _RETRY_DIGITS:
            retry = int(value)
    return _Block(name, b"\n".join(data) if data else None, last_event_id, retry)


def _unexpected_lines(block: bytes) -> bytes:
    """The unexpected lines of a block without an event: not its comments, nor the fields that need no event."""
    lines = [line for line in block.split(b"\n") if line and not line.startswith((b":", b"id:", b"retry:"))]
    return b"\n".join([*lines, b""]) if lines else b""


def encode(event: ServerSentEvent, last_event_id: str = "") -> bytes:
    """The frame of an event. A decoder turns the frame into an equal event.

    A decoder keeps the last event id, so an `id:` line is written only if `event.id` differs from
    `last_event_id`: pass the id of the previous event if events have ids. The default type `message` is not
    written.

    Raises ValueError for values that a frame cannot hold: a CR in `data`, a line end in `event` or `id`, NUL in
    `id`, an empty `event`, a `retry` outside 0 … 10**18.
    """
    _refuse_unwritable(event)
    lines: list[str] = []
    if event.event != "message":
        lines.append(f"event: {event.event}")
    if event.id != last_event_id:
        lines.append(f"id: {event.id}")
    if event.retry is not None:
        lines.append(f"retry: {event.retry}")
    lines.extend(f"data: {line}" for line in event.data.split("\n"))
    return "\n".join([*lines, "", ""]).encode()


def _refuse_unwritable(event: ServerSentEvent) -> None:
    if not event.event or "\n" in event.event or "\r" in event.event:
        raise ValueError(f"event must be one line of text, got {event.event!r}")
    if "\n" in event.id or "\r" in event.id or "\0" in event.id:
        raise ValueError(f"id must be one line of text without NUL, got {event.id!r}")
    if "\r" in event.data:
        raise ValueError("data must not contain a CR, which readers take for a line end: replace it by LF")
    if event.retry is not None and not 0 <= event.retry < 10**_RETRY_DIGITS:
        raise ValueError(f"retry must be a number of milliseconds from 0 to 10**18, got {event.retry!r}")

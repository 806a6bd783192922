"""Bytes of a body → payloads, each with the name of its event; for Chat Completions and for Responses.

Responses are ordinary server-sent events (`ResponsesFrames`). A Chat Completions body (`ChatFrames`) gives one payload
for each `data:` line, whatever stands between them. Each payload of this protocol is one line, so blank lines need not
be trusted: some servers leave them out. CRLF and lone CR, comments, `event:`, `id:` and `retry:` lines and blanks
before a field are taken as well. A body that is JSON instead of a stream is one payload; lines of JSON are one payload
each. A field `error:` (GPUStack) is an error.
"""

from __future__ import annotations

from typing import Final

from pydantic_core import from_json

from rx_assistant.errors import EventTooLargeError
from rx_assistant.sse import Frame, SSEDecoder

Payload = tuple[bytes, bytes]
"""The event's name, or nothing, and the bytes of the payload. Of Chat Completions, only the name `error` is kept."""

_BOM: Final = b"\xef\xbb\xbf"
_JSON: Final = (b"{", b"[")


class ChatFrames:
    """Takes a body in chunks of any size and gives its payloads, each as (name, bytes).

    Raises EventTooLargeError when one line, or a body of JSON, is larger than `max_event_bytes`. When one chunk holds
    payloads before that line, they are given first, and the next call raises.
    """

    def __init__(self, *, max_event_bytes: int = 16 * 2**20) -> None:
        self._limit = max_event_bytes
        self._rest: list[bytes] = []  # a line that has not ended
        self._size = 0
        self._name = b""
        self._begun = False
        self._is_json = False
        self._broken = False

    def push(self, chunk: bytes) -> list[Payload]:
        """The payloads that `chunk` completes."""
        if self._broken:
            raise EventTooLargeError(self._limit)
        if not chunk:
            return []
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r", b"\n")  # the blank line that a CRLF leaves says nothing here
        if not self._begun:
            chunk = self._begin(chunk)
        if self._is_json or b"\n" not in chunk:
            self._hold(chunk)
            return []
        lines = chunk.split(b"\n")
        if self._rest:
            lines[0] = self._taken() + lines[0]
        payloads: list[Payload] = []
        for line in lines[:-1]:
            if line:
                self._line(line, payloads)
        if lines[-1]:
            try:
                self._hold(lines[-1])
            except EventTooLargeError:
                if not payloads:
                    raise
        return payloads

    def end(self) -> list[Payload]:
        """The payloads of what has come without a line end: the last line, or a body of JSON."""
        rest = self._taken()
        payloads: list[Payload] = []
        if not self._is_json:
            self._line(rest, payloads)
        elif _is_value(rest):
            payloads.append((b"", rest))
        else:
            payloads.extend((b"", line) for line in rest.split(b"\n") if line.strip())
        return payloads

    def _begin(self, chunk: bytes) -> bytes:
        """The body so far, once its first byte that counts is there: that byte tells a stream from JSON."""
        start = (self._taken() + chunk).removeprefix(_BOM).lstrip()
        self._begun = bool(start) and not _BOM.startswith(start)
        self._is_json = start.startswith(_JSON)
        return start

    def _line(self, line: bytes, payloads: list[Payload]) -> None:
        if line[:5] != b"data:":
            line = line.removeprefix(_BOM).strip()
        field, colon, value = line.partition(b":")
        if field == b"data":
            value = value.strip()
            if value:
                payloads.append((self._name, value))
                self._name = b""
        elif field == b"error" and colon:
            payloads.append((b"error", value.strip()))
        elif field == b"event":
            self._name = b"error" if value.strip() == b"error" else b""
        elif field and field not in (b"id", b"retry"):
            payloads.append((b"", line))  # no field of a stream: the reader keeps it for the error's text

    def _hold(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit:
            self._broken = True
            raise EventTooLargeError(self._limit)
        self._rest.append(piece)

    def _taken(self) -> bytes:
        rest = b"".join(self._rest)
        self._rest, self._size = [], 0
        return rest


class ResponsesFrames:
    """Takes a body of Responses in chunks and gives its payloads, each as (name, bytes). One of JSON is one payload.

    Raises EventTooLargeError when one event, or a body of JSON, is larger than `max_event_bytes`; but not before it has
    given the payloads that came before: then the next call raises.
    """

    def __init__(self, *, max_event_bytes: int = 16 * 2**20) -> None:
        self._limit = max_event_bytes
        self._decoder = SSEDecoder(max_event_bytes=max_event_bytes)
        self._start: bytes | None = b""  # what came before the first byte that counts
        self._json: bytearray | None = None

    @property
    def pending(self) -> Payload | None:
        """The last event, if its blank line is missing; or the body, if it is JSON that is whole."""
        if self._json is None:
            return self._decoder.pending
        return (b"", bytes(self._json)) if _is_value(bytes(self._json)) else None

    @property
    def unread(self) -> bytes:
        """The beginning of what came last and made no payload."""
        return self._decoder.unread if self._json is None else bytes(self._json[:512])

    def push(self, chunk: bytes) -> list[Payload]:
        """The payloads that `chunk` completes."""
        if self._start is not None:
            chunk = self._begin(self._start, chunk)
        payloads: list[Frame] = []
        if self._json is not None:
            self._json += chunk
            if len(self._json) > self._limit:
                raise EventTooLargeError(self._limit)
            return []
        try:
            self._decoder.push(chunk, payloads.append)
        except EventTooLargeError:
            if not payloads:
                raise
        return payloads

    def _begin(self, start: bytes, chunk: bytes) -> bytes:
        """The body so far, once its first byte that counts is there: that byte tells a stream from JSON."""
        start = (start + chunk).removeprefix(_BOM).lstrip()
        if not start or _BOM.startswith(start):
            self._start = start
            return b""
        self._start = None
        if start.startswith(_JSON):
            self._json = bytearray()
        return start


def _is_value(text: bytes) -> bool:
    try:
        from_json(text)
    except ValueError:
        return False
    return True

"""Bytes of a Chat Completions or Responses body → payloads, one for each `data:` line.

Each payload of these protocols is one line, so blank lines are not needed: some servers leave them out. CRLF, a lone
CR, comments, `id:` and `retry:` lines and blanks before a field are accepted. A body that is JSON instead of a stream
is one payload; lines of JSON are one payload each. A field `error:` (GPUStack) is an error.
"""

from __future__ import annotations

from typing import Final

from pydantic_core import from_json

from rx_assistant.errors import EventTooLargeError

Payload = tuple[bytes, bytes]
"""The event's name, or nothing, and the bytes of the payload."""

_BOM: Final = b"\xef\xbb\xbf"
_JSON: Final = (b"{", b"[")


class ChatFrames:
    """Turns the chunks of a body, of any size, into payloads, each as (name, bytes).

    Raises EventTooLargeError when one line, or a body of JSON, is larger than `max_event_bytes`. If the same chunk
    holds payloads before that line, they are returned first, and the next call raises.
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
            chunk = chunk.replace(b"\r", b"\n")  # ignore the blank line that a CRLF leaves here
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

    @property
    def pending(self) -> list[Payload]:
        """The payloads that `end()` would return now."""
        rest, name = b"".join(self._rest), self._name
        payloads: list[Payload] = []
        if not self._is_json:
            self._line(rest, payloads)
            self._name = name
        elif is_value(rest):
            payloads.append((b"", rest))
        else:
            payloads.extend((b"", line) for line in rest.split(b"\n") if line.strip())
        return payloads

    def end(self) -> list[Payload]:
        """The payloads in the rest without a line end: the last line, or a body of JSON."""
        payloads = self.pending
        self._taken()
        return payloads

    def _begin(self, chunk: bytes) -> bytes:
        """The body so far, if its first byte that is not blank has arrived, which shows a stream or JSON."""
        start = (self._taken() + chunk).removeprefix(_BOM).lstrip()
        self._begun = bool(start) and not _BOM.startswith(start)
        self._is_json = start.startswith(_JSON)
        return start

    def _line(self, line: bytes, payloads: list[Payload]) -> None:
        if line[:5] != b"data:":
            line = line.removeprefix(_BOM).strip()
        if line[:5] == b"data:":
            value = line[5:].strip()
            if value:
                payloads.append((self._name, value))
                self._name = b""
            return
        field, colon, value = line.partition(b":")
        if field == b"error" and colon:
            payloads.append((b"error", value.strip()))
        elif field == b"event":
            self._name = value.strip()
        elif field and field not in (b"data", b"id", b"retry"):
            payloads.append((b"", line))  # not a field of a stream: the reader keeps it for the error's text

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


def is_value(text: bytes) -> bool:
    """Whether this is complete JSON."""
    try:
        from_json(text)
    except ValueError:
        return False
    return True

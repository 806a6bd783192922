"""The bytes of an event stream, decompressed. Bodies that are not event streams are refused.

A body with the content type of an event stream is one, unless it begins like HTML or JSON. For other types the first
line decides: some servers send events as `text/plain` or without a type, and proxies send an HTML page with status 200.
If a protocol also allows JSON instead of a stream, `welcome_json` accepts it.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import TypeAlias

from rx_assistant.errors import APIConnectionError, NotAnEventStreamError
from rx_assistant.http.transports import Response

_BOM = b"\xef\xbb\xbf"
_FIELDS = (b"event", b"data", b"id", b"retry", b"")
_SHOWN = 512
_JSON = (b"{", b"[")
_ENOUGH = 64
_JSON_TOO = "rx_assistant.json"
_GZIP = 16 + zlib.MAX_WBITS
_REFUSED = frozenset({"br", "zstd", "compress", "x-compress", "dcb", "dcz"})

_Decoder: TypeAlias = Callable[[bytes], bytes]


def welcome_json(response: Response) -> None:
    """Also accept JSON as the body of this response. Its reader can handle it."""
    response.extensions[_JSON_TOO] = True


class EventStreamContent:
    """Bytes of the body in, bytes of the event stream out. The first ones are held until the kind of body is known."""

    __slots__ = ("_content_type", "_decided", "_decode", "_held", "_request_id", "_strange", "_typed", "passes")

    def __init__(self, response: Response) -> None:
        self._content_type: str | None = response.headers.get("content-type")
        self._request_id: str | None = response.headers.get("x-request-id")
        self._typed = (self._content_type or "").partition(";")[0].strip().lower() == "text/event-stream"
        self._decode = _decoder(response.headers.get("content-encoding"))
        self._strange = (b"<",) if response.extensions.get(_JSON_TOO) else (b"<", *_JSON)
        self._held = b""
        self._decided = False
        self.passes = False  # whether all further bytes are passed on unchanged

    def feed(self, raw: bytes) -> bytes:
        """The bytes of the event stream, perhaps none yet. NotAnEventStreamError if the body is something else."""
        chunk = self._decode(raw)
        if self._decided:
            return chunk
        self._held += chunk
        text = self._held.removeprefix(_BOM).lstrip()
        if not text:  # blank lines decide nothing; the reader's time limits end an endless series of them
            blank, self._held = self._held, b""
            return blank
        if not self._is_clear(text):
            return b""
        self._decided = True
        self.passes = self._decode is _unchanged
        return self._held

    def end(self) -> None:
        """The body has ended. Raises if it was empty and its content type was not an event stream."""
        if not self._decided and not self._typed:
            raise self._error()

    def _is_clear(self, text: bytes) -> bool:
        """Whether this is certainly an event stream. Raises if it certainly is not."""
        if text[:1] in self._strange:
            raise self._error()
        if self._typed or text[:1] in _JSON:
            return bool(text)
        line, ended, _ = text.replace(b"\r", b"\n").partition(b"\n")
        name, colon, _ = line.partition(b":")
        if not colon and not ended and len(text) <= _ENOUGH:
            return False
        if not colon or name not in _FIELDS:
            raise self._error()
        return True

    def _error(self) -> NotAnEventStreamError:
        head = self._held[:_SHOWN]
        return NotAnEventStreamError(
            f"expected an event stream, got {self._content_type or 'no content type'}, beginning {head[:80]!r}",
            content_type=self._content_type,
            head=head,
            request_id=self._request_id,
        )


def _decoder(encoding: str | None) -> _Decoder:
    """The decoders for a `content-encoding` header.

    The header lists the encodings in the order in which they were applied. Other words are ignored, because servers
    write `none` and `identity` to stop proxies from compressing. Requests ask for no compression, but gzip and deflate
    are decoded.
    """
    decoders: list[_Decoder] = []
    for name in reversed((encoding or "").lower().split(",")):
        name = name.strip()
        if name in _REFUSED:
            raise APIConnectionError(
                f"the event stream must not be compressed as {name!r}; it was requested without compression"
            )
        if name in ("gzip", "x-gzip"):
            decoders.append(_Gzip().feed)
        elif name == "deflate":
            decoders.append(_Deflate().feed)
    if not decoders:
        return _unchanged

    def decode(raw: bytes) -> bytes:
        try:
            for decoder in decoders:
                raw = decoder(raw)
        except zlib.error as cause:
            raise APIConnectionError(f"the compressed event stream is damaged: {cause}") from cause
        return raw

    return decode


class _Gzip:
    """Decodes one gzip member after the other, because some servers compress each event separately."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(_GZIP)
        self._begun = False

    def feed(self, raw: bytes) -> bytes:
        content = b""
        while raw := raw if self._begun else raw.lstrip(b"\0"):  # there may be zeros between members
            self._begun = True
            content += self._member.decompress(raw)
            raw = self._member.unused_data
            if self._member.eof:
                self._member, self._begun = zlib.decompressobj(_GZIP), False
        return content


class _Deflate:
    """Decodes deflate with zlib's header, as the standard says, or without it, as some servers send it."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj()
        self._head: bytes | None = b""  # the bytes so far, while both forms are possible

    def feed(self, raw: bytes) -> bytes:
        if self._head is None:
            return self._stream.decompress(raw)
        self._head += raw
        if len(self._head) < 2:
            return b""
        head, self._head = self._head, None
        if (head[0] & 0x0F) != 8 or int.from_bytes(head[:2], "big") % 31:
            self._stream = zlib.decompressobj(-zlib.MAX_WBITS)
        return self._stream.decompress(head)


def _unchanged(raw: bytes) -> bytes:
    return raw

"""One request and its response on an HTTP/1.1 connection, as bytes: what to send, and what the bytes that come mean.

h11 knows the protocol. It makes an event of each chunk of a body, which costs more than all the rest of a chunk's way;
so the chunked coding is taken off by `chunked`, and h11 sees heads, and bodies of other kinds.
"""

from __future__ import annotations

import h11

from rx_assistant.http.chunked import Chunks

READ_BYTES = 64 * 1024
_MOST_HEAD = 100 * 1024
_BODILESS = frozenset({204, 304})


class Exchange:
    """One request, and its response. Raises h11's errors, and ChunkedError, when something is not as it should be."""

    __slots__ = ("_chunks", "_h11", "_method", "early", "head", "is_over")

    def __init__(self, method: str) -> None:
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD)
        self._method = method
        self._chunks: Chunks | None = None
        self.head: h11.Response | None = None
        self.early = b""  # what came of the body together with the head
        self.is_over = False  # whether the body has arrived whole

    # -- the request ---------------------------------------------------------------------------------------------

    def request(self, target: bytes, headers: list[tuple[bytes, bytes]]) -> bytes:
        """The head of the request."""
        return self._h11.send(h11.Request(method=self._method, target=target, headers=headers)) or b""

    def content(self, data: bytes) -> bytes:
        """Content of the request, in the coding that its head announces."""
        return self._h11.send(h11.Data(data=data)) or b""

    def end(self) -> bytes:
        """The end of the request."""
        return self._h11.send(h11.EndOfMessage()) or b""

    # -- the response --------------------------------------------------------------------------------------------

    def receive_head(self, data: bytes) -> None:
        """Take bytes until `head` is there; none at the end of the connection."""
        if not data:
            raise h11.RemoteProtocolError("the server closed the connection before it sent a response")
        self._h11.receive_data(data)
        while (event := self._h11.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.Response):
                self.head = event
                self._begin_body(event)
                return
            if not isinstance(event, h11.InformationalResponse) or event.status_code == 101:
                raise h11.RemoteProtocolError(f"a response was expected, not {event!r}")

    def _begin_body(self, head: h11.Response) -> None:
        coded = any(name == b"transfer-encoding" for name, _ in head.headers)
        if coded and self._method != "HEAD" and head.status_code not in _BODILESS:
            self._chunks = Chunks()
            self.early = self.receive(self._h11.trailing_data[0])
        else:
            self.early = self._events()

    def receive(self, data: bytes) -> bytes:
        """The content of the response in `data`; none at the end of the connection, which may be the end of it."""
        chunks = self._chunks
        if chunks is None:
            self._h11.receive_data(data)
            return self._events()
        content = chunks.feed(data)
        self.is_over = chunks.is_over
        return content

    def receive_end(self) -> bytes:
        """The connection has ended: what that means for the body."""
        if self._chunks is not None:
            raise h11.RemoteProtocolError("the server closed the connection amid a chunked body")
        return self.receive(b"")

    def _events(self) -> bytes:
        pieces: list[bytes] = []
        while isinstance(event := self._h11.next_event(), h11.Data):
            pieces.append(bytes(event.data))
        self.is_over = event is not h11.NEED_DATA
        return b"".join(pieces)

    @property
    def leaves_connection(self) -> bool:
        """Whether the connection can serve another request: both sides have said all, and neither wants to close."""
        if not self.is_over or self._h11.our_state is not h11.DONE:
            return False
        if self._chunks is not None:
            return not self._chunks.rest
        return self._h11.trailing_data == (b"", False)  # nothing more came, and no end of the connection

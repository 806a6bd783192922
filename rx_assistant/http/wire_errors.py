"""What goes wrong on a connection, as httpx says it: errors of httpcore, h11 and the chunked coding → httpx's."""

from __future__ import annotations

import h11
import httpcore
import httpx

from rx_assistant.http.chunked import ChunkedError


def as_httpx(error: BaseException) -> httpx.HTTPError | None:
    """The error that httpx raises in such a case; None for what is no failure of the connection."""
    if isinstance(error, (h11.RemoteProtocolError, ChunkedError)):
        return httpx.RemoteProtocolError(str(error))
    if isinstance(error, h11.LocalProtocolError):
        return httpx.LocalProtocolError(str(error))
    if type(error).__module__.partition(".")[0] != httpcore.__name__:
        return None
    kind = getattr(httpx, type(error).__name__, None)  # they bear the same names
    return None if kind is None else kind(str(error))

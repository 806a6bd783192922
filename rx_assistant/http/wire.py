"""What httpx sees of our transports, the same in both colours: who a request is for, its response, what goes wrong."""

from __future__ import annotations

import time
from typing import Any, TypeAlias

import h11
import httpcore
import httpx

from rx_assistant.http.chunked import ChunkedError
from rx_assistant.http.http11 import Exchange
from rx_assistant.http.source import BODY, DEADLINE

Limits: TypeAlias = "dict[str, float | None]"
"""httpx's time limits, in seconds: `connect`, `read`, `write`; and our DEADLINE."""

Key: TypeAlias = tuple[str, str, int]
"""Scheme, host and port: requests with the same key may share a connection."""

SEND_AT_ONCE = 64 * 1024  # bytes of a request that are gathered before they are written
CLOSED = "the transport has been closed"
_PORTS = {"http": 80, "https": 443}
_LAST_PORT = 65535
_SHORTEST = 0.0005  # seconds; none at all would mean to sockets that they must not wait


def key_of(request: httpx.Request) -> Key:
    """Where a request has to be sent."""
    url = request.url
    if url.scheme not in _PORTS:
        raise httpx.UnsupportedProtocol(f"a URL begins with http:// or https://, not {url.scheme!r}")
    host = url.raw_host.decode("ascii")
    port = _PORTS[url.scheme] if url.port is None else url.port
    try:
        host.encode("idna")  # what the resolver does with it
    except UnicodeError as error:
        raise httpx.InvalidURL(f"no host can have the name {host!r}") from error
    if port > _LAST_PORT:
        raise httpx.InvalidURL(f"ports end with {_LAST_PORT}; there is no {port}")
    return url.scheme, host, port


def limit_of(limits: Limits, name: str) -> float | None:
    """Seconds that one wait may last: a peer that sends a byte now and then keeps us no longer than the deadline."""
    limit, deadline = limits.get(name), limits.get(DEADLINE)
    if deadline is None:
        return limit
    left = max(deadline - time.monotonic(), _SHORTEST)
    return left if limit is None else min(left, limit)


def response_of(exchange: Exchange, network: object, body: Any) -> httpx.Response:
    """The response whose head has arrived."""
    head = exchange.head
    assert head is not None
    return httpx.Response(
        head.status_code,
        headers=head.headers.raw_items(),
        stream=body,
        extensions={
            "http_version": b"HTTP/" + head.http_version,
            "reason_phrase": head.reason,
            "network_stream": network,
            BODY: body,
        },
    )


class _AsHttpx:
    """Errors of the connection that pass through here leave as httpx's."""

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        failure = None if error is None else _as_httpx(error)
        if failure is not None:
            raise failure from error


AS_HTTPX = _AsHttpx()


def _as_httpx(error: BaseException) -> httpx.HTTPError | None:
    """The error that httpx raises in such a case; None for what is no failure of the connection."""
    if isinstance(error, (h11.RemoteProtocolError, ChunkedError)):
        return httpx.RemoteProtocolError(str(error))
    if isinstance(error, h11.LocalProtocolError):
        return httpx.LocalProtocolError(str(error))
    if type(error).__module__.partition(".")[0] != httpcore.__name__:
        return None
    kind = getattr(httpx, type(error).__name__, None)  # they bear the same names
    return None if kind is None else kind(str(error))

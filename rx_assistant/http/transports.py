"""The HTTP libraries, httpx and httpx2: their classes, the clients that are made of them, and their errors.

httpx is loaded only when a client is made, httpx2 never. Both have the same classes under the same names, but not
the same classes. Whoever holds a client or a response of either gets from here what differs: the exceptions, and
what our errors make of them.
"""

from __future__ import annotations

import os
import ssl
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias
from urllib.request import getproxies

from rx_assistant.errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    ConnectTimeoutError,
    ReadTimeoutError,
)

if TYPE_CHECKING:
    import httpx
    import httpx2


_FINAL = frozenset({"InvalidURL", "LocalProtocolError", "UnsupportedProtocol"})

SyncHTTP: TypeAlias = "httpx.Client | httpx2.Client"
AsyncHTTP: TypeAlias = "httpx.AsyncClient | httpx2.AsyncClient"
Response: TypeAlias = "httpx.Response | httpx2.Response"


def _without_limit() -> httpx.Limits:
    """As many connections as there are streams, and not too many idle ones: the pool looks at each of them every time.

    Threads in a crowd may find that it has closed one that it had just given them; that is a connection error before
    the head, and tried again like any other.
    """
    import httpx

    return httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=15.0)


def sync_client() -> httpx.Client:
    """A client of our own, over connections of ours; over httpx's own where the environment names a proxy.

    It verifies TLS, opens as many connections as there are streams, and follows no redirect.
    """
    import httpx

    if _is_direct():
        from rx_assistant.http.sync_connections import SyncLines

        return httpx.Client(transport=SyncLines(_tls_of_environment()), timeout=None, follow_redirects=False)
    return httpx.Client(limits=_without_limit(), timeout=None, follow_redirects=False)


def async_client() -> httpx.AsyncClient:
    """The same for asyncio and trio."""
    import httpx

    if _is_direct():
        from rx_assistant.http.connections import Lines

        return httpx.AsyncClient(transport=Lines(_tls_of_environment()), timeout=None, follow_redirects=False)
    return httpx.AsyncClient(limits=_without_limit(), timeout=None, follow_redirects=False)


def line_client() -> httpx.Client:
    """A client for one connection. Its TLS settings are made once: they take longer than most requests."""
    import httpx

    tls = _tls_of_environment()
    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=15.0)
    return httpx.Client(verify=tls, limits=limits, timeout=None, follow_redirects=False)


def _is_direct() -> bool:
    """Whether the environment names no proxy, which would be httpx's business."""
    return {"http", "https", "all"}.isdisjoint(getproxies())


def _tls_of_environment() -> ssl.SSLContext:
    return _tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=4)
def _tls(*_certificates: str | None) -> ssl.SSLContext:
    """What httpx makes of these variables of the environment."""
    import httpx

    return httpx.create_ssl_context()


def checked_sync(client: SyncHTTP) -> SyncHTTP:
    """The given client, if it is a synchronous one."""
    if isinstance(client, _classes("Client")):
        return client
    raise _wrong_client(client, "AssistantClient", "httpx.Client or httpx2.Client", "AsyncAssistantClient")


def checked_async(client: AsyncHTTP) -> AsyncHTTP:
    """The given client, if it is an asynchronous one."""
    if isinstance(client, _classes("AsyncClient")):
        return client
    raise _wrong_client(client, "AsyncAssistantClient", "httpx.AsyncClient or httpx2.AsyncClient", "AssistantClient")


def transport_errors() -> tuple[type[Exception], ...]:
    """What the libraries raise when an exchange fails, for an `except` clause."""
    return _classes("HTTPError") + _classes("StreamError") + _classes("InvalidURL") + (OSError,)


def translated(cause: Exception, doing: str) -> APIConnectionError:
    """Our error for a transport's, with the latter as its cause. Both libraries know the same names."""
    names = {base.__name__ for base in type(cause).__mro__}
    request = _request_of(cause)
    text = f"{doing}{_to(request)}: {str(cause) or type(cause).__name__}"
    error: APIConnectionError
    if "ConnectTimeout" in names:
        error = ConnectTimeoutError(text, request=request)
    elif "ReadTimeout" in names:
        error = ReadTimeoutError(text, request=request)
    elif "TimeoutException" in names or isinstance(cause, TimeoutError):
        error = APITimeoutError(text, request=request)
    else:
        error = APIConnectionError(text, request=request)
    error.__cause__ = cause
    return error


def _request_of(cause: Exception) -> httpx.Request | httpx2.Request | None:
    try:
        request: httpx.Request | httpx2.Request | None = getattr(cause, "request", None)
    except RuntimeError:  # what both libraries say of an error without one
        return None
    return request


def _to(request: httpx.Request | httpx2.Request | None) -> str:
    """Where the request went: without a user's name, a password, or a query, which may hold keys."""
    if request is None:
        return ""
    url = request.url
    return f" ({request.method} {url.scheme}://{url.netloc.decode('ascii', 'replace')}{url.path})"


def is_final(error: APIConnectionError) -> bool:
    """Whether another try can only end the same way: a malformed request, or a certificate that is not trusted."""
    cause: BaseException | None = error.__cause__
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) or type(cause).__name__ in _FINAL:
            return True
        cause = cause.__cause__ or cause.__context__
    return error.__cause__ is None


def never_arrived(error: APIConnectionError) -> bool:
    """Whether the request certainly did not reach the server: there was no connection to send it on."""
    names = {base.__name__ for base in type(error.__cause__).__mro__}
    return bool(names & {"ConnectError", "ConnectTimeout", "PoolTimeout", "UnsupportedProtocol", "ProxyError"})


def _classes(name: str) -> tuple[type, ...]:
    """The class of that name in each library that this process has loaded: nobody holds an object of another."""
    loaded = (sys.modules.get(library) for library in ("httpx", "httpx2"))
    return tuple(getattr(library, name) for library in loaded if library is not None)


def _wrong_client(client: object, ours: str, wanted: str, other: str) -> ConfigurationError:
    return ConfigurationError(
        f"{ours}(http_client=…) takes an {wanted}, not {type(client).__module__}.{type(client).__qualname__}; "
        f"{other} takes the other kind"
    )

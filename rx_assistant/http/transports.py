"""The classes, clients and errors of the HTTP libraries httpx and httpx2.

httpx and aiohttp are loaded only when a client is made. This package never loads httpx2.

The two libraries have separate classes with the same names. Only this module knows these names, and the errors of
aiohttp that `httpx-aiohttp` passes through.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from rx_assistant.errors import (
    APIConnectionError,
    APITimeoutError,
    ConfigurationError,
    ConnectTimeoutError,
    ReadTimeoutError,
    may_be_secret,
    without_secrets,
)
from rx_assistant.grace import KEPT_SECONDS
from rx_assistant.http.redaction import HIDDEN, redact, redact_address
from rx_assistant.http.timeouts import DEFAULT, Timeout, as_timeout

if TYPE_CHECKING:
    import httpx
    import httpx2


SyncHTTP: TypeAlias = "httpx.Client | httpx2.Client"
AsyncHTTP: TypeAlias = "httpx.AsyncClient | httpx2.AsyncClient"
Response: TypeAlias = "httpx.Response | httpx2.Response"

_FINAL = frozenset(
    {
        "InvalidURL",
        "LocalProtocolError",
        "UnsupportedProtocol",
        "InvalidUrlClientError",
        "ClientConnectorCertificateError",
    }
)
_UNSENT = frozenset(
    {
        "ConnectError",
        "ConnectTimeout",
        "PoolTimeout",
        "UnsupportedProtocol",
        "ProxyError",
        "ClientConnectorError",
        "ConnectionTimeoutError",
    }
)
_SHOWN = 500


def new_client() -> httpx.Client:
    """An owned client for one connection. It verifies TLS, uses the environment's proxies, and follows no redirects."""
    import httpx

    limits = httpx.Limits(max_connections=1, max_keepalive_connections=1, keepalive_expiry=None)
    with _of_environment():
        return httpx.Client(verify=_tls_of_environment(), limits=limits, timeout=None, follow_redirects=False)


def new_async_client() -> httpx.AsyncClient:
    """The same for one event loop, with as many connections as there are streams.

    At most 100 stay idle: httpcore scans its whole pool on every request.
    """
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=KEPT_SECONDS)
    with _of_environment():
        return httpx.AsyncClient(verify=_tls_of_environment(), limits=limits, timeout=None, follow_redirects=False)


def aiohttp_client(*, verify: ssl.SSLContext | bool = True) -> httpx.AsyncClient:
    """An HTTP client for `AsyncAssistantClient(http_client=…)` that reads thousands of streams on one asyncio loop.

    It is an `httpx.AsyncClient` over aiohttp: HTTP/1.1, without a limit on connections, with the proxies of the
    environment, and without cookies. `verify` is an SSL context, or False for no verification. The client belongs to
    the event loop that sends its first request, and is closed with the AsyncAssistantClient that it is given to.

        client = AsyncAssistantClient(base_url=…, http_client=rx_assistant.aiohttp_client())

    Raises:
        ImportError: `httpx-aiohttp` is not installed; the extra `aiohttp` brings it.
        ConfigurationError: a request on another event loop, or on trio.
    """
    from rx_assistant.http.aiohttp import AiohttpClient

    return AiohttpClient(verify)


def _hide_secrets(record: logging.LogRecord) -> bool:
    """Both libraries log the address of each request at INFO, with the password and the keys that are in it."""
    if isinstance(record.args, tuple):
        record.args = tuple(redact(str(each)) if hasattr(each, "userinfo") else each for each in record.args)
    return True


for _library in ("httpx", "httpx2"):
    logging.getLogger(_library).addFilter(_hide_secrets)


def load() -> None:
    """Load httpx and the certificates. Both are slower than most requests."""
    with _of_environment():
        _tls_of_environment()


@contextmanager
def _of_environment() -> Iterator[None]:
    """Raise ConfigurationError, without passwords, if httpx refuses a proxy or certificate from the environment."""
    try:
        yield
    except Exception as cause:
        said = redact(str(cause))
        raise ConfigurationError(f"httpx refuses a proxy or certificate of the environment: {said}") from cause


def _tls_of_environment() -> ssl.SSLContext:
    return _tls(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@lru_cache(maxsize=4)
def _tls(*_certificates: str | None) -> ssl.SSLContext:
    """The TLS settings with the certificates that these variables name. Making them is slower than most requests."""
    import httpx

    return httpx.create_ssl_context()


def checked_sync(client: SyncHTTP) -> SyncHTTP:
    """The given client. Raises if it is not synchronous."""
    if isinstance(client, _classes("Client")):
        return client
    raise _wrong_client(client, "AssistantClient", "httpx.Client or httpx2.Client", "AsyncAssistantClient")


def checked_async(client: AsyncHTTP) -> AsyncHTTP:
    """The given client. Raises if it is not asynchronous."""
    if isinstance(client, _classes("AsyncClient")):
        return client
    raise _wrong_client(client, "AsyncAssistantClient", "httpx.AsyncClient or httpx2.AsyncClient", "AssistantClient")


def timeout_of(client: SyncHTTP | AsyncHTTP | None) -> Timeout:
    """The limits of a given client, or the default of this package if the client has httpx's default of 5 s."""
    limits = getattr(client, "timeout", None)
    if limits is None or limits == type(limits)(5.0):
        return DEFAULT
    return as_timeout(limits)


def transport_errors() -> tuple[type[Exception], ...]:
    """The errors of the libraries, for an `except` clause.

    A closed descriptor is a ValueError of the socket module. A port above 65535 is an OverflowError, which anyio puts
    into a group. `httpx-aiohttp` passes some of aiohttp's errors through, httpcore some of h11's and h2's.
    """
    below = (("aiohttp", "ClientError"), ("h11", "ProtocolError"), ("h2.exceptions", "H2Error"))
    others = [getattr(sys.modules[library], name) for library, name in below if library in sys.modules]
    names = ("HTTPError", "StreamError", "InvalidURL")
    return (
        *(kind for name in names for kind in _classes(name)),
        OSError,
        EOFError,
        ValueError,
        OverflowError,
        ExceptionGroup,
        *others,
    )


def translated(cause: Exception, doing: str, secrets: Iterable[str] = ()) -> APIConnectionError:
    """The error of this package for an error of the transport, which becomes its cause.

    The message is redacted. A cause whose message holds a secret is left out, because tracebacks are logged with all
    causes.
    """
    names = _names_of(cause)
    request = _request_of(cause)
    if request is not None:
        hide_credentials(request)
    words = _words_of(cause)
    said = redact_address(redact(words, secrets))
    text = f"{doing}{_to(request)}: {said}"
    kind: type[APIConnectionError] = APIConnectionError
    if "ConnectTimeout" in names or "ConnectionTimeoutError" in names:
        kind = ConnectTimeoutError
    elif "ReadTimeout" in names or "SocketTimeoutError" in names:
        kind = ReadTimeoutError
    elif "TimeoutException" in names or isinstance(cause, TimeoutError):
        kind = APITimeoutError
    error = kind(text, request=request)
    error.__cause__ = cause if said == words else None
    return error


def _words_of(cause: BaseException) -> str:
    """The first message in the chain of causes that is not empty. Some libraries wrap an error without a message."""
    error: BaseException | None = cause
    while error is not None and (isinstance(error, ExceptionGroup) or not str(error)):
        error = error.exceptions[0] if isinstance(error, ExceptionGroup) else error.__cause__ or error.__context__
    return str(error)[:_SHOWN] if error is not None else type(cause).__name__


def hide_credentials(request: Any) -> None:
    """Remove the key from the request of an error, because errors are logged, pickled and sent to other services."""
    request.url = without_secrets(request.url)
    for name in request.headers:
        if may_be_secret(name):
            request.headers[name] = HIDDEN


def _names_of(cause: BaseException | None) -> set[str]:
    """The names of an error's classes. If `httpx-aiohttp` has wrapped an error of aiohttp, the names of that one."""
    inner = getattr(cause, "__cause__", None)
    if inner is not None and type(inner).__module__.partition(".")[0] == "aiohttp":
        cause = inner
    return {base.__name__ for base in type(cause).__mro__}


def _request_of(cause: Exception) -> httpx.Request | httpx2.Request | None:
    try:
        request: Any = getattr(cause, "request", None)
    except RuntimeError:  # the message of both libraries for an error without one
        return None
    return request if hasattr(request, "url") and hasattr(request, "method") else None


def _to(request: httpx.Request | httpx2.Request | None) -> str:
    """The address of the request, without user name, password and query, which may hold keys."""
    if request is None:
        return ""
    url = request.url
    return f" ({request.method} {url.scheme}://{url.netloc.decode('ascii', 'replace')}{url.path})"


def is_final(error: APIConnectionError) -> bool:
    """Whether a retry would fail in the same way: for a malformed request, an untrusted certificate, and a proxy that
    refuses to connect (4xx).
    """
    cause: BaseException | None = error.__cause__
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError) or type(cause).__name__ in _FINAL or _is_refusal(cause):
            return True
        cause = cause.__cause__ or cause.__context__
    return error.__cause__ is None


def _is_refusal(cause: BaseException) -> bool:
    """Whether a proxy has answered CONNECT with 4xx: 407 above all. httpcore puts the status before the reason."""
    if "Proxy" not in type(cause).__name__:
        return False
    status = getattr(cause, "status", None) or re.match(r"\d{3}\b", str(cause))
    code = int(status[0]) if isinstance(status, re.Match) else status
    return isinstance(code, int) and 400 <= code < 500 and code not in {408, 429}


def never_arrived(error: APIConnectionError) -> bool:
    """Whether the request certainly did not reach the server, because no connection was made."""
    return bool(_names_of(error.__cause__) & _UNSENT)


def _classes(name: str) -> tuple[type, ...]:
    """The class of that name in each library that is loaded. Objects of a library that is not loaded do not exist."""
    loaded = (sys.modules.get(library) for library in ("httpx", "httpx2"))
    return tuple(getattr(library, name) for library in loaded if library is not None)


def _wrong_client(client: object, ours: str, wanted: str, other: str) -> ConfigurationError:
    return ConfigurationError(
        f"{ours}(http_client=…) takes an {wanted}, got {type(client).__module__}.{type(client).__qualname__}; "
        f"{other} takes the other kind"
    )

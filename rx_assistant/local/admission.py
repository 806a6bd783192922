"""Which requests a server accepts, decided before it reads the request body.

A web page in a browser can send requests to servers on this machine, and with a DNS name that points to this machine
(DNS rebinding) it can also read the replies. So a server without a key accepts only requests to a loopback address, to
the address at which they arrived, or to an allowed name. No server accepts requests that a browser marks as coming from
a page of another origin, unless that origin is allowed. Pages of allowed origins get CORS replies. In-process
transports are exempt, because browsers cannot use them.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from rx_assistant.errors import ConfigurationError
from rx_assistant.local.errors import ApiError, bad_request
from rx_assistant.local.ids import new_id
from rx_assistant.local.responses import json_reply, sign
from rx_assistant.local.state import Settings

_LONGEST_ADDRESS = 64
_EXPOSED = "idempotent-replayed, openai-poll-after-ms, openai-processing-ms, openai-version, retry-after, x-request-id"


def _texts(option: str, given: Iterable[str]) -> list[str]:
    """The texts of an option; a text alone is a list of one. ConfigurationError for other values."""
    texts: list[str] = [given] if isinstance(given, str) or not isinstance(given, Iterable) else [*given]
    for text in texts:
        if not isinstance(text, str):
            raise ConfigurationError(f"{option} must be a list of texts, got {given!r:.80}")
    return texts


def allowed_hosts(names: Iterable[str]) -> frozenset[str]:
    """The names for `Settings.allow_hosts`. ConfigurationError if one is not a plain host name."""
    found = frozenset(name.strip().lower() for name in _texts("allow_hosts", names))
    for name in found:
        if not name or set(name) & set("*/@ ") or _host_name(name) != name.strip("[]"):
            raise ConfigurationError(f"allow_hosts must hold host names without a port, such as 'web', got {name!r}")
    return frozenset(name.strip("[]") for name in found)


def allowed_origins(origins: Iterable[str]) -> frozenset[str]:
    """The origins for `Settings.allow_origins`. ConfigurationError if one is not a scheme with a host and a port."""
    found = [origin.strip().lower() for origin in _texts("allow_origins", origins)]
    for origin in found:
        scheme, _, host = origin.partition("://")
        if not scheme or not host or set(host) & set("*/?#@ "):
            raise ConfigurationError(
                f"allow_origins must hold origins such as 'http://localhost:3000', got {origin!r}: name each of them"
            )
    return frozenset(found)


def given_key(api_key: str | None) -> str | None:
    """The key without surrounding spaces. None for an empty key, because it protects nothing.

    ConfigurationError for a key that no client can send, such as one of invisible characters.
    """
    if not isinstance(api_key, str | None):
        raise ConfigurationError(f"api_key must be a str, got {type(api_key).__name__}")
    key = (api_key or "").strip()
    if not key.isascii() or not key.isprintable():
        raise ConfigurationError("api_key must be printable ASCII text without line breaks, as a request header is")
    return key or None


def is_loopback(host: str) -> bool:
    """Whether the host can only be reached from this machine."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def in_process(scope: Scope) -> bool:
    """Whether the request came without a socket.

    The server name in the scope is then from the client's URL, or missing.
    """
    server = scope.get("server")
    return server is None or _address(server[0]) is None


def check_content_type(scope: Scope) -> None:
    """Raise 400 unless the content type is JSON.

    A page of another origin cannot send that type without a CORS preflight.
    """
    given = Headers(scope=scope).get("content-type", "")
    kind = given.partition(";")[0].strip().lower()
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return
    if not in_process(scope):
        message = f"The content type of the body must be application/json, got {given[:100]!r}."
        raise bad_request(message, code="invalid_content_type")


class Admission:
    """The outermost ASGI application. It refuses requests, and adds CORS headers for pages of allowed origins."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or in_process(scope):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = ", ".join(headers.getlist("origin"))
        try:
            self._check(scope, headers, origin)
        except ApiError as error:
            response = json_reply(error.body(), error.status)
            sign(response, new_id("req_"), time.perf_counter())
            await response(scope, receive, send)
            return
        if origin.lower() not in self._settings.allow_origins:
            await self._app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(headers)(scope, receive, _marking(send, origin))
        else:
            await self._app(scope, receive, _marking(send, origin))

    def _check(self, scope: Scope, headers: Headers, origin: str) -> None:
        """Raise 403 for a request that may come from a page of another origin."""
        hosts = headers.getlist("host")
        if self._settings.api_key is None and not (len(hosts) == 1 and self._knows(hosts[0], scope)):
            raise _forbidden(
                f"This server does not answer to the host {', '.join(hosts)[:100]!r}: "
                "use its address, allow the name (--allow-host, allow_hosts), or set an API key.",
                "host_not_allowed",
            )
        if origin.lower() in self._settings.allow_origins:
            return
        foreign = "origin" in headers and not _same_origin(origin, hosts)
        if foreign or headers.get("sec-fetch-site", "").strip().lower() == "cross-site":
            raise _forbidden(
                f"Pages of the origin {origin[:100]!r} may not use this server: "
                "allow the origin (--allow-origin, allow_origins).",
                "origin_not_allowed",
            )

    def _knows(self, host: str, scope: Scope) -> bool:
        name = _host_name(host.strip().lower())
        if is_loopback(name) or name in self._settings.allow_hosts:
            return True
        address = _address(name)
        return address is not None and address == _address(scope["server"][0])


def _forbidden(message: str, code: str) -> ApiError:
    return ApiError(403, message, code=code)


def _host_name(host: str) -> str:
    """The host without its port; IPv6 without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host if host.count(":") > 1 else host.partition(":")[0]


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    return _parsed(host) if len(host) <= _LONGEST_ADDRESS else None


@lru_cache(256)
def _parsed(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _same_origin(origin: str, hosts: list[str]) -> bool:
    try:
        place = urlsplit(origin.strip().lower())
    except ValueError:
        return False
    return bool(place.netloc) and [place.netloc] == [host.strip().lower() for host in hosts]


def _preflight(headers: Headers) -> Response:
    response = Response(
        status_code=204,
        headers={
            "access-control-allow-methods": "GET, POST, DELETE",
            "access-control-allow-headers": headers.get("access-control-request-headers", "content-type"),
            "access-control-max-age": "600",
        },
    )
    if headers.get("access-control-request-private-network") == "true":
        response.headers["access-control-allow-private-network"] = "true"
    sign(response, new_id("req_"), time.perf_counter())
    return response


def _marking(send: Send, origin: str) -> Send:
    """Add the CORS headers that let pages of the origin read the reply."""

    async def mark(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["access-control-allow-origin"] = origin
            headers["access-control-expose-headers"] = _EXPOSED
            headers.add_vary_header("Origin")
        await send(message)

    return mark

"""Makes the HTTP request of a call from a `Request`, the client's settings and the call's options."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from urllib.parse import urljoin, urlsplit

from rx_assistant.api.encoding import encode_json
from rx_assistant.api.request import Confirm, Omit, Request, encode_query
from rx_assistant.api.uploads import Upload
from rx_assistant.errors import InvalidArgumentError
from rx_assistant.http.options import NO_OPTIONS, CallOptions
from rx_assistant.http.settings import Settings
from rx_assistant.http.timeouts import Timeout, as_timeout

_MARKS = "!#$%&'*+-.^_`|~"
_TOKEN = re.compile(rf"[0-9A-Za-z{re.escape(_MARKS)}]+")
_PLAIN = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_NEUTRAL = frozenset({"accept", "accept-encoding", "user-agent"})


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One HTTP request. `trusted`: it goes to the configured server, so it may carry credentials."""

    method: str
    url: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str] = field(repr=False)
    content: bytes | None = field(default=None, repr=False)
    upload: Upload | None = None
    trusted: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """The values that stay the same for all tries of one operation, above all its idempotency key."""

    outgoing: Outgoing
    stream: bool
    timeout: Timeout
    settings: Settings
    confirm: Confirm | None = None
    options: CallOptions = NO_OPTIONS
    any_size: bool = False
    """Whether a successful reply may have any length, such as a file."""

    @property
    def repeatable(self) -> bool:
        """Whether the request can be sent more than once."""
        return self.outgoing.upload is None or self.outgoing.upload.repeatable


def prepare(request: Request, settings: Settings, options: CallOptions) -> Call:
    """The call for a request with these settings. InvalidArgumentError for a malformed header."""
    timeout = settings.timeout if isinstance(options.timeout, Omit) else as_timeout(options.timeout)
    body = _body(request, options)
    outgoing = Outgoing(
        request.method,
        settings.url(request.path),
        _query(request, settings, options),
        _headers(request, settings, options, has_body=body is not None),
        body,
        request.upload,
    )
    any_size = request.accept == "*/*"
    return Call(outgoing, request.stream, timeout, settings, request.confirm, options, any_size)


def with_key(outgoing: Outgoing, call: Call, key: str | None, *, fresh: bool) -> Outgoing:
    """The request with its credentials, unless the caller has set or removed that header."""
    if not key or not outgoing.trusted:
        return outgoing
    name, value = call.settings.dialect.credentials(key, fresh=fresh)
    written = {*call.settings.default_headers, *call.options.extra_headers}
    if name.lower() in {header.lower() for header in written}:
        return outgoing
    return replace(outgoing, headers={**outgoing.headers, name.lower(): checked_header(name, value)})


def redirected(outgoing: Outgoing, status: int, location: str | None) -> Outgoing | None:
    """The request after a redirect; None if it must not be followed.

    On the same origin the request keeps everything. Another origin gets no credentials, none of the caller's headers
    and no body: only a GET is followed there.
    """
    if not location or status not in {301, 302, 303, 307, 308}:
        return None
    if outgoing.method != "GET" and (status not in {307, 308} or outgoing.upload is not None):
        return None
    url = urljoin(outgoing.url, location)
    if origin(url) == origin(outgoing.url):
        return replace(outgoing, url=url, query=())
    if outgoing.method != "GET" or urlsplit(url).scheme not in {"http", "https"}:
        return None
    neutral = {name: value for name, value in outgoing.headers.items() if name in _NEUTRAL}
    return replace(outgoing, url=url, query=(), headers=neutral, trusted=False)


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def checked_header(name: str, value: str) -> str:
    """The value of a header, without surrounding spaces. InvalidArgumentError if it, or the name, is malformed.

    The messages do not show the value, because it may be a key.
    """
    if isinstance(name, str) and isinstance(value, str) and _TOKEN.fullmatch(name) and _PLAIN.fullmatch(value):
        return value
    if not isinstance(name, str):
        raise InvalidArgumentError(f"the name of a header must be a text, got {type(name).__name__}")
    if not isinstance(value, str):
        raise InvalidArgumentError(f"header {name!r} must be a text, got {type(value).__name__}")
    if any(mark in name + value for mark in "\r\n\0"):
        raise InvalidArgumentError(f"header {name!r} must not hold a line break, which would end the header")
    if not _TOKEN.fullmatch(name):
        raise InvalidArgumentError(f"header {name!r} must have a name of letters, digits and {_MARKS}")
    if not (value.isascii() and value.replace("\t", " ").isprintable()):
        raise InvalidArgumentError(f"header {name!r} must be printable ASCII")
    return value.strip(" \t")


def _body(request: Request, options: CallOptions) -> bytes | None:
    if request.upload is not None or (request.body is None and not options.extra_body):
        return None
    return encode_json({**(request.body or {}), **options.extra_body})


def _query(request: Request, settings: Settings, options: CallOptions) -> tuple[tuple[str, str], ...]:
    merged: dict[str, list[str]] = {}
    for source in (
        settings.dialect.query(),
        encode_query(settings.default_query),
        request.query,
        encode_query(options.extra_query),
    ):
        merged |= _grouped(source)
    return tuple((name, value) for name, values in merged.items() for value in values)


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name, value in pairs:
        groups.setdefault(name, []).append(value)
    return groups


def _headers(request: Request, settings: Settings, options: CallOptions, *, has_body: bool) -> dict[str, str]:
    own: dict[str, str | None] = {"Accept": request.accept, **dict(request.headers)}
    if request.stream:
        own["Accept-Encoding"] = "identity"
    if has_body:
        own["Content-Type"] = "application/json"
    merged: dict[str, str | None] = {}
    for source in (own, settings.headers(), options.extra_headers):
        merged |= {name.lower() if isinstance(name, str) else name: value for name, value in source.items()}
    if request.method == "POST" and "idempotency-key" not in merged:
        merged["idempotency-key"] = f"rx-{uuid.uuid4()}"
    return {name: checked_header(name, value) for name, value in merged.items() if value is not None}

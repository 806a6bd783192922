"""The settings of a client, with its addresses and headers. No repr shows a secret."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Final, Literal, TypeAlias, get_args
from urllib.parse import SplitResult, urlsplit

from rx_assistant.errors import ConfigurationError
from rx_assistant.http.dialects import Dialect, OpenAI
from rx_assistant.http.redaction import HIDDEN, redact
from rx_assistant.http.timeouts import DEFAULT, Timeout

SyncToken: TypeAlias = Callable[[], str]
AsyncToken: TypeAlias = Callable[[], str | Awaitable[str]]
Headers: TypeAlias = Mapping[str, str | None]
Query: TypeAlias = Mapping[str, object]
LogPolicy: TypeAlias = Literal["requests", "content"]

_BLANK = re.compile(r"[\s\x00-\x1f]")
_NO_PORT = re.compile(r":(?!//)(?!\d*(?:[/?#]|$))[^/?#]*")

_KINDS: Final = (
    ("base_url", str, "a text"),
    ("max_retries", int | float, "a number"),
    ("max_reply_bytes", int | float, "a number"),
    ("default_headers", Mapping, "a mapping"),
    ("default_query", Mapping, "a mapping"),
    ("dialect", Dialect, "a dialect, such as Azure(…)"),
)
"""What a setting must be, checked at the start: the values come from configuration files and environments."""

MAX_RETRIES = 2
MAX_REPLY_BYTES = 64 * 1024 * 1024
"""Bytes. Objects and lists are far smaller. Files may have any size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of one client; `dataclasses.replace` gives a changed copy."""

    base_url: str = field(repr=False)
    api_key: str | AsyncToken | None = field(default=None, repr=False)
    organization: str | None = None
    project: str | None = None
    timeout: Timeout = DEFAULT
    max_retries: int = MAX_RETRIES
    default_headers: Headers = field(default_factory=dict, repr=False)
    default_query: Query = field(default_factory=dict, repr=False)
    dialect: Dialect = field(default_factory=OpenAI)
    log: LogPolicy = "requests"
    max_reply_bytes: int = MAX_REPLY_BYTES

    def __post_init__(self) -> None:
        self._check_types()
        parts = _parts_of(self.base_url.strip())
        if _BLANK.search(self.base_url.strip()):
            raise ConfigurationError(f"base_url must contain no blanks, got {_shown(self.base_url)}")
        if parts is None:
            raise ConfigurationError(
                "base_url must be http:// or https:// and a host, such as 'https://host.example/v1', got "
                f"{_shown(self.base_url)}"
            )
        if parts.query or parts.fragment:
            raise ConfigurationError("base_url must end with its path; put query parameters into default_query=")
        if self.max_retries < 0:
            raise ConfigurationError(f"max_retries must be 0 or more, got {self.max_retries!r}")
        if self.max_reply_bytes < 1:
            raise ConfigurationError(f"max_reply_bytes must be 1 or more, got {self.max_reply_bytes!r}")
        object.__setattr__(self, "base_url", self.base_url.strip())
        if isinstance(self.api_key, str):
            key = self.api_key.strip()
            if not (key.isascii() and key.isprintable()):
                raise ConfigurationError(
                    "api_key must be printable ASCII text without line breaks, as a request header is"
                )
            object.__setattr__(self, "api_key", key or None)

    def _check_types(self) -> None:
        for name, kinds, words in _KINDS:
            value = getattr(self, name)
            if not isinstance(value, kinds):
                raise ConfigurationError(f"{name} must be {words}, got {type(value).__name__}")
        if not (self.api_key is None or isinstance(self.api_key, str) or callable(self.api_key)):
            raise ConfigurationError(
                f"api_key must be a text or a function that returns one, got {type(self.api_key).__name__}"
            )
        if self.log not in get_args(LogPolicy):
            raise ConfigurationError(f"log must be 'requests' or 'content', got {self.log!r}")

    @property
    def host(self) -> str:
        """The host name, in lower case."""
        return urlsplit(self.base_url).hostname or ""

    def url(self, path: str) -> str:
        """The address of an operation."""
        return self.base_url.rstrip("/") + self.dialect.path(path)

    def headers(self) -> dict[str, str | None]:
        """The headers of every request, without credentials. The caller's headers come last."""
        ours: dict[str, str | None] = {"User-Agent": user_agent()}
        if self.organization:
            ours["OpenAI-Organization"] = self.organization
        if self.project:
            ours["OpenAI-Project"] = self.project
        return ours | dict(self.default_headers)


def base_url_or_environment(base_url: str | None) -> str:
    """The given base URL, or the one from the environment. ConfigurationError without both."""
    found = base_url or os.environ.get("OPENAI_BASE_URL")
    if not found:
        raise ConfigurationError(
            "base_url must be given: pass base_url=… or set OPENAI_BASE_URL. OpenAI's own Assistants endpoints were "
            "switched off on 2026-08-26; `with rx_assistant.local.serve() as server:` starts a server on this "
            "machine, whose address is server.base_url"
        )
    return str(found)


def from_environment(value: str | None, name: str) -> str | None:
    """The given value, or the value from the environment. An empty string means None."""
    return (os.environ.get(name) if value is None else value) or None


def _parts_of(url: str) -> SplitResult | None:
    """The parts of an address; None if it has no host or an invalid port."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is not a number, or brackets that do not match
        return None
    return parts if sound else None


def _shown(url: str) -> str:
    """A malformed address for a message. Text before an `@` is removed, because it may be a password."""
    _, at, after = url.rpartition("@")
    shown = _NO_PORT.sub(f":{HIDDEN}", redact(after))
    return repr(f"{HIDDEN}@{shown}" if at else shown)


@cache
def user_agent() -> str:
    """Name and version of this package, for the server's log."""
    from importlib.metadata import PackageNotFoundError, version  # slow to import

    try:
        return f"rx_assistant/{version('rx_assistant')}"
    except PackageNotFoundError:
        return "rx_assistant"

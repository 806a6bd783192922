"""The model server that answers the runs: its settings, the search on this machine, and the check at the start.

The key comes from the environment, under a name that the program gives. It is kept out of every repr and message.
"""

from __future__ import annotations

import difflib
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypedDict, TypeVar
from urllib.parse import urlsplit

import httpx

from rx_assistant.errors import ConfigurationError
from rx_assistant.http.redaction import redact
from rx_assistant.local import machine
from rx_assistant.local.machine import Model

if TYPE_CHECKING:
    from rx_assistant.local.engines.upstream import UpstreamEngine

_log = logging.getLogger("rx_assistant.local")

T = TypeVar("T")

PROTOCOLS = ("chat", "responses")
"""The engines that ask an upstream: Chat Completions, and the Responses API."""
_PATIENCE = 5.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ENDPOINTS = ("/chat/completions", "/responses", "/completions", "/models", "/embeddings")


class UpstreamOptions(TypedDict, total=False):
    """The settings of `local.serve`, `run`, `app` and `transport` that choose a model server.

    `upstream` is its base URL, which usually ends in `/v1`. `model` answers every run; without `upstream`, the ports of
    well-known servers on this machine are searched for it. `upstream_key_env` names the environment variable that holds
    the server's key. `model_map` has a model for each name of the application. `thinking`: whether a model's reasoning
    is kept apart (`reasoning`) or stays in the text (`text`). `file_search`: whether passages are given to the model
    (`context`), or the search is offered to it as a function (`tool`). `upstream_timeout` (seconds) is how long the
    server may be silent.
    """

    upstream: str | None
    model: str | None
    upstream_key_env: str | None
    model_map: Mapping[str, str]
    thinking: Literal["reasoning", "text"]
    file_search: Literal["context", "tool"]
    upstream_timeout: float


@dataclass(frozen=True, slots=True)
class Upstream:
    """One model server, as the options describe it. `base_url` has no slash at its end."""

    base_url: str
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    key_env: str | None = None
    model_map: Mapping[str, str] = field(default_factory=dict)
    protocol: Literal["chat", "responses"] = "chat"
    thinking: Literal["reasoning", "text"] = "reasoning"
    file_search: Literal["context", "tool"] = "context"
    timeout: float = 600.0

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this machine, so that no proxy is used."""
        return urlsplit(self.base_url).hostname in _LOOPBACK

    def engine(self) -> UpstreamEngine:
        """The engine that asks this server."""
        from rx_assistant.local.engines.upstream import UpstreamEngine

        return UpstreamEngine(
            self.base_url,
            model=self.model,
            api_key=self.api_key,
            protocol=self.protocol,
            model_map=self.model_map,
            thinking=self.thinking,
            file_search=self.file_search,
            upstream_timeout=self.timeout,
        )

    def headers(self) -> dict[str, str]:
        """The credentials of a request to this server."""
        return {"authorization": f"Bearer {self.api_key}"} if self.api_key else {}

    def without_key(self, text: str) -> str:
        """The text of this server with its key taken out."""
        return redact(text, [self.api_key] if self.api_key else [])

    def check(self) -> None:
        """Request the server's models once, and log a note if it has no list.

        ConfigurationError: nothing answers, the address lacks its `/v1`, the key is wrong, or the model is unknown.
        """
        reply = self._models_reply(self.base_url)
        if reply is None:
            self._note("did not answer in time")
            return
        if reply.status_code in (401, 403):
            raise ConfigurationError(self._refused_key(reply))
        if reply.is_redirect:
            target = redact(reply.headers.get("location", ""))
            raise ConfigurationError(f"upstream {self.base_url} redirects to {target!r}: give that server's address")
        models = machine.models_in(reply.content) if reply.status_code == 200 else None
        if models is not None:
            self._check_models(models)
            return
        if reply.status_code < 500 and reply.status_code != 429:
            self._refuse_wrong_path()
        self._note(f"has no list of models ({reply.status_code})")

    def _note(self, what: str) -> None:
        _log.warning("upstream %s %s: its address, key and model are not checked", self.base_url, what)

    def _refused_key(self, reply: httpx.Response) -> str:
        told = f"upstream {self.base_url} answered {reply.status_code}"
        if self.api_key is None:
            return f"{told}: it needs a key; name the environment variable that holds it (--upstream-key-env)"
        return f"{told}: the key in {self.key_env} is wrong or may not list models"

    def _check_models(self, models: list[Model]) -> None:
        wanted = [self.model, *self.model_map.values()]
        for name in dict.fromkeys(wanted):
            if name is not None and not any(model.is_called(name) for model in models):
                known = [model.name for model in models]
                raise ConfigurationError(f"upstream {self.base_url} has no model {name!r}; {_nearest(name, known)}")

    def _refuse_wrong_path(self) -> None:
        """ConfigurationError if another address on the same server has a list of models."""
        for other in _other_addresses(self.base_url):
            reply = self._models_reply(other)
            if reply is not None and reply.status_code == 200 and machine.models_in(reply.content) is not None:
                raise ConfigurationError(f"upstream must be {other!r}, got {self.base_url!r}")

    def _models_reply(self, base_url: str) -> httpx.Response | None:
        """The reply to `GET /models`; None if it did not arrive in time."""
        try:
            with httpx.Client(timeout=_PATIENCE, follow_redirects=False, trust_env=not self.is_local) as client:
                return client.get(f"{base_url}/models", headers=self.headers())
        except httpx.ReadTimeout:
            return None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            told = self.without_key(str(error)) or type(error).__name__
            raise ConfigurationError(
                f"upstream {base_url} cannot be reached ({told}): start it, or correct the address"
            ) from error


def chosen(options: UpstreamOptions, engine: object = None) -> Upstream | None:
    """The server that the options choose; None if they choose none.

    The engine `chat` or `responses` is the protocol of the requests to the server.

    ConfigurationError: an option that is malformed or needs another one; no server on this machine has the model.
    """
    unknown = set(options) - set(UpstreamOptions.__annotations__)
    if unknown:
        raise TypeError(f"unknown option: {', '.join(sorted(unknown))}")
    url, model, model_map = options.get("upstream"), options.get("model"), dict(options.get("model_map") or {})
    if url is None and model is None and not model_map:
        if options.get("upstream_key_env") is not None:
            raise ConfigurationError("upstream_key_env needs upstream: give the address of the server with that key")
        if isinstance(engine, str) and engine in PROTOCOLS:
            raise ConfigurationError(f"the engine {engine!r} needs an upstream: give upstream=URL or model=NAME")
        return None
    key_env = options.get("upstream_key_env")
    if url is None and key_env is not None:
        raise ConfigurationError("upstream_key_env needs upstream: no key is sent to a server that was not named")
    key = None if key_env is None else key_of("the upstream's", key_env)
    names = [*([] if model is None else [model]), *model_map.values()]
    base_url = _found(list(dict.fromkeys(names))) if url is None else checked_url("upstream", url)
    timeout = options.get("upstream_timeout", 600.0)
    if not timeout > 0:
        raise ConfigurationError(f"upstream_timeout must be more than 0 seconds, got {timeout!r}")
    return Upstream(
        base_url,
        model,
        key,
        key_env,
        model_map,
        "responses" if engine == "responses" else "chat",
        _choice("thinking", options.get("thinking", "reasoning"), "reasoning", "text"),
        _choice("file_search", options.get("file_search", "context"), "context", "tool"),
        timeout,
    )


def _choice(name: str, value: T, *values: str) -> T:
    if value not in values:
        raise ConfigurationError(f"{name} must be {' or '.join(map(repr, values))}, got {value!r}")
    return value


def key_of(owner: str, name: str) -> str:
    """The key in the environment variable `name`. Messages call it the `owner` key, such as "the upstream's"."""
    key = os.environ.get(name, "").strip()
    if not key:
        raise ConfigurationError(f"the environment variable {name} must hold {owner} key, but it is not set")
    if not key.isascii() or not key.isprintable():
        raise ConfigurationError(
            f"the key in {name} must be printable ASCII text without line breaks, as a request header is"
        )
    return key


def checked_url(option: str, url: str) -> str:
    """The address that an option names, without a slash at its end."""
    if not isinstance(url, str):
        raise ConfigurationError(f"{option} must be an address such as 'http://127.0.0.1:11434/v1', got {url!r:.80}")
    try:
        parts = urlsplit(url.strip())
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound, parts = False, urlsplit("")
    if "@" in url:
        raise ConfigurationError(f"{option} must not hold credentials: name a variable with --{option}-key-env")
    if not sound or parts.query or parts.fragment:
        shown = redact(url.partition("?")[0])
        raise ConfigurationError(f"{option} must be an address such as 'http://127.0.0.1:11434/v1', got {shown!r}")
    return url.strip().rstrip("/")


def _found(models: list[str]) -> str:
    """The address of the first server on this machine that has the models."""
    answers = machine.ask_all()
    told = " and ".join(map(repr, models))
    for found in answers:
        if all(map(found.has, models)):
            _log.info("%s on port %d has the model %s", found.server, found.place.port, told)
            return found.place.base_url
    known = [name.name for found in answers if not found.own for name in found.models]
    hint = f"; {_nearest(models[0], known)}" if known else ""
    error = ConfigurationError(f"no server on this machine has the model {told}{hint}")
    for found in answers:
        error.add_note(str(found))
    raise error


def _nearest(name: str, known: Iterable[str]) -> str:
    """The names that are most similar to the given one, or the first few."""
    by_folded = {model.casefold(): model for model in known}
    if not by_folded:
        return "it lists none"
    wanted = name.casefold()
    inside = [folded for folded in by_folded if wanted in folded or folded.rpartition("/")[2] == wanted]
    close = dict.fromkeys([*inside, *difflib.get_close_matches(wanted, by_folded, 5, 0.5)])
    if close:
        return f"nearest: {machine.listed([by_folded[folded] for folded in close], 5)}"
    return f"it has {machine.listed(list(by_folded.values()))}"


def _other_addresses(base_url: str) -> list[str]:
    """The addresses that a user may have meant: without an operation's path, with `/v1`, with one `/v1`."""
    whole = base_url
    for endpoint in _ENDPOINTS:
        whole = whole.removesuffix(endpoint)
    parts = urlsplit(whole)
    root = f"{parts.scheme}://{parts.netloc}"
    others = [whole, f"{whole}/v1", f"{root}/v1", f"{root}/api/v1"]
    return [other for other in dict.fromkeys(others) if other != base_url]

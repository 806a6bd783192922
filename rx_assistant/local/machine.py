"""Finds the model servers on this machine: requests the models from six well-known ports, all at once.

The requests only go to loopback, without a key and without a proxy of the environment. A server that has not answered
after `PATIENCE` seconds counts as absent.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx

PATIENCE = 0.3
"""Seconds that each server has for its answer."""
OWN_SERVER = "rx_assistant"
"""The `server` header of this library's own server, which is not a model server."""
_SILENT = "no answer in time"
_LONGEST = 16 * 2**20
_CONTEXT = ("n_ctx", "max_model_len", "context_length", "context_window", "max_context_length", "n_ctx_train")


@dataclass(frozen=True, slots=True)
class Place:
    """A port, the server that usually listens there, and how to start that server."""

    port: int
    server: str
    start: str

    @property
    def base_url(self) -> str:
        """The address of the server's operations."""
        return f"http://127.0.0.1:{self.port}/v1"


PLACES = (
    Place(11434, "Ollama", "ollama serve, then ollama pull MODEL"),
    Place(1234, "LM Studio", "lms server start, then lms load MODEL"),
    Place(8080, "llama.cpp", "llama-server -m MODEL.gguf"),
    Place(8000, "vLLM", "vllm serve MODEL"),
    Place(30000, "SGLang", "python -m sglang.launch_server --model-path MODEL"),
    Place(4000, "LiteLLM", "litellm --model MODEL"),
)
_BY_OWNER = {"llamacpp": "llama.cpp", "vllm": "vLLM", "sglang": "SGLang"}
"""What the server's models have as `owned_by`, so that a server on another server's port has its right name."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a server lists; `context` is its length in tokens if the server states it."""

    name: str
    context: int | None = None
    aliases: tuple[str, ...] = ()

    def is_called(self, name: str) -> bool:
        """Whether the server knows the model by that name; Ollama adds `:latest` to a name without a tag."""
        return name in (self.name, *self.aliases) or f"{name}:latest" == self.name


@dataclass(frozen=True, slots=True)
class Found:
    """The answer of one port: its models, or the reason why there are none."""

    place: Place
    server: str
    models: tuple[Model, ...] = ()
    problem: str = ""
    own: bool = False

    def has(self, name: str) -> bool:
        """Whether that model of the server can answer a run."""
        return not self.own and any(model.is_called(name) for model in self.models)

    def __str__(self) -> str:
        """One line: the port, the result, and how to start a server if none answers."""
        where = f"port {self.place.port}"
        if self.own:
            return f"{where}: this library's own server"
        if self.problem:
            return f"{where}: {self.problem}; to start {self.place.server}: {self.place.start}"
        if not self.models:
            return f"{where}: {self.server} has no models; {self.place.start}"
        return f"{where}: {self.server} has {listed([model.name for model in self.models])}"


def listed(names: Sequence[str], most: int = 8) -> str:
    """The names with commas, shortened after `most`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def ask_all(places: Sequence[Place] | None = None) -> list[Found]:
    """The answer of each place, in their order; takes at most `PATIENCE` seconds."""
    places = PLACES if places is None else places
    found = {place: Found(place, place.server, problem=_SILENT) for place in places}

    with httpx.Client(trust_env=False, verify=False, timeout=PATIENCE, follow_redirects=False) as client:

        def ask(place: Place) -> None:
            found[place] = _ask(client, place)

        threads = [threading.Thread(target=ask, args=(place,), daemon=True) for place in places]
        for thread in threads:
            thread.start()
        until = time.monotonic() + PATIENCE
        for thread in threads:
            thread.join(max(0.0, until - time.monotonic()))
        return [found[place] for place in places]


def _ask(client: httpx.Client, place: Place) -> Found:
    try:
        reply = client.get(f"{place.base_url}/models")
    except httpx.ConnectError:
        return Found(place, place.server, problem="nothing listens")
    except Exception as error:
        problem = _SILENT if isinstance(error, httpx.TimeoutException) else "something that is not HTTP"
        return Found(place, place.server, problem=problem)
    own = reply.headers.get("server") == OWN_SERVER
    models = models_in(reply.content)
    if reply.status_code in (401, 403):
        return Found(place, place.server, problem=f"a server that asks for a key ({reply.status_code})", own=own)
    if reply.status_code != 200 or models is None:
        problem = f"a server without a list of models ({reply.status_code})"
        return Found(place, place.server, problem=problem, own=own)
    return Found(place, _server(reply.content, place), tuple(models), own=own)


def bends_of(found: Found) -> dict[str, list[str]]:
    """The members of requests that the upstream of this library's own server has refused so far, by model."""
    try:
        with httpx.Client(trust_env=False, verify=False, timeout=PATIENCE) as client:
            value = client.get(f"{found.place.base_url.removesuffix('/v1')}/healthz").json()
        bends = value.get("bends") or {}
        return {str(model): [str(name) for name in names] for model, names in bends.items()}
    except (httpx.HTTPError, ValueError, AttributeError, TypeError):
        return {}


def models_in(body: bytes) -> list[Model] | None:
    """The models of a reply to `GET /models`; None if the body is not a list of models."""
    try:
        value = json.loads(body) if len(body) <= _LONGEST else None
    except ValueError:
        return None
    items = value.get("data") if isinstance(value, dict) else value
    if items is None and isinstance(value, dict) and value.get("object") == "list":
        return []  # Ollama without models writes null
    if not isinstance(items, list):
        return None
    return [_model(item) for item in items if isinstance(item, dict) and isinstance(item.get("id"), str)]


def _model(item: Mapping[str, object]) -> Model:
    meta = item.get("meta")
    fields = {**(meta if isinstance(meta, dict) else {}), **item}
    context = next((value for name in _CONTEXT if type(value := fields.get(name)) is int), None)
    aliases = item.get("aliases")
    names = tuple(map(str, aliases)) if isinstance(aliases, list) else ()
    return Model(str(item["id"]), context, names)


def _server(body: bytes, place: Place) -> str:
    """The server's name: from its models, or else the usual server of the port."""
    value = json.loads(body)
    items = value.get("data") if isinstance(value, dict) else value
    owners = {item.get("owned_by") for item in items or () if isinstance(item, dict)}
    return next((name for owner, name in _BY_OWNER.items() if owner in owners), place.server)

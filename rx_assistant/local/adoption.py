"""Assistants and threads with given ids: ids that an application knows from another server, or ids from a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TypeAlias

from rx_assistant.errors import ConfigurationError
from rx_assistant.local import bodies, objects
from rx_assistant.local.errors import ApiError
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.state import State

_log = logging.getLogger("rx_assistant.local")

Given: TypeAlias = "str | Path | Mapping[str, object]"
"""An assistant: its fields, or the path of a JSON file with the fields."""

_OF_THE_SERVER = ("id", "object", "created_at")


def thread_for(state: State, id: str) -> JsonObject:
    """The thread.

    With `adopt`, an unknown thread is created empty with that id. Otherwise raises 404, as for a deleted thread.
    """
    if _is_new(state, "thread", id):
        state.store.put("thread", {**objects.thread({}, {}), "id": id})
        _log.warning("thread %s was not known: it is created empty under this id", id)
    return state.find("thread", id)


def assistant_for(state: State, body: JsonObject) -> JsonObject:
    """The assistant of a new run.

    With `adopt`, an unknown assistant is created empty with its id. Otherwise raises 404.
    """
    id = body["assistant_id"]
    if _is_new(state, "assistant", id):
        model = body.get("model") or state.settings.adopted_model
        state.store.put("assistant", {**objects.assistant({"model": model}, {}), "id": id})
        _log.warning(
            "assistant %s was not known: it is created under this id, without instructions and tools;"
            " --assistant %s=FILE.json gives it its own",
            *(id, id),
        )
    return state.find("assistant", id, param="assistant_id")


def _is_new(state: State, kind: str, id: str) -> bool:
    return state.settings.adopt and state.store.get(kind, id) is None and not state.store.was_deleted(kind, id)


def add_assistants(state: State, given: Mapping[str, Given]) -> None:
    """Store assistants with their ids. ConfigurationError if a file or the fields do not describe an assistant."""
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"assistants must be a mapping from ids to fields or files, got {given!r:.80}")
    for id, described in given.items():
        if not (id and isinstance(id, str)):
            raise ConfigurationError(f"the id of an assistant must be a text that is not empty, got {id!r:.80}")
        if not isinstance(described, Mapping | str | PathLike):
            raise ConfigurationError(
                f"assistant {id!r} must be its fields or the path of a file, got {described!r:.80}"
            )
        fields = dict(described) if isinstance(described, Mapping) else _read(id, Path(described))
        for name in _OF_THE_SERVER:
            fields.pop(name, None)
        if fields.pop("tool_resources", None):
            _log.warning("assistant %s: its tool_resources are left out, as their files are not on this server", id)
        fields.setdefault("model", state.settings.adopted_model)
        try:
            bodies.CREATE_ASSISTANT.check(fields, "")
        except ApiError as error:
            raise ConfigurationError(f"assistant {id!r}: {error.message}") from error
        state.store.put("assistant", {**objects.assistant(fields, {}), "id": id})


def _read(id: str, path: Path) -> JsonObject:
    try:
        value = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"assistant {id!r}: cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"assistant {id!r}: {path} must be JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConfigurationError(f"assistant {id!r}: {path} must hold a JSON object, got {type(value).__name__}")
    return value

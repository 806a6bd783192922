"""`tool_resources`: which files and vector stores the tools may use."""

from __future__ import annotations

from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.state import State


def new_resources(state: State, given: JsonObject | None) -> JsonObject:
    """The resources of a new assistant or thread, vector stores made where `vector_stores` asks for them."""
    return modified_resources(state, given, {})


def modified_resources(state: State, given: JsonObject | None, old: object) -> JsonObject:
    """The resources after a modification, which replaces each tool's whole."""
    kept = dict(old) if isinstance(old, dict) and given is not None else {}
    for tool, resources in (given or {}).items():
        kept[tool] = resources
    return kept

"""The status tables, against the published document and the recorded polls."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from rx_assistant.lifecycle import (
    EVENTS,
    FILE,
    FILE_BATCH,
    MESSAGE,
    RUN,
    RUN_STOPS,
    STEP,
    VECTOR_STORE,
    VECTOR_STORE_FILE,
    Lifecycle,
)

LIVES = [RUN, STEP, MESSAGE, VECTOR_STORE, VECTOR_STORE_FILE, FILE_BATCH, FILE]
SCHEMAS = {
    "RunObject": RUN,
    "RunStepObject": STEP,
    "MessageObject": MESSAGE,
    "VectorStoreObject": VECTOR_STORE,
    "VectorStoreFileObject": VECTOR_STORE_FILE,
    "VectorStoreFileBatchObject": FILE_BATCH,
    "OpenAIFile": FILE,
}
OBJECTS = {
    "thread.run": RUN,
    "thread.run.step": STEP,
    "thread.message": MESSAGE,
    "vector_store": VECTOR_STORE,
    "vector_store.file": VECTOR_STORE_FILE,
    "vector_store.file_batch": FILE_BATCH,
    "vector_store.files_batch": FILE_BATCH,
    "file": FILE,
}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    from reference import SHARED

    path = SHARED / "wire" / "openapi-assistants.yaml"
    if not path.exists():
        pytest.skip("the reference data is not beside this checkout")
    loaded: dict[str, Any] = yaml.load(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return loaded


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_every_status_is_reached_from_the_first_and_leads_to_an_ending(life: Lifecycle) -> None:
    assert {life.initial} | {
        status for status in life.statuses if life.may_reach(life.initial, status)
    } == life.statuses
    for status in life.statuses - life.terminal:
        assert any(life.may_reach(status, ending) for ending in life.terminal)
    assert life.failures <= life.stops <= life.statuses
    assert life.initial not in life.stops


@pytest.mark.parametrize("life", LIVES, ids=lambda life: life.name)
def test_an_ending_is_final(life: Lifecycle) -> None:
    for ending in life.terminal:
        assert not any(life.may_become(ending, status) or life.may_reach(ending, status) for status in life.statuses)


def test_where_polling_stops() -> None:
    assert RUN.terminal == {"completed", "failed", "cancelled", "expired", "incomplete"}
    assert RUN_STOPS == RUN.stops == RUN.terminal | {"requires_action"}
    assert VECTOR_STORE.stops == {"completed", "expired"}
    assert VECTOR_STORE_FILE.stops == FILE_BATCH.stops == {"completed", "failed", "cancelled"}
    assert FILE.stops == {"processed", "error"}


def test_which_endings_are_failures() -> None:
    assert RUN.failures == RUN.terminal - {"completed"}
    assert STEP.failures == STEP.terminal - {"completed"}
    assert VECTOR_STORE_FILE.failures == FILE_BATCH.failures == {"failed", "cancelled"}


@pytest.mark.parametrize(
    ("status", "following", "next_", "later"),
    [
        ("queued", "queued", True, True),
        ("queued", "in_progress", True, True),
        ("queued", "completed", False, True),
        ("in_progress", "in_progress", False, True),
        ("in_progress", "queued", False, True),
        ("requires_action", "queued", True, True),
        ("requires_action", "completed", False, True),
        ("requires_action", "cancelling", True, True),
        ("cancelling", "cancelled", True, True),
        ("cancelling", "in_progress", False, False),
        ("cancelling", "cancelling", False, True),
        ("completed", "completed", False, False),
        ("expired", "queued", False, False),
    ],
)
def test_what_a_run_may_become_next_and_later(status: str, following: str, next_: bool, later: bool) -> None:
    assert RUN.may_become(status, following) is next_
    assert RUN.may_reach(status, following) is later


def test_statuses_are_those_of_the_published_document(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name, life in SCHEMAS.items():
        assert set(schemas[name]["properties"]["status"]["enum"]) == life.statuses, name


def names_in(node: object) -> Iterator[str]:
    if isinstance(node, dict):
        event = node.get("event")
        if isinstance(event, dict) and "enum" in event:
            yield from event["enum"]
        for value in node.values():
            yield from names_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from names_in(value)


def test_event_names_are_those_of_the_published_document(document: dict[str, Any]) -> None:
    assert set(names_in(document["components"]["schemas"])) == set(EVENTS)


def test_an_event_says_which_status_its_object_has() -> None:
    assert EVENTS["thread.run.created"] == (RUN, "created", "queued")
    assert EVENTS["thread.run.step.created"] == (STEP, "created", "in_progress")
    assert EVENTS["thread.run.step.delta"] == (STEP, "delta", None)
    assert EVENTS["thread.message.incomplete"] == (MESSAGE, "incomplete", "incomplete")
    assert EVENTS["done"].life is None
    for life in (RUN, STEP, MESSAGE):
        told = {meaning.status for meaning in EVENTS.values() if meaning.life is life} - {None}
        assert told == life.statuses


def objects_in(node: object) -> Iterator[tuple[str, str, str]]:
    if isinstance(node, dict):
        if node.get("object") in OBJECTS and "status" in node:
            yield node["object"], node["id"], node["status"]
        for value in node.values():
            yield from objects_in(value)
    elif isinstance(node, list):
        for value in node:
            yield from objects_in(value)


def test_recorded_polls_see_only_changes_that_the_tables_know(shared: Path) -> None:
    changes = 0
    for path in sorted((shared / "wire" / "json").glob("*.json")):
        seen: dict[tuple[str, str], str] = {}
        for exchange in json.loads(path.read_text("utf-8"))["exchanges"]:
            for kind, id, status in objects_in(exchange["response"]):
                before = seen.setdefault((kind, id), status)
                assert status in OBJECTS[kind].statuses
                if status != before:
                    changes += 1
                    assert OBJECTS[kind].may_reach(before, status), (path.name, kind, before, status)
                seen[kind, id] = status
    assert changes > 0

"""The recorded polls of a real client, polled again by ours: the same states, and the same final objects."""

from __future__ import annotations

import itertools
import json
import re
from functools import cache
from typing import Any, NamedTuple

import pytest
from loopback import Loopback, Received, Wire
from polling_faces import on
from reference import SHARED

from rx_assistant.lifecycle import RUN
from rx_assistant.types import Message, Run, RunStep

FOLDER = SHARED / "wire" / "json"

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the recordings are not beside this checkout")

_RUN = re.compile(r"/v1(/threads/[^/]+/runs/[^/]+)")
_OBJECTS = re.compile(r"/v1/vector_stores/([^/]+)(?:/(files|file_batches)/([^/]+))?$")


class Polls(NamedTuple):
    """What a recording answered to each GET of one object, in order; and the lists that belong to a run."""

    source: str
    path: str
    states: list[dict[str, Any]]
    steps: list[dict[str, Any]] | None = None
    messages: list[dict[str, Any]] | None = None


@cache
def recorded(kind: str) -> list[Polls]:
    """The sequences of runs, or of vector stores, their files and batches."""
    found: list[Polls] = []
    for file in sorted(FOLDER.glob("*.json")) if FOLDER.exists() else []:
        gets: dict[str, list[dict[str, Any]]] = {}
        for exchange in json.loads(file.read_text())["exchanges"]:
            request, response = exchange["request"], exchange["response"]
            if request["method"] == "GET" and response["status"] == 200 and isinstance(response["body"], dict):
                gets.setdefault(request["path"], []).append(response["body"])
        for path, states in gets.items():
            pattern = _RUN if kind == "runs" else _OBJECTS
            if pattern.fullmatch(path) and all("status" in state for state in states):
                steps, messages = gets.get(f"{path}/steps"), gets.get(path.partition("/runs/")[0] + "/messages")
                found.append(Polls(file.stem[-60:], path, states, listed(steps), listed(messages)))
    return found


def listed(pages: list[dict[str, Any]] | None) -> list[dict[str, Any]] | None:
    """The items of a list that came in one piece."""
    return pages[0]["data"] if pages and len(pages) == 1 and not pages[0]["has_more"] else None


def segments(states: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """The polls from one resting place to the next; what is asked while a run rests is asked by someone else."""
    found: list[list[dict[str, Any]]] = [[]]
    for state in states:
        if found[-1] and found[-1][-1]["status"] in RUN.stops:
            if state["status"] == found[-1][-1]["status"]:
                continue
            found.append([])
        found[-1].append(state)
    return found


def answering(polls: Polls, states: list[dict[str, Any]]) -> Any:
    following = itertools.chain(states, itertools.repeat(states[-1]))

    async def serve(request: Received, wire: Wire) -> None:
        if request.path.endswith("/steps"):
            await wire.json({"object": "list", "data": polls.steps or [], "has_more": False})
        elif request.path.endswith("/messages"):
            await wire.json({"object": "list", "data": polls.messages or [], "has_more": False})
        else:
            assert request.path == polls.path
            await wire.json(next(following))

    return serve


@pytest.mark.parametrize("polls", recorded("runs"), ids=lambda polls: polls.source)
def test_runs_are_polled_to_the_same_end(polls: Polls) -> None:
    thread_id, run_id = re.findall(r"/threads/([^/]+)/runs/([^/]+)", polls.path)[0]

    def states(client: Any) -> list[Run]:
        return list(client.threads.runs.watch(run_id, thread_id, poll_interval_ms=0))

    for recorded_states in segments(polls.states):
        if recorded_states[-1]["status"] not in RUN.stops:
            continue  # the recording stops before its end
        with Loopback(answering(polls, recorded_states)) as server:
            assert on("sync", server.url, states) == [Run.model_validate(state) for state in recorded_states]
        with Loopback(answering(polls, recorded_states)) as server:
            run = on("asyncio", server.url, lambda c: c.threads.runs.poll(run_id, thread_id, poll_interval_ms=0))
        assert run.model_dump(exclude_unset=True) == recorded_states[-1]
        assert len(server.requests) == len(recorded_states)


@pytest.mark.parametrize(
    "polls", [polls for polls in recorded("runs") if polls.steps or polls.messages], ids=lambda polls: polls.source
)
def test_their_events_add_up_to_the_recorded_objects(polls: Polls) -> None:
    thread_id, run_id = re.findall(r"/threads/([^/]+)/runs/([^/]+)", polls.path)[0]
    if polls.states[-1]["status"] not in RUN.stops:
        pytest.skip("the recording stops before its end")

    def snapshot(client: Any) -> Any:
        stream = client.threads.runs.watch_events(run_id, thread_id, poll_interval_ms=0)
        stream.until_done()
        return stream.snapshot

    with Loopback(answering(polls, segments(polls.states)[-1])) as server:
        folded = on("sync", server.url, snapshot)
    assert folded.run.model_dump(exclude_unset=True) == polls.states[-1]
    assert {step.id: step.to_model() for step in folded.steps} == {
        step["id"]: RunStep.model_validate(step) for step in polls.steps or []
    }
    mine = [message for message in polls.messages or [] if message["run_id"] == run_id]
    assert {each.id: each.to_model() for each in folded.messages} == {
        message["id"]: Message.model_validate(message) for message in mine
    }


@pytest.mark.parametrize("polls", recorded("stores"), ids=lambda polls: f"{polls.source} {polls.path[-40:]}")
def test_vector_stores_files_and_batches_are_polled_to_the_same_end(polls: Polls) -> None:
    match = _OBJECTS.fullmatch(polls.path)
    assert match is not None
    store_id, kind, object_id = match.groups()
    if polls.states[-1]["status"] == "in_progress":
        pytest.skip("the recording stops before its end")

    def polled(client: Any) -> Any:
        if kind is None:
            return client.vector_stores.poll(store_id, poll_interval_ms=0)
        return getattr(client.vector_stores, kind).poll(object_id, store_id, poll_interval_ms=0)

    with Loopback(answering(polls, polls.states)) as server:
        final = on("sync", server.url, polled)
    position = [state["status"] != "in_progress" for state in polls.states].index(True)
    assert final.model_dump(exclude_unset=True) == polls.states[position]
    assert len(server.requests) == position + 1

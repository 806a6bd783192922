"""Many runs, requests and objects at once: who comes first, and what the work grows with."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Message

import rx_assistant.local
from rx_assistant.local.engine import Action, RunContext, Text
from rx_assistant.local.gathering import _Gathering
from rx_assistant.local.routing import Routes
from rx_assistant.local.server import _rare_collections
from rx_assistant.local.starts import _SLOTS, Starts
from rx_assistant.local.state import State
from rx_assistant.local.store import Store

GUARD = 20


# Runs


class Recording:
    """An engine that says a few words, and records when each run begins and when it goes on after its first word."""

    def __init__(self) -> None:
        self.record: list[str] = []

    async def run(self, context: RunContext) -> AsyncIterator[Action]:
        self.record.append("begun")
        yield Text("one")
        self.record.append("went on")
        yield Text(" two")


async def streamed(app: ASGIApp, body: dict[str, object], record: list[str]) -> bytes:
    """One run's stream, taken without a client; `record` gets "sent" with the first text."""
    scope = {"type": "http", "method": "POST", "path": "/v1/threads/runs", "query_string": b""}
    scope["headers"] = [(b"content-type", b"application/json")]
    received, asked = bytearray(), [{"type": "http.request", "body": json.dumps(body).encode()}]

    async def receive() -> Message:
        return asked.pop() if asked else await asyncio.Future()

    async def send(message: Message) -> None:
        if b"thread.message.delta" not in received and b"thread.message.delta" in message.get("body", b""):
            record.append("sent")
        received.extend(message.get("body", b""))

    await app(scope, receive, send)
    return bytes(received)


@pytest.mark.unjudged
def test_of_many_runs_at_once_all_send_their_first_text_early(monkeypatch):
    monkeypatch.setattr("rx_assistant.local.starts._PATIENCE", GUARD)
    engine = Recording()

    async def use() -> list[bytes]:
        app = rx_assistant.local.app(engine, assistants={"asst_1": {}})
        body: dict[str, object] = {"assistant_id": "asst_1", "stream": True, "thread": {}}
        async with asyncio.timeout(GUARD):
            return await asyncio.gather(*(streamed(app, body, engine.record) for _ in range(100)))

    streams = asyncio.run(use())
    assert all(stream.endswith(b"[DONE]\n\n") for stream in streams)
    record = engine.record
    assert record.count("begun") == record.count("sent") == record.count("went on") == 100
    last_begun = len(record) - record[::-1].index("begun") - 1
    assert record.index("sent") < last_begun, "the first text waits for the start of the last run"
    went_on = record[:last_begun].count("went on")
    assert went_on < _SLOTS, "runs went on while others waited for their start"


class Together:
    """An engine whose runs say a word and then end together."""

    def __init__(self) -> None:
        self.barrier = asyncio.Barrier(60)

    async def run(self, context: RunContext) -> AsyncIterator[Action]:
        yield Text("one")
        await self.barrier.wait()


def test_of_many_runs_that_end_at_once_few_end_in_one_turn(monkeypatch):
    turn, ended = 0, Counter()
    monkeypatch.setattr(State, "save_soon", lambda _: ended.update([turn]))

    async def use() -> None:
        nonlocal turn
        app = rx_assistant.local.app(Together(), assistants={"asst_1": {}})
        body: dict[str, object] = {"assistant_id": "asst_1", "stream": True, "thread": {}}
        runs = [asyncio.ensure_future(streamed(app, body, [])) for _ in range(60)]
        while ended.total() < 60:
            turn += 1
            await asyncio.sleep(0)
        await asyncio.gather(*runs)

    asyncio.run(asyncio.wait_for(use(), GUARD))
    assert max(ended.values()) <= _SLOTS


async def start(starts: Starts, name: str, record: list[str]) -> None:
    async with starts:
        record.append(name)


async def go_on(starts: Starts, name: str, record: list[str]) -> None:
    await starts.give_way()
    record.append(name)


@pytest.mark.parametrize(
    ("patience", "order"),
    [(GUARD, ["starts", "starts too", "goes on"]), (0.0, ["starts", "goes on", "starts too"])],
    ids=["starts come first", "a run that has waited long comes before later starts"],
)
def test_starts_come_first_for_a_limited_time(monkeypatch, patience, order):
    monkeypatch.setattr("rx_assistant.local.starts._PATIENCE", patience)
    monkeypatch.setattr("rx_assistant.local.starts._SLOTS", 1)
    record: list[str] = []

    async def use() -> None:
        starts = Starts()
        await starts.give_way()
        await asyncio.gather(
            start(starts, "starts", record), go_on(starts, "goes on", record), start(starts, "starts too", record)
        )

    asyncio.run(use())
    assert record == order


def test_no_more_runs_work_in_one_turn_than_there_are_slots():
    async def use() -> list[int]:
        starts, record, turns = Starts(), [], []
        waiting = [asyncio.ensure_future(work(starts, "", record)) for work in (start, go_on) for _ in range(50)]
        while len(record) < 100:
            before = len(record)
            await asyncio.sleep(0)
            turns.append(len(record) - before)
        await asyncio.gather(*waiting)
        return turns

    assert max(asyncio.run(use())) == _SLOTS


@pytest.mark.parametrize("has_slot", [False, True], ids=["while it waits", "when it has just got its slot"])
@pytest.mark.parametrize("work", [start, go_on])
def test_a_run_that_is_cancelled_before_its_turn_leaves_the_slot_to_the_next(monkeypatch, work, has_slot):
    monkeypatch.setattr("rx_assistant.local.starts._SLOTS", 1)
    record: list[str] = []

    async def use() -> None:
        starts = Starts()
        async with starts:
            cancelled = asyncio.ensure_future(work(starts, "cancelled", record))
            following = asyncio.ensure_future(go_on(starts, "next", record))
            await asyncio.sleep(0)
            if not has_slot:
                cancelled.cancel()
        if has_slot:
            asyncio.get_running_loop().call_soon(cancelled.cancel)  # after the slot was handed over in this turn
        async with asyncio.timeout(GUARD):
            await following
            await asyncio.wait({cancelled})
            await starts.give_way()
        assert cancelled.cancelled()

    asyncio.run(use())
    assert record == ["next"]


def test_a_refused_start_leaves_the_next_runs_their_turn(api):
    thread = api.thread("hello")
    for _ in range(50):
        api.refused("POST", f"/threads/{thread}/runs", {"assistant_id": "asst_none"}, 404)
    assert api.wait(api.start(api.assistant(), thread))["status"] == "completed"


# Objects


def steps_below(thread: str, others: int) -> int:
    """The instructions that SQLite runs to find the steps of one thread, beside those of other threads."""
    store = Store()
    for number in range(others):
        store.put("run", {"id": f"run_{number}"}, f"thread_{number}")
        store.put("step", {"id": f"step_{number}"}, f"run_{number}")
    store.put("run", {"id": "run"}, thread)
    store.put("step", {"id": "step"}, "run")
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 1
        return 0

    store.connection.set_progress_handler(count, 1)
    assert [step.value for step in store.grandchildren("step", "run", thread, 0)] == [{"id": "step"}]
    return counted


def test_the_steps_of_a_thread_are_found_in_the_same_time_however_many_others_there_are():
    assert steps_below("thread", 500) <= 2 * steps_below("thread", 5)


@pytest.mark.parametrize("kind", ["assistants", "threads"])
def test_a_list_holds_the_objects_as_they_are_retrieved(api, kind):
    for text in ("plain", 'quoted " and \\ud83d', "汉字 👍", "line\nbreak"):
        api("POST", f"/{kind}", {**({"model": "any"} if kind == "assistants" else {}), "metadata": {"text": text}})
    listed = api("GET", f"/{kind}")
    assert [item["metadata"]["text"] for item in listed["data"]][::-1][0] == "plain"
    assert listed["data"] == [api("GET", f"/{kind}/{item['id']}") for item in listed["data"]]
    assert (listed["first_id"], listed["last_id"]) == (listed["data"][0]["id"], listed["data"][-1]["id"])
    assert len(listed["data"]) == 4


def test_a_list_shows_half_a_surrogate_pair_as_the_object_itself_does(api):
    thread = api.thread()
    body = b'{"role": "user", "content": "a \\ud83d b \\ud83d\\udc4d"}'
    made = api("POST", f"/threads/{thread}/messages", content=body, headers={"content-type": "application/json"})
    listed = api("GET", f"/threads/{thread}/messages")["data"]
    assert listed == [api("GET", f"/threads/{thread}/messages/{made['id']}")]
    assert listed[0]["content"][0]["text"]["value"] == "a \ufffd b 👍"


def test_an_empty_list_has_no_ends(api):
    empty = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert api("GET", f"/threads/{api.thread()}/messages") == empty


def test_lists_include_objects_that_older_versions_wrote_with_spaces():
    store = Store()
    store.put("thread", {"id": "thread_1", "text": "é"}, body=json.dumps({"id": "thread_1", "text": "é"}))
    assert store.page("thread", "", rx_assistant.local.store.Page())[0] == [{"id": "thread_1", "text": "é"}]


# Requests


def routes() -> Routes:
    """A table whose endpoints are their own names."""
    table = Routes()
    for method, path in [
        ("POST", "/threads/runs"),
        ("GET", "/threads/{thread_id}"),
        ("POST", "/threads/{thread_id}"),
        ("GET", "/threads/{thread_id}/runs/{run_id}"),
        ("GET", "/models/{model:path}"),
        ("GET", "/models"),
    ]:
        table.add([method], path, f"{method} {path}")  # type: ignore[arg-type]
    return table


@pytest.mark.parametrize(
    ("method", "path", "endpoint", "parameters"),
    [
        ("POST", "/threads/runs", "POST /threads/runs", {}),
        ("GET", "/threads/runs", "GET /threads/{thread_id}", {"thread_id": "runs"}),
        ("HEAD", "/threads/a", "GET /threads/{thread_id}", {"thread_id": "a"}),
        ("GET", "/threads/a/runs/b", "GET /threads/{thread_id}/runs/{run_id}", {"thread_id": "a", "run_id": "b"}),
        ("GET", "/models/a/b/c", "GET /models/{model:path}", {"model": "a/b/c"}),
        ("GET", "/models", "GET /models", {}),
    ],
)
def test_a_request_is_answered_by_the_operation_of_its_path_and_method(method, path, endpoint, parameters):
    assert routes().find(method, path) == (endpoint, parameters, ())


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/threads/a", ("GET", "HEAD", "POST")),
        ("DELETE", "/threads/runs", ("GET", "HEAD", "POST")),
        ("POST", "/threads/a/runs/b", ("GET", "HEAD")),
        ("PUT", "/models", ("GET", "HEAD")),
    ],
)
def test_a_method_that_a_path_does_not_have_is_answered_with_those_that_it_has(method, path, allowed):
    assert routes().find(method, path) == (None, {}, allowed)


@pytest.mark.parametrize("path", ["", "/", "/threads", "/threads/", "/threads//runs/b", "/threads/a/runs/b/", "/other"])
def test_a_path_without_an_operation_is_unknown(path):
    assert routes().find("GET", path) is None


def test_the_first_endpoint_of_a_path_and_method_counts():
    table = routes()
    table.add(["GET", "PUT"], "/models/{rest:path}", "later")  # type: ignore[arg-type]
    assert table.find("GET", "/models/a") == ("GET /models/{model:path}", {"model": "a"}, ())
    assert table.find("PUT", "/models/a") == ("later", {"rest": "a"}, ())


def test_the_application_works_below_a_path_of_another_one():
    async def use() -> list[httpx.Response]:
        host = Starlette(routes=[Mount("/assistants-server", rx_assistant.local.app())])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(host), base_url="http://local") as http:
            return [
                await http.post("/assistants-server/v1/threads", json={}),
                await http.get("/assistants-server/api/projects/p/threads"),
                await http.get("/assistants-server/healthz"),
                await http.get("/assistants-server/v1/nothing"),
                await http.get("/assistants-server/threads"),
            ]

    made, listed, health, unknown, bare = asyncio.run(use())
    assert made.json()["object"] == "thread"
    assert listed.json()["data"] == [made.json()]
    assert health.json()["status"] == "starting"
    assert (unknown.status_code, "begin with /v1" in unknown.text) == (404, False)
    assert (bare.status_code, "begin with /v1" in bare.text) == (404, True)


def test_the_headers_of_a_fault_do_not_double_those_of_every_reply(connect):
    fault = {"request": "GET /threads/*", "status": 429, "headers": {"x-request-id": "mine", "retry-after": "1"}}
    reply = connect(script={"faults": [fault]}).http.get("/threads/thread_1")
    assert reply.headers["retry-after"] == "1"
    assert [name for name, _ in reply.headers.multi_items()].count("x-request-id") == 1


# Connections


class Below:
    """A transport that records."""

    def __init__(self) -> None:
        self.record: list[bytes | str] = []
        self.is_closed = False

    def write(self, data: bytes) -> None:
        self.record.append(data)

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True
        self.record.append("closed")

    def abort(self) -> None:
        self.is_closed = True
        self.record.append("aborted")


def written(*steps: bytes | str) -> list[bytes | str]:
    """What arrives below: bytes are written; `turn` waits for the next turn of the loop; else a method is called."""

    async def use() -> list[bytes | str]:
        below = Below()
        gathering = _Gathering(below)  # type: ignore[arg-type]
        for step in steps:
            if isinstance(step, bytes):
                gathering.write(step)
            elif step == "turn":
                await asyncio.sleep(0)
            else:
                getattr(gathering, step)()
        await asyncio.sleep(0)
        return below.record

    return asyncio.run(use())


LARGE = b"x" * 100_000


@pytest.mark.parametrize(
    ("steps", "arrived"),
    [
        ([b"head", b"body", b""], [b"headbody"]),
        ([b"head", "turn", b"body"], [b"head", b"body"]),
        ([b"head", b"body", "close"], [b"headbody", "closed"]),
        ([b"head", "abort"], ["aborted"]),
        ([b"head", LARGE, b"tail"], [b"head" + LARGE, b"tail"]),
        (["close", b"late"], ["closed"]),
    ],
)
def test_what_a_turn_writes_goes_out_in_one_piece(steps, arrived):
    assert written(*steps) == arrived


def test_large_writes_are_not_kept_until_the_end_of_the_turn():
    async def use() -> list[bytes | str]:
        below = Below()
        _Gathering(below).write(LARGE)  # type: ignore[arg-type]
        return list(below.record)

    assert asyncio.run(use()) == [LARGE]


def test_the_collector_is_as_before_after_a_server_in_the_foreground():
    before = gc.get_threshold()
    with pytest.raises(KeyboardInterrupt), _rare_collections():
        assert gc.get_threshold() > before
        assert gc.get_freeze_count() > 0
        raise KeyboardInterrupt
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)

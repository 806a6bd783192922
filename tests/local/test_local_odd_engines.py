"""Whatever an engine does, its run ends, its readers get an ending, its thread is free, its server can be stopped."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from types import SimpleNamespace

import pytest

from local.conftest import Api, parsed
from local.odd_engines import FIXED, ODD, Odd
from rx_assistant.local.engine import Gate, NewPart, Text
from rx_assistant.local.runs.journal import Journal

TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def engine(run) -> SimpleNamespace:
    return SimpleNamespace(run=run)


def test_there_are_many_odd_engines():
    assert len(ODD) >= 37


@pytest.mark.parametrize("name", ODD)
def test_a_run_ends_whatever_its_engine_does(name, connect, caplog):
    odd = ODD[name]
    caplog.set_level(logging.CRITICAL)
    api = connect(engine=engine(odd.run))
    assistant, thread = api.assistant(tools=TOOLS), api.thread("hi")
    events = watched(api, assistant, thread, odd)
    last, run = events[-2]
    assert (last, events[-1]) == (f"thread.run.{odd.status}", ("done", "[DONE]"))
    stored = api("GET", f"/threads/{thread}/runs/{run['id']}")
    assert stored["status"] == odd.status
    assert odd.error is None or odd.error in stored["last_error"]["message"]
    assert "sk-" not in str(stored)
    ended = {"completed", "failed", "cancelled"}
    assert {step["status"] for step in api.steps(stored)} <= ended
    assert {message.get("status", "completed") for message in api.messages(thread)} <= {"completed", "incomplete"}
    api("POST", f"/threads/{thread}/messages", {"role": "user", "content": "The thread is free."})
    stopping = threading.Thread(target=api.server.stop)
    stopping.start()
    stopping.join(5)
    assert not stopping.is_alive(), "the server did not stop within 5 s"


def watched(api: Api, assistant: str, thread: str, odd: Odd) -> list:
    """The events of a streamed run, which is cancelled if it does not end."""
    body = {"assistant_id": assistant, "stream": True}
    received = b""
    with api.http.stream("POST", f"/threads/{thread}/runs", json=body) as response:
        for part in response.iter_raw():
            if (
                odd.endless
                and b"thread.run.in_progress" not in received
                and b"thread.run.in_progress" in received + part
            ):
                (run,) = api("GET", f"/threads/{thread}/runs")["data"]
                api("POST", f"/threads/{thread}/runs/{run['id']}/cancel")
            received += part
    return parsed(received)


def test_a_server_goes_on_when_an_engine_cancels_every_task(connect):
    """While no request is under way: uvicorn sends no reply to a request whose task was cancelled."""
    cancelled = threading.Event()

    async def run(context):
        yield Gate("go")
        for task in asyncio.all_tasks():
            task.cancel()
        cancelled.set()
        await asyncio.sleep(0)

    api = connect(engine=engine(run))
    started = api.wait(api.start(api.assistant(), api.thread("hi")), "in_progress")
    api.server.release("go")
    assert cancelled.wait(30)
    stored = api.wait(started)
    assert (stored["status"], stored["last_error"]["message"]) == ("failed", FIXED)


def test_a_message_of_many_parts_costs_the_same_for_each(connect, monkeypatch):
    """Each part is stored once: at its end, or when a client polls."""
    stored, save = [], Journal.save_message
    monkeypatch.setattr(Journal, "save_message", lambda self, message: stored.append(message) or save(self, message))

    async def run(context):
        for _ in range(200):
            yield Text("a")
            yield NewPart()

    api = connect(engine=engine(run))
    thread = api.thread("hi")
    api.wait(api.start(api.assistant(), thread))
    assert len(api.messages(thread)[-1]["content"]) == 200
    assert len(stored) < 20


@pytest.mark.parametrize("name", [name for name, odd in ODD.items() if odd.endless])
def test_a_run_expires_whatever_its_engine_does(name, connect):
    api = connect(engine=engine(ODD[name].run), run_ttl=0.1)
    run = api.wait(api.start(api.assistant(), api.thread("hi")))
    assert run["status"] == "expired"


@pytest.mark.parametrize("name", [name for name, odd in ODD.items() if odd.endless])
def test_a_server_stops_whatever_its_engine_does(name, connect):
    api = connect(engine=engine(ODD[name].run))
    api.wait(api.start(api.assistant(), api.thread("hi")), "in_progress")
    begun = time.monotonic()
    api.server.stop()
    assert time.monotonic() - begun < 5

"""The laws of streams, across the seams between a run and the submissions of its tool outputs.

L5: each message, step and call is created once and done once. L7: one request per response. L9: after a close at any
event nothing is left. Over generated scenarios, played by a real server.
"""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from faces import entered, got, left, listed
from guard import GUARD
from hypothesis import given, settings, strategies as st
from loopback import ended
from tools_rig import FACES, begun, call, ours, run_story, script, serve

from rx_assistant import AssistantClient, RunSnapshot, ToolSet, fold, operators as ax, tools as answering
from rx_assistant.errors import ToolRoundsError
from rx_assistant.events import MessageEvent, RunStepEvent, ToolEvent, ToolFinished, ToolStarted
from rx_assistant.tools import Answering, LoopThread
from rx_assistant.types import Run


def double(n: int) -> int:
    return 2 * n


async def triple(n: int) -> int:
    await anyio.lowlevel.checkpoint()
    return 3 * n


def steps(n: int) -> Iterator[int]:
    yield from range(n)


def fails(n: int) -> int:
    raise ValueError(n)


TOOLS = ToolSet([double, triple, steps, fails])

CALLS = st.lists(st.tuples(st.sampled_from(["double", "triple", "steps", "fails", "unknown"]), st.integers(0, 3)))
SCENARIOS = st.tuples(
    st.lists(CALLS.filter(lambda calls: 0 < len(calls) < 4), max_size=3), st.booleans(), st.booleans()
)


def scenario_of(rounds: list[list[tuple[str, int]]], interleave: bool) -> dict[str, Any]:
    asked = [
        [call(name, f"call_{turn}_{index}", n=n) for index, (name, n) in enumerate(calls)]
        for turn, calls in enumerate(rounds)
    ]
    return script(*asked, interleave=interleave)


@pytest.mark.parametrize("face", FACES)
@settings(max_examples=6, deadline=None)
@given(drawn=SCENARIOS)
def test_everything_is_told_once_in_any_scenario(face: str, drawn: Any) -> None:
    rounds, interleave, eager = drawn
    ids = [f"call_{turn}_{index}" for turn, calls in enumerate(rounds) for index in range(len(calls))]

    async def story(client: Any) -> None:
        assistant_id, thread_id = await begun(client, TOOLS)
        stream = client.threads.runs.stream_with_tools(thread_id, assistant_id=assistant_id, tools=TOOLS, eager=eager)
        created: list[Any] = []
        finished: list[str] = []
        stream.pipe(ax.tool_calls()).subscribe(created.append)
        stream.pipe(ax.completed_tool_calls()).subscribe(lambda done: finished.append(done.id))
        await entered(stream)
        run = await got(stream.get_final_run())
        events = await listed(stream)
        await left(stream)

        assert [inner.id for inner in created] == finished == ids
        told = Counter(
            (event.event, event.data.id) for event in events if isinstance(event, RunStepEvent | MessageEvent)
        )
        assert set(told.values()) == {1}
        whole = RunSnapshot()
        for event in events:
            whole = fold(whole, event)
        stored = (await got(client.threads.runs.steps.list(run.id, thread_id=thread_id, order="asc"))).data
        assert [step.to_dict() for step in whole.steps] == [step.to_dict() for step in stored]
        assert whole == stream.snapshot
        tool_events: list[ToolEvent] = await listed(stream.tool_events)
        for kind in (ToolStarted, ToolFinished):
            assert sorted(event.call_id for event in tool_events if isinstance(event, kind)) == ids

    with serve(scenario_of(rounds, interleave)) as server:
        run_story(face, server.base_url, story)
        posts = [request.path.rpartition("/")[2] for request in server.requests if request.method == "POST"]
        assert posts[-1 - len(rounds) :] == ["runs"] + ["submit_tool_outputs"] * len(rounds)


SCENARIO = script([call("double", "a", n=1), call("triple", "b", n=1)], [call("steps", "c", n=2)])


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("eager", [False, True], ids=["asked", "eager"])
def test_a_close_at_any_event_leaves_nothing(face: str, eager: bool) -> None:
    async def story(client: Any) -> None:
        assistant_id, _ = await begun(client, TOOLS)
        for position in (1, 3, 6, 12, 20, 30, 33, 40):
            thread = await got(client.threads.create(messages=[{"role": "user", "content": "Hello"}]))
            stream = client.threads.runs.stream_with_tools(
                thread.id, assistant_id=assistant_id, tools=TOOLS, eager=eager
            )
            await entered(stream)
            if face == "sync":
                for _ in zip(range(position), stream, strict=False):
                    pass
            else:
                items_of = aiter(stream)
                for _ in range(position):
                    if await anext(items_of, None) is None:
                        break
            await got(stream.close())
            started = [e.call_id for e in await told(stream) if isinstance(e, ToolStarted)]
            over = [e.call_id for e in await told(stream) if isinstance(e, ToolFinished)]
            assert sorted(started) == sorted(over)
            await left(stream)

    with serve(SCENARIO) as server:
        run_story(face, server.base_url, story)
    assert all(ended(thread) for thread in ours())


async def told(stream: Any) -> list[Any]:
    """The tool events of a stream that was closed."""
    found: list[Any] = []
    stream.tool_events.subscribe(found.append, lambda _: None)
    return found


def test_a_stream_that_is_over_is_freed_when_it_is_dropped() -> None:
    with serve(SCENARIO) as server, AssistantClient(base_url=server.base_url) as client:
        assistant = client.assistants.create(model="local", tools=TOOLS.definitions())
        thread = client.threads.create(messages=[{"role": "user", "content": "Hello"}])
        gc.disable()
        try:
            with client.threads.runs.stream_with_tools(thread.id, assistant_id=assistant.id, tools=TOOLS) as stream:
                stream.tool_events.subscribe(lambda _: None)
                stream.pending_calls.subscribe(lambda _: None)
                stream.until_done()
            references = [weakref.ref(stream), weakref.ref(stream.log), weakref.ref(stream.driver)]
            assert all(ended(thread) for thread in ours())
            del stream
            assert [reference() for reference in references] == [None] * 3
        finally:
            gc.enable()


def test_arguments_that_a_server_sends_as_an_object_are_read_too() -> None:
    asked = {"id": "call_1", "type": "function", "function": {"name": "double", "arguments": {"n": 4}}}
    run = Run.model_validate(
        {
            "id": "run_1",
            "required_action": {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [asked]}},
        }
    )
    loop = LoopThread()
    working = Answering(TOOLS, answering.Options(), loop)
    working.begin(run)
    deadline = time.monotonic() + GUARD
    while working.busy and time.monotonic() < deadline:
        time.sleep(0.001)
    assert working.outputs() == [{"tool_call_id": "call_1", "output": "8"}]
    working.stop()
    loop.join(GUARD)
    assert all(ended(thread) for thread in ours())


def test_a_stream_without_tools_has_no_tool_events() -> None:
    with serve(script()) as server, AssistantClient(base_url=server.base_url) as client:
        assistant = client.assistants.create(model="local")
        with client.threads.create_and_run_stream(assistant_id=assistant.id) as stream:
            assert list(stream.tool_events) == list(stream.pending_calls) == []
            assert stream.get_final_run().status == "completed"
            endings: list[str] = []
            stream.tool_events.subscribe(None, None, lambda: endings.append("end"))
            assert endings == ["end"]


@pytest.mark.parametrize("face", FACES)
def test_the_operator_answers_in_the_same_way(face: str) -> None:
    async def story(client: Any) -> list[str]:
        assistant_id, thread_id = await begun(client, TOOLS)
        submitted: list[list[Any]] = []
        seen: list[ToolEvent] = []

        def submit(run: Any, outputs: list[Any]) -> Any:
            submitted.append(outputs)
            return client.threads.runs.submit_tool_outputs_stream(run.id, run.thread_id, tool_outputs=outputs)

        stream = client.threads.runs.stream(thread_id, assistant_id=assistant_id)
        await entered(stream)
        whole = stream.pipe(answering.answer_with(TOOLS, submit, on_tool_event=seen.append))
        statuses = await listed(whole.pipe(ax.run_statuses()))
        await left(stream)
        assert [[output["output"] for output in outputs] for outputs in submitted] == [["2", "3"], ["1"]]
        assert len([event for event in seen if isinstance(event, ToolFinished)]) == 3
        return statuses  # type: ignore[no-any-return]

    with serve(SCENARIO) as server:
        again = ["requires_action", "queued", "in_progress"]
        assert run_story(face, server.base_url, story) == ["queued", "in_progress", *again, *again, "completed"]
    assert all(ended(thread) for thread in ours())


def test_calls_that_end_while_their_round_begins_are_submitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    end, called = Answering._end, Answering._called

    def ends(self: Answering, *outcome: Any) -> None:
        end(self, *outcome)
        over.set()

    def called_and_over(self: Answering, asked: Any, run: Run) -> Any:
        started = called(self, asked, run)
        assert over.wait(GUARD)
        over.clear()
        return started

    monkeypatch.setattr(Answering, "_end", ends)
    monkeypatch.setattr(Answering, "_called", called_and_over)
    submitted: list[list[Any]] = []
    with serve(SCENARIO) as server, AssistantClient(base_url=server.base_url) as client:
        assistant = client.assistants.create(model="local", tools=TOOLS.definitions())
        thread = client.threads.create(messages=[{"role": "user", "content": "Hello"}])

        def submit(run: Run, outputs: list[Any]) -> Any:
            submitted.append(outputs)
            return client.threads.runs.submit_tool_outputs_stream(run.id, run.thread_id, tool_outputs=outputs)

        with client.threads.runs.stream(thread.id, assistant_id=assistant.id) as stream:
            stream.pipe(answering.answer_with(TOOLS, submit)).run()
    assert [[output["output"] for output in outputs] for outputs in submitted] == [["2", "3"], ["1"]]
    assert all(ended(thread) for thread in ours())


def test_the_operator_ends_with_the_error_of_a_round_or_of_a_submission() -> None:
    with serve(SCENARIO) as server, AssistantClient(base_url=server.base_url) as client:
        assistant = client.assistants.create(model="local", tools=TOOLS.definitions())

        def refuse(run: Any, outputs: list[Any]) -> Any:
            raise LookupError("nowhere to submit")

        options = answering.Options(max_rounds=0)
        for submit, chosen, error in ((refuse, None, LookupError), (refuse, options, ToolRoundsError)):
            thread = client.threads.create(messages=[{"role": "user", "content": "Hello"}])
            with client.threads.runs.stream(thread.id, assistant_id=assistant.id) as stream, pytest.raises(error):
                stream.pipe(answering.answer_with(TOOLS, submit, options=chosen)).run()
    assert all(ended(thread) for thread in ours())

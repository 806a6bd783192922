"""One stream from the question to the answer, over a real server: on threads, asyncio and trio."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import reactivex as rx
from faces import entered, got, left, listed
from guard import GUARD
from loopback import Loopback, ended
from reactivex import operators as ops
from tools_rig import (
    FACES,
    Losing,
    begun,
    call,
    kinds_of,
    ours,
    run_story,
    script,
    serve,
    submissions,
)

from rx_assistant import (
    Approval,
    AssistantEventHandler,
    AsyncAssistantEventHandler,
    Decision,
    Tool,
    ToolContext,
    ToolSet,
    errors,
    operators as ax,
    replay,
)
from rx_assistant.events import MessageEvent, RunStepEvent, ToolFinished, ToolProgress, ToolStarted
from rx_assistant.lifecycle import Grammar

EVERY_FACE = pytest.mark.parametrize("face", FACES)


def double(n: int) -> int:
    return 2 * n


async def triple(n: int) -> int:
    await anyio.lowlevel.checkpoint()
    return 3 * n


def steps(n: int) -> Iterator[int]:
    yield from range(n)


async def async_steps(n: int) -> AsyncIterator[int]:
    for index in range(n):
        await anyio.lowlevel.checkpoint()
        yield index


def observed(n: int) -> rx.Observable[int]:
    return rx.interval(0.001).pipe(ops.take(n))


async def observed_later(n: int) -> rx.Observable[int]:
    return rx.from_iterable(range(n))


def fails(n: int) -> int:
    raise ValueError(f"the password is {n}")


async def hangs(n: int) -> int:
    await anyio.sleep_forever()
    return n


TOOLS = ToolSet([double, triple, steps, async_steps, observed, observed_later, fails, hangs])


async def told(client: Any, *, text: str = "Hello", tools: Any = TOOLS, **options: Any) -> Any:
    """Run a stream to its end; gives the stream."""
    assistant_id, thread_id = await begun(client, TOOLS, text)
    stream = client.threads.runs.stream_with_tools(thread_id, assistant_id=assistant_id, tools=tools, **options)
    await entered(stream)
    try:
        await got(stream.until_done())
    finally:
        await left(stream)
    return stream


def told_once(events: list[Any], mode: Any = "strict") -> None:
    """Law L5, and the order of the protocol, across the seams. Polled events leave states out: `mode="lenient"`."""
    grammar = Grammar(mode)
    objects: list[tuple[str, str]] = []
    for event in events:
        value = event.json()
        grammar.feed(event.event, id=value.get("id"), status=value.get("status"), run_id=value.get("run_id"))
        if isinstance(event, RunStepEvent | MessageEvent):
            objects.append((event.event, value["id"]))
    assert len(objects) == len(set(objects))
    grammar.finish()


# -- rounds ----------------------------------------------------------------------------------------------------------

ROUNDS: dict[str, tuple[dict[str, Any], list[list[tuple[str, str]]]]] = {
    "none": (script(), []),
    "one": (script([call("double", n=4)]), [[("call_double", "8")]]),
    "parallel": (
        script([call("double", n=1), call("triple", n=1), call("double", "again", n=2)]),
        [[("call_double", "2"), ("call_triple", "3"), ("again", "4")]],
    ),
    "interleaved": (
        script([call("double", n=1), call("triple", n=1)], interleave=True),
        [[("call_double", "2"), ("call_triple", "3")]],
    ),
    "five rounds": (
        script(*[[call("double", f"c{n}", n=n)] for n in range(5)]),
        [[(f"c{n}", str(2 * n))] for n in range(5)],
    ),
    "emitting": (
        script([call("steps", n=3), call("async_steps", n=3), call("observed", n=3), call("observed_later", n=3)]),
        [[(f"call_{name}", "2") for name in ("steps", "async_steps", "observed", "observed_later")]],
    ),
}


@EVERY_FACE
@pytest.mark.parametrize("eager", [False, True], ids=["asked", "eager"])
@pytest.mark.parametrize("name", ROUNDS)
def test_all_rounds_are_one_stream(face: str, eager: bool, name: str, tmp_path: Path) -> None:
    scenario, expected = ROUNDS[name]

    async def story(client: Any) -> None:
        assistant_id, thread_id = await begun(client, TOOLS)
        stream = client.threads.runs.stream_with_tools(thread_id, assistant_id=assistant_id, tools=TOOLS, eager=eager)
        stream.record(tmp_path / "run.sse")
        tool_events: list[Any] = []
        endings: list[str] = []
        stream.tool_events.subscribe(tool_events.append, print, lambda: endings.append("end"))
        await entered(stream)
        run = await got(stream.get_final_run())
        assert run.status == "completed"
        found = await got(client.threads.runs.steps.list(run.id, thread_id=thread_id, order="asc"))
        assert [step.to_dict() for step in await got(stream.get_final_run_steps())] == [
            step.to_dict() for step in found.data
        ]
        events = await listed(stream)
        told_once(events)
        assert len(await listed(stream.pipe(ax.completed_tool_calls()))) == sum(len(each) for each in expected)
        assert list(replay(tmp_path / "run.sse")) == events
        assert endings == ["end"]
        kinds = kinds_of(tool_events)
        assert kinds["ToolStarted"] == kinds["ToolFinished"] == sum(len(each) for each in expected)
        assert kinds["ToolProgress"] == (12 if name == "emitting" else 0)
        assert not any(isinstance(event, ToolStarted | ToolProgress | ToolFinished) for event in events)
        late = await listed(stream.tool_events)
        assert late == tool_events
        await left(stream)

    with serve(scenario) as server:
        run_story(face, server.base_url, story)
        assert submissions(server) == expected
    assert ours() == []


@EVERY_FACE
def test_a_handler_is_told_each_call_once_across_the_seams(face: str) -> None:
    notes: list[str] = []

    class Handler(AssistantEventHandler):
        def on_tool_call_created(self, tool_call: Any) -> None:
            notes.append("call")

        def on_tool_call_done(self, tool_call: Any) -> None:
            notes.append(f"done {tool_call.id}")

        def on_text_done(self, text: Any) -> None:
            notes.append(text.value)

        def on_end(self) -> None:
            notes.append("end")

    async def story(client: Any) -> None:
        assistant_id, thread_id = await begun(client, TOOLS)
        stream = client.threads.runs.stream_with_tools(
            thread_id, assistant_id=assistant_id, tools=TOOLS, event_handler=Handler()
        )
        handler = await entered(stream)
        await got(handler.until_done())
        assert kinds_of(await listed(handler.tool_events)) == {"ToolStarted": 2, "ToolFinished": 2}
        await left(stream)

    with serve(script([call("double", "a", n=1)], [call("double", "b", n=2)])) as server:
        run_story(face, server.base_url, story)
    assert notes == ["call", "done a", "call", "done b", "It is 2, 4.", "end"]


@EVERY_FACE
@pytest.mark.parametrize("connects", [False, True], ids=["waits", "connects"])
def test_a_live_tail_goes_on_across_the_seams(face: str, connects: bool) -> None:
    async def story(client: Any) -> None:
        assistant_id, thread_id = await begun(client, TOOLS)
        stream = client.threads.runs.stream_with_tools(
            thread_id, assistant_id=assistant_id, tools=TOOLS, replay="none", eager=True
        )
        statuses: list[str] = []
        stream.pipe(ax.run_statuses()).subscribe(statuses.append)
        await entered(stream)
        if connects:
            await got(stream.connect())
        await got(stream.until_done())
        assert statuses == ["queued", *["in_progress", "requires_action", "queued"] * 2, "in_progress", "completed"]
        assert [step.type for step in stream.snapshot.steps] == ["tool_calls", "tool_calls", "message_creation"]
        await left(stream)

    with serve(script([call("double", "a", n=1)], [call("triple", "b", n=2)])) as server:
        run_story(face, server.base_url, story)


@pytest.mark.parametrize("face", ["asyncio", "trio"])
def test_an_asynchronous_handler_is_awaited_across_the_seams(face: str) -> None:
    notes: list[str] = []

    class Handler(AsyncAssistantEventHandler):
        async def on_tool_call_done(self, tool_call: Any) -> None:
            await anyio.lowlevel.checkpoint()
            notes.append(tool_call.id)

        async def on_text_done(self, text: Any) -> None:
            await anyio.lowlevel.checkpoint()
            notes.append(text.value)

    async def story(client: Any) -> None:
        assistant_id, thread_id = await begun(client, TOOLS)
        async with client.threads.runs.stream_with_tools(
            thread_id, assistant_id=assistant_id, tools=TOOLS, event_handler=Handler()
        ) as handler:
            await handler.until_done()

    with serve(script([call("double", "a", n=1)], [call("triple", "b", n=2)])) as server:
        run_story(face, server.base_url, story)
    assert notes == ["a", "b", "It is 2, 6."]


@EVERY_FACE
def test_a_run_on_a_new_thread(face: str) -> None:
    async def story(client: Any) -> None:
        assistant_id, _ = await begun(client, TOOLS)
        stream = client.threads.create_and_run_stream_with_tools(assistant_id=assistant_id, tools=[double])
        await entered(stream)
        assert "".join(await listed(stream.text_deltas)) == "It is 8."
        await left(stream)

    with serve(script([call("double", n=4)])) as server:
        run_story(face, server.base_url, story)


@EVERY_FACE
def test_one_round_too_many_ends_the_stream_with_what_arrived(face: str) -> None:
    async def story(client: Any) -> Any:
        with pytest.raises(errors.ToolRoundsError, match="at most 1 rounds") as caught:
            await told(client, max_rounds=1)
        return caught.value

    with serve(script([call("double", "a", n=1)], [call("double", "b", n=1)])) as server:
        error = run_story(face, server.base_url, story)
        assert (error.rounds, len(error.snapshot.steps)) == (1, 2)
        assert len(submissions(server)) == 1


# -- failures --------------------------------------------------------------------------------------------------------

FAILURES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "exception": (call("fails", n=7), {}, "error: the tool failed with ValueError"),
    "with its message": (
        call("fails", n=7),
        {"expose_errors": "message"},
        "error: ValueError: the password is 7",
    ),
    "as a function says": (call("fails", n=7), {"expose_errors": lambda error: "sorry"}, "sorry"),
    "a function that fails itself": (call("fails", n=7), {"expose_errors": lambda error: 1 / 0}, "ZeroDivisionError"),
    "arguments": (call("double", n="x"), {}, "error: the arguments do not match the parameters: n: Input should be"),
    "unknown": (call("nowhere"), {}, "error: there is no tool named 'nowhere'; the tools are: double"),
    "hangs": (call("hangs", n=1), {"tool_timeout": 0.01}, "error: the tool 'hangs' did not finish within 0.01 seconds"),
    "hangs in a thread": (call("blocks"), {"tool_timeout": 0.01}, "error: the tool 'blocks' did not finish within"),
    "denied": (call("double", n=1), {"approve": lambda call: False}, "error: the call was not approved"),
    "no json": (call("odd"), {}, "error: the tool failed with TypeError"),
    "exits": (call("leaves"), {}, "error: the tool failed with RuntimeError"),
}


def odd() -> object:
    return object()


def leaves() -> None:
    raise SystemExit(3)


def blocks(call: ToolContext) -> None:
    while not call.cancelled:
        time.sleep(0.001)


@EVERY_FACE
@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_told_to_the_model_and_kept_on_the_event(face: str, name: str) -> None:
    asked, options, output = FAILURES[name]

    async def story(client: Any) -> None:
        stream = await told(client, tools=[TOOLS, odd, leaves, blocks], **options)
        finished = [event for event in await listed(stream.tool_events) if isinstance(event, ToolFinished)]
        assert [event.call_id for event in finished] == [asked["id"], "well"]
        failed = finished[0] if finished[0].call_id == asked["id"] else finished[1]
        assert output in (failed.output or "")
        assert isinstance(failed.error, Exception)
        assert "password" not in (failed.output or "") or options.get("expose_errors") == "message"

    with serve(script([asked], [call("double", "well", n=1)])) as server:
        run_story(face, server.base_url, story) if name != "denied" else None
        if name == "denied":
            run_story(face, server.base_url, lambda client: told(client, **options))
        working = [thread for thread in threading.enumerate() if thread.name == "rx-assistant-tool"]
        assert all(ended(thread) for thread in working), "a call that has run out of time was not told"
        first = submissions(server)[0]
        assert [key for key, _ in first] == [asked["id"]]
        assert output in first[0][1]


@EVERY_FACE
@pytest.mark.parametrize("asked", [call("fails", n=7), call("nowhere"), call("double", n="x")], ids=str)
def test_a_failure_can_end_the_stream(face: str, asked: dict[str, Any]) -> None:
    async def story(client: Any) -> Any:
        with pytest.raises(errors.ToolFailedError) as caught:
            await told(client, on_tool_error="raise")
        return caught.value

    with serve(script([asked, call("hangs", n=1)])) as server:
        error = run_story(face, server.base_url, story)
        assert (error.call_id, error.name) == (asked["id"], asked["function"])
        assert error.__cause__ is not None
        assert error.snapshot.status == "requires_action"
        assert submissions(server) == []
    assert ours() == []


def test_a_tool_that_wants_the_model_to_know_raises_a_tool_error() -> None:
    def f() -> str:
        raise errors.ToolError("the shop is closed on Sundays")

    with serve(script([call("f")])) as server:
        run_story("sync", server.base_url, lambda client: told(client, tools=[f]))
        assert submissions(server) == [[("call_f", "error: the shop is closed on Sundays")]]


OUTPUTS: list[tuple[Any, str]] = [
    ("text", "text"),
    (None, "null"),
    (True, "true"),
    ({"a": [1, 2.5]}, '{"a":[1,2.5]}'),
    ([], "[]"),
    ("", ""),
]


@pytest.mark.parametrize(("value", "text"), OUTPUTS, ids=str)
def test_a_text_is_submitted_as_it_is_and_everything_else_as_json(value: Any, text: str) -> None:
    def f() -> Any:
        return value

    with serve(script([call("f")])) as server:
        run_story("sync", server.base_url, lambda client: told(client, tools=[f]))
        assert submissions(server) == [[("call_f", text)]]


# -- at the same time ------------------------------------------------------------------------------------------------


@EVERY_FACE
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_calls_run_at_the_same_time_up_to_the_limit(face: str, kind: str) -> None:
    """Each call waits until two are there; a third would be one too many."""
    there, most, lock = [0], [0], threading.Lock()

    def enter() -> None:
        with lock:
            there[0] += 1
            most[0] = max(most[0], there[0])

    def f(n: int) -> int:
        enter()
        deadline = time.monotonic() + GUARD
        while most[0] < 2 and time.monotonic() < deadline:
            time.sleep(0.001)
        there[0] -= 1
        return n

    async def g(n: int) -> int:
        enter()
        with anyio.fail_after(GUARD):
            while most[0] < 2:  # noqa: ASYNC110 - another thread's event loop may count
                await anyio.sleep(0.001)
        there[0] -= 1
        return n

    tool = Tool(f if kind == "sync" else g, name="f")
    with serve(script([call("f", f"c{n}", n=n) for n in range(6)])) as server:
        run_story(face, server.base_url, lambda client: told(client, tools=[tool], max_concurrency=2))
        assert submissions(server) == [[(f"c{n}", str(n)) for n in range(6)]]
    assert most == [2]


@EVERY_FACE
def test_an_eager_tool_runs_before_the_run_asks(face: str) -> None:
    """The server waits behind the first call until the tool has run: only then does it continue to the second."""
    ran = threading.Event()
    steps: list[Any] = [
        {"calls": [call("f", "a", n=1), call("f", "b", n=2)]},
        {"gate": "tool"},
    ]
    scenario = {"runs": [{"turns": [steps, [{"text": "{outputs}"}]]}]}
    with serve(scenario) as server:

        def f(n: int) -> int:
            ran.set()
            server.release("tool")
            return n

        run_story(face, server.base_url, lambda client: told(client, tools=[f], eager=True))
        assert submissions(server) == [[("a", "1"), ("b", "2")]]


@EVERY_FACE
def test_an_eager_call_that_was_approved_with_other_arguments_runs_once(face: str) -> None:
    asked: list[str] = []

    def edit(pending: Any) -> Decision:
        asked.append(pending.arguments)
        return Decision(True, {"n": 10})

    with serve(script([call("double", n=1), call("triple", n=1)])) as server:
        run_story(face, server.base_url, lambda client: told(client, eager=True, approve=edit))
        assert submissions(server) == [[("call_double", "20"), ("call_triple", "30")]]
    assert asked == ['{"n": 1}'] * 2


# -- approval --------------------------------------------------------------------------------------------------------


async def ask_later(pending: Any) -> Decision:
    await anyio.sleep(0.001)
    return Decision(True, arguments={"n": 21})


APPROVALS: dict[str, tuple[Any, str]] = {
    "a predicate": (lambda pending: pending.arguments == '{"n": 1}', "2"),
    "a decision": (lambda pending: Decision(True, {"n": 5}), "10"),
    "an async function": (ask_later, "42"),
    "a function that gives an Observable": (lambda pending: rx.of(Decision(False, reason="no")), "not approved: no"),
    "an Observable": (rx.of(Decision(False, call_id="other"), Decision(True, '{"n": 6}', None, "call_double")), "12"),
    "an Observable of booleans": (rx.of(True), "2"),
    "an empty Observable": (rx.empty(), "not approved in time"),
    "an Observable that never decides": (Approval(rx.never(), timeout=0.01), "not approved in time"),
    "a default": (Approval(rx.never(), timeout=0.01, default=True), "2"),
    "nothing": (Approval(timeout=0.01), "not approved in time"),
    "wrong arguments": (lambda pending: Decision(True, {"n": "x"}), "do not match the parameters"),
    "a function that fails": (lambda pending: 1 / 0, "the tool failed with ZeroDivisionError"),
    "no decision": (lambda pending: "yes", "the tool failed with TypeError"),
}


@EVERY_FACE
@pytest.mark.parametrize("name", APPROVALS)
def test_calls_are_approved(face: str, name: str) -> None:
    approve, output = APPROVALS[name]
    with serve(script([call("double", n=1)])) as server:
        run_story(face, server.base_url, lambda client: told(client, approve=approve))
        [[(_, submitted)]] = submissions(server)
        assert output in submitted


@EVERY_FACE
def test_a_window_shows_the_pending_calls_and_decides(face: str) -> None:
    async def story(client: Any) -> None:
        assistant_id, thread_id = await begun(client, TOOLS)
        stream = client.threads.runs.stream_with_tools(
            thread_id, assistant_id=assistant_id, tools=TOOLS, approve=Approval()
        )
        seen: list[str] = []

        def show(pending: Any) -> None:
            seen.append(f"{pending.name}({pending.arguments})")
            assert pending.is_open
            if pending.call_id == "a":
                assert pending.approve({"n": 10})
            else:
                assert pending.deny("too large")
            assert not pending.is_open
            assert not pending.approve()

        stream.pending_calls.subscribe(show)
        await entered(stream)
        await got(stream.until_done())
        assert sorted(seen) == ['double({"n": 1})', 'double({"n": 2})']
        assert await listed(stream.pending_calls) == []
        started = [event for event in await listed(stream.tool_events) if isinstance(event, ToolStarted)]
        assert [event.arguments for event in started if event.call_id == "a"] == ['{"n": 10}']
        await left(stream)

    with serve(script([call("double", "a", n=1), call("double", "b", n=2)])) as server:
        run_story(face, server.base_url, story)
        assert submissions(server) == [[("a", "20"), ("b", "error: the call was not approved: too large")]]


def test_a_tool_may_need_approval_or_never_need_it() -> None:
    guarded, free = Tool(double, needs_approval=True), Tool(triple, needs_approval=False)
    with serve(script([call("double", n=1), call("triple", n=1)])) as server:
        with pytest.raises(ValueError, match="approve must be given, because a tool needs approval: double"):
            run_story("sync", server.base_url, lambda client: told(client, tools=[guarded, free]))
        run_story(
            "sync", server.base_url, lambda client: told(client, tools=[guarded, free], approve=lambda call: False)
        )
        assert submissions(server) == [[("call_double", "error: the call was not approved"), ("call_triple", "3")]]


# -- endings ---------------------------------------------------------------------------------------------------------


@EVERY_FACE
def test_cancel_in_the_middle_of_a_tool(face: str) -> None:
    """The stream continues to the server's own ending, and the tools are cancelled with the run."""
    cancelled: list[str] = []

    async def waits(n: int) -> int:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append("async")
        return n

    gone = threading.Event()

    def works(call: ToolContext) -> Iterator[int]:
        try:
            while True:
                time.sleep(0.001)
                yield 1
        finally:
            assert call.cancelled
            gone.set()

    async def story(client: Any) -> None:
        assistant_id, thread_id = await begun(client, TOOLS)
        stream = client.threads.runs.stream_with_tools(thread_id, assistant_id=assistant_id, tools=[waits, works])
        await entered(stream)
        await got(stream.connect())
        both: list[Any] = []
        for_events = aiter(stream.tool_events) if face != "sync" else iter(stream.tool_events)
        while kinds_of(both)["ToolStarted"] < 2 or not kinds_of(both)["ToolProgress"]:  # both are under way
            both.append(await anext(for_events) if face != "sync" else next(for_events))
        run = await got(stream.cancel_and_wait(GUARD))
        assert run.status == "cancelled"
        await got(stream.until_done())
        assert stream.snapshot.status == "cancelled"
        told_once(await listed(stream), "lenient")
        finished = [event for event in await listed(stream.tool_events) if isinstance(event, ToolFinished)]
        assert [type(event.error) for event in finished] == [errors.ToolCancelledError] * 2
        await left(stream)

    with serve(script([call("waits", n=1), call("works")])) as server:
        run_story(face, server.base_url, story)
        assert submissions(server) == []
    assert gone.wait(GUARD)
    assert cancelled == ["async"]
    assert ours() == []


@EVERY_FACE
@pytest.mark.parametrize("how", ["close", "leave"])
def test_closing_in_the_middle_of_a_tool_leaves_nothing(face: str, how: str) -> None:
    cancelled: list[bool] = []

    async def waits() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.append(True)

    async def story(client: Any) -> None:
        assistant_id, thread_id = await begun(client, TOOLS)
        stream = client.threads.runs.stream_with_tools(thread_id, assistant_id=assistant_id, tools=[waits])
        ended: list[Exception] = []
        stream.subscribe(None, ended.append)
        await entered(stream)
        started = await anext(aiter(stream.tool_events)) if face != "sync" else next(iter(stream.tool_events))
        assert isinstance(started, ToolStarted)
        if how == "close":
            await got(stream.close())
            assert [type(error) for error in ended] == [errors.StreamClosedError]
        await left(stream)
        assert cancelled == [True]

    with serve(script([call("waits")])) as server:
        run_story(face, server.base_url, story)
    assert ours() == []


@EVERY_FACE
def test_leaving_in_the_middle_of_a_tool_cancels_the_run_if_that_is_wanted(face: str) -> None:
    async def story(client: Any) -> None:
        assistant_id, thread_id = await begun(client, TOOLS)
        stream = client.threads.runs.stream_with_tools(
            thread_id, assistant_id=assistant_id, tools=TOOLS, on_idle="cancel"
        )
        await entered(stream)
        await got(stream.connect())
        _ = await anext(aiter(stream.tool_events)) if face != "sync" else next(iter(stream.tool_events))
        await left(stream)
        [run] = (await got(client.threads.runs.list(thread_id))).data
        assert run.status == "cancelled"

    with serve(script([call("hangs", n=1)])) as server:
        run_story(face, server.base_url, story)


@EVERY_FACE
@pytest.mark.parametrize("options", [{"max_rounds": 0}, {"on_tool_error": "raise"}], ids=["rounds", "failure"])
def test_a_run_that_will_not_be_answered_is_cancelled_if_that_is_wanted(face: str, options: dict[str, Any]) -> None:
    async def story(client: Any) -> None:
        assistant_id, thread_id = await begun(client, TOOLS)
        stream = client.threads.runs.stream_with_tools(
            thread_id, assistant_id=assistant_id, tools=TOOLS, on_idle="cancel", **options
        )
        await entered(stream)
        with pytest.raises(errors.StreamError):
            await got(stream.until_done())
        await left(stream)
        [run] = (await got(client.threads.runs.list(thread_id))).data
        assert run.status == "cancelled"

    with serve(script([call("fails", n=1)])) as server:
        run_story(face, server.base_url, story)


@EVERY_FACE
def test_a_tool_that_cancels_itself_has_failed(face: str) -> None:
    async def cancels() -> None:
        raise anyio.get_cancelled_exc_class() if face != "trio" else ValueError

    with serve(script([call("cancels")])) as server:
        run_story(face, server.base_url, lambda client: told(client, tools=[cancels]))
        [[(_, output)]] = submissions(server)
        assert output.startswith("error: the tool")


@EVERY_FACE
def test_a_tool_may_close_its_own_stream(face: str) -> None:
    streams: list[Any] = []

    async def closes() -> None:
        await got(streams[0].close())

    async def story(client: Any) -> None:
        assistant_id, thread_id = await begun(client, TOOLS)
        streams.append(client.threads.runs.stream_with_tools(thread_id, assistant_id=assistant_id, tools=[closes]))
        await entered(streams[0])
        with pytest.raises(errors.StreamClosedError):
            await got(streams[0].until_done())
        await left(streams[0])

    with serve(script([call("closes")])) as server:
        run_story(face, server.base_url, story)


@EVERY_FACE
def test_a_run_that_expires_while_a_tool_waits_ends_the_stream_as_expired(face: str) -> None:
    async def story(client: Any) -> None:
        stream = await told(client, approve=Approval())
        assert stream.snapshot.status == "expired"
        told_once(await listed(stream), "lenient")

    with serve(script([call("double", n=1)]), run_ttl=1) as server:
        run_story(face, server.base_url, story)
        assert submissions(server) == []


@EVERY_FACE
def test_outputs_that_are_refused_because_the_run_is_over_are_no_error(face: str) -> None:
    """Another program has cancelled the run meanwhile."""
    with serve(script([call("f")])) as server:

        def f(call: ToolContext) -> str:
            from rx_assistant import AssistantClient

            with AssistantClient(base_url=server.base_url) as other:
                other.threads.runs.cancel(call.run_id or "", call.thread_id or "")
            return "too late"

        async def story(client: Any) -> None:
            stream = await told(client, tools=[f])
            assert stream.snapshot.status == "cancelled"
            told_once(await listed(stream), "lenient")

        run_story(face, server.base_url, story)


@EVERY_FACE
@pytest.mark.parametrize("after", [0, 150, 900, 2000])
def test_a_disconnect_in_the_submit_stream_goes_on_by_polling(face: str, after: int) -> None:
    async def story(client: Any) -> None:
        stream = await told(client, on_disconnect="poll")
        assert stream.snapshot.status == "completed"
        told_once(await listed(stream), "lenient")
        assert "".join(await listed(stream.text_deltas)) == "It is 2, 4."

    with serve(script([call("double", "a", n=1)], [call("double", "b", n=2)])) as server:
        proxy = Losing(server.base_url, after=after)
        with Loopback(proxy) as between:
            run_story(face, between.url, story)
        assert submissions(server) == [[("a", "2")], [("b", "4")]]


@EVERY_FACE
def test_outputs_whose_reply_is_lost_are_submitted_once(face: str) -> None:
    async def story(client: Any) -> None:
        stream = await told(client)
        assert stream.snapshot.status == "completed"
        told_once(await listed(stream), "lenient")

    with serve(script([call("double", n=1)])) as server:
        proxy = Losing(server.base_url, whole=1)
        with Loopback(proxy) as between:
            run_story(face, between.url, story)
        assert submissions(server) == [[("call_double", "2")]]


def test_a_callback_of_a_tool_event_may_read_ahead() -> None:
    with serve(script([call("double", n=1)])) as server:

        async def story(client: Any) -> None:
            assistant_id, thread_id = await begun(client, TOOLS)
            with client.threads.runs.stream_with_tools(thread_id, assistant_id=assistant_id, tools=TOOLS) as stream:
                texts: list[str] = []
                stream.tool_events.subscribe(
                    lambda event: texts.append("".join(stream.text_deltas)) if not texts else None
                )
                stream.until_done()
                assert texts == ["It is 2."]

        run_story("sync", server.base_url, story)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_rounds": -1}, "max_rounds must be 0 or more"),
        ({"max_concurrency": 0}, "max_concurrency must be at least 1"),
        ({"tool_timeout": 0}, "tool_timeout must be a number of seconds above 0"),
        ({"expose_errors": "all"}, "expose_errors must be 'type', 'message' or a function, got 'all'"),
        ({"on_tool_error": "ignore"}, "on_tool_error must be 'output' or 'raise', got 'ignore'"),
    ],
)
def test_options_are_checked_before_anything_is_sent(options: dict[str, Any], message: str) -> None:
    with serve(script()) as server:

        async def story(client: Any) -> None:
            with pytest.raises(ValueError, match=message):
                client.threads.runs.stream_with_tools("thread_1", assistant_id="asst_1", tools=[double], **options)
            with pytest.raises(TypeError, match="approve must be a function or an Observable"):
                client.threads.runs.stream_with_tools("t", assistant_id="a", tools=[double], approve=3)
            with pytest.raises(TypeError, match="missing the keyword argument 'tools'"):
                client.threads.runs.stream_with_tools("t", assistant_id="a")

        run_story("sync", server.base_url, story)

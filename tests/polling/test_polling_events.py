"""watch_events: a polled run as the stream that the server would have sent."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from guard import attempts
from loopback import Loopback, Received, Wire
from polling_faces import FACES, on
from polling_recorded import FILES, SCRIPTS

from rx_assistant import AssistantClient, AssistantEventHandler, AsyncAssistantClient, local, operators as ax
from rx_assistant.errors import NotFoundError, PollTimeoutError, StreamClosedError
from rx_assistant.lifecycle import Grammar
from rx_assistant.snapshots import RunSnapshot, fold

FAST = {"openai-poll-after-ms": "1"}


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def start(client: Any, script: Any) -> tuple[Any, Any]:
    """An assistant, and a thread with a question."""
    assistant = client.assistants.create(model="local", tools=[{"type": "file_search"}])
    thread = client.threads.create(messages=[{"role": "user", "content": "go"}])
    return assistant, thread


def serving(turns: Any, **options: Any) -> Any:
    script = {"files": FILES, "chunk": 7, "runs": [{"turns": turns}]}
    return local.serve(script=script, **{"poll_after_ms": 2, **options})


def answers(run: Any) -> dict[str, Any]:
    """Outputs for all calls that a run asks for."""
    calls = run.required_action.submit_tool_outputs.tool_calls
    return {"tool_outputs": [{"tool_call_id": call.id, "output": f"out {call.id}"} for call in calls]}


# -- the same as SSE ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_folds_to_the_snapshot_of_the_servers_own_stream(script: str) -> None:
    with serving(SCRIPTS[script]) as server, AssistantClient(base_url=server.base_url) as client:
        assistant, thread = start(client, script)
        with client.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as streamed:
            run = streamed.get_final_run()
        with client.threads.runs.watch_events(run.id, thread_id=thread.id) as polled:
            events = list(polled)
        assert polled.snapshot == streamed.snapshot
        grammar = Grammar("lenient")
        snapshot = RunSnapshot()
        for event in events:
            grammar.feed(event.event, id=getattr(event.data, "id", None), status=getattr(event.data, "status", None))
            snapshot = fold(snapshot, event)
        grammar.finish()
        assert snapshot == streamed.snapshot
        while run.status == "requires_action":
            run = client.threads.runs.submit_tool_outputs_and_poll(run.id, thread.id, **answers(run))
        with client.threads.runs.watch_events(run.id, thread.id) as polled:
            assert polled.get_final_run() == run
            assert [step.to_model() for step in polled.snapshot.steps] == [
                *client.threads.runs.steps.list(run.id, thread.id, order="asc")
            ]
            assert [message.to_model() for message in polled.snapshot.messages] == [
                *client.threads.messages.list(thread.id, run_id=run.id, order="asc")
            ]


HALVES = [
    {"text": "Half of it, "},
    {"gate": "the message"},
    {"text": "and the other half."},
    {"calls": [{"code": "print(1)"}]},
    {"gate": "the call"},
    {"text": "Done."},
]


def test_a_run_that_is_watched_while_it_works_is_told_piece_by_piece(face: str) -> None:
    """The run continues when the first half of a message, and then a call, was emitted."""
    with serving([HALVES]) as server:

        def go_on(event: Any) -> None:
            if event.event == "thread.message.delta":
                server.release("the message")
            if event.event == "thread.run.step.delta":
                server.release("the call")

        call = watching if face == "sync" else watching_async
        polled, events, run, steps, messages = on(face, server.base_url, lambda client: call(client, go_on))
    assert polled.run == run
    assert [step.to_model() for step in polled.steps] == steps
    assert [message.to_model() for message in polled.messages] == messages
    told = [text for event in events if event.event == "thread.message.delta" for _, text in event.text_fragments]
    assert told == ["Half of it, ", "and the other half.", "Done."]
    assert polled.text == "".join(told)


def watching(client: Any, go_on: Callable[[Any], None]) -> Any:
    assistant, thread = start(client, None)
    run = client.threads.runs.create(thread.id, assistant_id=assistant.id)
    with client.threads.runs.watch_events(run.id, thread.id) as stream:
        stream.subscribe(go_on)
        events = list(stream)
    steps = [*client.threads.runs.steps.list(run.id, thread.id, order="asc")]
    messages = [*client.threads.messages.list(thread.id, run_id=run.id, order="asc")]
    return stream.snapshot, events, client.threads.runs.retrieve(run.id, thread.id), steps, messages


async def watching_async(client: Any, go_on: Callable[[Any], None]) -> Any:
    assistant = await client.assistants.create(model="local")
    thread = await client.threads.create(messages=[{"role": "user", "content": "go"}])
    run = await client.threads.runs.create(thread.id, assistant_id=assistant.id)
    async with client.threads.runs.watch_events(run.id, thread.id) as stream:
        stream.subscribe(go_on)
        events = [event async for event in stream]
    steps = [step async for step in client.threads.runs.steps.list(run.id, thread.id, order="asc")]
    listed = client.threads.messages.list(thread.id, run_id=run.id, order="asc")
    messages = [message async for message in listed]
    return stream.snapshot, events, await client.threads.runs.retrieve(run.id, thread.id), steps, messages


def test_every_operator_works_on_it() -> None:
    with serving(SCRIPTS["code"]) as server, AssistantClient(base_url=server.base_url) as client:
        assistant, thread = start(client, None)
        run = client.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
        stream = client.threads.runs.watch_events(run.id, thread.id)
        texts: list[str] = []
        stream.pipe(ax.text_deltas()).subscribe(texts.append)
        with stream:
            assert ["".join(call.argument_deltas) for call in stream.pipe(ax.tool_calls())] == [
                "import math\r\nprint(math.pi)\nplot()"
            ]
            assert list(stream.pipe(ax.run_statuses())) == ["queued", "completed"]
            assert [step.type for step in stream.pipe(ax.completed_run_steps())] == [
                "message_creation",
                "tool_calls",
                "message_creation",
            ]
            assert "".join(stream.text_deltas) == "Let me compute.It is pi."
            stream.until_done()
        assert "".join(texts) == "Let me compute.It is pi."


def test_a_handler_is_told_of_it(face: str) -> None:
    class Handler(AssistantEventHandler):
        def __init__(self) -> None:
            super().__init__()
            self.text = ""
            self.ended = 0

        def on_text_delta(self, delta: Any, snapshot: Any) -> None:
            self.text += delta.value or ""

        def on_end(self) -> None:
            self.ended += 1

    handler = Handler()

    def sync(client: Any) -> None:
        assistant, thread = start(client, None)
        run = client.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
        with client.threads.runs.watch_events(run.id, thread.id, event_handler=handler) as given:
            assert given is handler
            given.until_done()

    async def later(client: Any) -> None:
        assistant = await client.assistants.create(model="local")
        thread = await client.threads.create(messages=[{"role": "user", "content": "go"}])
        run = await client.threads.runs.create_and_poll(thread.id, assistant_id=assistant.id)
        stream = client.threads.runs.watch_events(run.id, thread.id)
        stream.attach(handler)
        async with stream:
            await stream.until_done()

    with serving(SCRIPTS["two messages"]) as server:
        on(face, server.base_url, sync if face == "sync" else later)
    assert (handler.text, handler.ended) == ("First message.Second message.", 1)


# -- how it polls, and how it ends -------------------------------------------------------------------------------------


class Script:
    """Answers each GET on the run from a list; its lists of steps and messages are empty."""

    def __init__(self, *statuses: Any) -> None:
        self.statuses = list(statuses)

    async def __call__(self, request: Received, wire: Wire) -> None:
        if request.method == "POST":
            await wire.json({"id": "run_1", "thread_id": "thread_1", "status": "cancelling"})
        elif not request.path.endswith("run_1"):
            await wire.json({"object": "list", "data": [], "has_more": False})
        else:
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            if callable(status):
                await status(request, wire)
            else:
                await wire.json({"id": "run_1", "thread_id": "thread_1", "status": status}, headers=FAST)


async def silent(request: Received, wire: Wire) -> None:
    await wire.peer_gone()


def until_done(face: str, **options: Any) -> Callable[[Any], Any]:
    def sync(client: Any) -> None:
        with client.threads.runs.watch_events("run_1", "thread_1", **options) as stream:
            stream.until_done()

    async def later(client: Any) -> None:
        async with client.threads.runs.watch_events("run_1", "thread_1", **options) as stream:
            await stream.until_done()

    return sync if face == "sync" else later


def test_steps_and_messages_are_not_asked_for_while_the_run_is_queued(face: str) -> None:
    with Loopback(Script("queued", "queued", "in_progress", "completed")) as server:
        on(face, server.url, until_done(face))
    asked = [request.path.rpartition("/")[2] for request in server.requests]
    assert asked == ["run_1", "run_1", *["run_1", "steps", "messages"] * 2]


def test_lists_are_asked_for_in_order_with_what_steps_should_include(face: str) -> None:
    include = "step_details.tool_calls[*].file_search.results[*].content"
    with Loopback(Script("completed")) as server:
        on(face, server.url, until_done(face, include=[include], extra_headers={"x-mine": "1"}))
    _, steps, messages = server.requests
    assert steps.query == [("limit", "100"), ("order", "asc"), ("include[]", include)]
    assert messages.query == [("limit", "100"), ("order", "asc"), ("run_id", "run_1")]
    assert all(request.headers["x-mine"] == "1" for request in server.requests)


def test_all_pages_are_read(face: str) -> None:
    def step(number: int) -> dict[str, Any]:
        details = {"type": "message_creation", "message_creation": {"message_id": f"msg_{number}"}}
        return {"id": f"step_{number}", "run_id": "run_1", "status": "completed", "step_details": details}

    async def serve(request: Received, wire: Wire) -> None:
        after = dict(request.query).get("after")
        if request.path.endswith("/steps"):
            first = 0 if after is None else int(after.removeprefix("step_")) + 1
            data = [step(number) for number in range(first, min(first + 2, 5))]
            await wire.json({"object": "list", "data": data, "has_more": first + 2 < 5, "last_id": data[-1]["id"]})
        elif request.path.endswith("/messages"):
            await wire.json({"object": "list", "data": [], "has_more": False})
        else:
            await wire.json({"id": "run_1", "thread_id": "thread_1", "status": "completed"})

    def steps(client: Any) -> Any:
        stream = client.threads.runs.watch_events("run_1", "thread_1")
        return stream.get_final_run_steps()

    with Loopback(serve) as server:
        assert [each.id for each in on(face, server.url, steps)] == [f"step_{number}" for number in range(5)]


def test_lists_of_servers_that_know_no_order_and_no_filter_are_put_right() -> None:
    def message(number: int, run: str | None) -> dict[str, Any]:
        content = [{"type": "text", "text": {"value": f"m{number} ", "annotations": []}}]
        return {"id": f"msg_{number}", "created_at": number, "run_id": run, "status": "completed", "content": content}

    def step(number: int) -> dict[str, Any]:
        details = {"type": "message_creation", "message_creation": {"message_id": f"msg_{number}"}}
        return {"id": f"step_{number}", "created_at": number, "status": "completed", "step_details": details}

    async def serve(request: Received, wire: Wire) -> None:
        data: list[dict[str, Any]] = []
        if request.path.endswith("/steps"):
            data = [step(3), step(2)]
        elif request.path.endswith("/messages"):
            data = [message(4, "run_1"), message(3, "run_1"), message(2, None), message(1, None), message(0, "run_0")]
        else:
            await wire.json({"id": "run_1", "thread_id": "thread_1", "status": "completed"})
            return
        await wire.json({"object": "list", "data": data, "has_more": False})

    def text(client: Any) -> Any:
        stream = client.threads.runs.watch_events("run_1", "thread_1")
        stream.until_done()
        return stream.snapshot.text

    with Loopback(serve) as server:
        assert on("sync", server.url, text) == "m2 m3 m4 "


def test_entering_raises_what_the_server_answers(face: str) -> None:
    async def missing(request: Received, wire: Wire) -> None:
        await wire.json({"error": {"message": "no such run"}}, 404)

    def sync(client: Any) -> None:
        client.threads.runs.watch_events("run_1", "thread_1").__enter__()

    async def later(client: Any) -> None:
        await client.threads.runs.watch_events("run_1", "thread_1").__aenter__()

    with Loopback(missing) as server, pytest.raises(NotFoundError):
        on(face, server.url, sync if face == "sync" else later)


def test_nothing_is_sent_before_it_is_entered_or_read() -> None:
    with Loopback(Script("completed")) as server, AssistantClient(base_url=server.url) as client:
        stream = client.threads.runs.watch_events("run_1", "thread_1")
        stream.subscribe(lambda _: None)
        assert server.requests == []
        stream.until_done()
        assert server.requests
    with pytest.raises(ValueError, match="thread_id"):
        client.threads.runs.watch_events("run_1", "")


def test_the_deadline_ends_it_with_the_last_state(face: str) -> None:
    for attempt in attempts():
        with attempt as limit, Loopback(Script("in_progress")) as server:
            with pytest.raises(PollTimeoutError) as caught:
                on(face, server.url, until_done(face, poll_interval_ms=20, max_wait_seconds=limit))
            assert caught.value.snapshot is not None
            assert caught.value.snapshot.status == "in_progress"
            assert caught.value.last.status == "in_progress"


def test_so_it_does_while_a_request_hangs(face: str) -> None:
    with Loopback(Script("in_progress", silent)) as server:
        with pytest.raises(PollTimeoutError):
            on(face, server.url, until_done(face, poll_interval_ms=1, max_wait_seconds=0.2))
        server.wait_for(lambda: not server.open_connections)


def test_it_can_be_cancelled_before_its_first_event(face: str) -> None:
    def sync(client: Any) -> Any:
        return client.threads.runs.watch_events("run_1", "thread_1").cancel()

    async def later(client: Any) -> Any:
        return await client.threads.runs.watch_events("run_1", "thread_1").cancel()

    with Loopback(Script("in_progress")) as server:
        assert on(face, server.url, sync if face == "sync" else later).status == "cancelling"
    assert [request.path for request in server.requests] == ["/v1/threads/thread_1/runs/run_1/cancel"]


def test_closing_breaks_off_the_request_under_way() -> None:
    with Loopback(Script("in_progress", silent)) as server, AssistantClient(base_url=server.url) as client:
        endings: list[Exception] = []
        with client.threads.runs.watch_events("run_1", "thread_1", poll_interval_ms=1) as stream:
            stream.subscribe(lambda _: None, endings.append)
            stream.connect()
            server.wait_for(lambda: len(server.requests) == 4)
        server.wait_for(lambda: not server.open_connections)
        assert [type(ending) for ending in endings] == [StreamClosedError]
    assert not [thread for thread in threading.enumerate() if thread.name == "rx-assistant-stream"]


@pytest.mark.anyio
async def test_closing_breaks_off_the_request_under_way_on_an_event_loop(anyio_backend: str) -> None:
    with Loopback(Script("in_progress", silent)) as server:
        async with AsyncAssistantClient(base_url=server.url) as client:
            async with client.threads.runs.watch_events("run_1", "thread_1", poll_interval_ms=1) as stream:
                await stream.connect()
                await anyio.to_thread.run_sync(server.wait_for, lambda: len(server.requests) == 4)
            await anyio.to_thread.run_sync(server.wait_for, lambda: not server.open_connections)

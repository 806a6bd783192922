"""A stream that breaks goes on by polling: nothing is lost, nothing is told twice, wherever it was cut.

The streams are those of the local server for every script of `polling_legs`, recorded once; they are cut at every
frame boundary, a byte before and a byte behind it, and at a seeded sample of all other bytes. `every_offset.py` cuts
them at every single byte.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import anyio
import pytest
from loopback import Loopback, Received, Wire
from polling_faces import FACES, on
from polling_legs import SCRIPTS, Leg, around, check_once, events_of, legs, objects, resumed, resumed_async

from rx_assistant import AssistantClient, AssistantEventHandler, AsyncAssistantClient, local, operators as ax
from rx_assistant.errors import (
    NotAnEventStreamError,
    NotFoundError,
    ServerErrorEvent,
    StreamTruncatedError,
    TotalTimeoutError,
)
from rx_assistant.events import ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.http.timeouts import Timeout
from rx_assistant.streams import AssistantStream

EVERY_SCRIPT = pytest.mark.parametrize("script", SCRIPTS)


def sample(leg: Leg, count: int) -> list[int]:
    """Some bytes at which there is something to resume, the same in every run."""
    return Random(leg.name).sample(range(leg.start, leg.settled), count)


# -- every boundary, on one thread -----------------------------------------------------------------------------------


@EVERY_SCRIPT
def test_cut_at_every_frame_boundary_and_a_byte_beside_it(script: str) -> None:
    for leg in legs(script):
        for offset in around(leg):
            stream = resumed(leg, offset)
            if offset < leg.start:
                with pytest.raises(StreamTruncatedError, match="nothing to resume"):
                    stream.until_done()
                continue
            events = list(stream)
            check_once(events, leg)
            arrived = events_of(leg.body[:offset])
            assert events[: len(arrived)] == arrived


@EVERY_SCRIPT
def test_cut_anywhere_with_states_in_between_that_are_behind_and_ahead(script: str) -> None:
    """Whoever polls may see less than the stream had told, and then more, step by step."""
    for leg in legs(script):
        rng = Random(leg.name)
        for offset in sample(leg, 12):
            started = 1 if leg.answered else len(events_of(leg.body[: leg.start]))
            if leg.answered:
                counts = sorted(rng.choices(range(2, len(leg.events)), k=3))
            else:
                counts = sorted(rng.choices(range(started, len(leg.events)), k=4))
            check_once(resumed(leg, offset, [objects(leg, count) for count in counts]), leg)


@pytest.mark.anyio
@EVERY_SCRIPT
async def test_cut_anywhere_on_an_event_loop(script: str, anyio_backend: str) -> None:
    for leg in legs(script):
        for offset in sample(leg, 3):
            stream = resumed_async(leg, offset)
            check_once([event async for event in stream], leg)
            assert await stream.get_final_run() == leg.found.run


# -- every kind of reader ---------------------------------------------------------------------------------------------

KINDS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "texts": (ax.texts, lambda inner: inner),
    "messages": (ax.message_streams, lambda inner: inner),
    "tool calls": (ax.tool_calls, lambda inner: inner.argument_deltas),
    "steps": (ax.run_steps, lambda inner: inner),
}


class Reader:
    """What one subscriber was told of each substream: what is appended, what was done, how it ended."""

    def __init__(self, stream: Any, kind: str) -> None:
        self.told: dict[Any, dict[str, list[Any]]] = defaultdict(lambda: {"items": [], "done": [], "endings": []})
        self.order: list[Any] = []
        operator, self._items = KINDS[kind]
        self.endings: list[Any] = []
        stream.pipe(operator()).subscribe(self._begin, self.endings.append, lambda: self.endings.append("end"))

    def _begin(self, inner: Any) -> None:
        key = tuple(getattr(inner, name, None) for name in ("message_id", "step_id", "index", "id", "type"))
        assert key not in self.told, "created twice"
        self.order.append(key)
        notes = self.told[key]
        self._items(inner).subscribe(notes["items"].append, notes["endings"].append, lambda: notes["endings"].append(1))
        inner.done.subscribe(lambda item: notes["done"].append(item), lambda _: None)

    @property
    def sum(self) -> dict[Any, Any]:
        """What is the same whether it came in one piece or in many."""
        return {
            key: ("".join(piece for piece in notes["items"] if isinstance(piece, str)), notes["done"], notes["endings"])
            for key, notes in self.told.items()
        }


@pytest.mark.parametrize("kind", KINDS)
@EVERY_SCRIPT
def test_substreams_end_as_if_nothing_had_happened(script: str, kind: str) -> None:
    for leg in legs(script):
        whole = resumed(leg, len(leg.body))
        uncut = Reader(whole, kind)
        whole.until_done()
        for offset in sample(leg, 2):
            stream = resumed(leg, offset)
            early = Reader(stream, kind)
            stream.until_done()
            late = Reader(stream, kind)
            live = resumed(leg, offset, replay="none")
            there = Reader(live, kind)
            live.until_done()
            for reader in (early, late, there):
                assert reader.endings == ["end"]
                assert reader.order == uncut.order
                assert reader.sum == uncut.sum
                assert all(notes["endings"] == [1] for notes in reader.told.values())


class Noting(AssistantEventHandler):
    """What a handler is told, deltas added up."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Any] = []

    def _more(self, name: str, value: str) -> None:
        if self.notes and self.notes[-1][0] == name:
            self.notes[-1] = (name, self.notes[-1][1] + value)
        else:
            self.notes.append((name, value))

    def on_text_created(self, text: Any) -> None:
        self.notes.append(("text created", ""))

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self._more("text", delta.value or "")

    def on_text_done(self, text: Any) -> None:
        self.notes.append(("text done", text.value))

    def on_message_done(self, message: Any) -> None:
        self.notes.append(("message done", message.id))

    def on_tool_call_created(self, tool_call: Any) -> None:
        self.notes.append(("call created", tool_call.id))

    def on_tool_call_done(self, tool_call: Any) -> None:
        self.notes.append(("call done", tool_call.id))

    def on_run_step_done(self, run_step: Any) -> None:
        self.notes.append(("step done", run_step.id))

    def on_image_file_done(self, image_file: Any) -> None:
        self.notes.append(("image", image_file.file_id))

    def on_exception(self, exception: Exception) -> None:
        self.notes.append(("exception", exception))

    def on_end(self) -> None:
        self.notes.append(("end", ""))


@pytest.mark.parametrize("script", ["parts", "two messages", "code", "functions", "failed", "incomplete"])
def test_handlers_are_told_as_if_nothing_had_happened(script: str) -> None:
    for leg in legs(script):
        uncut = Noting()
        whole = resumed(leg, len(leg.body))
        whole.attach(uncut)
        whole.until_done()
        for offset in sample(leg, 4):
            handler, stream = Noting(), resumed(leg, offset)
            stream.attach(handler)
            stream.until_done()
            assert handler.notes == uncut.notes


def test_what_was_read_before_the_break_is_part_of_it_also_when_nobody_was_told_yet() -> None:
    """`cancel()` reads on for the run's id, and delivers nothing; the log keeps nothing behind."""
    [leg] = legs("two messages")
    stream = resumed(leg, leg.boundaries[9], replay="none")
    stream.driver.advance(0)
    assert stream.log.position == 0
    events: list[Any] = []
    stream.subscribe(events.append)
    stream.until_done()
    check_once(events, leg)


def test_polled_text_comes_as_deltas() -> None:
    [leg] = legs("text")
    arrived = len(events_of(leg.body[: leg.boundaries[9]]))
    kinds = [type(event) for event in list(resumed(leg, leg.boundaries[9]))[arrived:]]
    assert kinds.count(ThreadMessageDelta) == 1
    [code_leg] = legs("code")
    polled = list(resumed(code_leg, code_leg.start))
    assert any(isinstance(event, ThreadRunStepDelta) for event in polled)


# -- over real connections --------------------------------------------------------------------------------------------

CUT = {
    "text": [["cut", {"text": "Everything after the head."}]],
    "message": [[{"text": "Half of it, "}, "cut", {"text": "and the other half."}]],
    "code": [[{"text": "Let me see."}, {"calls": [{"code": "print(1)", "logs": ["1"]}]}, "cut", {"text": "One."}]],
    "twice": [[{"text": "One "}, "cut", {"text": "two "}, "cut", {"text": "three."}]],
    "failed": [[{"text": "Well"}, "cut", {"fail": "it broke"}]],
    "functions": [
        [{"calls": [{"function": "f", "arguments": {"a": 1}, "id": "call_1"}]}, "cut"],
        ["cut", {"text": "It is {output:call_1}."}],
    ],
}


def conversation(client: Any, turns: int) -> Iterator[tuple[AssistantStream, AssistantStream]]:
    """For each leg: the stream, resumed, and the run's events from the beginning."""
    assistant = client.assistants.create(model="local")
    thread = client.threads.create(messages=[{"role": "user", "content": "go"}])
    stream = client.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id, on_disconnect="poll")
    for _ in range(turns):
        with stream:
            stream.until_done()
            run = stream.get_final_run()
        with client.threads.runs.watch_events(run.id, thread.id) as polled:
            polled.until_done()
        yield stream, polled
        stream = client.threads.runs.submit_tool_outputs_stream(
            run.id, thread.id, tool_outputs=[{"tool_call_id": "call_1", "output": "42"}], on_disconnect="poll"
        )


async def conversation_async(client: Any, turns: int) -> list[tuple[Any, Any]]:
    found = []
    assistant = await client.assistants.create(model="local")
    thread = await client.threads.create(messages=[{"role": "user", "content": "go"}])
    stream = client.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id, on_disconnect="poll")
    for _ in range(turns):
        async with stream:
            await stream.until_done()
            run = await stream.get_final_run()
        async with client.threads.runs.watch_events(run.id, thread.id) as polled:
            await polled.until_done()
        found.append((stream, polled))
        stream = client.threads.runs.submit_tool_outputs_stream(
            run.id, thread.id, tool_outputs=[{"tool_call_id": "call_1", "output": "42"}], on_disconnect="poll"
        )
    return found


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("script", CUT)
def test_a_connection_that_the_server_breaks_is_resumed(face: str, script: str) -> None:
    turns = CUT[script]
    with local.serve(script={"runs": [{"turns": turns}]}, poll_after_ms=2) as server:
        call = conversation_async if face != "sync" else lambda client, count: list(conversation(client, count))
        pairs = on(face, server.base_url, lambda client: call(client, len(turns)))
        created = [request for request in server.requests if request.method == "POST" and "/runs" in request.path]
    assert len(created) == len(turns)
    for leg, (stream, polled) in enumerate(pairs):
        assert stream.log.failure is None
        if leg == 0:
            assert stream.snapshot == polled.snapshot
        else:  # the first stream's steps are no part of the second
            assert {step.id for step in stream.snapshot.steps} <= {step.id for step in polled.snapshot.steps}
            assert stream.snapshot.text == polled.snapshot.text == "It is 42."
            assert stream.snapshot.run == polled.snapshot.run


HEAD = b"event: thread.run.created\ndata: %s\n\n"
RUN = b'{"id":"run_1","object":"thread.run","thread_id":"thread_1","status":"queued"}'


class Breaking:
    """A server whose streams break after these bytes, and whose GETs are answered by `get`."""

    def __init__(self, sent: bytes, get: Callable[[Received, Wire], Any] | None = None) -> None:
        self.sent = sent
        self.get = get

    async def __call__(self, request: Received, wire: Wire) -> None:
        if request.method == "POST":
            await wire.events()
            if self.sent:
                await wire.chunk(self.sent)
            wire.reset()
        else:
            assert self.get is not None
            await self.get(request, wire)


def stream_of(client: Any, **options: Any) -> Any:
    return client.threads.runs.stream(thread_id="thread_1", assistant_id="asst_1", **options)


def until_done(client: Any, face: str, **options: Any) -> Any:
    async def main() -> None:
        async with stream_of(client, **options) as stream:
            await stream.until_done()

    if face != "sync":
        return main()
    with stream_of(client, **options) as stream:
        return stream.until_done()


@pytest.mark.parametrize("face", FACES)
def test_a_broken_stream_fails_unless_it_was_to_go_on(face: str) -> None:
    with Loopback(Breaking(HEAD % RUN)) as server:
        with pytest.raises(StreamTruncatedError, match="the run was still 'queued'"):
            on(face, server.url, lambda client: until_done(client, face))
        with pytest.raises(StreamTruncatedError):
            on(face, server.url, lambda client: until_done(client, face, on_disconnect="fail"))
    assert [request.method for request in server.requests] == ["POST", "POST"]


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("sent", [b"", HEAD[:10], (HEAD % RUN)[:-1]])
def test_before_the_runs_id_has_arrived_there_is_nothing_to_resume(face: str, sent: bytes) -> None:
    told = "no run had been announced, so there is nothing to resume"
    with Loopback(Breaking(sent)) as server, pytest.raises(StreamTruncatedError, match=told):
        on(face, server.url, lambda client: until_done(client, face, on_disconnect="poll"))
    assert len(server.requests) == 1


@pytest.mark.parametrize("face", FACES)
def test_polling_that_fails_for_good_ends_the_stream_with_its_error(face: str) -> None:
    async def gone(request: Received, wire: Wire) -> None:
        await wire.json({"error": {"message": "no such run"}}, 404)

    with Loopback(Breaking(HEAD % RUN, gone)) as server, pytest.raises(NotFoundError) as caught:
        on(face, server.url, lambda client: until_done(client, face, on_disconnect="poll"))
    assert caught.value.snapshot is not None
    assert caught.value.snapshot.status == "queued"
    assert len(server.requests) == 2


@pytest.mark.parametrize("face", FACES)
def test_timeout_total_covers_the_polling_too(face: str) -> None:
    async def working(request: Received, wire: Wire) -> None:
        await wire.json({"id": "run_1", "thread_id": "thread_1", "status": "queued"}, headers=FAST)

    timeout = Timeout(total=0.3)
    with Loopback(Breaking(HEAD % RUN, working)) as server, pytest.raises(TotalTimeoutError, match=r"0\.3 s"):
        on(face, server.url, lambda client: until_done(client, face, on_disconnect="poll", timeout=timeout))
    assert len(server.requests) > 2


FAST = {"openai-poll-after-ms": "5"}


def test_a_time_that_is_up_for_the_whole_stream_is_not_resumed() -> None:
    async def hang(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(HEAD % RUN)
        await wire.peer_gone()

    options = {"on_disconnect": "poll", "timeout": Timeout(total=0.1)}
    with Loopback(hang) as server, pytest.raises(TotalTimeoutError):
        on("sync", server.url, lambda client: until_done(client, "sync", **options))
    assert len(server.requests) == 1


def test_an_idle_stream_is_resumed() -> None:
    async def serve(request: Received, wire: Wire) -> None:
        if request.method == "POST":
            await wire.events()
            await wire.chunk(HEAD % RUN)
            await wire.peer_gone()
        elif request.path.endswith("run_1"):
            await wire.json({"id": "run_1", "thread_id": "thread_1", "status": "completed"})
        else:
            await wire.json({"object": "list", "data": [], "has_more": False})

    with Loopback(serve) as server:
        options = {"on_disconnect": "poll", "timeout": Timeout(idle=0.05)}
        on("sync", server.url, lambda client: until_done(client, "sync", **options))
        server.wait_for(lambda: not server.open_connections)


def test_errors_that_the_server_means_are_not_resumed() -> None:
    async def html(request: Received, wire: Wire) -> None:
        await wire.reply(200, b"<html>maintenance</html>", {"content-type": "text/html"})

    outputs = {"tool_outputs": [{"tool_call_id": "call_1", "output": "1"}], "on_disconnect": "poll"}

    def submit(client: Any) -> None:
        with client.threads.runs.submit_tool_outputs_stream("run_1", "thread_1", **outputs) as stream:
            stream.until_done()

    with Loopback(html) as server, pytest.raises(NotAnEventStreamError):
        on("sync", server.url, submit)
    assert len(server.requests) == 1
    failed = HEAD % RUN + b'event: error\ndata: {"error":{"message":"oops","type":"server_error"}}\n\n'
    with Loopback(Breaking(failed)) as server, pytest.raises(ServerErrorEvent):
        on("sync", server.url, lambda client: until_done(client, "sync", on_disconnect="poll"))
    assert len(server.requests) == 1


def test_a_policy_that_is_none_is_refused() -> None:
    with Loopback(Breaking(b"")) as server, pytest.raises(ValueError, match="on_disconnect must be 'fail' or 'poll'"):
        on("sync", server.url, lambda client: stream_of(client, on_disconnect="retry"))


def test_closing_breaks_off_the_polling() -> None:
    async def silent(request: Received, wire: Wire) -> None:
        await wire.peer_gone()

    with Loopback(Breaking(HEAD % RUN, silent)) as server, AssistantClient(base_url=server.url) as client:
        with stream_of(client, on_disconnect="poll") as stream:
            stream.connect()
            server.wait_for(lambda: len(server.requests) == 2)
        server.wait_for(lambda: not server.open_connections)
    assert not [thread for thread in threading.enumerate() if thread.name == "rx-assistant-stream"]


@pytest.mark.anyio
async def test_closing_breaks_off_the_polling_on_an_event_loop(anyio_backend: str) -> None:
    async def silent(request: Received, wire: Wire) -> None:
        await wire.peer_gone()

    with Loopback(Breaking(HEAD % RUN, silent)) as server:
        async with (
            AsyncAssistantClient(base_url=server.url) as client,
            stream_of(client, on_disconnect="poll") as stream,
        ):
            await stream.connect()
            await anyio.to_thread.run_sync(server.wait_for, lambda: len(server.requests) == 2)
        await anyio.to_thread.run_sync(server.wait_for, lambda: not server.open_connections)


def test_outputs_that_have_not_been_noticed_yet_are_waited_for() -> None:
    """Right after a submit, a server may still show the run as requiring the action that was just done."""
    waiting = {
        "id": "run_1",
        "thread_id": "thread_1",
        "status": "requires_action",
        "required_action": {
            "type": "submit_tool_outputs",
            "submit_tool_outputs": {
                "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
            },
        },
    }
    states = [waiting, waiting, {"id": "run_1", "thread_id": "thread_1", "status": "completed"}]

    async def get(request: Received, wire: Wire) -> None:
        if request.path.endswith("run_1"):
            await wire.json(states.pop(0), headers=FAST)
        else:
            await wire.json({"object": "list", "data": [], "has_more": False})

    def submit(client: Any) -> Any:
        outputs = [{"tool_call_id": "call_1", "output": "1"}]
        options = {"tool_outputs": outputs, "on_disconnect": "poll"}
        with client.threads.runs.submit_tool_outputs_stream("run_1", "thread_1", **options) as stream:
            return stream.get_final_run()

    with Loopback(Breaking(b"", get)) as server:
        assert on("sync", server.url, submit).status == "completed"
    assert states == []

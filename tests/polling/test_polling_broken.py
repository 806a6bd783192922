"""Connections that break, over real sockets: resumed where that was asked for and can be done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from loopback import Loopback, Received, Wire
from polling_faces import FACES, on

from rx_assistant import AssistantClient, AsyncAssistantClient, local
from rx_assistant.errors import (
    NotAnEventStreamError,
    NotFoundError,
    ServerErrorEvent,
    StreamTruncatedError,
    TotalTimeoutError,
)
from rx_assistant.http.timeouts import Timeout
from rx_assistant.streams import AssistantStream

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

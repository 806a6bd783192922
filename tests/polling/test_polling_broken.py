"""Connections that break, over real sockets: resumed where that was asked for and can be done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest
from fault_rounds import play
from guard import attempts
from loopback import Loopback, Received, Wire
from polling_faces import FACES, on

from rx_assistant import AssistantClient, AsyncAssistantClient, local
from rx_assistant.errors import (
    APIConnectionError,
    BadRequestError,
    InternalServerError,
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
    """For each stream of the conversation: the stream, resumed, and the run's events from the beginning."""
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
    for number, (stream, polled) in enumerate(pairs):
        assert stream.log.failure is None
        if number == 0:
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


# -- before the first event: which run is it? ------------------------------------------------------------------------

EARLY = [b"", HEAD[:10], (HEAD % RUN)[:-1], b": hello\n\n"]
DONE_RUN = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "assistant_id": "asst_1"}
DONE_RUN |= {"status": "completed", "created_at": 20}
OTHER_RUN = {**DONE_RUN, "id": "run_0", "created_at": 10}
THREAD = b'event: thread.created\ndata: {"id":"thread_1","object":"thread","created_at":1}\n\n'
WHOLE = HEAD % RUN + HEAD.replace(b"created", b"completed") % RUN.replace(b"queued", b"completed")
WHOLE += b"event: done\ndata: [DONE]\n\n"


class Started:
    """A server that begins each stream with `sent`, and shows these runs to readers of the thread.

    `again` is the answer to a request that repeats an idempotency key; None refuses it.
    """

    def __init__(self, sent: bytes, runs: list[dict[str, Any]] | int, again: bytes | None = None) -> None:
        self.sent = sent
        self.runs = runs
        self.again = again
        self.keys: list[str] = []

    async def __call__(self, request: Received, wire: Wire) -> None:
        if request.method == "POST":
            await self.post(request, wire)
        elif request.path.endswith("/runs"):
            if isinstance(self.runs, int):
                await wire.json({"error": {"message": "no such path"}}, self.runs, {"retry-after-ms": "1"})
            else:
                await wire.json({"object": "list", "data": self.runs, "has_more": False})
        elif "/runs/" in request.path and not request.path.endswith("/steps"):
            await wire.json({**DONE_RUN, "id": request.path.rpartition("/")[2]})
        else:
            await wire.json({"object": "list", "data": [], "has_more": False})

    async def post(self, request: Received, wire: Wire) -> None:
        key = request.headers["idempotency-key"]
        repeated = key in self.keys
        self.keys.append(key)
        if repeated and self.again is None:
            await wire.json({"error": {"message": "refused"}}, 400)
            return
        await wire.events()
        sent = self.again if repeated else self.sent
        if sent:
            await wire.chunk(sent)
        if repeated:
            await wire.end()
        else:
            wire.reset()


def final_run(client: Any, face: str, begin: Callable[[Any], Any] = stream_of, **options: Any) -> Any:
    async def main() -> Any:
        async with begin(client, on_disconnect="poll", **options) as stream:
            return await stream.get_final_run(), stream.snapshot

    if face != "sync":
        return main()
    with begin(client, on_disconnect="poll", **options) as stream:
        return stream.get_final_run(), stream.snapshot


def created_with_thread(client: Any, **options: Any) -> Any:
    return client.threads.create_and_run_stream(assistant_id="asst_1", **options)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("sent", EARLY)
def test_before_the_first_event_the_run_is_the_newest_of_its_thread(face: str, sent: bytes) -> None:
    server = Started(sent, [DONE_RUN, OTHER_RUN])
    with Loopback(server) as loopback:
        run, _ = on(face, loopback.url, lambda client: final_run(client, face))
    assert run.id == "run_1"
    assert len(server.keys) == 1, "asked for, not started again"


def test_the_newest_run_is_found_in_any_order() -> None:
    server = Started(b"", [OTHER_RUN, DONE_RUN])
    with Loopback(server) as loopback:
        run, _ = on("sync", loopback.url, lambda client: final_run(client, "sync"))
    assert run.id == "run_1"


UNSEEN = {
    "no list of runs": 404,
    "a list that is refused": 403,
    "no run yet": [],
    "a run of another assistant": [{**DONE_RUN, "assistant_id": "asst_2"}],
}


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("runs", UNSEEN.values(), ids=UNSEEN)
def test_where_the_thread_does_not_show_it_the_same_key_gives_the_run_back(face: str, runs: Any) -> None:
    server = Started(b"", runs, again=WHOLE)
    with Loopback(server) as loopback:
        run, _ = on(face, loopback.url, lambda client: final_run(client, face))
    assert run.status == "completed"
    assert len(server.keys) == 2
    assert len({*server.keys}) == 1


@pytest.mark.parametrize("face", FACES)
def test_a_run_that_begins_with_its_thread_is_given_back_by_its_key(face: str) -> None:
    server = Started(b"", 404, again=THREAD + WHOLE)
    with Loopback(server) as loopback:
        run, snapshot = on(face, loopback.url, lambda client: final_run(client, face, created_with_thread))
    assert run.status == "completed"
    assert snapshot.thread.id == "thread_1"
    assert len({*server.keys}) == 1
    assert not [request for request in loopback.requests if request.method == "GET"]


@pytest.mark.parametrize("face", FACES)
def test_once_its_thread_is_known_it_is_the_newest_there(face: str) -> None:
    server = Started(THREAD, [DONE_RUN])
    with Loopback(server) as loopback:
        run, snapshot = on(face, loopback.url, lambda client: final_run(client, face, created_with_thread))
    assert (run.id, snapshot.thread.id) == ("run_1", "thread_1")
    assert len(server.keys) == 1


def test_a_stream_that_broke_again_goes_on_by_polling() -> None:
    server = Started(b"", 404, again=HEAD % RUN)
    with Loopback(server) as loopback:
        run, _ = on("sync", loopback.url, lambda client: final_run(client, "sync", created_with_thread))
    assert run.status == "completed"
    assert len(server.keys) == 2


@pytest.mark.parametrize("face", FACES)
def test_where_nothing_tells_which_run_it_is_the_stream_is_truncated(face: str) -> None:
    odd = b'event: thread.message.delta\ndata: {"id":"msg_1","delta":{"content":[{"index":0,"type":"text"}]}}\n\n'
    with Loopback(Started(odd, 404, again=WHOLE)) as loopback, pytest.raises(StreamTruncatedError):
        on(face, loopback.url, lambda client: final_run(client, face, created_with_thread))
    with Loopback(Started(b"", 404, again=None)) as loopback, pytest.raises(BadRequestError, match="refused"):
        on(face, loopback.url, lambda client: final_run(client, face))


# -- tool outputs whose reply is lost --------------------------------------------------------------------------------


class Submitted:
    """A server that gets tool outputs and loses its replies; GETs show the run as `state` says."""

    def __init__(self, lose: str, arrives: bool) -> None:
        self.lose = lose
        self.arrives = arrives
        self.posts = 0
        self.asked = 0

    async def __call__(self, request: Received, wire: Wire) -> None:
        if request.method == "POST":
            self.posts += 1
            if self.lose == "reset":
                wire.reset()
            else:
                await wire.reply(502, b"<html>", {"content-type": "text/html", "retry-after-ms": "1"})
        elif request.path.endswith("/run_1"):
            self.asked += 1
            await wire.json(self.run())
        else:
            await wire.json({"object": "list", "data": [], "has_more": False})

    def run(self) -> dict[str, Any]:
        calls = [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
        action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
        waiting = {"status": "requires_action", "required_action": action}
        return DONE_RUN if self.arrives else {**DONE_RUN, **waiting}


def submitting(client: Any, **options: Any) -> Any:
    outputs = [{"tool_call_id": "call_1", "output": "1"}]
    return client.threads.runs.submit_tool_outputs_stream("run_1", "thread_1", tool_outputs=outputs, **options)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("retries", [0, 1])
@pytest.mark.parametrize("lose", ["reset", "502"])
def test_outputs_that_arrived_although_their_reply_was_lost_are_followed(face: str, lose: str, retries: int) -> None:
    server = Submitted(lose, arrives=True)
    with Loopback(server) as loopback:
        run, _ = on(face, loopback.url, lambda client: final_run(client, face, submitting), max_retries=retries)
    assert run.status == "completed"
    assert server.posts == 1, "they are not sent twice"


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize(("lose", "error"), [("reset", APIConnectionError), ("502", InternalServerError)])
def test_outputs_that_never_arrived_are_the_error_of_the_request(face: str, lose: str, error: type) -> None:
    with Loopback(Submitted(lose, arrives=False)) as loopback, pytest.raises(error):
        on(face, loopback.url, lambda client: final_run(client, face, submitting), max_retries=0)


def test_without_the_policy_the_lost_reply_is_the_error() -> None:
    def submit(client: Any) -> None:
        with submitting(client) as stream:
            stream.until_done()

    with Loopback(Submitted("reset", arrives=True)) as loopback, pytest.raises(APIConnectionError):
        on("sync", loopback.url, submit, max_retries=0)


# -- many rounds -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("face", ["threads", "asyncio", "trio"])
def test_rounds_with_tools_through_a_proxy_that_breaks_connections(face: str) -> None:
    """`fault_rounds.py` plays thousands."""
    tally, faults = play(face, rounds=16, seed=11, at_once=16)
    assert tally.rounds == 16
    assert tally.wrong == []
    assert sum(count for fault, count in faults.items() if fault != "none") > 3


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

    for attempt in attempts():
        with attempt as limit, Loopback(Breaking(HEAD % RUN, working)) as server:
            options = {"on_disconnect": "poll", "timeout": Timeout(total=limit)}
            with pytest.raises(TotalTimeoutError, match=f"{limit} s"):
                on(face, server.url, lambda client, options=options: until_done(client, face, **options))
            assert len(server.requests) > 2


FAST = {"openai-poll-after-ms": "5"}


def test_a_time_that_is_up_for_the_whole_stream_is_not_resumed() -> None:
    async def hang(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(HEAD % RUN)
        await wire.peer_gone()

    for attempt in attempts():
        with attempt as limit, Loopback(hang) as server:
            options = {"on_disconnect": "poll", "timeout": Timeout(total=limit)}
            with pytest.raises(TotalTimeoutError):
                on("sync", server.url, lambda client, options=options: until_done(client, "sync", **options))
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

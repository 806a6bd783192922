"""`chat.stream` and `responses.stream` on real connections: what is sent, how they end, resume and are cancelled."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from fault_server import cut, sends, status
from loopback import GUARD, Loopback, Received, Wire

from rx_assistant import AssistantEventHandler, errors, operators as ax
from rx_assistant.client import AssistantClient, AsyncAssistantClient
from rx_assistant.types import Run

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])
Script = Callable[[Received, Wire], Awaitable[None]]


def data(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    return data({"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})


CALL = {"index": 0, "id": "call_1", "function": {"name": "add", "arguments": '{"a": 1}'}}
HELLO = [chunk({"role": "assistant", "content": "Hel"}), chunk({"content": "lo"})]
CHAT = b"".join([*HELLO, chunk({}, "stop"), b"data: [DONE]\n\n"])
CALLS = b"".join([chunk({"tool_calls": [CALL]}), chunk({}, "tool_calls"), b"data: [DONE]\n\n"])


def response(status: str, **more: Any) -> dict[str, Any]:
    return {"id": "resp_1", "object": "response", "status": status, "model": "m", "output": [], **more}


def numbered(*values: dict[str, Any]) -> list[bytes]:
    return [
        f"event: {value['type']}\n".encode() + data({**value, "sequence_number": number})
        for number, value in enumerate(values)
    ]


ITEM = {"type": "message", "id": "msg_9", "content": []}
PLACE = {"output_index": 0, "content_index": 0, "item_id": "msg_9"}
EVENTS = numbered(
    {"type": "response.created", "response": response("queued")},
    {"type": "response.in_progress", "response": response("in_progress")},
    {"type": "response.output_item.added", "output_index": 0, "item": ITEM},
    {"type": "response.output_text.delta", **PLACE, "delta": "Hel"},
    {"type": "response.output_text.delta", **PLACE, "delta": "lo, "},
    {"type": "response.output_text.delta", **PLACE, "delta": "world"},
    {"type": "response.output_text.done", **PLACE, "text": "Hello, world"},
    {"type": "response.output_item.done", "output_index": 0, "item": {**ITEM, "status": "completed"}},
    {"type": "response.completed", "response": response("completed")},
)

STREAMS: dict[str, tuple[Callable[..., Any], str, dict[str, Any], bytes]] = {
    "chat": (
        lambda client, **more: client.chat.stream(model="m", messages=[{"role": "user", "content": "Hi"}], **more),
        "/v1/chat/completions",
        {"model": "m", "messages": [{"role": "user", "content": "Hi"}]},
        CHAT,
    ),
    "responses": (
        lambda client, **more: client.responses.stream(model="m", input="Hi", **more),
        "/v1/responses",
        {"model": "m", "input": "Hi"},
        b"".join(EVENTS),
    ),
}
EACH = pytest.mark.parametrize(("make", "path", "body", "answer"), STREAMS.values(), ids=STREAMS)
MAKE = pytest.mark.parametrize("make", [make for make, *_ in STREAMS.values()], ids=STREAMS)


def client_of(server: Loopback, **options: Any) -> AssistantClient:
    return AssistantClient(base_url=server.url, **{"api_key": "sk-test", "max_retries": 0, **options})


def respond(client: Any, **more: Any) -> Any:
    return client.responses.stream(model="m", input="Hi", **more)


# -- what is sent ------------------------------------------------------------------------------------------------------


@EACH
class TestTheRequest:
    def test_by_threads(self, make: Callable[..., Any], path: str, body: dict[str, Any], answer: bytes) -> None:
        with Loopback(sends(answer)) as server, client_of(server) as client:
            stream = make(client, extra_body={"top_k": 3}, temperature=0)
            assert server.requests == []
            with stream:
                assert "".join(stream.text_deltas).startswith("Hello")
                assert stream.get_final_run().status == "completed"
                assert stream.request_id == "req_test"
        [request] = server.requests
        assert (request.method, request.path) == ("POST", path)
        assert request.json == {**body, "stream": True, "temperature": 0, "top_k": 3}
        assert request.headers["accept"] == "text/event-stream"
        assert request.headers["authorization"] == "Bearer sk-test"
        assert request.headers["idempotency-key"]
        assert "openai-beta" not in request.headers

    @BACKENDS
    def test_by_tasks(
        self, make: Callable[..., Any], path: str, body: dict[str, Any], answer: bytes, backend: str
    ) -> None:
        async def main(server: Loopback) -> None:
            async with AsyncAssistantClient(base_url=server.url) as client, make(client) as stream:
                assert "".join([piece async for piece in stream.text_deltas]).startswith("Hello")
                assert (await stream.get_final_run()).status == "completed"

        with Loopback(sends(answer)) as server:
            anyio.run(main, server, backend=backend)
        [request] = server.requests
        assert (request.path, request.json) == (path, {**body, "stream": True})
        assert "openai-beta" not in request.headers


@MAKE
def test_an_unknown_parameter_is_a_type_error(make: Callable[..., Any]) -> None:
    with Loopback(sends(CHAT)) as server, client_of(server) as client:
        with pytest.raises(TypeError, match="top_k"):
            make(client, top_k=3)
        with pytest.raises((TypeError, ValueError), match="on_disconnect"):
            make(client, on_disconnect="poll")


# -- before the stream -------------------------------------------------------------------------------------------------


@MAKE
def test_an_error_of_the_api_is_raised_where_the_block_is_entered(make: Callable[..., Any]) -> None:
    said = json.dumps({"error": {"message": "no such model", "code": "model_not_found"}}).encode()
    with (
        Loopback(status(404, said)) as server,
        client_of(server) as client,
        pytest.raises(errors.NotFoundError) as caught,
        make(client),
    ):
        pass
    assert caught.value.code == "model_not_found"


@MAKE
def test_html_in_place_of_a_stream_is_an_error(make: Callable[..., Any]) -> None:
    page = status(200, b"<html>sign in</html>", "text/html")
    with (
        Loopback(page) as server,
        client_of(server) as client,
        make(client) as stream,
        pytest.raises(errors.NotAnEventStreamError) as caught,
    ):
        stream.until_done()
    assert caught.value.head.startswith(b"<html>")


WHOLE = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
OUTPUT = [{**ITEM, "status": "completed", "content": [{"type": "output_text", "text": "Hello"}]}]
JSON = {
    "chat": {"object": "chat.completion", "model": "m", "choices": [WHOLE]},
    "responses": response("completed", output=OUTPUT),
}


@pytest.mark.parametrize("kind", STREAMS)
def test_json_in_place_of_a_stream_is_read_whole(kind: str) -> None:
    reply = status(200, json.dumps(JSON[kind], indent=2).encode())
    with Loopback(reply) as server, client_of(server) as client, STREAMS[kind][0](client) as stream:
        assert "".join(stream.text_deltas) == "Hello"
        assert stream.get_final_run().status == "completed"


@BACKENDS
def test_json_is_read_by_tasks_too(backend: str) -> None:
    async def main(server: Loopback) -> None:
        async with AsyncAssistantClient(base_url=server.url) as client, STREAMS["chat"][0](client) as stream:
            assert "".join([piece async for piece in stream.text_deltas]) == "Hello"

    with Loopback(status(200, json.dumps(JSON["chat"]).encode())) as server:
        anyio.run(main, server, backend=backend)


def test_json_in_place_of_a_run_s_stream_stays_an_error() -> None:
    with (
        Loopback(status(200, b"{}")) as server,
        client_of(server) as client,
        client.threads.runs.stream("thread_1", assistant_id="asst_1") as stream,
        pytest.raises(errors.NotAnEventStreamError),
    ):
        stream.until_done()


# -- endings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["hang_up", "reset"])
@pytest.mark.parametrize(
    ("make", "begun"), [(STREAMS["chat"][0], HELLO), (respond, EVENTS[:5])], ids=["chat", "responses"]
)
def test_a_body_that_breaks_off_is_truncated_with_what_arrived(
    make: Callable[..., Any], begun: list[bytes], how: str
) -> None:
    with (
        Loopback(cut(b"".join(begun), how)) as server,
        client_of(server) as client,
        make(client) as stream,
        pytest.raises(errors.StreamTruncatedError) as caught,
    ):
        stream.until_done()
    assert caught.value.request_id == "req_test"
    assert caught.value.snapshot is not None
    assert caught.value.snapshot.messages[0].content[0].text.value.startswith("Hel")
    assert len(server.requests) == 1


@pytest.mark.parametrize("how", ["hang_up", "reset"])
def test_a_connection_that_breaks_behind_the_finish_reason_ends_well(how: str) -> None:
    said = b"".join([*HELLO, chunk({}, "stop")])
    with Loopback(cut(said, how)) as server, client_of(server) as client, STREAMS["chat"][0](client) as stream:
        assert stream.get_final_run().status == "completed"


def test_a_stream_is_over_at_its_last_event_though_the_connection_stays_open() -> None:
    async def script(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(CHAT if request.path.endswith("completions") else b"".join(EVENTS))
        await wire.peer_gone()

    with Loopback(script) as server, client_of(server, timeout=GUARD) as client:
        for make, *_ in STREAMS.values():
            with make(client) as stream:
                assert stream.get_final_run().status == "completed"


def test_an_error_in_the_stream_is_a_failed_run() -> None:
    said = b"".join([*HELLO, data({"error": {"message": "overloaded"}})])
    with Loopback(sends(said)) as server, client_of(server) as client, STREAMS["chat"][0](client) as stream:
        run = stream.get_final_run()
        assert (run.status, run.last_error and run.last_error.message) == ("failed", "overloaded")
        with pytest.raises(errors.RunFailedError):
            stream.pipe(ax.raise_on_failure()).run()


# -- handlers and tools ------------------------------------------------------------------------------------------------


class Heard(AssistantEventHandler):
    """What a handler hears of an answer and its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.calls: list[tuple[str, str]] = []
        self.ended = 0

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.text += delta.value or ""

    def on_tool_call_done(self, tool_call: Any) -> None:
        self.calls.append((tool_call.function.name, tool_call.function.arguments))

    def on_end(self) -> None:
        self.ended += 1


def test_a_handler_hears_a_chat_stream() -> None:
    with (
        Loopback(sends(CHAT)) as server,
        client_of(server) as client,
        STREAMS["chat"][0](client, event_handler=Heard()) as handler,
    ):
        handler.until_done()
        assert (handler.text, handler.ended) == ("Hello", 1)
        assert handler.current_run.status == "completed"


def test_calls_of_a_chat_stream_are_a_required_action() -> None:
    with (
        Loopback(sends(CALLS)) as server,
        client_of(server) as client,
        STREAMS["chat"][0](client, event_handler=Heard()) as handler,
    ):
        run = handler.get_final_run()
    assert run.status == "requires_action"
    assert handler.calls == [("add", '{"a": 1}')]
    assert [call.id for call in run.required_action.submit_tool_outputs.tool_calls] == ["call_1"]


def test_choice_picks_the_run_of_several() -> None:
    said = b"".join(
        data({"model": "m", "choices": [{"index": index, "delta": {"content": text}, "finish_reason": finish}]})
        for index, text, finish in ((0, "A", None), (1, "B", None), (0, "", "stop"), (1, "", "stop"))
    )
    with (
        Loopback(sends(said)) as server,
        client_of(server) as client,
        STREAMS["chat"][0](client, n=2, choice=1) as stream,
    ):
        assert "".join(stream.text_deltas) == "B"


@pytest.mark.parametrize(("options", "text"), [({}, "42"), ({"thinking": "text"}, "<think>6 × 7</think>42")])
def test_a_leading_think_tag_is_text_where_it_is_wanted(options: dict[str, Any], text: str) -> None:
    said = data({"model": "m", "choices": [{"delta": {"content": "<think>6 × 7</think>42"}, "finish_reason": "stop"}]})
    with (
        Loopback(sends(said)) as server,
        client_of(server) as client,
        STREAMS["chat"][0](client, **options) as stream,
    ):
        assert "".join(stream.text_deltas) == text
    assert "thinking" not in server.requests[0].json


def test_an_unknown_policy_of_thinking_is_refused() -> None:
    with AssistantClient(base_url="http://127.0.0.1:9/v1") as client, pytest.raises(ValueError, match="thinking must"):
        client.chat.stream(model="m", messages=[], thinking="loud")  # type: ignore[typeddict-item]


# -- resuming a background response ------------------------------------------------------------------------------------


def background(breaks: list[int], requests: list[tuple[str, Any]], how: str = "hang_up", *, repeats: int = 0) -> Script:
    """A server whose connections break behind so many events; it repeats `repeats` events that were sent already."""
    left = iter(breaks)

    async def script(request: Received, wire: Wire) -> None:
        query = dict(request.query)
        requests.append((request.method, query))
        start = 0 if request.method == "POST" else int(query["starting_after"]) + 1
        end = next(left, len(EVENTS))
        await wire.events()
        for frame in EVENTS[max(0, start - repeats) : max(start, end)]:
            await wire.chunk(frame)
        if end < len(EVENTS):
            await anyio.sleep(0.005)
            getattr(wire, how)()
        else:
            await wire.end()

    return script


WHOLE_TEXT = "Hello, world"


@pytest.mark.parametrize("how", ["hang_up", "reset"])
@pytest.mark.parametrize("at", range(1, len(EVENTS)))
def test_a_background_response_that_is_cut_at_an_event_goes_on_behind_it(at: int, how: str) -> None:
    requests: list[tuple[str, Any]] = []
    with (
        Loopback(background([at], requests, how)) as server,
        client_of(server) as client,
        respond(client, background=True) as stream,
    ):
        names = [event.event for event in stream.pipe(ax.verify(mode="strict"))]
        assert "".join(stream.text_deltas) == WHOLE_TEXT
        assert stream.get_final_run().id == "resp_1"
    assert requests == [("POST", {}), ("GET", {"stream": "true", "starting_after": str(at - 1)})]
    assert server.requests[1].path == "/v1/responses/resp_1"
    assert server.requests[1].headers["accept"] == "text/event-stream"
    assert "openai-beta" not in server.requests[1].headers
    assert names.count("thread.run.created") == 1
    assert names[-1] == "thread.run.completed"


@BACKENDS
@pytest.mark.parametrize("at", range(1, len(EVENTS)))
def test_it_goes_on_by_tasks(at: int, backend: str) -> None:
    requests: list[tuple[str, Any]] = []

    async def main(server: Loopback) -> None:
        async with (
            AsyncAssistantClient(base_url=server.url, max_retries=0) as client,
            respond(client, background=True) as stream,
        ):
            assert "".join([piece async for piece in stream.text_deltas]) == WHOLE_TEXT
            assert (await stream.get_final_run()).status == "completed"

    with Loopback(background([at], requests)) as server:
        anyio.run(main, server, backend=backend)
    assert requests == [("POST", {}), ("GET", {"stream": "true", "starting_after": str(at - 1)})]


def test_it_goes_on_after_each_of_many_breaks() -> None:
    requests: list[tuple[str, Any]] = []
    with (
        Loopback(background([*range(1, len(EVENTS))], requests)) as server,
        client_of(server) as client,
        respond(client, background=True) as stream,
    ):
        assert "".join(stream.text_deltas) == WHOLE_TEXT
    assert len(requests) == len(EVENTS)


def test_a_break_in_the_middle_of_an_event_loses_and_repeats_nothing() -> None:
    whole = b"".join(EVENTS)
    for at in range(len(EVENTS[0]) + 1, len(whole), 37):

        async def script(request: Received, wire: Wire, at: int = at) -> None:
            if request.method == "POST":
                await cut(whole[:at], "hang_up")(request, wire)
            else:
                rest = EVENTS[int(dict(request.query)["starting_after"]) + 1 :]
                await sends(b"".join(rest))(request, wire)

        with Loopback(script) as server, client_of(server) as client, respond(client, background=True) as stream:
            assert "".join(stream.text_deltas) == WHOLE_TEXT
            assert stream.get_final_run().status == "completed"


def test_events_that_a_server_repeats_are_left_out() -> None:
    requests: list[tuple[str, Any]] = []
    with (
        Loopback(background([5], requests, repeats=9)) as server,
        client_of(server) as client,
        respond(client, background=True) as stream,
    ):
        assert "".join(stream.text_deltas) == WHOLE_TEXT
        assert [event.event for event in stream].count("thread.run.created") == 1


def test_extra_body_may_ask_for_the_background() -> None:
    requests: list[tuple[str, Any]] = []
    with (
        Loopback(background([4], requests)) as server,
        client_of(server) as client,
        respond(client, extra_body={"background": True}) as stream,
    ):
        assert "".join(stream.text_deltas) == WHOLE_TEXT


@pytest.mark.parametrize(
    ("options", "asked"),
    [({"background": True, "on_disconnect": "fail"}, 1), ({}, 1), ({"on_disconnect": "resume"}, 2)],
    ids=["fail", "default", "resume"],
)
def test_a_server_without_the_events_gives_a_truncated_stream(options: dict[str, Any], asked: int) -> None:
    async def script(request: Received, wire: Wire) -> None:
        if request.method == "GET":
            await wire.json({"error": {"message": "not a background response"}}, 400)
        else:
            await cut(b"".join(EVENTS[:5]), "reset")(request, wire)

    with Loopback(script) as server, client_of(server) as client, respond(client, **options) as stream:
        heard: list[str] = []
        with pytest.raises(errors.StreamTruncatedError):
            heard.extend(stream.text_deltas)
        assert "".join(heard) == "Hello, "
    assert len(server.requests) == asked


def test_a_server_without_numbers_gives_a_truncated_stream() -> None:
    said = b"".join(EVENTS[:5]).replace(b'"sequence_number"', b'"order"')
    with (
        Loopback(cut(said, "reset")) as server,
        client_of(server) as client,
        respond(client, background=True) as stream,
        pytest.raises(errors.StreamTruncatedError),
    ):
        stream.until_done()
    assert len(server.requests) == 1


def test_a_failure_for_the_moment_is_asked_again() -> None:
    seen: list[str] = []

    async def script(request: Received, wire: Wire) -> None:
        seen.append(request.method)
        if len(seen) == 1:
            await cut(b"".join(EVENTS[:5]), "hang_up")(request, wire)
        elif len(seen) == 2:
            await wire.json({"error": {"message": "busy"}}, 503)
        else:
            await sends(b"".join(EVENTS[5:]))(request, wire)

    with Loopback(script) as server, client_of(server) as client, respond(client, background=True) as stream:
        assert "".join(stream.text_deltas) == WHOLE_TEXT
    assert seen == ["POST", "GET", "GET"]


# -- cancelling --------------------------------------------------------------------------------------------------------


def cancellable(asked: list[str], *, ends: str) -> Script:
    """A server that sends five events and, once it is asked to cancel, ends the stream in a way."""
    cancelled = asyncio.Event()

    async def script(request: Received, wire: Wire) -> None:
        asked.append(f"{request.method} {request.path}")
        if request.path.endswith("/cancel"):
            await wire.json(response("cancelled"))
            cancelled.set()
            return
        await wire.events()
        for frame in EVENTS[:5]:
            await wire.chunk(frame)
        await cancelled.wait()
        if ends == "event":
            await wire.chunk(data({"type": "response.cancelled", "response": response("cancelled")}))
        await wire.end()

    return script


@pytest.mark.parametrize("ends", ["event", "body"])
def test_cancel_of_a_background_response_is_posted_once(ends: str) -> None:
    asked: list[str] = []
    with (
        Loopback(cancellable(asked, ends=ends)) as server,
        client_of(server) as client,
        respond(client, background=True) as stream,
    ):
        run = stream.cancel()
        assert isinstance(run, Run)
        assert (run.id, run.status) == ("resp_1", "cancelled")
        assert stream.cancel().status == "cancelled"
        assert stream.get_final_run().status == "cancelled"
    assert asked == ["POST /v1/responses", "POST /v1/responses/resp_1/cancel"]
    assert "openai-beta" not in server.requests[1].headers


@BACKENDS
def test_cancel_is_posted_by_tasks(backend: str) -> None:
    asked: list[str] = []

    async def main(server: Loopback) -> None:
        async with (
            AsyncAssistantClient(base_url=server.url, max_retries=0) as client,
            respond(client, background=True) as stream,
        ):
            assert (await stream.cancel()).status == "cancelled"
            assert (await stream.get_final_run()).status == "cancelled"

    with Loopback(cancellable(asked, ends="body")) as server:
        anyio.run(main, server, backend=backend)
    assert asked == ["POST /v1/responses", "POST /v1/responses/resp_1/cancel"]


def open_ended(first: bytes) -> tuple[Script, threading.Event]:
    """A server that sends something and then waits; the event is set when the client has closed the connection."""
    gone = threading.Event()

    async def script(request: Received, wire: Wire) -> None:
        await wire.events()
        if first:
            await wire.chunk(first)
        await wire.peer_gone()
        gone.set()

    return script, gone


@pytest.mark.parametrize(
    ("make", "first"), [(STREAMS["chat"][0], HELLO[0]), (respond, b"".join(EVENTS[:4]))], ids=["chat", "responses"]
)
def test_cancel_of_any_other_stream_closes_it(make: Callable[..., Any], first: bytes) -> None:
    script, gone = open_ended(first)
    with Loopback(script) as server, client_of(server) as client, make(client) as stream:
        assert next(stream).event == "thread.run.created"
        assert stream.cancel().status == "cancelled"
        with pytest.raises(errors.StreamClosedError):
            stream.until_done()
        assert gone.wait(GUARD)


def test_cancel_closes_a_chat_stream_that_has_said_nothing() -> None:
    script, gone = open_ended(b"")
    with Loopback(script) as server, client_of(server) as client, STREAMS["chat"][0](client) as stream:
        assert stream.cancel().status == "cancelled"
        assert gone.wait(GUARD)


@BACKENDS
def test_cancel_closes_a_chat_stream_by_tasks(backend: str) -> None:
    script, gone = open_ended(HELLO[0])

    async def main(server: Loopback) -> None:
        async with AsyncAssistantClient(base_url=server.url) as client, STREAMS["chat"][0](client) as stream:
            assert (await anext(stream)).event == "thread.run.created"
            assert (await stream.cancel()).status == "cancelled"
            with pytest.raises(errors.StreamClosedError):
                await stream.until_done()

    with Loopback(script) as server:
        anyio.run(main, server, backend=backend)
        assert gone.wait(GUARD)


def test_leaving_with_on_idle_cancel_closes_a_chat_stream() -> None:
    script, gone = open_ended(HELLO[0])
    with Loopback(script) as server, client_of(server) as client:
        with STREAMS["chat"][0](client, on_idle="cancel") as stream:
            next(stream)
        assert gone.wait(GUARD)

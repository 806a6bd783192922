"""Replies whose values are a little off: read where the SDK reads them; what cannot be read names its field."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from loopback import Loopback, Received, Wire

from rx_assistant import errors
from rx_assistant.client import AssistantClient, AsyncAssistantClient
from rx_assistant.types import Message, Run

RUN: dict[str, Any] = {
    "id": "run_1",
    "object": "thread.run",
    "created_at": 1,
    "thread_id": "thread_1",
    "assistant_id": "asst_1",
    "status": "completed",
    "required_action": None,
    "last_error": None,
    "incomplete_details": None,
    "expires_at": None,
    "metadata": {},
    "model": "m",
    "tools": [],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "object": "thread.message",
    "created_at": 1,
    "thread_id": "thread_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "text", "text": {"value": "Hi", "annotations": []}}],
    "attachments": [],
    "metadata": {},
}

ODD: list[Any] = [
    1757876416.56, "2025-09-14T19:00:00Z", "17", 429, True, "text", [], {}, ["x", 1, None], {"a": {"b": [1]}}, 2**63,
]  # fmt: skip


@pytest.fixture(autouse=True)
def silent() -> Iterator[None]:
    """A warning anywhere is a failure."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


class Answering:
    """Answers every request with the same bytes."""

    def __init__(self, body: Any) -> None:
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()

    async def __call__(self, request: Received, wire: Wire) -> None:
        await wire.reply(200, self.body, {"content-type": "application/json", "x-request-id": "req_1"})


def page_of(*items: Any, **more: Any) -> dict[str, Any]:
    ends = {"first_id": "msg_1", "last_id": "msg_1"}
    return {"object": "list", "data": list(items), **ends, "has_more": False, **more}


@pytest.mark.parametrize("field", [name for name in RUN if not name.endswith("id")])
def test_a_run_with_an_odd_field_is_read_and_keeps_the_value(field: str) -> None:
    answer = Answering(RUN)
    with Loopback(answer) as server, AssistantClient(base_url=server.url) as client:
        for odd in ODD:
            answer.body = json.dumps({**RUN, field: odd}).encode()
            run = client.threads.runs.retrieve("run_1", thread_id="thread_1")
            assert run.to_dict() == {**RUN, field: odd}
            assert json.loads(run.to_json()) == {**RUN, field: odd}


@pytest.mark.parametrize("field", [name for name in MESSAGE if not name.endswith("id")])
def test_a_list_with_an_odd_field_is_read(field: str) -> None:
    answer = Answering(b"")
    with Loopback(answer) as server, AssistantClient(base_url=server.url) as client:
        for odd in ODD:
            body = page_of({**MESSAGE, field: odd}, MESSAGE)
            answer.body = json.dumps(body).encode()
            page = client.threads.messages.list("thread_1")
            assert [type(message) for message in page.data] == [Message, Message]
            assert page.to_dict() == body
            assert [message.id for message in page] == ["msg_1", "msg_1"]


def test_a_run_that_ends_with_odd_values_is_polled_to_its_end() -> None:
    odd = {**RUN, "created_at": 1.5, "metadata": {"tool": {"a": [1]}}, "usage": {"prompt_tokens": 2.25}}
    with Loopback(Answering(odd)) as server, AssistantClient(base_url=server.url) as client:
        run = client.threads.runs.poll("run_1", "thread_1", poll_interval_ms=1)
        assert (run.status, run.created_at, run.metadata) == ("completed", 1.5, {"tool": {"a": [1]}})


def test_half_a_character_in_a_reply_is_a_replacement_and_costs_nothing_else() -> None:
    body = json.dumps(page_of(MESSAGE)).encode().replace(b'"Hi"', rb'"a\ud83d"')
    with Loopback(Answering(body)) as server, AssistantClient(base_url=server.url) as client:
        (message,) = client.threads.messages.list("thread_1")
        assert message.content[0].text.value == "a\ufffd"  # type: ignore[union-attr]


UNREADABLE = {
    "a list": (b"[1]", "Input should be an object"),
    "text": (b'"x"', "Input should be an object"),
    "no JSON": (b"<html>", "Invalid JSON"),
    "cut off": (b'{"id": "run_1"', "Invalid JSON"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_object_is_an_error_that_says_so(name: str) -> None:
    body, reason = UNREADABLE[name]
    with (
        Loopback(Answering(body)) as server,
        AssistantClient(base_url=server.url) as client,
        pytest.raises(errors.APIResponseValidationError, match=reason) as caught,
    ):
        client.threads.runs.retrieve("run_1", thread_id="thread_1")
    assert (caught.value.request_id, caught.value.body) == ("req_1", body.decode())


@pytest.mark.parametrize("data", ["text", 7, {"a": 1}])
def test_a_list_without_an_array_names_the_field(data: Any) -> None:
    with (
        Loopback(Answering({"object": "list", "data": data})) as server,
        AssistantClient(base_url=server.url) as client,
        pytest.raises(errors.APIResponseValidationError, match="data: must be an array, got"),
    ):
        client.threads.messages.list("thread_1")


@pytest.mark.parametrize("data", [None, []])
def test_a_list_of_nothing_is_empty(data: Any) -> None:
    with (
        Loopback(Answering({"object": "list", "data": data})) as server,
        AssistantClient(base_url=server.url) as client,
    ):
        page = client.threads.messages.list("thread_1")
        assert (list(page), len(page), page.has_next_page(), page.last_id) == ([], 0, False, None)


@pytest.mark.parametrize("more", ["false", 0, None, "no", []])
def test_what_does_not_say_that_there_is_more_ends_the_list(more: Any) -> None:
    with Loopback(Answering(page_of(MESSAGE, has_more=more))) as server, AssistantClient(base_url=server.url) as client:
        assert not client.threads.messages.list("thread_1").has_next_page()


def test_models_and_pages_know_the_request_that_they_answer() -> None:
    with Loopback(Answering(RUN)) as server, AssistantClient(base_url=server.url) as client:
        run = client.threads.runs.retrieve("run_1", thread_id="thread_1")
        assert run._request_id == "req_1"
        assert run == Run.model_validate(RUN)
        assert "req_1" not in repr(run) + run.to_json()
        assert copy.deepcopy(run) == run
        assert run.usage is not None
        assert run.usage._request_id is None


def test_pages_have_the_dumps_of_models() -> None:
    body = page_of(MESSAGE, MESSAGE)
    with Loopback(Answering(body)) as server, AssistantClient(base_url=server.url) as client:
        page = client.threads.messages.list("thread_1")
        assert page._request_id == "req_1"
        assert page.to_dict() == json.loads(page.to_json()) == body
        assert json.loads(page.model_dump_json(exclude_unset=True)) == page.model_dump(exclude_unset=True) == body
        assert json.loads(page.model_dump_json())["data"][0]["assistant_id"] is None


@pytest.mark.anyio
async def test_the_asynchronous_pages_do_too() -> None:
    body = page_of(MESSAGE)
    with Loopback(Answering(body)) as server:
        async with AsyncAssistantClient(base_url=server.url) as client:
            page = await client.threads.messages.list("thread_1")
            assert (page._request_id, page.to_dict(), json.loads(page.to_json())) == ("req_1", body, body)


STREAM = (
    b'event: thread.run.created\ndata: {"id":"run_1","status":"queued"}\n\n'
    b"event: thread.run.completed\ndata: %b\n\nevent: done\ndata: [DONE]\n\n"
)


class Streaming(Answering):
    async def __call__(self, request: Received, wire: Wire) -> None:
        await wire.reply(200, self.body, {"content-type": "text/event-stream"})


@pytest.mark.parametrize("payload", [b"[1]", b'{"id":'])
def test_the_final_run_tells_why_it_cannot_be_read(payload: bytes) -> None:
    with Loopback(Streaming(STREAM % payload)) as server, AssistantClient(base_url=server.url) as client:
        stream = client.threads.runs.stream(thread_id="t", assistant_id="a")
        with stream, pytest.raises(errors.EventDecodeError, match=r"thread\.run\.completed") as caught:
            stream.get_final_run()
    assert caught.value.event.raw == payload


def test_the_final_run_may_have_odd_values() -> None:
    body = STREAM % b'{"id":7,"status":"completed","created_at":1.5,"last_error":"x"}'
    with Loopback(Streaming(body)) as server, AssistantClient(base_url=server.url) as client:
        run = client.threads.runs.stream(thread_id="t", assistant_id="a").get_final_run()
    assert (run.id, run.status, run.created_at, run.last_error) == ("7", "completed", 1.5, "x")

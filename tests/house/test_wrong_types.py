"""A value of a wrong type is named where it is passed: "X must be …, got …", never an error from deep inside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from reactivex import Observable

import rx_assistant
from rx_assistant import AssistantClient, local, operators as ax, relay, tools, web
from rx_assistant.web import ag_ui

RECORDING = (
    b'event: thread.run.created\ndata: {"id":"run_1","object":"thread.run","thread_id":"t","status":"queued"}\n\n'
    b"event: done\ndata: [DONE]\n\n"
)


def on_a_stream(operator: Callable[[Any], Observable[Any]]) -> list[Any]:
    return list(rx_assistant.replay(RECORDING).pipe(operator))  # type: ignore[call-overload]


def answering(**options: Any) -> object:
    return tools.Options(**options).check(tools.ToolSet([]))


def asking(**question: Any) -> object:
    client = AssistantClient(base_url="http://127.0.0.1:1/v1")
    return client.conversation("asst_1").ask("Hi", **question)


def following(**given: Any) -> object:
    with relay.MemoryRelay() as memory:
        return memory.follow(**{"key": "run", **given})


def response(**given: Any) -> object:
    return web.EventStreamResponse(**{"stream": rx_assistant.replay(RECORDING), **given})


def event_stream(**given: Any) -> object:
    return web.EventStream(**{"stream": rx_assistant.replay(RECORDING), **given})


def publishing(**given: Any) -> object:
    with relay.MemoryRelay() as memory:
        return memory.publish("run", **given)


def redis(**given: Any) -> object:
    return relay.RedisRelay("redis://127.0.0.1:1", **given)


def greeting() -> str:
    """Say hello."""
    return "hello"


WRONG: dict[str, tuple[Callable[..., object], str, tuple[Any, ...]]] = {
    "follow.after": (following, "after", (5, b"1-0")),
    "follow.key": (following, "key", (5, None)),
    "follow.on_idle": (following, "on_idle", ([1], 5)),
    "publish.on_command": (publishing, "on_command", (5,)),
    **{
        f"MemoryRelay.{name}": (relay.MemoryRelay, name, ("x", None, -1))
        for name in ("lease", "ttl", "max_entries", "max_event_bytes")
    },
    **{
        f"RedisRelay.{name}": (redis, name, ("x", None, -1))
        for name in ("shards", "flush_interval", "max_batch_bytes", "max_pending")
    },
    "RedisRelay.prefix": (redis, "prefix", (5, None)),
    "EventStream.stream": (event_stream, "stream", (5, None)),
    "EventStream.after": (event_stream, "after", (5, b"1-0")),
    "EventStream.heartbeat": (event_stream, "heartbeat", ("x", None)),
    "EventStream.retry": (event_stream, "retry", ("x",)),
    "EventStreamResponse.stream": (response, "stream", (5, None)),
    "EventStreamResponse.send_timeout": (response, "send_timeout", ("x", None)),
    "EventStreamResponse.headers": (response, "headers", (5, [("a", "b")])),
    "ag_ui.decode": (lambda recording: list(ag_ui.decode(recording)), "recording", (5,)),
    "replay": (lambda recording: list(rx_assistant.replay(recording)), "recording", (5, None)),
    "record": (lambda recording: rx_assistant.replay(RECORDING).record(recording), "recording", (5, b"x")),
    "coalesce.adjacent": (lambda adjacent: ax.coalesce(adjacent=adjacent), "adjacent", (5, None)),
    "coalesce.join": (lambda join: ax.coalesce(join=join), "join", (5, None)),
    "coalesce.scheduler": (lambda scheduler: ax.coalesce(scheduler=scheduler), "scheduler", (5, "x")),
    "latest.scheduler": (lambda scheduler: ax.latest(scheduler=scheduler), "scheduler", (5, "x")),
    "buffer_bounded.scheduler": (lambda scheduler: ax.buffer_bounded(9, scheduler=scheduler), "scheduler", (5,)),
    "events": (ax.events, "pattern", (5, None, b"x", rx_assistant.events.ThreadRunCreated)),
    "of_type": (ax.of_type, "kind", (5, "thread.run.created")),
    "Tool.name": (lambda name: tools.Tool(greeting, name=name), "name", (5,)),
    "Tool.timeout": (lambda timeout: tools.Tool(greeting, timeout=timeout), "timeout", ("x", 0)),
    "Options.max_rounds": (answering, "max_rounds", ("x", -1)),
    "Options.max_concurrency": (answering, "max_concurrency", ("x", None, 0)),
    "Options.tool_timeout": (answering, "tool_timeout", ("x", 0)),
    "answer_with.options": (
        lambda options: tools.answer_with([], print, options=options),
        "options",
        (5, {"max_rounds": 1}),
    ),
    "ask.attachments": (asking, "attachments", (5, "file_1")),
    "ask.images": (asking, "images", (5, b"x", "https://host.test/a.png")),
    "serve.host": (local.serve, "host", (5, None)),
    "serve.port": (local.serve, "port", ("x", None, 70_000, -1)),
    "serve.log_level": (local.serve, "log_level", ("loud", 5, None)),
    "serve.engine": (local.serve, "engine", (5,)),
    "serve.script": (local.serve, "script", (5, b"x")),
    "serve.allow_hosts": (local.serve, "allow_hosts", (5, b"x", [1])),
    "serve.allow_origins": (local.serve, "allow_origins", (5, b"x", [1])),
    "serve.data": (local.serve, "data", (5, b"x")),
    "serve.assistants": (local.serve, "assistants", (5, [1])),
    "serve.embeddings": (local.serve, "embeddings", (5, b"x")),
    **{
        f"serve.{name}": (local.serve, name, ("x", -1))
        for name in ("run_ttl", "poll_after_ms", "ingestion_delay", "max_body_bytes", "max_file_bytes", "write_timeout")
    },
}


@pytest.mark.parametrize("case", WRONG)
def test_a_value_of_a_wrong_type_is_named(case: str) -> None:
    call, name, values = WRONG[case]
    for value in values:
        with pytest.raises((TypeError, ValueError, rx_assistant.errors.ConfigurationError)) as caught:
            call(**{name: value}) if call not in (ax.events, ax.of_type) else call(value)
        said = str(caught.value)
        assert name in said, (value, said)
        assert any(word in said for word in (" must be ", " must not ", " must hold ", " must match ")), (value, said)
        assert ", got " in said, (value, said)


@pytest.mark.parametrize("value", [5, {"ab": 1}], ids=repr)
def test_an_assistant_of_a_wrong_type_is_named(value: Any) -> None:
    with pytest.raises(rx_assistant.errors.ConfigurationError, match=r"assistant.* must be .*, got "):
        local.serve(assistants={"asst_1": 5} if value == 5 else value)


def test_objects_in_the_place_of_their_ids_and_functions_as_tools_are_named() -> None:
    client = AssistantClient(base_url="http://127.0.0.1:1/v1")
    assistant: Any = rx_assistant.types.Assistant(id="asst_1")
    thread: Any = rx_assistant.types.Thread(id="thread_1")
    for call in (
        lambda: client.threads.runs.stream("thread_1", assistant_id=assistant),
        lambda: client.threads.runs.create("thread_1", assistant_id=assistant),
        lambda: client.threads.create_and_run(assistant_id=assistant),
        lambda: client.conversation(assistant),
        lambda: client.conversation("asst_1", thread),
    ):
        with pytest.raises(rx_assistant.InvalidArgumentError, match=r"_id must be the id of an object, got .*its `id`"):
            call()
    with pytest.raises(TypeError, match=r"got <built-in function print>: ToolSet\(\[function\]\)\.definitions\(\)"):
        client.assistants.create(model="m", tools=[print])  # type: ignore[list-item]


def test_a_value_without_a_place_in_json_is_shown() -> None:
    client = AssistantClient(base_url="http://127.0.0.1:1/v1")
    with pytest.raises(TypeError, match=r"the body of a request must hold JSON values, got <object"):
        client.assistants.create(model="m", metadata=object())  # type: ignore[arg-type]

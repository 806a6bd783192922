"""Members of a request that a model server refuses: each is left out from then on, and what matters never is."""

from __future__ import annotations

from typing import Any

import pytest
from loopback import Received, Wire

from local.upstreams import FUNCTION, OTHER, calls, refuses, rest, roles, says, text_sent
from rx_assistant.local.engines.upstream import UpstreamEngine

SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
FORCED = {"type": "function", "function": {"name": "time"}}
STRICT = {"type": "function", "function": {**FUNCTION["function"], "strict": True}}
STRICT_SCHEMA = {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": {"type": "object"}}}
BENDS: list[tuple[str, dict[str, Any], Any]] = [
    ("stream_options", {}, lambda body: "stream_options" not in body),
    ("max_tokens", {"max_completion_tokens": 300},
     lambda body: body.get("max_completion_tokens") == 300 and "max_tokens" not in body),
    ("parallel_tool_calls", {"tools": [FUNCTION], "parallel_tool_calls": False},
     lambda body: "parallel_tool_calls" not in body),
    ("tool_choice", {"tools": [FUNCTION, OTHER], "tool_choice": FORCED},
     lambda body: body.get("tool_choice") == "required" and len(body["tools"]) == 1),
    ("tool_choice", {"tools": [FUNCTION], "tool_choice": "required"}, lambda body: "tool_choice" not in body),
    ("json_schema", {"response_format": SCHEMA}, lambda body: body["response_format"] == {"type": "json_object"}),
    ("json_object", {"response_format": {"type": "json_object"}},
     lambda body: "response_format" not in body and "one JSON object" in body["messages"][0]["content"]),
    ("strict", {"tools": [STRICT]}, lambda body: "strict" not in body["tools"][0]["function"]),
    ("strict", {"response_format": STRICT_SCHEMA},
     lambda body: "strict" not in body["response_format"]["json_schema"]),
    ("reasoning_effort", {"reasoning_effort": "low"}, lambda body: "reasoning_effort" not in body),
    ("temperature", {"temperature": 0.5}, lambda body: "temperature" not in body),
    ("top_p", {"top_p": 0.5}, lambda body: "top_p" not in body),
]  # fmt: skip


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize(("name", "fields", "is_bent"), BENDS, ids=[name for name, _, _ in BENDS])
def test_a_refused_member_is_left_out_from_then_on(ask, caplog, name, fields, is_bent, status) -> None:
    refused = 0

    async def picky(request: Received, wire: Wire) -> None:
        nonlocal refused
        if is_bent(request.json):
            await wire.reply(200, says("yes"))
            return
        refused += 1
        await wire.json({"error": {"message": f"Unsupported parameter: '{name}'"}}, status)

    api, upstream = ask(picky)
    assert [rest(api, **fields)["status"] for _ in range(3)] == ["completed"] * 3
    assert (refused, len(upstream.bodies)) == (1, 4)
    assert len([line for line in caplog.records if "does not take" in line.message]) == 1


@pytest.mark.parametrize(("name", "fields", "is_bent"), BENDS, ids=[name for name, _, _ in BENDS])
def test_a_server_that_ignores_a_member_is_asked_the_same_way_again(ask, name, fields, is_bent) -> None:
    api, upstream = ask(says("yes"))
    assert [rest(api, **fields)["status"] for _ in range(3)] == ["completed"] * 3
    assert [is_bent(body) for body in upstream.bodies] == [False] * 3


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize(
    "words",
    [
        "Conversation roles must alternate user/assistant/user/assistant/...",
        "System role not supported",
        "Only user and assistant roles are supported!",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "System message must be at the beginning.",
    ],
)
def test_templates_that_want_roles_to_alternate_get_them(ask, words, status) -> None:
    async def alternates(request: Received, wire: Wire) -> None:
        if roles(request.json) == ["user", "assistant", "user"]:
            await wire.reply(200, says("yes"))
            return
        await wire.json({"error": {"message": words}}, status)

    api, upstream = ask(alternates)
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user", "user")]
    for _ in range(3):
        thread = api("POST", "/threads", {"messages": turns})["id"]
        assert api.wait(api.start(api.assistant(instructions="System."), thread))["status"] == "completed"
    assert upstream.bodies[-1]["messages"][0] == {"role": "user", "content": "System.\n\nuser"}
    assert len(upstream.bodies) == 4


@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_server_that_wants_null_beside_calls_gets_it(ask, status) -> None:
    async def picky(request: Received, wire: Wire) -> None:
        told = [message["content"] for message in request.json["messages"] if message["role"] == "assistant"]
        if told == [""]:
            await wire.json({"error": {"message": "messages.1.content: must not be empty"}}, status)
        else:
            await wire.reply(200, says("yes") if told else calls(("a", "weather", "{}")))

    api, upstream = ask(picky)
    for _ in range(3):
        run = rest(api, assistant={"tools": [FUNCTION]})
        assert api.wait(api.answer(run))["status"] == "completed"
    assert len(upstream.bodies) == 7


@pytest.mark.parametrize("status", [400, 422, 500])
@pytest.mark.parametrize(
    ("word", "fields", "is_bare"),
    [
        ("response_format", {"response_format": SCHEMA}, lambda body: '{"type": "object"}' in text_sent(body)),
        ("tool_choice", {"tools": [FUNCTION, OTHER], "tool_choice": FORCED}, lambda body: len(body["tools"]) == 1),
    ],
)
def test_a_member_that_is_refused_in_each_form_is_left_out(ask, word, fields, is_bare, status) -> None:
    async def picky(request: Received, wire: Wire) -> None:
        if word not in request.json:
            await wire.reply(200, says("yes"))
        else:
            await wire.json({"detail": [{"loc": ["body", word], "msg": "Extra inputs are not permitted"}]}, status)

    api, upstream = ask(picky)
    assert [rest(api, **fields)["status"] for _ in range(3)] == ["completed"] * 3
    assert len(upstream.bodies) == 5
    assert is_bare(upstream.bodies[-1])


def test_what_a_server_has_refused_is_known_to_each_engine_of_the_process(model, connect) -> None:
    async def picky(request: Received, wire: Wire) -> None:
        if "stream_options" in request.json:
            await wire.json({"error": {"message": "stream_options is not supported"}}, 400)
        else:
            await wire.reply(200, says("yes"))

    upstream = model(picky)
    for _ in range(3):
        engine = UpstreamEngine(upstream.url, model="m")
        assert rest(connect(engine=engine))["status"] == "completed"
    assert len(upstream.bodies) == 4
    assert engine.bends == {"m": ("stream_options",)}
    assert UpstreamEngine(upstream.url, protocol="responses").bends == {}


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (refuses("registry.ollama.ai/library/gemma:2b does not support tools"), "functions"),
        (refuses("No endpoints found that support tool use.", 404), "functions"),
        (refuses("image input is not supported - hint: you may need to provide the mmproj", 500), "images"),
    ],
)
def test_what_a_model_cannot_take_is_never_left_out(ask, reply, what) -> None:
    api, upstream = ask(reply)
    parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "https://x/y.png"}}]
    thread = api("POST", "/threads", {"messages": [{"role": "user", "content": parts}]})["id"]
    run = api.wait(api.start(api.assistant(tools=[FUNCTION]), thread))
    assert run["last_error"]["code"] == "invalid_prompt"
    assert f"does not take {what}: the model's server answered" in run["last_error"]["message"]
    assert len(upstream.bodies) == 1

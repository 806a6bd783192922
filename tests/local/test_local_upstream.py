"""Runs that a model server answers: what it is sent, what of its answers arrives, and how each ending looks."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import time
from typing import Any

import pytest
from loopback import Received, Wire

from local.upstreams import FUNCTION, OTHER, answer_of, calls, chunks, refuses, rest, roles, says, text_sent
from rx_assistant.errors import ConfigurationError
from rx_assistant.local.engines.upstream import UpstreamEngine


def test_the_text_of_a_model_is_the_answer_of_the_run(ask) -> None:
    api, upstream = ask(says("Hello", " there", usage=(7, 2)), model="qwen", api_key="sk-test-1")
    run = rest(api, "hi", {"instructions": "Be kind."}, max_completion_tokens=300)
    assert (run["status"], answer_of(api, run)) == ("completed", "Hello there")
    assert (run["model"], run["usage"]["prompt_tokens"], run["usage"]["completion_tokens"]) == ("any", 7, 2)
    request = upstream.server.requests[0]
    assert (request.path, request.headers["authorization"]) == ("/v1/chat/completions", "Bearer sk-test-1")
    assert request.json == {
        "model": "qwen",
        "messages": [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 300,
    }


@pytest.mark.parametrize(
    ("body", "status", "message_status", "words"),
    [
        (says("a", finish="length"), "incomplete", "incomplete", None),
        (says("a", finish="content_filter"), "failed", "incomplete", "content_filter"),
        (says("a", finish=None).removesuffix(b"data: [DONE]\n\n"), "failed", "incomplete", "broke off"),
        (says("a", finish=None), "completed", "completed", None),
        (says("a") + b"", "completed", "completed", None),
        (b"", "failed", None, "gave no answer"),
        (b'data: {"error": {"message": "out of memory"}}\n\n', "failed", None, "out of memory"),
        (says("a", finish=None).removesuffix(b"data: [DONE]\n\n") + b'event: error\ndata: {"error": "gone"}\n\n',
         "failed", "incomplete", "gone"),
        (b'{"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}]}', "completed", "completed", None),
    ],
)  # fmt: skip
def test_every_ending_of_a_body_is_an_ending_of_the_run(ask, body, status, message_status, words) -> None:
    api, _ = ask(body)
    run = rest(api)
    assert run["status"] == status
    if words is not None:
        assert words in run["last_error"]["message"]
        assert run["last_error"]["code"] == "server_error"
    written = api.messages(run["thread_id"])[1:]
    assert [message["status"] for message in written] == ([message_status] if message_status else [])


def test_a_body_that_breaks_off_keeps_its_text(ask) -> None:
    async def breaks_off(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(says("half", finish=None).removesuffix(b"data: [DONE]\n\n"))
        wire.hang_up()

    api, upstream = ask(breaks_off)
    run = rest(api)
    assert (run["status"], answer_of(api, run)) == ("failed", "half")
    assert len(upstream.bodies) == 1


@pytest.mark.parametrize(
    ("reply", "code", "requests"),
    [
        (refuses("no such model", 404), "server_error", 1),
        (refuses("wrong", 400), "invalid_prompt", 1),
        (refuses("wrong", 422), "invalid_prompt", 1),
        (refuses("wrong key sk-secret-1234", 401), "server_error", 1),
        (refuses("slow down", 429), "rate_limit_exceeded", 3),
        (refuses("broken", 503), "server_error", 3),
        ((500, b"<html>oops</html>"), "server_error", 3),
    ],
)
def test_a_refused_run_fails_with_the_upstreams_own_words(ask, monkeypatch, reply, code, requests) -> None:
    monkeypatch.setattr("rx_assistant.http.retries.FIRST", 0.001)
    api, upstream = ask(reply, api_key="sk-secret-1234")
    run = rest(api)
    error = run["last_error"]
    assert (run["status"], error["code"], len(upstream.bodies)) == ("failed", code, requests)
    assert error["message"].startswith(f"the model's server answered {reply[0]}: ")
    assert "sk-secret" not in json.dumps(run)


def test_a_server_that_is_busy_is_asked_again_after_the_time_it_names(ask) -> None:
    async def busy(request: Received, wire: Wire) -> None:
        await wire.json({"error": {"message": "busy"}}, 429, {"retry-after": "0"})

    api, upstream = ask(busy, busy, says("yes"))
    run = rest(api)
    assert (run["status"], answer_of(api, run), len(upstream.bodies)) == ("completed", "yes", 3)


def test_a_server_that_is_not_there_fails_the_run(connect, monkeypatch) -> None:
    monkeypatch.setattr("rx_assistant.http.retries.FIRST", 0.001)
    run = rest(connect(engine=UpstreamEngine("http://127.0.0.1:9/v1", api_key="sk-secret-1234")))
    assert run["last_error"]["code"] == "server_error"
    assert "the model's server cannot be reached" in run["last_error"]["message"]


def test_a_redirect_is_not_followed(ask, model) -> None:
    target = model(says("stolen"))

    async def elsewhere(request: Received, wire: Wire) -> None:
        await wire.reply(307, b"", {"location": f"{target.url}/chat/completions"})

    api, _ = ask(elsewhere, api_key="sk-secret-1234")
    assert "redirect" in rest(api)["last_error"]["message"]
    assert not target.server.requests


@pytest.mark.parametrize("stop", ["cancel", "delete", "stop", "expire"])
def test_stopping_a_run_closes_the_connection_to_the_model(model, connect, stop) -> None:
    async def endless(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(says("a", finish=None).removesuffix(b"data: [DONE]\n\n"))
        await wire.peer_gone()

    upstream = model(endless)
    api = connect(engine=UpstreamEngine(upstream.url), run_ttl=1.0 if stop == "expire" else 600.0)
    run = api.start(api.assistant(), api.thread("hi"))
    while not (api.messages(run["thread_id"])[1:] and answer_of(api, run)):
        time.sleep(0.005)
    if stop == "cancel":
        api("POST", f"/threads/{run['thread_id']}/runs/{run['id']}/cancel", {})
        assert api.wait(run)["status"] == "cancelled"
    elif stop == "delete":
        api("DELETE", f"/threads/{run['thread_id']}")
    elif stop == "stop":
        api.server.stop()
    else:
        assert api.wait(run)["status"] == "expired"
    upstream.server.wait_for(lambda: upstream.server.open_connections == 0)


def test_cancelling_does_not_wait_for_another_try(ask) -> None:
    async def busy(request: Received, wire: Wire) -> None:
        await wire.json({"error": {"message": "busy"}}, 429, {"retry-after": "50"})

    api, upstream = ask(busy)
    run = api.start(api.assistant(), api.thread("hi"))
    upstream.server.wait_for(lambda: upstream.server.requests)
    api("POST", f"/threads/{run['thread_id']}/runs/{run['id']}/cancel", {})
    assert api.wait(run)["status"] == "cancelled"
    assert len(upstream.bodies) == 1


def test_comments_do_not_count_as_life(ask) -> None:
    async def murmurs(request: Received, wire: Wire) -> None:
        await wire.events()
        while True:
            await wire.chunk(b": still here\n\n")
            await asyncio.sleep(0.02)

    api, _ = ask(murmurs, upstream_timeout=0.3)
    assert "silent for 0.3 s" in rest(api)["last_error"]["message"]


def test_a_server_that_sends_no_head_is_waited_for_as_long(ask) -> None:
    async def says_nothing(request: Received, wire: Wire) -> None:
        await wire.peer_gone()

    api, upstream = ask(says_nothing, upstream_timeout=1)
    assert "did not answer within 1 s" in rest(api)["last_error"]["message"]
    assert len(upstream.bodies) == 1


def test_a_body_that_is_compressed_all_the_same_is_read(ask) -> None:
    async def compresses(request: Received, wire: Wire) -> None:
        assert request.headers["accept-encoding"] == "identity"
        await wire.reply(200, gzip.compress(says("plain")), {"content-encoding": "gzip"})

    api, _ = ask(compresses)
    assert answer_of(api, rest(api)) == "plain"


def test_a_pause_between_words_is_waited_for_each_time(ask) -> None:
    async def hesitates(request: Received, wire: Wire) -> None:
        await wire.events()
        for word in "abcd":
            await asyncio.sleep(0.8)
            await wire.chunk(says(word, finish=None).removesuffix(b"data: [DONE]\n\n"))
        await wire.chunk(says("e"))
        await wire.end()

    api, _ = ask(hesitates, upstream_timeout=3.0)
    assert answer_of(api, rest(api)) == "abcde"


def test_an_answer_that_said_its_end_does_not_wait_for_the_bodys(ask) -> None:
    async def stays_open(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(says("done"))
        await wire.peer_gone()

    api, _ = ask(stays_open)
    assert rest(api)["status"] == "completed"


# -- limits ----------------------------------------------------------------------------------------------------------


def test_a_model_that_ignores_the_limit_is_stopped(ask) -> None:
    async def talks_on(request: Received, wire: Wire) -> None:
        await wire.events()
        while True:
            await wire.chunk(says(" word", finish=None).removesuffix(b"data: [DONE]\n\n"))
            await asyncio.sleep(0)

    api, upstream = ask(talks_on)
    run = rest(api, max_completion_tokens=256)
    assert run["incomplete_details"] == {"reason": "max_completion_tokens"}
    assert answer_of(api, run).count("word") == 256
    upstream.server.wait_for(lambda: upstream.server.open_connections == 0)


def test_a_later_turn_gets_the_tokens_that_are_left(ask) -> None:
    first = calls(("a", "weather", "{}")).replace(
        b"data: [DONE]", b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":100}}\n\ndata: [DONE]'
    )
    api, upstream = ask(first, says("fine", usage=(9, 3)))
    run = api.wait(api.answer(rest(api, assistant={"tools": [FUNCTION]}, max_completion_tokens=300)))
    assert [body["max_tokens"] for body in upstream.bodies] == [300, 200]
    assert (run["usage"]["prompt_tokens"], run["usage"]["completion_tokens"]) == (14, 103)


def test_a_thread_that_is_too_long_loses_its_oldest_turns(ask) -> None:
    words = "This model's maximum context length is 80 tokens."
    api, upstream = ask(refuses(words, code="context_length_exceeded"), says("fine"))
    turns = [{"role": role, "content": f"{role} " * 20} for _ in range(5) for role in ("user", "assistant")]
    thread = api("POST", "/threads", {"messages": [*turns, {"role": "user", "content": "last"}]})["id"]
    run = api.wait(api.start(api.assistant(instructions="system"), thread))
    assert run["status"] == "completed"
    sent = upstream.bodies[1]["messages"]
    assert (len(upstream.bodies[0]["messages"]), len(sent)) == (12, 4)
    assert roles(upstream.bodies[1]) == ["system", "user", "assistant", "user"]
    assert (sent[0]["content"], sent[-1]["content"]) == ("system", "last")


def test_a_thread_that_stays_too_long_is_sent_four_times(ask) -> None:
    api, upstream = ask(refuses("prompt is too long"))
    turns = [{"role": role, "content": "x"} for _ in range(20) for role in ("user", "assistant")]
    thread = api("POST", "/threads", {"messages": [*turns, {"role": "user", "content": "last"}]})["id"]
    run = api.wait(api.start(api.assistant(), thread))
    assert (run["status"], run["incomplete_details"]) == ("incomplete", {"reason": "max_prompt_tokens"})
    assert [len(body["messages"]) for body in upstream.bodies][0::3] == [41, 1]


def test_last_messages_is_never_shortened(ask) -> None:
    api, upstream = ask(refuses("prompt is too long"))
    thread = api.thread("a", "b", "c", "d")
    strategy = {"type": "last_messages", "last_messages": 3}
    run = api.wait(api.start(api.assistant(), thread, truncation_strategy=strategy))
    assert run["incomplete_details"] == {"reason": "max_prompt_tokens"}
    assert [len(body["messages"]) for body in upstream.bodies] == [3]


def test_a_prompt_that_is_cut_in_silence_is_warned_of_once(ask, caplog) -> None:
    api, _ = ask(says("fine", usage=(400, 1)))
    rest(api, "word " * 2000)
    rest(api, "word " * 2000)
    assert [line.message.count("OLLAMA_CONTEXT_LENGTH") for line in caplog.records if "cuts" in line.message] == [1]


# -- calls -----------------------------------------------------------------------------------------------------------


def test_calls_over_several_rounds_go_back_as_the_server_wrote_them(ask) -> None:
    signed = {"google": {"thought_signature": "abc"}}
    told = {"index": 0, "id": "same", "type": "function", "function": {"name": "weather", "arguments": ""}}
    first = chunks(
        {"reasoning_content": "I need the weather."},
        {"content": "One moment."},
        {"tool_calls": [{**told, "extra_content": signed}]},
        {"content": " And more."},
        finish="tool_calls",
    )
    api, upstream = ask(first, calls(("same", "weather", '{"a":1}')), says("Sunny."))
    run = rest(api, assistant={"tools": [FUNCTION]})
    ids = [call["id"] for call in run["required_action"]["submit_tool_outputs"]["tool_calls"]]
    run = api.wait(api.answer(run))
    ids += [call["id"] for call in run["required_action"]["submit_tool_outputs"]["tool_calls"]]
    run = api.wait(api.answer(run))
    assert (run["status"], answer_of(api, run), len(set(ids))) == ("completed", "Sunny.", 2)
    echoed, output, again, output_again = upstream.bodies[2]["messages"][1:]
    assert echoed == {
        "role": "assistant",
        "content": "One moment. And more.",
        "reasoning_content": "I need the weather.",
        "tool_calls": [
            {"id": "same", "type": "function", "function": {"name": "weather", "arguments": "{}"},
             "extra_content": signed}
        ],
    }  # fmt: skip
    assert output == output_again == {"role": "tool", "tool_call_id": "same", "content": "ok"}
    assert again["tool_calls"][0]["function"]["arguments"] == '{"a":1}'
    steps = json.dumps(api.steps(run))
    assert "I need the weather" not in steps
    assert "And more" not in steps


def test_a_second_run_sees_the_calls_of_the_first_without_its_reasoning(ask) -> None:
    first = chunks(
        {"reasoning_content": "secret"},
        {"content": "Wait."},
        {"tool_calls": [{"index": 0, "id": "x", "function": {"name": "weather", "arguments": ""}}]},
        {"content": " Late."},
    )
    api, upstream = ask(first, says("Sunny."), says("You are welcome."))
    assistant, thread = api.assistant(tools=[FUNCTION]), api.thread("weather?")
    api.wait(api.answer(api.wait(api.start(assistant, thread))))
    api("POST", f"/threads/{thread}/messages", {"role": "user", "content": "thanks"})
    assert api.wait(api.start(assistant, thread))["status"] == "completed"
    sent = upstream.bodies[2]["messages"]
    assert [message["role"] for message in sent] == ["user", "assistant", "tool", "assistant", "user"]
    assert sent[1]["content"] == "Wait. Late."
    assert sent[1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": "{}"}
    assert sent[1]["tool_calls"][0]["id"] == sent[2]["tool_call_id"]
    assert "secret" not in json.dumps(sent)


def test_without_parallel_calls_only_the_first_is_kept(ask) -> None:
    api, upstream = ask(calls(("a", "weather", "{}"), ("b", "time", "{}")), says("done"))
    run = rest(api, assistant={"tools": [FUNCTION, OTHER]}, parallel_tool_calls=False)
    assert [call["id"] for call in run["required_action"]["submit_tool_outputs"]["tool_calls"]] == ["a"]
    assert api.wait(api.answer(run))["status"] == "completed"
    assert [call["id"] for call in upstream.bodies[1]["messages"][1]["tool_calls"]] == ["a"]


def test_a_forced_function_is_forced_in_the_first_turn_alone(ask) -> None:
    api, upstream = ask(calls(("a", "weather", "{}")), says("done"))
    assert api.wait(api.answer(rest(api, tools=[FUNCTION], tool_choice="required")))["status"] == "completed"
    assert [body.get("tool_choice") for body in upstream.bodies] == ["required", None]


def test_the_code_interpreter_is_left_out_with_one_warning_and_refused_when_forced(ask, caplog) -> None:
    api, upstream = ask(says("no code"))
    tools = [{"type": "code_interpreter"}]
    assert [rest(api, tools=tools)["status"] for _ in range(2)] == ["completed"] * 2
    assert len([line for line in caplog.records if "code_interpreter is left out" in line.message]) == 1
    run = rest(api, tools=tools, tool_choice={"type": "code_interpreter"})
    assert (run["status"], run["last_error"]["code"]) == ("failed", "invalid_prompt")
    assert len(upstream.bodies) == 2


# -- files and images ------------------------------------------------------------------------------------------------

NOTES = ("notes.txt", "The capital of Freedonia is Fredville. It has a river.")


def searching(api, **fields) -> dict[str, Any]:
    store = api.store(NOTES)
    resources = {"file_search": {"vector_store_ids": [store["id"]]}}
    return {"tools": [{"type": "file_search"}], "tool_resources": resources, **fields}


def test_passages_stand_in_the_system_text_and_marks_become_citations(ask) -> None:
    api, upstream = ask(says("It is Fredville ", "【", "1†no", "tes.txt】, not 【7】."))
    run = rest(api, "What is the capital of Freedonia?", searching(api, instructions="Be brief."))
    system = upstream.bodies[0]["messages"][0]["content"]
    assert system.startswith("Be brief.\n\n")
    assert "【1†notes.txt】\nThe capital of Freedonia is Fredville." in system
    text = api.messages(run["thread_id"])[-1]["content"][0]["text"]
    assert text["value"] == "It is Fredville 【1†notes.txt】, not 【7】."
    (mark,) = text["annotations"]
    assert text["value"][mark["start_index"] : mark["end_index"]] == mark["text"] == "【1†notes.txt】"
    assert [step["type"] for step in api.steps(run)] == ["tool_calls", "message_creation"]


def test_a_file_that_could_not_be_read_is_named_to_the_model(ask) -> None:
    api, upstream = ask(says("I could not read it 【1】."))
    store = api.store(("secret.docx", b"no document"), NOTES)
    resources = {"file_search": {"vector_store_ids": [store["id"]]}}
    run = rest(api, "capital of Freedonia", {"tools": [{"type": "file_search"}], "tool_resources": resources})
    system = text_sent(upstream.bodies[0])
    assert "The file secret.docx could not be read: " in system
    assert "†secret.docx】" not in system
    (mark,) = api.messages(run["thread_id"])[-1]["content"][0]["text"]["annotations"]
    assert api("GET", f"/files/{mark['file_citation']['file_id']}")["filename"] == "notes.txt"


def test_the_passages_are_there_after_a_function_call(ask) -> None:
    api, upstream = ask(calls(("a", "weather", "{}")), says("【1】"))
    fields = searching(api)
    run = rest(api, "capital of Freedonia", {**fields, "tools": [*fields["tools"], FUNCTION]})
    run = api.wait(api.answer(run))
    assert upstream.bodies[0]["messages"][0] == upstream.bodies[1]["messages"][0]
    assert len(api.messages(run["thread_id"])[-1]["content"][0]["text"]["annotations"]) == 1


def test_search_as_a_function_is_answered_inside_the_run(ask) -> None:
    api, upstream = ask(
        calls(("a", "file_search", '{"query": "capital"}'), content="Let me look."),
        calls(("a", "file_search", '{"query": "river"}'), ("b", "weather", "{}")),
        says("Fredville 【1】"),
        file_search="tool",
    )
    fields = searching(api)
    run = rest(api, "?", {**fields, "tools": [*fields["tools"], FUNCTION]})
    assert [call["id"] for call in run["required_action"]["submit_tool_outputs"]["tool_calls"]] == ["b"]
    assert [tool["function"]["name"] for tool in upstream.bodies[0]["tools"]] == ["weather", "file_search"]
    run = api.wait(api.answer(run))
    assert run["status"] == "completed"
    kinds = [[call["type"] for call in step["step_details"].get("tool_calls", [])] for step in api.steps(run)]
    assert kinds == [[], ["file_search"], ["function", "file_search"], []]
    assert roles(upstream.bodies[1]) == ["user", "assistant", "tool"]
    assert "【1†notes.txt】\nThe capital" in upstream.bodies[1]["messages"][2]["content"]
    assert upstream.bodies[1]["messages"][1]["content"] == "Let me look."
    assert roles(upstream.bodies[2]) == ["user", "assistant", "tool", "assistant", "tool", "assistant", "tool"]
    assert upstream.bodies[2]["messages"][:3] == upstream.bodies[1]["messages"]
    assert len(api.messages(run["thread_id"])[-1]["content"][0]["text"]["annotations"]) == 1


def test_a_model_that_searches_for_ever_is_answered_five_times(ask) -> None:
    rounds = [calls(("a", "file_search", '{"query": "capital"}')) for _ in range(5)]
    api, upstream = ask(*rounds, says("I give up."), file_search="tool")
    run = rest(api, "?", searching(api))
    assert (run["status"], len(upstream.bodies)) == ("completed", 6)
    assert ["tools" in body for body in upstream.bodies] == [True] * 5 + [False]


def test_images_are_passed_on_and_files_become_data(ask) -> None:
    api, upstream = ask(says("a dot"))
    content = b"\x89PNG\r\n\x1a\nrest"
    file = api.upload("dot.png", content, "vision")
    parts = [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "text", "text": "and"},
        {"type": "image_file", "image_file": {"file_id": file["id"]}},
    ]
    thread = api("POST", "/threads", {"messages": [{"role": "user", "content": parts}]})["id"]
    assert api.wait(api.start(api.assistant(), thread))["status"] == "completed"
    data = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    assert upstream.bodies[0]["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
        {"type": "text", "text": "and"},
        {"type": "image_url", "image_url": {"url": data}},
    ]


# -- options ---------------------------------------------------------------------------------------------------------


def test_the_map_comes_before_the_model_and_the_model_before_the_applications_name() -> None:
    engine = UpstreamEngine("http://x/v1", model="big", model_map={"gpt-4o-mini": "small"})
    assert [engine.model_for(name) for name in ("gpt-4o-mini", "gpt-4o")] == ["small", "big"]
    assert UpstreamEngine("http://x/v1").model_for("gpt-4o") == "gpt-4o"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"base_url": "localhost:11434"}, "base_url must be an http or https URL"),
        ({"protocol": "gemini"}, "protocol must be one of 'chat', 'responses'"),
        ({"upstream_timeout": 0}, "upstream_timeout must be more than 0"),
    ],
)
def test_a_wrong_option_is_refused(options, words) -> None:
    with pytest.raises(ConfigurationError, match=words):
        UpstreamEngine(**{"base_url": "http://x/v1", **options})


def test_the_key_stands_in_no_repr() -> None:
    assert "secret" not in repr(UpstreamEngine("http://user:secret@x/v1", api_key="sk-secret"))


def test_thinking_is_text_where_it_is_wanted(ask) -> None:
    for thinking, expected in [("reasoning", "yes"), ("text", "<think>hm</think>yes")]:
        api, _ = ask(says("<think>hm", "</think>yes"), thinking=thinking)
        assert answer_of(api, rest(api)) == expected

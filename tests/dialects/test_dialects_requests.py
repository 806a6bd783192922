"""Questions as bodies of requests, what refusals say, and which form is taken after each."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cases import in_one_test
from reference import SHARED

from rx_assistant.dialects.chat_request import Form, chat_body
from rx_assistant.dialects.history import (
    AnsweredCall,
    CallRound,
    Function,
    HistoryMessage,
    ImageFilePart,
    ImageUrlPart,
    Question,
    TextPart,
)
from rx_assistant.dialects.refusals import CHAT_BENDS, RESPONSES_BENDS, bend, read_refusal
from rx_assistant.dialects.responses_request import ResponsesForm, responses_body

USER = HistoryMessage("user", (TextPart("Hi"),))
CALL = AnsweredCall("call_1", "weather", '{"city":"Bern"}', "12")
SCHEMA = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}, "strict": True}}
FULL = Question(
    model="m",
    history=(USER, CallRound((CALL,), "run_1")),
    run_id="run_1",
    system="Be brief.",
    functions=(Function("weather", "tells it", {"type": "object"}, strict=True), Function("other")),
    tool_choice="weather",
    parallel_tool_calls=False,
    response_format=SCHEMA,
    max_completion_tokens=300,
    temperature=0.2,
    top_p=0.5,
    reasoning_effort="low",
)


def test_the_first_form_of_a_request() -> None:
    body = chat_body(FULL, Form())
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert body["messages"][2]["content"] == ""
    assert body["messages"][3] == {"role": "tool", "tool_call_id": "call_1", "content": "12"}
    assert body["max_tokens"] == 300
    assert body["stream_options"] == {"include_usage": True}
    assert body["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    assert body["parallel_tool_calls"] is False
    assert body["tools"][0]["function"]["strict"] is True


def test_choices_about_tools_go_only_with_tools() -> None:
    body = chat_body(replace(FULL, functions=()), Form())
    assert {"tools", "tool_choice", "parallel_tool_calls"}.isdisjoint(body)


def test_a_forced_function_stands_alone_where_its_name_cannot_be_sent() -> None:
    body = chat_body(FULL, Form(tool_choice="required"))
    assert [tool["function"]["name"] for tool in body["tools"]] == ["weather"]
    assert body["tool_choice"] == "required"
    assert "tool_choice" not in chat_body(FULL, Form(tool_choice="omitted"))


def test_a_schema_that_cannot_be_sent_goes_into_the_system_message() -> None:
    body = chat_body(FULL, Form(schema="json_object"))
    assert body["response_format"] == {"type": "json_object"}
    assert '{"type": "object"}' in body["messages"][0]["content"]
    assert "response_format" not in chat_body(FULL, Form(schema="prompt"))


def test_text_and_the_calls_behind_it_are_one_message() -> None:
    spoken = HistoryMessage("assistant", (TextPart("Let me see."),), run_id="run_1")
    messages = chat_body(replace(FULL, history=(USER, spoken, FULL.history[1])), Form())["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant", "tool"]
    assert messages[2]["content"] == "Let me see."


def test_a_turn_goes_back_as_its_upstream_wrote_it_within_the_run_only() -> None:
    told = {"role": "assistant", "content": "", "tool_calls": [{"id": "theirs", "function": {"name": "weather"}}]}
    calls = CallRound((CALL,), "run_1", ({"upstream": "http://a", "chat": {**told, "reasoning_content": "hm"}},))
    question = replace(FULL, history=(USER, calls))
    sent = chat_body(question, Form(), upstream="http://a")["messages"]
    assert sent[2]["reasoning_content"] == "hm"
    assert sent[3]["tool_call_id"] == "theirs"
    for other in (
        chat_body(question, Form(), upstream="http://b"),
        chat_body(replace(question, run_id="run_2"), Form()),
    ):
        assert "reasoning_content" not in other["messages"][2]


def test_merged_roles_leave_no_system_message_and_no_equal_neighbours() -> None:
    image = HistoryMessage("user", (ImageUrlPart("https://example.org/a.png", "low"), ImageFilePart("file-1")))
    question = replace(FULL, history=(USER, USER, image), images={"file-1": "data:image/png;base64,AA=="})
    (message,) = chat_body(question, Form(roles="merged"))["messages"]
    assert [part["type"] for part in message["content"]] == ["text", "text", "image_url", "image_url"]
    assert [message["content"][place]["text"] for place in (0, 1)] == ["Be brief.", "Hi\n\nHi"]


# -- refusals ----------------------------------------------------------------------------------------------------

WORDS = {
    "stream_options": "Unrecognized request argument supplied: stream_options",
    "max_tokens": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
    "max_completion_tokens": "unknown field max_completion_tokens",
    "parallel_tool_calls": "Unsupported parameter: 'parallel_tool_calls' is not supported with this model.",
    "tool_choice as an object": "tool_choice must be one of auto, none, required",
    "tool_choice": "tool_choice is not supported",
    "strict": "Extra inputs are not permitted: strict",
    "json_schema": "This model does not support response_format json_schema",
    "json_object": "response_format is not supported",
    "reasoning_effort": "Unrecognized request argument supplied: reasoning_effort",
    "temperature": "Unsupported value: 'temperature' does not support 0.2 with this model.",
    "top_p": "`top_p` cannot be set together with others",
    "empty content": "messages: text content blocks must be non-empty",
    "roles": "Conversation roles must alternate user/assistant/user/assistant/...",
}


@in_one_test("status", [400, 422, 500])
@in_one_test("name", [row.name for row in CHAT_BENDS])
def test_each_member_that_is_refused_is_left_out(name: str, status: int) -> None:
    form = _form_before(name)
    body = chat_body(FULL, form)
    refusal = read_refusal(status, json.dumps({"detail": [{"loc": ["body"], "msg": WORDS[name]}]}).encode())
    bent = bend(CHAT_BENDS, form, body, refusal)
    assert bent is not None
    assert bent[0] == name
    assert chat_body(FULL, bent[1]) != body


def _form_before(name: str) -> Form:
    match name:
        case "max_completion_tokens":
            return Form(limit="max_completion_tokens")
        case "tool_choice":
            return Form(tool_choice="required")
        case "json_object":
            return Form(schema="json_object")
    return Form()


def test_bending_ends_whatever_the_server_says() -> None:
    refusal = read_refusal(400, json.dumps({"error": {"message": " ".join(WORDS.values())}}).encode())
    form, names = Form(), list[str]()
    while (bent := bend(CHAT_BENDS, form, chat_body(FULL, form), refusal, names)) is not None:
        names.append(bent[0])
        form = bent[1]
    assert len(names) == len(set(names)) > 8


@pytest.mark.parametrize("words", ["this model does not support tools", "image input is not supported", "bad function"])
def test_what_the_application_asked_for_is_never_left_out(words: str) -> None:
    refusal = read_refusal(400, json.dumps({"error": {"message": words}}).encode())
    assert bend(CHAT_BENDS, Form(), chat_body(FULL, Form()), refusal) is None


BODIES: dict[str, tuple[bytes, str]] = {
    "nested": (b'{"error":{"message":"no","code":"x"}}', "no"),
    "detail": (b'{"detail":"Invalid API Key"}', "Invalid API Key"),
    "validation": (b'{"detail":[{"loc":["body","a"],"msg":"field required"}]}', "field required"),
    "array": (b'[{"error":{"code":400,"message":"bad","status":"INVALID_ARGUMENT"}}]', "bad"),
    "error as text": (b'{"error":"model not loaded"}', "model not loaded"),
    "HTML": (b"<html>Bad gateway</html>", "<html>Bad gateway</html>"),
    "nothing": (b"", "no explanation"),
    "no UTF-8": (b"\xff\xfe", "\ufffd\ufffd"),
}


@pytest.mark.parametrize("shape", BODIES)
def test_the_words_are_found_in_every_shape(shape: str) -> None:
    content, words = BODIES[shape]
    assert read_refusal(400, content).message == words


def test_recorded_errors_have_their_codes_and_show_no_key(shared: object) -> None:
    for line in (SHARED / "chat" / "errors.jsonl").read_text().splitlines():
        told: dict[str, Any] = json.loads(line)
        refusal = read_refusal(told["status"], told["body"].encode())
        expected = {429: "rate_limit_exceeded", 400: "invalid_prompt"}.get(told["status"], "server_error")
        assert refusal.run_code == expected, line
        assert refusal.message, line
        assert len(refusal.message) <= 500
        assert "sk-fake" not in refusal.message
        assert "bad-key" not in refusal.message
        assert refusal.is_too_long == ("too long" in told["body"] or "maximum context" in told["body"]), line


def test_the_size_of_the_context_is_read_where_it_is_said(shared: object) -> None:
    content = (SHARED / "chat" / "live" / "llamacpp__toolong.txt").read_bytes()
    refusal = read_refusal(400, content)
    assert refusal.is_too_long
    assert refusal.context == 2048
    words = b'{"error":{"message":"This model\'s maximum context length is 8192 tokens. However, ..."}}'
    assert read_refusal(400, words).context == 8192


# -- Responses ---------------------------------------------------------------------------------------------------


def test_the_first_form_of_a_responses_request_is_stateless() -> None:
    body = responses_body(FULL, ResponsesForm())
    assert body["store"] is False
    assert "previous_response_id" not in body
    assert body["instructions"] == "Be brief."
    assert body["tool_choice"] == {"type": "function", "name": "weather"}
    assert body["text"]["format"]["type"] == "json_schema"
    assert [item.get("type", item.get("role")) for item in body["input"]] == [
        "user",
        "function_call",
        "function_call_output",
    ]


def test_reasoning_items_go_back_to_the_upstream_that_wrote_them() -> None:
    items = [
        {"type": "reasoning", "encrypted_content": "x"},
        {"type": "message", "content": []},
        {"type": "function_call", "call_id": "theirs", "name": "weather", "arguments": "{}"},
    ]
    calls = CallRound((CALL,), "run_1", ({"upstream": "http://a", "responses": items},))
    question = replace(FULL, history=(USER, calls))
    sent = responses_body(question, ResponsesForm(), upstream="http://a")["input"]
    assert [item.get("type") for item in sent] == [None, "reasoning", "function_call", "function_call_output"]
    assert sent[-1]["call_id"] == "theirs"
    assert "reasoning" not in json.dumps(responses_body(question, ResponsesForm(), upstream="http://b")["input"])


@pytest.mark.parametrize("name", [row.name for row in RESPONSES_BENDS])
def test_each_member_of_a_responses_request_that_is_refused_is_left_out(name: str) -> None:
    body = responses_body(FULL, ResponsesForm())
    refusal = read_refusal(400, json.dumps({"error": {"message": f"Unknown parameter: '{name}'."}}).encode())
    bent = bend(RESPONSES_BENDS, ResponsesForm(), body, refusal)
    assert bent is not None
    assert bent[0] == name
    assert responses_body(FULL, bent[1]) != body

"""The built-in assistant: which functions it calls, with which arguments, and what it answers."""

from __future__ import annotations

import json

import jsonschema
import pytest

from rx_assistant.local.engine import FunctionTool
from rx_assistant.local.engines.arguments import fill
from rx_assistant.local.engines.matching import answering, asked_for

TOOLS = [
    FunctionTool("get_local_time", "The current time at a place.", {}),
    FunctionTool("getWeatherForecast", "Weather for a city, today or later.", {}),
    FunctionTool("send_email", "Sends a letter to somebody.", {}),
    FunctionTool("lookup", "", {}),
]


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("What time is it?", ["get_local_time"]),
        ("Please run lookup", ["lookup"]),
        ("call get_local_time and send_email", ["get_local_time", "send_email"]),
        ("weather forecasts in Rome, and what time is it there?", ["getWeatherForecast", "get_local_time"]),
        ("I'd like to be sending emails", ["send_email"]),
        ("a letter to somebody", ["send_email"]),
        ("Hello, how are you?", []),
        ("", []),
        ("What is the current state of things?", []),
    ],
)
def test_functions_are_called_when_they_are_named_or_described(message, names):
    assert [function.name for function in asked_for(message, TOOLS)] == names


@pytest.mark.parametrize(
    ("properties", "message", "value"),
    [
        ({"city": {"type": "string"}}, "What's the weather in San Francisco today?", {"city": "San Francisco"}),
        ({"q": {"type": "string"}}, 'search for "blue whales" please', {"q": "blue whales"}),
        (
            {"origin": {"type": "string"}, "destination": {"type": "string"}},
            "from Paris to Rome",
            {"origin": "Paris", "destination": "Rome"},
        ),
        ({"n": {"type": "integer"}, "x": {"type": "number"}}, "take 3 and 2.5", {"n": 3, "x": 2.5}),
        ({"n": {"type": "integer", "minimum": 10, "maximum": 20}}, "of 5, 30 and 15", {"n": 15}),
        ({"unit": {"enum": ["celsius", "fahrenheit"]}}, "in Fahrenheit", {"unit": "fahrenheit"}),
        ({"day": {"type": "string", "format": "date"}}, "on 2024-02-29", {"day": "2024-02-29"}),
        ({"to": {"type": "string", "format": "email"}}, "write to ann@example.org.", {"to": "ann@example.org"}),
        ({"loud": {"type": "boolean"}}, "not too loud", {"loud": False}),
        ({"loud": {"type": "boolean"}}, "make it loud", {"loud": True}),
        ({"tags": {"type": "array", "items": {"type": "string"}}}, "'a' and 'b'", {"tags": ["a", "b"]}),
        (
            {"where": {"type": "object", "properties": {"city": {"type": "string"}}}},
            "in Oslo",
            {"where": {"city": "Oslo"}},
        ),
        ({"c": {"type": ["string", "null"]}}, "in Oslo", {"c": "Oslo"}),
        ({"c": {"anyOf": [{"type": "null"}, {"type": "integer"}]}}, "7 days", {"c": 7}),
        ({"k": {"const": 5}}, "x", {"k": 5}),
        ({"u": {"type": "string", "default": "km"}}, "hm", {"u": "km"}),
    ],
)
def test_arguments_are_filled_from_the_message(properties, message, value):
    assert fill({"type": "object", "properties": properties}, message) == value


def test_what_is_not_said_is_left_out_unless_it_is_required():
    schema = {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}}
    assert fill(schema, "hm") == {}
    assert fill({**schema, "required": ["n"]}, "hm") == {"n": 1}
    assert fill({}, "hm") == {}


NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "n": {"type": "integer"}}, "required": ["n"]}


@pytest.mark.parametrize("message", ["", "hm", "3 4 5 in Rome 'x'", "🎉" * 50])
@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#/$defs/node", "$defs": {"node": {**NODE, "required": ["n", "next"]}}},
        {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
        {
            "type": "object",
            "properties": {
                "list": {"type": "array", "minItems": 2, "items": {"enum": ["a", 1, None]}},
                "any": {},
                "d": {"type": "string", "format": "date"},
                "x": {"type": "number", "minimum": 2, "maximum": 3},
            },
            "required": ["list", "any", "d", "x"],
        },
    ],
)
def test_arguments_fit_their_schema_and_never_run_away(schema, message):
    value = fill(schema, message)
    assert len(json.dumps(value)) < 10_000
    if "'next']" not in str(schema):  # which no finite value fits
        jsonschema.validate(value, schema)


def test_the_answer_is_the_sentence_that_says_something_new():
    text = ["Favorite foods.", "Filip Carola: cake.", "Effie: pizza."]
    assert answering("What is the favorite food of Filip?", text)[0] == "Filip Carola: cake."
    assert answering("Anything?", text)[1] == 0


@pytest.mark.parametrize(
    ("choice", "called"),
    [
        ("auto", []),
        ("none", []),
        ("required", ["alpha"]),
        ({"type": "function", "function": {"name": "beta"}}, ["beta"]),
    ],
)
def test_tool_choice_is_obeyed(api, choice, called):
    tools = [{"type": "function", "function": {"name": name}} for name in ("alpha", "beta")]
    run = api.wait(api.start(api.assistant(tools=tools), api.thread("Hello"), tool_choice=choice))
    asked = (run["required_action"] or {}).get("submit_tool_outputs", {}).get("tool_calls", [])
    assert [call["function"]["name"] for call in asked] == called
    if called:
        assert api.wait(api.answer(run))["status"] == "completed"


def test_none_keeps_functions_that_are_asked_for_from_being_called(api):
    tools = [{"type": "function", "function": {"name": "alpha"}}]
    run = api.wait(api.start(api.assistant(tools=tools), api.thread("alpha"), tool_choice="none"))
    assert run["status"] == "completed"


@pytest.mark.parametrize(("parallel", "rounds"), [(True, [2]), (False, [1, 1])])
def test_calls_are_made_together_or_one_after_the_other(api, parallel, rounds):
    tools = [{"type": "function", "function": {"name": name}} for name in ("alpha", "beta")]
    thread = api.thread("alpha and beta")
    run = api.wait(api.start(api.assistant(tools=tools), thread, parallel_tool_calls=parallel))
    made = []
    while run["status"] == "requires_action":
        made.append(len(run["required_action"]["submit_tool_outputs"]["tool_calls"]))
        run = api.wait(api.answer(run))
    assert made == rounds
    text = api.messages(thread)[-1]["content"][0]["text"]["value"]
    assert "alpha: ok" in text
    assert "beta: ok" in text


def test_a_json_format_is_answered_with_json(api):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    given = {"type": "json_schema", "json_schema": {"name": "count", "schema": schema}}
    for response_format, wanted in ((given, {"n": 42}), ({"type": "json_object"}, {"answer": "It is 42"})):
        thread = api.thread("It is 42")
        api.wait(api.start(api.assistant(), thread, response_format=response_format))
        assert json.loads(api.messages(thread)[-1]["content"][0]["text"]["value"]) == wanted


def test_the_same_question_gets_the_same_answer(api):
    answers = set()
    for _ in range(3):
        thread = api.thread("Tell me something")
        api.wait(api.start(api.assistant(), thread))
        answers.add(api.messages(thread)[-1]["content"][0]["text"]["value"])
    assert len(answers) == 1


def test_a_run_on_an_expired_vector_store_fails(api, monkeypatch):
    store = api("POST", "/vector_stores", {"expires_after": {"anchor": "last_active_at", "days": 1}})
    resources = {"file_search": {"vector_store_ids": [store["id"]]}}
    assistant = api.assistant(tools=[{"type": "file_search"}], tool_resources=resources)
    monkeypatch.setattr("rx_assistant.local.objects.now", lambda: store["expires_at"] + 1)
    run = api.wait(api.start(assistant, api.thread("hi")))
    assert (run["status"], run["last_error"]["message"]) == ("failed", f"Vector store {store['id']} has expired.")
    assert api("GET", f"/vector_stores/{store['id']}")["status"] == "expired"
    error = api.refused("POST", f"/vector_stores/{store['id']}/search", {"query": "x"})
    assert "expired" in error["message"]


def test_a_run_waits_until_its_files_are_taken_in(connect):
    api = connect(ingestion_delay=0.05)
    file = api.upload("a.txt", "The answer is blue.")
    store = api("POST", "/vector_stores", {"file_ids": [file["id"]]})
    assert store["status"] == "in_progress"
    resources = {"file_search": {"vector_store_ids": [store["id"]]}}
    assistant = api.assistant(tools=[{"type": "file_search"}], tool_resources=resources)
    thread = api.thread("Which answer?")
    api.wait(api.start(assistant, thread))
    assert "The answer is blue." in api.messages(thread)[-1]["content"][0]["text"]["value"]

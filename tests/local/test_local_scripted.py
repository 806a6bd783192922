"""Scenarios: what is written is what happens, delta for delta."""

from __future__ import annotations

import json
import re
import textwrap

import httpx
import pytest

from rx_assistant.errors import ConfigurationError
from rx_assistant.local.engines import ScriptedEngine, scenario

ENGINE_FAILED = {"code": "server_error", "message": "The engine failed. The server's log says why."}


def run(api, text="hi", **fields):
    return api.stream(f"/threads/{api.thread(text)}/runs", {"assistant_id": api.assistant(**fields)})


def deltas(events, kind="thread.message.delta"):
    return [data["delta"] for name, data in events if name == kind]


def texts(events):
    return [part["text"]["value"] for delta in deltas(events) for part in delta["content"] if part["type"] == "text"]


def calls(events):
    return [delta["step_details"]["tool_calls"][0] for delta in deltas(events, "thread.run.step.delta")]


@pytest.mark.parametrize(
    ("chunk", "pieces"),
    [
        ("token", ["Hello", ",", " world", "!"]),
        ("character", list("Hello, world!")),
        ("whole", ["Hello, world!"]),
        (5, ["Hello", ", wor", "ld!"]),
    ],
)
def test_texts_are_cut_as_told(connect, chunk, pieces):
    turn = [{"text": "Hello, world!"}]
    assert texts(run(connect(script={"chunk": chunk, "runs": [{"turns": [turn]}]}))) == pieces
    assert texts(run(connect(script={"runs": [{"turns": [[{**turn[0], "chunk": chunk}]]}]}))) == pieces


def test_entries_are_matched_in_order_and_used_up(connect):
    entries = [
        {"match": "weather", "times": 1, "turns": [[{"text": "first"}]]},
        {"match": "WEATHER", "turns": [[{"text": "second"}]]},
        {"turns": [[{"text": "other: {message}"}]]},
    ]
    api = connect(script={"chunk": "whole", "runs": entries})
    said = [texts(run(api, text))[0] for text in ("The weather?", "weather", "weather", "hm")]
    assert said == ["first", "second", "second", "other: hm"]


def test_a_run_that_nothing_fits_completes_without_a_word(connect):
    events = run(connect(script={"runs": [{"match": "weather", "turns": [[{"text": "x"}]]}]}))
    assert [name for name, _ in events[-2:]] == ["thread.run.completed", "done"]
    assert deltas(events) == []


def test_interleaved_calls_take_turns_in_one_step(play):
    wanted = [{"function": name, "arguments": {"n": name}, "id": name} for name in ("a", "b")]
    api = play([{"calls": wanted, "interleave": True, "chunk": 4}])
    events = run(api)
    assert [call["index"] for call in calls(events)] == [0, 1] * 4
    for index, name in enumerate("ab"):
        mine = [call["function"] for call in calls(events) if call["index"] == index]
        assert mine[0] == {"name": name, "arguments": "", "output": None}
        assert "".join(call["arguments"] for call in mine) == json.dumps({"n": name})
    assert [call["id"] for call in events[-2][1]["required_action"]["submit_tool_outputs"]["tool_calls"]] == ["a", "b"]


def test_code_has_logs_and_images(play):
    turn = [{"calls": [{"code": "plot()", "logs": ["one", "two"], "images": ["p.png"], "id": "c"}]}]
    api = play(turn)
    api.http.close()
    with httpx.Client(base_url=api.server.base_url) as api.http:
        events = run(api)
        inner = [call["code_interpreter"] for call in calls(events)]
        assert inner[0] == {"input": "", "outputs": []}
        assert inner[1] == {"input": "plot()"}
        assert inner[2:] == [
            {"outputs": [{"index": 0, "type": "logs", "logs": "one"}]},
            {"outputs": [{"index": 1, "type": "logs", "logs": "two"}]},
            {"outputs": [{"index": 2, "type": "image", "image": {"file_id": "p.png"}}]},
        ]
        step = next(data for name, data in events if name == "thread.run.step.completed")
        assert step["step_details"]["tool_calls"] == [
            {
                "id": "c",
                "type": "code_interpreter",
                "code_interpreter": {
                    "input": "plot()",
                    "outputs": [
                        {"type": "logs", "logs": "one"},
                        {"type": "logs", "logs": "two"},
                        {"type": "image", "image": {"file_id": "p.png"}},
                    ],
                },
            }
        ]


def test_messages_hold_refusals_images_and_several_parts(play):
    turn = [
        {"text": "a"},
        "new_part",
        {"text": "b"},
        {"image_url": "https://example.com/x.png", "detail": "low"},
        {"refusal": "I won't."},
        "end_step",
        {"text": "second message"},
    ]
    api = play(turn)
    events = run(api)
    done = [data["content"] for name, data in events if name == "thread.message.completed"]
    assert [part["type"] for part in done[0]] == ["text", "text", "image_url", "refusal"]
    assert done[0][3] == {"type": "refusal", "refusal": "I won't."}
    assert done[1][0]["text"]["value"] == "second message"
    assert {part["index"] for delta in deltas(events) for part in delta["content"]} == {0, 1, 2, 3}


def test_citations_stand_where_they_say(connect):
    cite = [
        {"text": "【0†a.txt】", "file": "a.txt"},
        {"text": "sandbox:/b.csv", "file": "file-123", "kind": "file_path"},
    ]
    turn = [{"text": "See 🎉【0†a.txt】 and sandbox:/b.csv and 【0†a.txt】.", "cite": cite}]
    api = connect(script={"files": {"a.txt": "content"}, "runs": [{"turns": [turn]}]})
    events = run(api)
    text = next(data for name, data in events if name == "thread.message.completed")["content"][0]["text"]
    for note in text["annotations"]:
        assert text["value"][note["start_index"] : note["end_index"]] == note["text"]
    kinds = [note["type"] for note in text["annotations"]]
    assert kinds == ["file_citation", "file_path", "file_citation"]
    assert text["annotations"][1]["file_path"] == {"file_id": "file-123"}
    indices = [
        note["index"]
        for delta in deltas(events)
        for part in delta["content"]
        for note in part["text"].get("annotations", ())
    ]
    assert indices == [0, 1, 2]
    file_id = text["annotations"][0]["file_citation"]["file_id"]
    assert api.http.get(f"/files/{file_id}/content").text == "content"


def test_usage_can_be_told(play):
    api = play([{"text": "a"}, {"usage": {"prompt_tokens": 5, "completion_tokens": 7, "cached_tokens": 2}}])
    usage = run(api)[-2][1]["usage"]
    assert (usage["prompt_tokens"], usage["total_tokens"]) == (5, 12)
    assert usage["prompt_token_details"] == {"cached_tokens": 2}


def test_placeholders_are_filled(play):
    call = {"calls": [{"function": "look", "id": "c1"}]}
    api = play([call], [{"text": "{message}|{outputs}|{output:c1}|{output:look}|{output:none}|{other}"}])
    waiting = api.wait(api.start(api.assistant(), api.thread("hm")))
    api.wait(api.answer(waiting), "completed")
    newest = api.messages(waiting["thread_id"])[-1]
    assert newest["content"][0]["text"]["value"] == "hm|ok|ok|ok|{output:none}|{other}"


@pytest.mark.parametrize(
    ("step", "status", "error"),
    [
        ({"fail": "no"}, "failed", {"code": "server_error", "message": "no"}),
        ({"fail": "no", "code": "invalid_prompt"}, "failed", {"code": "invalid_prompt", "message": "no"}),
        (
            {"raise": "oops"},
            "failed",
            ENGINE_FAILED,
        ),
        ({"incomplete": "max_prompt_tokens"}, "incomplete", None),
        ({"error_event": "gone"}, "failed", {"code": "server_error", "message": "gone"}),
        ("expire", "expired", None),
    ],
)
def test_every_ending(play, step, status, error):
    api = play([{"text": "a"}, step, {"text": "never said"}])
    ended = api.wait(api.start(api.assistant(), api.thread("hi")))
    assert (ended["status"], ended["last_error"]) == (status, error)
    message = api.messages(ended["thread_id"])[-1]
    assert message["content"][0]["text"]["value"] == "a"
    assert message["status"] == "incomplete"
    api.start(api.assistant(), ended["thread_id"])


def test_a_filtered_message_says_so(play):
    api = play([{"text": "a"}, {"fail": "filtered", "reason": "content_filter"}])
    ended = api.wait(api.start(api.assistant(), api.thread("hi")))
    assert api.messages(ended["thread_id"])[-1]["incomplete_details"] == {"reason": "content_filter"}


def test_a_cut_breaks_the_connection_and_not_the_run(play):
    api = play([{"text": "a"}, "cut", {"text": "b"}])
    thread = api.thread("hi")
    body = {"assistant_id": api.assistant(), "stream": True}
    with (
        api.http.stream("POST", f"/threads/{thread}/runs", json=body) as response,
        pytest.raises(httpx.RemoteProtocolError),
    ):
        response.read()
    ended = api.wait(api("GET", f"/threads/{thread}/runs")["data"][0])
    assert ended["status"] == "completed"
    assert api.messages(thread)[-1]["content"][0]["text"]["value"] == "ab"


@pytest.mark.unjudged
def test_raw_bytes_go_into_the_stream_as_they_are(play):
    api = play([{"raw": ": ping\n\nevent: thread.future\ndata: {}\n\n"}, {"text": "a"}])
    thread = api.thread("hi")
    body = {"assistant_id": api.assistant(), "stream": True}
    assert (
        b"\n\n: ping\n\nevent: thread.future\ndata: {}\n\n"
        in api.http.post(f"/threads/{thread}/runs", json=body).content
    )


@pytest.mark.unjudged
def test_faults_take_the_place_of_replies(connect):
    faults = [
        {"request": "POST /threads", "status": 429, "times": 1, "headers": {"retry-after": "3"}},
        {"request": "* /assistants/*", "status": 200, "html": "<p>Back soon.</p>"},
    ]
    api = connect(script={"faults": faults})
    refused = api.http.post("/threads")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "3")
    assert set(refused.json()["error"]) == {"message", "type", "param", "code"}
    assert api.http.post("/threads").status_code == 200
    for _ in range(2):
        page = api.http.get("/assistants/asst_1")
        assert (page.status_code, page.text) == (200, "<p>Back soon.</p>")
    assert [record.path for record in api.server.requests][:2] == ["/v1/threads"] * 2


def test_function_calls_must_come_last_in_a_turn(play):
    api = play([{"calls": [{"function": "f"}]}, {"text": "too late"}])
    ended = api.wait(api.start(api.assistant(), api.thread("hi")))
    assert ended["status"] == "failed"
    assert "last thing in a turn" in ended["last_error"]["message"]


def test_scenarios_are_read_from_yaml_and_json_files(tmp_path, connect):
    scenario = {"chunk": "whole", "runs": [{"turns": [[{"text": "from a file"}]]}]}
    (tmp_path / "a.json").write_text(json.dumps(scenario))
    (tmp_path / "a.yaml").write_text("chunk: whole\nruns:\n  - turns:\n      - - text: from a file\n")
    for name in ("a.json", "a.yaml"):
        assert texts(run(connect(script=tmp_path / name))) == ["from a file"]


@pytest.mark.parametrize(
    ("scenario", "complaint"),
    [
        ({"runs": [{"turns": [[{"txt": "a"}]]}]}, r"'txt'"),
        ({"runs": [{"turns": [["jump"]]}]}, r"'jump'.*'cut'"),
        ({"runs": [{}]}, r"Missing.*'runs\[0\].turns'"),
        ({"runs": [{"match": "(", "turns": []}]}, r"runs\[0\].match.*regular expression"),
        ({"chunk": 0}, r"'chunk'"),
        ({"walk": []}, r"Unknown.*'walk'"),
        ({"faults": [{"request": "POST", "status": 1}]}, r"faults\[0\]"),
    ],
)
def test_a_wrong_scenario_says_what_is_wrong_where(scenario, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        ScriptedEngine(scenario)


def test_a_file_that_is_no_scenario_says_so(tmp_path):
    (tmp_path / "a.yaml").write_text("[unclosed")
    with pytest.raises(ConfigurationError, match=r"a\.yaml"):
        ScriptedEngine(tmp_path / "a.yaml")
    with pytest.raises(ConfigurationError, match="missing"):
        ScriptedEngine(tmp_path / "missing.yaml")


def test_the_documented_example_is_a_scenario_and_plays(tmp_path, connect):
    example = textwrap.dedent(scenario.__doc__.split("\n\n")[1])
    (tmp_path / "a.yaml").write_text(example)
    api = connect(script=tmp_path / "a.yaml")
    assert api.http.post("/threads/thread_1/runs").status_code == 429
    assert api.http.post("/threads/thread_1/runs").status_code == 429
    events = run(api, "weather?")
    assert "".join(texts(events)) == "Let me look."
    asked = events[-2][1]["required_action"]["submit_tool_outputs"]["tool_calls"]
    assert [call["function"]["arguments"] for call in asked] == ['{"city": "Paris"}', '{"city": "Ro']


def test_every_step_is_documented():
    documented = set(re.findall(r"^    (\w+): ", scenario.__doc__.split("Steps of a turn:")[1], re.MULTILINE))
    assert documented == set(scenario.STEPS)
    assert all(word in scenario.__doc__ for word in scenario.WORDS)

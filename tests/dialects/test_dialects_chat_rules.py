"""Each rule about what servers of Chat Completions send, with the smallest body that shows it."""

from __future__ import annotations

import json
from typing import Any

import dialects_turns as turns
import pytest
from cases import in_one_test
from dialects_styles import chunk

from rx_assistant import from_events, operators as ax
from rx_assistant.events import UnknownEvent


def body(*chunks: dict[str, Any] | list[Any], done: bool = True) -> bytes:
    lines = [b"data: " + json.dumps(one).encode() for one in chunks]
    return b"\n\n".join([*lines, b"data: [DONE]"] if done else lines) + b"\n\n"


def call(name: str | None = None, arguments: Any = None, **more: Any) -> dict[str, Any]:
    return chunk({"tool_calls": [{"function": {"name": name, "arguments": arguments}, **more}]})


TEXT = chunk({"content": "Hello"})
STOP = chunk({}, "stop")

CALLS = {
    "the same index with another id is a new call": (
        [call("f", "{}", index=0, id="a"), call("g", "{}", index=0, id="b")],
        [("a", "f", "{}"), ("b", "g", "{}")],
    ),
    "an index that was never seen, without id and name, goes on": (
        [call("f", '{"x"', index=0, id="a"), call(None, ":1}", index=1)],
        [("a", "f", '{"x":1}')],
    ),
    "id and name are never put together": (
        [call("f", '{"x"', index=0, id="a"), call("f", ":1}", index=0, id="a")],
        [("a", "f", '{"x":1}')],
    ),
    "arguments that are an object become JSON": ([call("f", {"x": 1}, index=0, id="a")], [("a", "f", '{"x":1}')]),
    "arguments that never come are empty": ([call("f", None, index=0, id="a")], [("a", "f", "")]),
    "indices of text are indices": (
        [call("f", "{", index="0", id="a"), call(None, "}", index="0")],
        [("a", "f", "{}")],
    ),
    "the same name without index and id is a new call when the last one is whole": (
        [call("f", '{"x":1}', id="a"), call("f", '{"x":2}')],
        [("a", "f", '{"x":1}'), ("call_6", "f", '{"x":2}')],
    ),
    "and goes on while it is not": ([call("f", '{"x"', id="a"), call("f", ":2}")], [("a", "f", '{"x":2}')]),
    "an id that another call has is replaced": (
        [call("f", "{}", index=0, id="a"), call("g", "{}", index=1, id="a")],
        [("a", "f", "{}"), ("call_6", "g", "{}")],
    ),
    "the legacy field before the list does not run into it": (
        [chunk({"function_call": {"name": "f", "arguments": "{}"}}), call("g", "{}", index=0, id="a")],
        [("call_1", "f", "{}"), ("a", "g", "{}")],
    ),
    "name and arguments beside the id": (
        [chunk({"tool_calls": [{"index": 0, "id": "a", "name": "f", "arguments": "{}"}]})],
        [("a", "f", "{}")],
    ),
    "a call whose name never comes is kept": ([call(None, "{}", index=0, id="a")], [("a", "", "{}")]),
}


@pytest.mark.parametrize("claim", CALLS)
def test_calls(claim: str) -> None:
    chunks, expected = CALLS[claim]
    found = turns.chat(body(*chunks, STOP)).calls
    assert [(name, arguments) for _, name, arguments in found] == [one[1:] for one in expected]
    assert [id for id, _, _ in found if not id.startswith("call_")] == [
        id for id, _, _ in expected if not id.startswith("call_")
    ]
    assert len({id for id, _, _ in found}) == len(found)


ENDINGS = {
    "stop completes": ([TEXT, STOP], True, "completed", None),
    "null and [DONE] complete": ([TEXT, chunk({}, None)], True, "completed", None),
    "a finish_reason is enough without [DONE]": ([TEXT, STOP], False, "completed", None),
    "neither is a broken stream": ([TEXT], False, "failed", "broke off"),
    "length is incomplete": ([TEXT, chunk({}, "length")], True, "incomplete", None),
    "length stays, whatever error follows": (
        [TEXT, chunk({}, "length"), {"error": {"message": "no"}}], True, "incomplete", None,
    ),
    "length with half a call is incomplete": (
        [call("f", '{"x', index=0, id="a"), chunk({}, "length")], True, "incomplete", None,
    ),
    "content_filter fails": ([TEXT, chunk({}, "content_filter")], True, "failed", "content_filter"),
    "words of other protocols in any case of letters": ([TEXT, chunk({}, "MAX_TOKENS")], True, "incomplete", None),
    "model_length is a length": ([TEXT, chunk({}, "model_length")], True, "incomplete", None),
    "SAFETY is a filter": ([TEXT, chunk({}, "SAFETY")], True, "failed", "content_filter"),
    "an unknown word does not decide": ([TEXT, chunk({}, "EOS_TOKEN")], True, "completed", None),
    "the detail of a web framework": ([{"detail": "no such model"}], False, "failed", "no such model"),
    "and after some text": ([TEXT, {"message": "no memory", "code": 500}], False, "failed", "no memory"),
    "the word error fails": ([TEXT, chunk({}, "error")], True, "failed", "'error'"),
    "the last word counts": ([TEXT, chunk({}, "length"), STOP], True, "completed", None),
    "no content is no answer": ([STOP], True, "failed", "gave no answer"),
    "reasoning alone is no answer": ([chunk({"reasoning": "hm"}), STOP], True, "failed", "gave no answer"),
    "an empty body is no answer": ([], False, "failed", "gave no answer"),
    "an error as an object": ([TEXT, {"error": {"message": "overloaded"}}], False, "failed", "overloaded"),
    "an error as text": ([TEXT, {"error": "overloaded"}], False, "failed", "overloaded"),
    "an error of vLLM": ([{"object": "error", "message": "too long", "code": 400}], False, "failed", "too long"),
    "an error in a list": ([[{"error": {"code": 400, "message": "bad"}}]], False, "failed", "bad"),
    "an error with detail": ([{"error": {"detail": "what now"}}], False, "failed", "what now"),
    "an error beside a choice": (
        [{"choices": [{"index": 0, "delta": {}, "error": {"message": "upstream"}}]}], False, "failed", "upstream",
    ),
}  # fmt: skip


CHUNKS = {
    "content as one object": (b'{"choices":[{"delta":{"content":{"type":"text","text":"Hi"}}}]}', "Hi"),
    "one choice that is no list, its index in quotes": (b'{"choices":{"index":"0","delta":{"content":"Hi"}}}', "Hi"),
    "bytes that are not UTF-8": (b'{"choices":[{"index":0,"delta":{"content":"H\xff"}}]}', "H\ufffd"),
    "a number of 5,000 digits": (b'{"n":%s,"choices":[{"delta":{"content":"Hi"}}]}' % (b"9" * 5000), "Hi"),
    "endless and missing numbers": (
        b'{"usage":{"prompt_tokens":1e400,"total_tokens":NaN},"choices":[{"delta":{"content":"Hi"}}]}', "Hi",
    ),
    "an index of 5,000 digits": (
        b'{"choices":[{"index":0,"delta":{"content":"Hi","tool_calls":[{"index":"%s"}]}}]}' % (b"9" * 5000), "Hi",
    ),
}  # fmt: skip


@pytest.mark.parametrize("claim", CHUNKS)
def test_what_is_off_costs_only_itself(claim: str) -> None:
    sent, text = CHUNKS[claim]
    assert turns.chat(b"data: " + sent + b"\n\n" + body(STOP)).text == text


def test_counts_may_be_text_and_the_end_may_have_blanks() -> None:
    usage = chunk({}, "stop") | {"usage": {"prompt_tokens": "3", "completion_tokens": 4.0}}
    run = turns.chat(body(TEXT, usage, done=False) + b"data:   [DONE] \n\n").run
    assert run.usage is not None
    assert (run.usage.prompt_tokens, run.usage.completion_tokens, run.usage.total_tokens) == (3, 4, 7)
    assert run.status == "completed"
    assert turns.chat(body(TEXT, done=False) + b"data:   [DONE] \n\n").run.status == "completed"


@in_one_test("claim", ENDINGS)
def test_endings(claim: str) -> None:
    chunks, done, status, words = ENDINGS[claim]
    run = turns.chat(body(*chunks, done=done)).run
    assert run.status == status
    if words is None:
        assert run.last_error is None
    else:
        assert run.last_error is not None
        assert words in run.last_error.message


FRAMINGS = {
    "an event named error": (b"event: error\ndata: it broke\n\n", "it broke"),
    "a field called error": (b'data: {"choices":[{"delta":{"content":"a"}}]}\nerror: {"message":"gpu"}\n\n', "gpu"),
    "JSON of an error instead of a stream": (b'\n {"error": {"message": "no such model"}}', "no such model"),
    "text instead of a stream": (b"upstream timed out\n", "upstream timed out"),
    "HTML instead of a stream": (b"<html><body>Bad gateway</body></html>", "Bad gateway"),
}


@pytest.mark.parametrize("claim", FRAMINGS)
def test_the_words_of_an_odd_body_are_in_the_error(claim: str) -> None:
    sent, words = FRAMINGS[claim]
    run = turns.chat(sent).run
    assert run.status == "failed"
    assert run.last_error is not None
    assert words in run.last_error.message


def test_json_instead_of_a_stream_is_one_chunk() -> None:
    message = {"role": "assistant", "content": "Hi", "tool_calls": [{"id": "a", "function": {"name": "f"}}]}
    sent = {"object": "chat.completion", "choices": [{"message": message, "finish_reason": "stop"}]}
    found = turns.chat(json.dumps(sent, indent=2).encode())
    assert (found.text, found.calls, found.run.status) == ("Hi", [("a", "f", "")], "requires_action")


def test_a_message_beside_deltas_is_not_read_again() -> None:
    first, second = chunk({"content": "a"}), chunk({"content": "b"})
    first["choices"][0]["message"], second["choices"][0]["message"] = {"content": "a"}, {"content": "ab"}
    assert turns.chat(body(first, second, STOP)).text == "ab"


THOUGHTS = {
    "whole": (["<think>why</think>so"], "why", "so"),
    "in single characters": ([*" <think>why\n</think>\n\nso"], "why", "so"),
    "never closed": (["<think>why", " not"], "", "<think>why not"),
    "not at the beginning": (["a <think>b</think>"], "", "a <think>b</think>"),
    "another tag": (["<thin", "g>x"], "", "<thing>x"),
    "a tag inside": (["<think>a <b> c</think>d"], "a <b> c", "d"),
}


@pytest.mark.parametrize("claim", THOUGHTS)
def test_a_leading_think_tag(claim: str) -> None:
    pieces, reasoning, text = THOUGHTS[claim]
    sent = body(*(chunk({"content": piece}) for piece in pieces), STOP)
    found = turns.chat(sent)
    assert (found.reasoning, found.text) == (reasoning, text)
    assert turns.chat(sent, thinking="text").text == "".join(pieces)


def test_a_call_ends_the_wait_for_the_closing_tag() -> None:
    found = turns.chat(body(chunk({"content": "<think>a"}), call("f", "{}", index=0, id="a"), STOP))
    assert (found.text, len(found.calls)) == ("<think>a", 1)


def test_text_after_a_call_is_kept_beside_the_run_and_blanks_are_dropped() -> None:
    begin = call("f", "{}", index=0, id="a")
    assert turns.chat(body(begin, chunk({"content": "\n"}), STOP)).late == ""
    found = turns.chat(body(TEXT, begin, chunk({"content": "\n"}), chunk({"content": "also"}), STOP))
    assert (found.text, found.late, found.run.status) == ("Hello", "also", "requires_action")


def test_half_a_surrogate_pair_waits_for_its_other_half() -> None:
    lines = [
        rb'data: {"choices":[{"delta":{"content":"%s"}}]}' % half for half in (rb"a\ud83d", rb"\ude00b", rb"\ud83d")
    ]
    found = turns.chat(b"\n\n".join([*lines, b"data: [DONE]\n\n"]))
    assert found.text == "a\U0001f600b\ufffd"


def test_other_choices_are_kept_as_unknown_events_and_may_be_picked() -> None:
    second = chunk({"content": "two"})
    second["choices"][0]["index"] = 1
    found = turns.chat(body(second, TEXT, STOP))
    assert found.text == "Hello"
    kept = [event for event in found.events if isinstance(event, UnknownEvent)]
    assert [event.json() for event in kept] == [second]
    assert turns.chat(body(TEXT, second, STOP), choice=1).text == "two"


def test_an_event_shows_the_payload_it_was_read_from() -> None:
    sent = chunk({"content": "a"}, None, vendor={"x": 1})
    delta = next(one for one in turns.chat(body(sent, STOP)).events if one.event == "thread.message.delta")
    assert delta.source == sent


@in_one_test("junk", [None, 0, "", "x", [], [None], {}, {"a": 1}, True, 1e400])
@in_one_test("member", ["choices", "usage", "x_groq", "model", "error"])
def test_a_member_of_the_wrong_type_costs_that_member(member: str, junk: object) -> None:
    found = turns.chat(body(TEXT, {**chunk({}), member: junk}, STOP))
    assert found.text == "Hello"
    assert found.run.status == ("failed" if member == "error" and junk else "completed")


@in_one_test("junk", [0, "x", [], [None], [0], ["a"], {}, {"a": 1}, True, [{}], [{"function": 0}]])
@in_one_test("member", ["content", "refusal", "reasoning", "reasoning_details", "tool_calls", "audio", "function_call"])
def test_a_delta_of_the_wrong_type_raises_nothing(member: str, junk: object) -> None:
    found = turns.chat(body(TEXT, chunk({member: junk}), STOP))
    assert found.text.startswith("Hello")


def test_the_operators_read_a_translated_stream() -> None:
    events = turns.chat(body(chunk({"reasoning": "hm "}), chunk({"reasoning": "yes"}), TEXT, STOP)).events
    stream = from_events(events)
    assert list(stream.pipe(ax.reasoning_deltas())) == ["hm ", "yes"]
    assert list(stream.pipe(ax.text_deltas())) == ["Hello"]
    assert stream.snapshot.run is not None
    assert stream.snapshot.messages[0].content[0].text.value == "Hello"

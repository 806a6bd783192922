"""What an engine sees of a thread: messages, calls where they happened, and the notes that it left."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from rx_assistant.dialects.history import CallRound, HistoryMessage, ImageFilePart, ImageUrlPart, TextPart
from rx_assistant.local import RunContext
from rx_assistant.local.engine import Arguments, EndStep, FileSearch, FunctionCall, Note, Text
from rx_assistant.local.store import Store

TOOLS = [{"type": "function", "function": {"name": "f", "strict": True, "parameters": {}}}, {"type": "file_search"}]


class Keeping:
    """An engine that keeps its contexts, and gives these actions, a list a turn."""

    def __init__(self, *turns: list) -> None:
        self.contexts: list[RunContext] = []
        self._turns = list(turns)

    async def run(self, context: RunContext):
        self.contexts.append(context)
        for action in self._turns.pop(0) if self._turns else [Text("done")]:
            yield action


def told(context: RunContext) -> list[str]:
    """The history in short."""
    return [
        item.text if isinstance(item, HistoryMessage) else "+".join(f"{call.id}={call.output}" for call in item.calls)
        for item in context.history
    ]


def call(id: str) -> list:
    return [FunctionCall("f", id=id), Arguments("{}")]


def test_calls_of_this_and_of_earlier_runs_stand_where_they_happened(connect) -> None:
    engine = Keeping([Text("one"), *call("a")], [Text("two"), *call("b")], [Text("three")], call("c"))
    api = connect(engine=engine)
    assistant, thread = api.assistant(tools=TOOLS), api.thread("first")
    api.wait(api.answer(api.wait(api.answer(api.wait(api.start(assistant, thread))))))
    api("POST", f"/threads/{thread}/messages", {"role": "user", "content": "second"})
    api.wait(api.answer(api.wait(api.start(assistant, thread))))
    assert told(engine.contexts[2]) == ["first", "one", "a=ok", "two", "b=ok"]
    assert told(engine.contexts[4]) == ["first", "one", "a=ok", "two", "b=ok", "three", "second", "c=ok"]
    assert engine.contexts[0].functions[0].strict is True


def test_a_round_that_was_never_answered_is_no_history(connect) -> None:
    engine = Keeping(call("a"))
    api = connect(engine=engine)
    assistant, thread = api.assistant(tools=TOOLS), api.thread("first")
    run = api.wait(api.start(assistant, thread))
    api("POST", f"/threads/{thread}/runs/{run['id']}/cancel", {})
    api.wait(run, "cancelled")
    api("POST", f"/threads/{thread}/messages", {"role": "user", "content": "second"})
    api.wait(api.start(assistant, thread))
    assert told(engine.contexts[1]) == ["first", "second"]


@pytest.mark.parametrize(
    ("limit", "history"),
    [
        ({"truncation_strategy": {"type": "last_messages", "last_messages": 1}}, ["second"]),
        ({"truncation_strategy": {"type": "last_messages", "last_messages": 2}}, ["after", "second"]),
        ({"truncation_strategy": {"type": "last_messages", "last_messages": 3}}, ["first", "a=ok", "after", "second"]),
        ({"max_prompt_tokens": 256}, ["after", "second"]),
    ],
)
def test_truncation_never_parts_a_call_from_its_output(connect, limit, history) -> None:
    long = [FunctionCall("f", id="a"), Arguments(json.dumps(" word" * 300))]
    engine = Keeping(long if "max_prompt_tokens" in limit else call("a"), [Text("after")])
    api = connect(engine=engine)
    assistant, thread = api.assistant(tools=TOOLS), api.thread("first")
    api.wait(api.answer(api.wait(api.start(assistant, thread))))
    api("POST", f"/threads/{thread}/messages", {"role": "user", "content": "second"})
    api.wait(api.start(assistant, thread, **limit))
    assert told(engine.contexts[2]) == history


def test_the_message_that_a_run_answers_is_never_truncated(connect) -> None:
    engine = Keeping([Text("one"), *call("a")], [Text("two")])
    api = connect(engine=engine)
    strategy = {"type": "last_messages", "last_messages": 1}
    run = api.start(api.assistant(tools=TOOLS), api.thread("zero", "first"), truncation_strategy=strategy)
    api.wait(api.answer(api.wait(run)))
    assert told(engine.contexts[1]) == ["first", "one", "a=ok"]


def test_the_parts_of_a_message_keep_their_order(connect) -> None:
    engine = Keeping()
    api = connect(engine=engine)
    file = api.upload("a.png", b"\x89PNG", "vision")
    parts = [
        {"type": "image_file", "image_file": {"file_id": file["id"], "detail": "high"}},
        {"type": "text", "text": "between"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    thread = api("POST", "/threads", {"messages": [{"role": "user", "content": parts}]})["id"]
    api.wait(api.start(api.assistant(), thread))
    (message,) = engine.contexts[0].history
    assert isinstance(message, HistoryMessage)
    image, text, url = message.parts
    assert image == ImageFilePart(file["id"], "high")
    assert text == TextPart("between")
    assert isinstance(url, ImageUrlPart)


def test_a_note_comes_back_with_its_step_and_is_never_sent_out(connect) -> None:
    engine = Keeping(
        [Note({"secret": 1}), Text("one"), Note({"secret": 2}), *call("a"), Note({"secret": 3})],
        [FileSearch(()), Note({"secret": 4}), EndStep(), Text("two")],
    )
    api = connect(engine=engine)
    assistant, thread = api.assistant(tools=TOOLS), api.thread("first")
    run = api.wait(api.start(assistant, thread))
    events = api.stream(
        f"/threads/{thread}/runs/{run['id']}/submit_tool_outputs",
        {"tool_outputs": [{"tool_call_id": "a", "output": "ok"}]},
    )
    assert "secret" not in json.dumps([events, api.steps(run), api.messages(thread)])
    api("POST", f"/threads/{thread}/messages", {"role": "user", "content": "second"})
    api.wait(api.start(assistant, thread))
    notes = [[note["secret"] for note in item.notes] for item in engine.contexts[2].history]
    assert notes == [[], [1, 2], [3], [4], [], []]
    bare = engine.contexts[2].history[3]
    assert isinstance(bare, CallRound)
    assert bare.calls == ()


def test_notes_of_a_step_are_stored_together_and_as_they_were(connect, monkeypatch) -> None:
    written: list[str] = []
    put = Store.put

    def counted(store, kind, *args, **more):
        written.append(kind)
        put(store, kind, *args, **more)

    monkeypatch.setattr(Store, "put", counted)

    class Noting(Keeping):
        async def run(self, context: RunContext):
            self.contexts.append(context)
            seen: list[int] = []
            yield Text("one")
            for number in range(300):
                seen[:] = [number]
                yield Note({"seen": seen})

    engine = Noting()
    api = connect(engine=engine)
    assistant, thread = api.assistant(), api.thread("first")
    api.wait(api.start(assistant, thread))
    assert len(written) < 30
    api("POST", f"/threads/{thread}/messages", {"role": "user", "content": "second"})
    api.wait(api.start(assistant, thread))
    assert [note["seen"] for note in engine.contexts[1].history[1].notes] == [[number] for number in range(300)]


@pytest.mark.parametrize("value", [{"a": object()}, {"a": float("nan")}, {1: "a"}, ["a"]])
def test_a_note_that_is_not_a_json_object_fails_the_run(connect, value) -> None:
    api = connect(engine=Keeping([Note(value)]))
    run = api.wait(api.start(api.assistant(), api.thread("hi")))
    assert "Note.value" in run["last_error"]["message"]


def test_an_engine_reads_the_files_that_clients_uploaded(connect) -> None:
    async def run(context: RunContext):
        for id in context.messages[-1].text.split():
            yield Text((await context.read_file(id)).decode())

    api = connect(engine=SimpleNamespace(run=run))
    file = api.upload("a.txt", "content")
    done = api.wait(api.start(api.assistant(), api.thread(file["id"])))
    assert api.messages(done["thread_id"])[-1]["content"][0]["text"]["value"] == "content"
    failed = api.wait(api.start(api.assistant(), api.thread("file-none")))
    assert failed["last_error"]["message"] == "File file-none does not exist."


@pytest.mark.parametrize(("limits_itself", "status"), [(True, "completed"), (False, "incomplete")])
def test_an_engine_that_limits_itself_is_not_cut(connect, limits_itself, status) -> None:
    engine = Keeping([Text("word " * 300)])
    if limits_itself:
        engine.limits_itself = True
    api = connect(engine=engine)
    run = api.wait(api.start(api.assistant(), api.thread("hi"), max_completion_tokens=256))
    assert (run["status"], engine.contexts[0].max_completion_tokens) == (status, 256)

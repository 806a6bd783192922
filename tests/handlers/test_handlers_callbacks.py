"""Each callback: when it is called, and with what; views for what is on its way, models for what is done."""

from __future__ import annotations

from typing import Any

import pytest
from cases import in_one_test
from handlers_faces import CALLBACKS, Face, got, on_every_face, recorder
from handlers_wire import (
    CALL,
    DONE,
    begun,
    calling,
    citation,
    code,
    ended,
    frame,
    function,
    image_file,
    image_url,
    logs,
    message,
    message_delta,
    piece,
    required,
    run,
    saying,
    step,
    step_delta,
    text,
    whole_code,
    whole_function,
)

from rx_assistant import types as t
from rx_assistant.events import StreamEvent, ThreadMessageDelta

IMAGE = {"index": 1, "type": "image", "image": {"file_id": "file_9"}}
EVERYTHING = [
    *begun(),
    step("created"),
    step_delta(code("1", call_id=CALL, outputs=[])),
    step_delta(code(outputs=[logs("2", 0), IMAGE])),
    step_delta(function("{", 1, call_id="call_2", name="f")),
    run("requires_action", required=[required("call_2", "f", "{}")]),
    step("completed", [whole_code(CALL, "1", [logs("2"), IMAGE]), whole_function("call_2", output="3")]),
    message("created"),
    message_delta(piece("a", annotations=[citation(0, 1, index=0)])),
    message_delta({"index": 1, **image_file()}, {"index": 2, **image_url()}),
    message_delta({"index": 3, "type": "refusal", "refusal": "No."}),
    message(
        "completed", [text("a", [citation(0, 1)]), image_file(), image_url(), {"type": "refusal", "refusal": "No."}]
    ),
    *ended(),
]
"""A stream in which each callback is called, but for those of failures."""

MODELS: dict[str, tuple[Any, ...]] = {
    "on_event": (StreamEvent,),
    "on_run_status": (t.Run,),
    "on_requires_action": (t.Run,),
    "on_run_step_created": (t.RunStep,),
    "on_run_step_delta": (t.RunStepDelta, t.RunStep),
    "on_run_step_done": (t.RunStep,),
    "on_message_created": (t.Message,),
    "on_message_delta": (t.MessageDelta, t.Message),
    "on_message_done": (t.Message,),
    "on_text_created": (t.Text,),
    "on_text_delta": (t.TextDelta, t.Text),
    "on_text_done": (t.Text,),
    "on_annotation": (t.FileCitationDeltaAnnotation, t.Text),
    "on_refusal_delta": (t.RefusalDeltaBlock, t.RefusalContentBlock),
    "on_refusal_done": (t.RefusalContentBlock,),
    "on_image_file_done": (t.ImageFile,),
    "on_image_url_done": (t.ImageURL,),
    "on_tool_call_created": ((t.CodeInterpreterToolCall, t.FunctionToolCall),),
    "on_tool_call_delta": (
        (t.CodeInterpreterToolCallDelta, t.FunctionToolCallDelta),
        (t.CodeInterpreterToolCall, t.FunctionToolCall),
    ),
    "on_tool_call_done": ((t.CodeInterpreterToolCall, t.FunctionToolCall),),
    "on_code_output": ((t.CodeInterpreterLogs, t.CodeInterpreterOutputImage), t.CodeInterpreterToolCall),
    "on_end": (),
    "on_timeout": (),
    "on_exception": (Exception,),
}


def test_the_table_knows_every_callback() -> None:
    assert set(MODELS) == set(CALLBACKS)


@on_every_face
async def test_each_callback_gets_what_its_signature_says(face: Face) -> None:
    handler = await face.ran(recorder(face, show=lambda self, name, *given: (name, given)), *EVERYTHING)
    assert {name for name, _ in handler.calls} == set(CALLBACKS) - {"on_timeout", "on_exception"}
    for name, given in handler.calls:
        assert len(given) == len(MODELS[name])
        assert all(isinstance(one, kind) for one, kind in zip(given, MODELS[name], strict=True)), name


@on_every_face
async def test_what_is_done_is_a_plain_model(face: Face) -> None:
    names = [name for name in CALLBACKS if name.endswith("_done")]
    handler = await face.ran(recorder(face, names=names, show=lambda self, name, done: done), *EVERYTHING)
    assert len(handler.calls) == 8
    assert all(done.to_model() is done for done in handler.calls)
    assert {type(done) for done in handler.calls} <= {getattr(t, type(done).__name__) for done in handler.calls}


@on_every_face
async def test_what_is_on_its_way_stays_as_it_was(face: Face) -> None:
    names = [name for name in CALLBACKS if name.endswith(("_created", "_delta"))]
    kept: list[tuple[Any, Any]] = []

    def keep(handler: Any, name: str, *given: Any) -> None:
        kept.extend((one, one.model_dump()) for one in given)

    await face.ran(recorder(face, names=names, show=keep), *EVERYTHING)
    unread: list[Any] = []
    await face.ran(recorder(face, names=names, show=lambda self, name, *given: unread.extend(given)), *EVERYTHING)
    assert [one.model_dump() for one, _ in kept] == [dumped for _, dumped in kept]
    assert [one.model_dump() for one in unread] == [dumped for _, dumped in kept]


@on_every_face
async def test_a_handler_of_texts_builds_no_model_of_a_delta(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[StreamEvent] = []
    decode = StreamEvent._decode

    def counting(event: StreamEvent) -> Any:
        built.append(event)
        return decode(event)

    monkeypatch.setattr(StreamEvent, "_decode", counting)
    show = {"on_text_delta": lambda handler, name, delta, snapshot: delta.value + snapshot.value}
    handler = recorder(face, names=show, show=show["on_text_delta"])
    await face.ran(handler, *saying("Hel", "lo"))
    assert handler.calls == ["HelHel", "loHello"]
    assert [event for event in built if isinstance(event, ThreadMessageDelta)] == []
    assert len(built) <= len(saying()), "and each other event once"


@on_every_face
async def test_handlers_share_what_was_parsed(face: Face, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[StreamEvent] = []
    decode = StreamEvent._decode

    def counting(event: StreamEvent) -> Any:
        built.append(event)
        return decode(event)

    monkeypatch.setattr(StreamEvent, "_decode", counting)
    handlers = [recorder(face, show=lambda self, name, *given: [dump(one) for one in given]) for _ in range(4)]
    stream = face.stream(*EVERYTHING, handler=handlers[0])
    for handler in handlers[1:]:
        stream.attach(handler)
    async with face.block(stream):
        await got(stream.until_done())
    assert len(built) == len(EVERYTHING) - 1, "done is the only event whose data is not read"


def dump(given: Any) -> Any:
    return given.data.model_dump() if isinstance(given, StreamEvent) else given.model_dump()


# -- runs ------------------------------------------------------------------------------------------------------------


@on_every_face
async def test_each_status_of_a_run_is_reported_once(face: Face) -> None:
    names = ["on_run_status", "on_requires_action"]
    sent = [
        *begun(),
        run("requires_action", required=[required()]),
        run("requires_action", required=[required()]),
        run("queued"),
        run("in_progress"),
        run("requires_action", required=[required("call_2")]),
        frame("thread.run.completed", {"id": "run_1", "status": "incomplete"}),
        DONE,
    ]
    handler = await face.ran(recorder(face, names=names, show=lambda self, name, now: (name[3:], now.status)), *sent)
    waiting = [("run_status", "requires_action"), ("requires_action", "requires_action")]
    going = [("run_status", "queued"), ("run_status", "in_progress")]
    assert handler.calls == [*going, *waiting, *going, *waiting, ("run_status", "incomplete")]


@on_every_face
async def test_required_action_is_reported_after_the_calls_are_done(face: Face) -> None:
    names = ["on_tool_call_done", "on_run_status", "on_requires_action", "on_end"]
    handler = await face.ran(recorder(face, names=names), *calling("{}"))
    assert handler.calls[-4:] == ["on_tool_call_done", "on_run_status", "on_requires_action", "on_end"]


@on_every_face
async def test_required_action_says_what_to_answer(face: Face) -> None:
    def show(handler: Any, name: str, now: Any) -> Any:
        return [(one.id, one.function.arguments) for one in now.required_action.submit_tool_outputs.tool_calls]

    handler = await face.ran(recorder(face, names=["on_requires_action"], show=show), *calling("{", "}"))
    assert handler.calls == [[(CALL, "{}")]]


# -- annotations and outputs -----------------------------------------------------------------------------------------


def annotated(handler: Any, name: str, annotation: Any, around: Any) -> Any:
    return annotation.start_index, around.value, [one.start_index for one in around.annotations]


ANNOTATED = {
    "in deltas": (
        [
            message("created"),
            message_delta(piece("[0]", annotations=[citation(0, 3, index=0)])),
            message_delta(piece("[3][6]", annotations=[citation(3, 6, index=1), citation(6, 9, index=2)])),
            message("completed", [text("[0][3][6]", [citation(0, 3), citation(3, 6), citation(6, 9)])]),
        ],
        [(0, "[0]", [0]), (3, "[0][3][6]", [0, 3, 6]), (6, "[0][3][6]", [0, 3, 6])],
    ),
    "in the created message": (
        [message("created", [text("[0]", [citation(0, 3)])]), message("completed", [text("[0]", [citation(0, 3)])])],
        [(0, "[0]", [0])],
    ),
    "only in the completed message": (
        [
            message("created"),
            message_delta(piece("[0][3]")),
            message("completed", [text("[0][3]", [citation(0, 3), citation(3, 6)])]),
        ],
        [(0, "[0][3]", [0, 3]), (3, "[0][3]", [0, 3])],
    ),
    "the last only in the completed message": (
        [
            message("created"),
            message_delta(piece("[0][3]", annotations=[citation(0, 3, index=0)])),
            message("completed", [text("[0][3]", [citation(0, 3), citation(3, 6)])]),
        ],
        [(0, "[0][3]", [0]), (3, "[0][3]", [0, 3])],
    ),
    "in a completed part that was something else in the deltas": (
        [
            message("created"),
            message_delta({"index": 0, **image_file("file_7")}),
            message("completed", [text("[0]", [citation(0, 3)])]),
        ],
        [(0, "[0]", [0])],
    ),
    "with a part that only the completed message has": (
        [message("created"), message("completed", [text("[0]", [citation(0, 3)])])],
        [(0, "[0]", [0])],
    ),
}


@on_every_face
@in_one_test("case", ANNOTATED.values(), ids=ANNOTATED)
async def test_each_annotation_is_reported_once(face: Face, case: Any) -> None:
    sent, told = case
    handler = recorder(face, names=["on_annotation"], show=annotated)
    await face.ran(handler, *begun(), *sent, *ended())
    assert handler.calls == told


def printed(handler: Any, name: str, output: Any, call: Any) -> Any:
    return output.logs, call.id, [one.logs for one in call.code_interpreter.outputs]


PRINTED = {
    "in deltas": (
        [
            step_delta(code("1", call_id=CALL, outputs=[logs("a", 0)])),
            step_delta(code(outputs=[logs("b", 1)])),
            step("completed", [whole_code(CALL, "1", [logs("a"), logs("b")])]),
        ],
        [("a", CALL, ["a"]), ("b", CALL, ["a", "b"])],
    ),
    "only in the completed step": (
        [step_delta(code("1", call_id=CALL)), step("completed", [whole_code(CALL, "1", [logs("a")])])],
        [("a", CALL, ["a"])],
    ),
    "with a call that only the completed step has": (
        [step("completed", [whole_code(CALL, "1", [logs("a")])])],
        [("a", CALL, ["a"])],
    ),
    "in the created step": (
        [
            step("created", [whole_code(CALL, "1", [logs("a")])]),
            step("completed", [whole_code(CALL, "1", [logs("a"), logs("b")])]),
        ],
        [("a", CALL, ["a"]), ("b", CALL, ["a", "b"])],
    ),
}


@pytest.mark.parametrize("case", PRINTED.values(), ids=PRINTED)
@on_every_face
async def test_each_output_is_reported_once(face: Face, case: Any) -> None:
    sent, told = case
    handler = await face.ran(recorder(face, names=["on_code_output"], show=printed), *begun(), *sent, *ended())
    assert handler.calls == told


# -- first fragments -------------------------------------------------------------------------------------------------

FIRST = {
    "function, bare": (function("", call_id=CALL, name="f"), False),
    "function, arguments": (function("{", call_id=CALL, name="f"), True),
    "code, bare": (code("", call_id=CALL, outputs=[]), False),
    "code, input": (code("1", call_id=CALL), True),
    "code, outputs": (code(call_id=CALL, outputs=[logs("a", 0)]), True),
    "search, bare": ({"index": 0, "id": CALL, "type": "file_search", "file_search": {}}, False),
    "search, null": ({"index": 0, "id": CALL, "type": "file_search", "file_search": None}, False),
    "search, results": ({"index": 0, "id": CALL, "type": "file_search", "file_search": {"results": []}}, True),
    "unknown, bare": ({"index": 0, "id": CALL, "type": "telepathy"}, False),
    "unknown, something": ({"index": 0, "id": CALL, "type": "telepathy", "telepathy": {"strength": 7}}, True),
}


@on_every_face
@in_one_test("case", FIRST.values(), ids=FIRST)
async def test_a_first_fragment_is_a_delta_when_it_carries_something(face: Face, case: Any) -> None:
    first, carries = case
    names = ["on_tool_call_created", "on_tool_call_delta"]
    handler = recorder(face, names=names, show=lambda self, name, *given: (name[13:], given[-1].id, given[-1].type))
    await face.ran(handler, *begun(), step_delta(first), *ended())
    kind = first["type"]
    assert handler.calls == [("created", CALL, kind), *([("delta", CALL, kind)] if carries else [])]


@on_every_face
async def test_deltas_add_up_to_the_whole(face: Face) -> None:
    names = ["on_tool_call_delta", "on_tool_call_done", "on_text_delta", "on_text_done"]
    said: dict[str, str] = {}

    def add(handler: Any, name: str, given: Any, snapshot: Any = None) -> Any:
        kind = name[3:7]
        if name.endswith("_done"):
            return said.pop(kind), given.code_interpreter.input if kind == "tool" else given.value
        value = given.code_interpreter.input if kind == "tool" else given.value
        said[kind] = said.get(kind, "") + value
        assert (snapshot.code_interpreter.input if kind == "tool" else snapshot.value) == said[kind]
        return None

    handler = recorder(face, names=names, show=add)
    await face.ran(
        handler,
        *begun(),
        step_delta(code("a", call_id=CALL)),
        *(step_delta(code(one)) for one in "bcd"),
        step("completed", [whole_code(CALL, "abcd")]),
        *saying("e", "f")[5:],
    )
    assert [call for call in handler.calls if call] == [("abcd", "abcd"), ("ef", "ef")]


# -- what servers do -------------------------------------------------------------------------------------------------


@on_every_face
async def test_the_final_object_decides_what_a_part_is(face: Face) -> None:
    names = ["on_text_created", "on_text_done", "on_image_file_done", "on_message_done"]
    sent = [message("created"), message_delta(piece("a")), message("completed", [image_file("file_7")])]
    handler = await face.ran(recorder(face, names=names), *begun(), *sent, *ended())
    assert handler.calls == ["on_text_created", "on_image_file_done", "on_message_done"]


@on_every_face
async def test_empty_objects_call_nothing_that_would_break(face: Face) -> None:
    sent = [
        message("created"),
        message_delta({"index": 0, "type": "text"}),
        message("completed", [{"type": "text"}, {"type": "image_file"}, {"type": "image_url"}]),
        frame("thread.run.step.completed", {"id": "step_1"}),
        frame("thread.message.delta", {"id": "msg_2"}),
        frame("thread.run.step.delta", {"id": "step_2"}),
    ]
    told: list[tuple[str, Any]] = []
    handler = recorder(face, show=lambda self, name, *given: told.extend((name, one) for one in given))
    await face.ran(handler, *begun(), *sent, *ended())
    assert [name for name, given in told if given is None] == []
    assert {"on_text_delta", "on_message_delta", "on_run_step_delta"} <= {name for name, _ in told}
    assert {"on_text_done", "on_message_done", "on_run_step_done"} <= {name for name, _ in told}
    assert all(given.to_model() is given for name, given in told if name.endswith("_done"))


@on_every_face
async def test_unknown_events_reach_on_event_alone(face: Face) -> None:
    sent = [frame("thread.run.step.paused", {"id": "step_1"}), b"data: hello\n\n"]
    handler = recorder(face, show=lambda self, name, *given: (name, getattr(given[0], "event", "") if given else ""))
    await face.ran(handler, *begun(), *sent, *ended())
    assert ("on_event", "thread.run.step.paused") in handler.calls
    assert ("on_event", "message") in handler.calls
    assert ("on_event", "done") not in handler.calls

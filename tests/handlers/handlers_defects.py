"""What the official SDK gets wrong in the lifecycle of things and on the wire, by number: what is sent, and what comes.

One table, and therefore long. HTML with status 200, which is part of 17, needs a socket and is proven elsewhere.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from handlers_faces import got
from handlers_wire import (
    CALL,
    DONE,
    begun,
    citation,
    code,
    ended,
    frame,
    function,
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

from rx_assistant import ServerErrorEvent, StreamTruncatedError

Show = Callable[..., Any]


async def nothing(handler: Any) -> None:
    """Nothing but callbacks is of interest."""


def named(handler: Any, name: str, *arguments: Any) -> str:
    """Which callback it was."""
    return name


def name_and(read: Callable[[Any], Any]) -> Show:
    """Which callback, and something of its last argument."""
    return lambda handler, name, *arguments: (name, read(arguments[-1]))


def of_last(read: Callable[[Any], Any]) -> Show:
    """Something of the last argument: the object, or the snapshot beside a delta."""
    return lambda handler, name, *arguments: read(arguments[-1])


def call_id(call: Any) -> Any:
    return call.id


def value(content: Any) -> Any:
    return content.value


@dataclass(frozen=True)
class Defect:
    """One case: what is sent, which callbacks matter and what of them, and what is right and what is wrong."""

    number: int
    claim: str
    sent: Sequence[bytes]
    names: Sequence[str]
    show: Show
    right: Any
    wrong: Any
    look: Callable[[Any], Any] = nothing
    right_look: Any = None
    wrong_look: Any = None
    error: type[Exception] | None = None
    their_error: type[Exception] | None = None

    @property
    def id(self) -> str:
        return f"{self.number:02}-{self.claim.replace(' ', '-')}"


def streamed(*frames: bytes | list[bytes]) -> list[bytes]:
    """A run that goes well, with these frames between its beginning and its end."""
    between = [one for part in frames for one in ([part] if isinstance(part, bytes) else part)]
    return [*begun(), *between, *ended()]


def message_of(*values: str, message_id: str) -> list[bytes]:
    """A message of several text parts, one after the other, each in one delta."""
    return [
        message("created", message_id=message_id),
        *(message_delta(piece(one, index), message_id=message_id) for index, one in enumerate(values)),
        message("completed", [text(one) for one in values], message_id=message_id),
    ]


def code_step(number: int, *pieces: str) -> list[bytes]:
    """A step in which code is written at index 0, and runs."""
    first, *rest = pieces
    call, step_id = f"call_{number}", f"step_{number}"
    return [
        step("created", step_id=step_id),
        step_delta(code(first, call_id=call, outputs=[]), step_id=step_id),
        *(step_delta(code(one), step_id=step_id) for one in rest),
        step("completed", [whole_code(call, "".join(pieces), [logs("1")])], step_id=step_id, usage=USAGE),
    ]


USAGE = {"completion_tokens": 1, "prompt_tokens": 2, "total_tokens": 3}
MESSAGE_STEP = [
    step("created", step_id="step_9", message_id="msg_1"),
    *message_of("Hi", message_id="msg_1"),
    step("completed", step_id="step_9", message_id="msg_1"),
]
RESUMED = [
    step("completed", [whole_function(output="sunny")]),
    run("queued"),
    run("in_progress"),
    *MESSAGE_STEP,
    *ended(),
]
TWO_CALLS = [function("", 0, call_id="call_1", name="f"), function("", 1, call_id="call_2", name="g")]
FLAT = {"code": "server_error", "message": "Sorry.", "param": None, "type": "server_error"}


async def final_steps(handler: Any) -> Any:
    return [
        (one.id, one.status, one.usage and one.usage.total_tokens) for one in await got(handler.get_final_run_steps())
    ]


async def final_status(handler: Any) -> Any:
    return (await got(handler.get_final_run())).status


async def kept_values(handler: Any) -> Any:
    return [kept.content[0].text.value for kept in handler.calls]


async def kept_contents(handler: Any) -> Any:
    return [len(event.data.content) for event in handler.calls if event.event == "thread.message.created"]


async def third_event(handler: Any) -> Any:
    return handler.calls[3]


DEFECTS = (
    Defect(
        1,
        "a call is done once",
        streamed(code_step(1, "a", "b"), MESSAGE_STEP),
        ["on_tool_call_done"],
        of_last(call_id),
        right=["call_1"],
        wrong=["call_1"] * 3,
    ),
    Defect(
        1,
        "a call that is asked for is done once",
        [
            *begun(),
            step("created"),
            step_delta(function("", call_id=CALL, name="f")),
            step_delta(function("{}")),
            run("requires_action", required=[required()]),
            step("completed", [whole_function(output="1")]),
            *MESSAGE_STEP,
            *ended(),
        ],
        ["on_tool_call_done"],
        of_last(call_id),
        right=["call_1"],
        wrong=["call_1"] * 4,
    ),
    Defect(
        2,
        "the call of a second step is created",
        streamed(code_step(1, "a"), code_step(2, "b")),
        ["on_tool_call_created"],
        of_last(call_id),
        right=["call_1", "call_2"],
        wrong=["call_1"],
    ),
    Defect(
        3,
        "a part is done once though another message follows",
        streamed(message_of("a", "b", message_id="msg_1"), message_of("c", message_id="msg_2")),
        ["on_text_done", "on_message_done"],
        lambda handler, name, done: done.value if name == "on_text_done" else done.id,
        right=["a", "b", "msg_1", "c", "msg_2"],
        wrong=["a", "b", "msg_1", "b", "c", "msg_2"],
    ),
    Defect(
        4,
        "a later message may have fewer parts",
        streamed(
            message_of("a", "b", message_id="msg_1"),
            message("created", message_id="msg_2"),
            message("completed", [text("c")], message_id="msg_2"),
        ),
        ["on_text_done"],
        of_last(value),
        right=["a", "b", "c"],
        wrong=["a", "b"],
        their_error=IndexError,
    ),
    Defect(
        4,
        "a message may end incomplete and empty",
        streamed(message("created"), message_delta(piece("a")), message("incomplete", [])),
        ["on_message_done"],
        of_last(lambda done: done.status),
        right=["incomplete"],
        wrong=[],
        their_error=IndexError,
    ),
    Defect(
        5,
        "final steps are final and done calls have their outputs",
        streamed(code_step(1, "a", "b")),
        ["on_tool_call_done"],
        of_last(lambda call: len(call.code_interpreter.outputs)),
        right=[1],
        wrong=[0, 0],
        look=final_steps,
        right_look=[("step_1", "completed", 3)],
        wrong_look=[("step_1", "in_progress", None)],
    ),
    Defect(
        6,
        "the step resumed by tool outputs is there",
        RESUMED,
        ["on_run_step_created", "on_run_step_done"],
        lambda handler, name, one: (name[12:], one.id),
        right=[("created", "step_1"), ("done", "step_1"), ("created", "step_9"), ("done", "step_9")],
        wrong=[("done", "step_1"), ("created", "step_9"), ("done", "step_9")],
        look=final_steps,
        right_look=[("step_1", "completed", None), ("step_9", "completed", None)],
        wrong_look=[("step_9", "in_progress", None)],
    ),
    Defect(
        6,
        "a step resumed may go on",
        [run("in_progress"), step_delta(code("a", call_id=CALL)), step("completed", [whole_code(CALL, "a")]), *ended()],
        ["on_run_step_delta"],
        of_last(lambda snapshot: snapshot.id),
        right=["step_1"],
        wrong=[],
        their_error=KeyError,
    ),
    Defect(
        7,
        "calls may take turns",
        [
            *begun(),
            step("created"),
            *(step_delta({**first, "function": {**first["function"], "arguments": "["}}) for first in TWO_CALLS),
            *(step_delta(function(one, index)) for one in ("1", "]") for index in (0, 1)),
            run("requires_action", required=[required("call_1", "f", "[1]"), required("call_2", "g", "[1]")]),
            DONE,
        ],
        ["on_tool_call_created", "on_tool_call_delta", "on_tool_call_done"],
        named,
        right=Counter(on_tool_call_created=2, on_tool_call_delta=6, on_tool_call_done=2),
        wrong=Counter(on_tool_call_created=6, on_tool_call_done=6),
    ),
    Defect(
        8,
        "steps may take turns",
        streamed(
            step("created", step_id="step_1"),
            step("created", step_id="step_2"),
            step_delta(code("a", call_id="call_1"), step_id="step_1"),
            step_delta(code("b", call_id="call_2"), step_id="step_2"),
            step("completed", [whole_code("call_1", "a")], step_id="step_1"),
            step("completed", [whole_code("call_2", "b")], step_id="step_2"),
        ),
        ["on_run_step_delta", "on_tool_call_done"],
        lambda handler, name, *given: given[0].id if name[-4:] == "done" else handler.current_run_step_snapshot.id,
        right=["step_1", "step_2", "call_1", "call_2"],
        wrong=["step_2", "step_2", "call_2", "call_2", "call_2"],
    ),
    Defect(
        9,
        "parts may take turns",
        streamed(
            message("created"),
            *(message_delta(piece(one, index)) for one in ("a", "b") for index in (0, 1)),
            message("completed", [text("ab"), text("ab")]),
        ),
        ["on_text_done"],
        of_last(value),
        right=["ab", "ab"],
        wrong=["a", "a", "ab", "ab"],
    ),
    Defect(
        10,
        "messages may take turns",
        streamed(
            message("created", message_id="msg_1"),
            message("created", message_id="msg_2"),
            message_delta(piece("a"), message_id="msg_1"),
            message_delta(piece("b"), message_id="msg_2"),
            message("completed", [text("b")], message_id="msg_2"),
            message("completed", [text("a")], message_id="msg_1"),
        ),
        ["on_message_delta"],
        of_last(lambda snapshot: (snapshot.id, snapshot.content[0].text.value)),
        right=[("msg_1", "a"), ("msg_2", "b")],
        wrong=[("msg_2", "a"), ("msg_2", "ab")],
    ),
    Defect(
        11,
        "indices may leave gaps",
        streamed(message("created"), message_delta(piece("a", 2)), message("completed", [text("a")])),
        ["on_text_created", "on_text_done"],
        name_and(value),
        right=[("on_text_created", "a"), ("on_text_done", "a")],
        wrong=[],
        their_error=IndexError,
    ),
    Defect(
        11,
        "annotations may come in any order",
        streamed(
            message("created"),
            message_delta(piece("a[1][0]", 0, [])),
            message_delta(piece("", 0, [citation(1, 4, index=1)])),
            message_delta(piece("", 0, [citation(4, 7, index=0)])),
            message("completed", [text("a[1][0]", [citation(4, 7), citation(1, 4)])]),
        ),
        ["on_message_delta"],
        of_last(lambda snapshot: [mark.start_index for mark in snapshot.content[0].text.annotations]),
        right=[[], [1], [4, 1]],
        wrong=[[], [1], [5]],
    ),
    Defect(
        12,
        "a repeated id or name is the same",
        [
            *begun(),
            step("created"),
            *(step_delta(function(one, call_id=CALL, name="f")) for one in ("{", "}")),
            run("requires_action", required=[required()]),
            DONE,
        ],
        ["on_run_step_delta"],
        of_last(lambda snapshot: [(call.id, call.function.name) for call in snapshot.step_details.tool_calls]),
        right=[[("call_1", "f")]] * 2,
        wrong=[[("call_1", "f")], [("call_1call_1", "ff")]],
    ),
    Defect(
        12,
        "a repeated annotation is the same",
        streamed(
            message("created"),
            *(message_delta(piece(one, 0, [citation(1, 4, index=0)])) for one in ("a", "[1]")),
            message("completed", [text("a[1]", [citation(1, 4)])]),
        ),
        ["on_text_delta"],
        of_last(lambda given: [(one.start_index, one.file_citation.file_id) for one in given.annotations]),
        right=[[(1, "file_1")]] * 2,
        wrong=[[(1, "file_1")], [(2, "file_1file_1")]],
    ),
    Defect(
        13,
        "pieces for one nested index in the first delta are one",
        streamed(
            step("created"),
            step_delta(code("", call_id=CALL, outputs=[logs("a", 0), logs("b", 0)])),
            step("completed", [whole_code(CALL, "", [logs("ab")])]),
        ),
        ["on_tool_call_created"],
        of_last(lambda call: [output.logs for output in call.code_interpreter.outputs]),
        right=[["ab"]],
        wrong=[["a", "b"]],
    ),
    Defect(
        14,
        "snapshots that were kept stay as they were",
        saying("a", "b", "c"),
        ["on_message_delta"],
        of_last(lambda snapshot: snapshot),
        right=None,
        wrong=None,
        look=kept_values,
        right_look=["a", "ab", "abc"],
        wrong_look=["abc"] * 3,
    ),
    Defect(
        14,
        "events that were kept stay as they were",
        saying("a", "b", "c"),
        ["on_event"],
        of_last(lambda event: event),
        right=None,
        wrong=None,
        look=kept_contents,
        right_look=[0],
        wrong_look=[1],
    ),
    Defect(
        15,
        "content of a created message is announced",
        streamed(message("created", [text("a")]), message("completed", [text("a")])),
        ["on_text_created", "on_text_done"],
        name_and(value),
        right=[("on_text_created", "a"), ("on_text_done", "a")],
        wrong=[],
    ),
    Defect(
        15,
        "content that only the completed message has is announced",
        streamed(message("created"), message("completed", [text("a")])),
        ["on_text_created", "on_text_done"],
        name_and(value),
        right=[("on_text_created", "a"), ("on_text_done", "a")],
        wrong=[],
    ),
    Defect(
        15,
        "refusals and images by address have callbacks",
        streamed(
            message("created"),
            message_delta({"index": 0, "type": "refusal", "refusal": "No"}, {"index": 1, **image_url("https://a/b")}),
            message_delta({"index": 0, "type": "refusal", "refusal": "."}),
            message("completed", [{"type": "refusal", "refusal": "No."}, image_url("https://a/b")]),
        ),
        ["on_refusal_delta", "on_refusal_done", "on_image_url_done"],
        lambda handler, name, *given: given[0].url if "image" in name else [one.refusal for one in given],
        right=[["No", "No"], [".", "No."], ["No."], "https://a/b"],
        wrong=[],
    ),
    Defect(
        16,
        "the documented error is an error",
        [*begun(), frame("error", FLAT)],
        ["on_exception", "on_end"],
        named,
        right=["on_exception", "on_end"],
        wrong=["on_end"],
        error=ServerErrorEvent,
    ),
    Defect(
        17,
        "a stream that is cut off is an error",
        saying("a", "b")[:9],
        ["on_exception", "on_end"],
        named,
        right=["on_exception", "on_end"],
        wrong=["on_end"],
        error=StreamTruncatedError,
    ),
    Defect(
        17,
        "after a failure there is no final run",
        [*begun(), frame("error", {"error": FLAT})],
        [],
        named,
        right=[],
        wrong=[],
        error=ServerErrorEvent,
        their_error=Exception,
        look=final_status,
        right_look=ServerErrorEvent,
        wrong_look="in_progress",
    ),
    *(
        Defect(
            18,
            claim,
            [*begun()[:2], block, *begun()[2:], *ended()],
            ["on_event"],
            of_last(lambda event: event.event),
            right=["thread.run.created", "thread.run.queued", "thread.run.in_progress", "thread.run.completed"],
            wrong=["thread.run.created", "thread.run.queued"],
            their_error=json.JSONDecodeError,
        )
        for claim, block in (
            ("a block may say nothing but retry", b"retry: 1000\n\n"),
            ("a block may say nothing but id", b"id: 7\n\n"),
            ("a block may have a name and no data", b"event: ping\n\n"),
        )
    ),
    Defect(
        18,
        "data may be empty",
        [*begun(), b"data:\n\n", *ended()],
        ["on_event"],
        of_last(lambda event: event.event),
        right=["thread.run.created", "thread.run.queued", "thread.run.in_progress", "message", "thread.run.completed"],
        wrong=["thread.run.created", "thread.run.queued", "thread.run.in_progress"],
        their_error=json.JSONDecodeError,
    ),
    Defect(
        18,
        "a comment may follow an id",
        [*begun()[:2], b"id: 7\n" + begun()[2], b": ping\n\n", *ended()],
        ["on_event"],
        of_last(lambda event: event.event),
        right=["thread.run.created", "thread.run.queued", "thread.run.in_progress", "thread.run.completed"],
        wrong=["thread.run.created", "thread.run.queued", "thread.run.in_progress"],
        their_error=json.JSONDecodeError,
    ),
    Defect(
        18,
        "a byte order mark is none of the name",
        [b"\xef\xbb\xbf", *begun(), *ended()],
        ["on_event"],
        of_last(lambda event: event.event),
        right=["thread.run.created", "thread.run.queued", "thread.run.in_progress", "thread.run.completed"],
        wrong=[None, "thread.run.queued", "thread.run.in_progress", "thread.run.completed"],
    ),
    Defect(
        18,
        "bad UTF-8 costs a character",
        [one.replace(b"abc", b"a\xffc") for one in saying("abc")],
        ["on_text_delta"],
        of_last(value),
        right=["a\ufffdc"],
        wrong=[],
        their_error=UnicodeDecodeError,
    ),
    Defect(
        18,
        "an unknown event has a class of its own",
        streamed(frame("thread.run.step.paused", {"id": "step_1", "why": "lunch"})),
        ["on_event"],
        of_last(lambda event: (type(event).__name__, event.event)),
        right=None,
        wrong=None,
        look=third_event,
        right_look=("UnknownEvent", "thread.run.step.paused"),
        wrong_look=("ThreadCreated", "thread.run.step.paused"),
    ),
    Defect(
        18,
        "unknown content has a class of its own",
        streamed(message("created"), message("completed", [{"type": "audio", "audio": {"id": "audio_1"}}])),
        ["on_message_done"],
        of_last(lambda done: (type(done.content[0]).__name__, done.content[0].type)),
        right=[("UnknownContentBlock", "audio")],
        wrong=[("ImageFileContentBlock", "audio")],
    ),
)

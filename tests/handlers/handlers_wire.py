"""Frames of the Assistants protocol, written by hand: what a test wants to send, and nothing else."""

from __future__ import annotations

import json
from typing import Any

MESSAGE, STEP, CALL, RUN, THREAD = "msg_1", "step_1", "call_1", "run_1", "thread_1"

DONE = b"event: done\ndata: [DONE]\n\n"


def frame(name: str, data: Any) -> bytes:
    """One event as the service writes it."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()


def run(status: str, *, required: list[dict[str, Any]] | None = None, run_id: str = RUN, **more: Any) -> bytes:
    """A run event; its name is the status, except for `created`, whose status is `queued`."""
    action = None
    if required is not None:
        action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": required}}
    data = {
        "id": run_id,
        "object": "thread.run",
        "created_at": 1,
        "assistant_id": "asst_1",
        "thread_id": THREAD,
        "status": "queued" if status == "created" else status,
        "required_action": action,
        "last_error": None,
        "model": "gpt-4o",
        "instructions": "",
        "tools": [],
        "metadata": {},
        "usage": None,
        **more,
    }
    return frame(f"thread.run.{status}", data)


def message(status: str, content: list[dict[str, Any]] | None = None, *, message_id: str = MESSAGE) -> bytes:
    """A message event with that content."""
    data = {
        "id": message_id,
        "object": "thread.message",
        "created_at": 1,
        "assistant_id": "asst_1",
        "thread_id": THREAD,
        "run_id": RUN,
        "status": "in_progress" if status == "created" else status,
        "incomplete_details": {"reason": "max_tokens"} if status == "incomplete" else None,
        "incomplete_at": None,
        "completed_at": None,
        "role": "assistant",
        "content": content or [],
        "attachments": [],
        "metadata": {},
    }
    return frame(f"thread.message.{status}", data)


def message_delta(*content: dict[str, Any], message_id: str = MESSAGE) -> bytes:
    """More of a message, in one event."""
    return frame(
        "thread.message.delta",
        {"id": message_id, "object": "thread.message.delta", "delta": {"content": list(content)}},
    )


def piece(value: str, index: int = 0, annotations: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A fragment of a text part."""
    inside: dict[str, Any] = {"value": value}
    if annotations is not None:
        inside["annotations"] = annotations
    return {"index": index, "type": "text", "text": inside}


def text(value: str, annotations: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A whole text part."""
    return {"type": "text", "text": {"value": value, "annotations": annotations or []}}


def citation(start: int, end: int, *, index: int | None = None, file_id: str = "file_1") -> dict[str, Any]:
    """An annotation; with an `index` as deltas have it."""
    mark = {
        "type": "file_citation",
        "text": f"[{start}]",
        "start_index": start,
        "end_index": end,
        "file_citation": {"file_id": file_id},
    }
    return mark if index is None else {"index": index, **mark}


def image_file(file_id: str = "file_1") -> dict[str, Any]:
    """A whole image part; a delta has an `index` besides."""
    return {"type": "image_file", "image_file": {"file_id": file_id, "detail": "auto"}}


def image_url(url: str = "https://example.com/1.png") -> dict[str, Any]:
    """The same by its address."""
    return {"type": "image_url", "image_url": {"url": url, "detail": "auto"}}


def step(
    status: str,
    calls: list[dict[str, Any]] | None = None,
    *,
    step_id: str = STEP,
    message_id: str | None = None,
    **more: Any,
) -> bytes:
    """A step event: of tool calls, or the creation of the message with that id."""
    details: dict[str, Any] = {"type": "tool_calls", "tool_calls": calls or []}
    if message_id is not None:
        details = {"type": "message_creation", "message_creation": {"message_id": message_id}}
    data = {
        "id": step_id,
        "object": "thread.run.step",
        "created_at": 1,
        "run_id": RUN,
        "assistant_id": "asst_1",
        "thread_id": THREAD,
        "type": details["type"],
        "status": "in_progress" if status == "created" else status,
        "cancelled_at": None,
        "completed_at": None,
        "expires_at": None,
        "failed_at": None,
        "last_error": None,
        "step_details": details,
        "usage": None,
        **more,
    }
    return frame(f"thread.run.step.{status}", data)


def step_delta(*calls: dict[str, Any], step_id: str = STEP) -> bytes:
    """More of a step's calls, in one event."""
    details = {"type": "tool_calls", "tool_calls": list(calls)}
    return frame(
        "thread.run.step.delta",
        {"id": step_id, "object": "thread.run.step.delta", "delta": {"step_details": details}},
    )


def function(
    arguments: str | None = None,
    index: int = 0,
    *,
    call_id: str | None = None,
    name: str | None = None,
) -> dict[str, Any]:
    """A piece of a function call; the first one has the id and the name."""
    inside: dict[str, Any] = {} if name is None else {"name": name, "output": None}
    if arguments is not None:
        inside["arguments"] = arguments
    head = {"index": index} if call_id is None else {"index": index, "id": call_id}
    return {**head, "type": "function", "function": inside}


def whole_function(call_id: str = CALL, name: str = "f", arguments: str = "{}", output: str | None = None) -> Any:
    """A function call as a whole step holds it."""
    inside = {"name": name, "arguments": arguments, "output": output}
    return {"id": call_id, "type": "function", "function": inside}


def required(call_id: str = CALL, name: str = "f", arguments: str = "{}") -> dict[str, Any]:
    """A function call as a run asks for it."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def code(
    value: str | None = None,
    index: int = 0,
    *,
    call_id: str | None = None,
    outputs: list[dict[str, Any]] | None = None,
) -> dict[str, Any]:
    """A piece of a code interpreter call."""
    inside: dict[str, Any] = {} if value is None else {"input": value}
    if outputs is not None:
        inside["outputs"] = outputs
    head = {"index": index} if call_id is None else {"index": index, "id": call_id}
    return {**head, "type": "code_interpreter", "code_interpreter": inside}


def whole_code(call_id: str = CALL, value: str = "", outputs: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A code interpreter call as a whole step holds it."""
    return {"id": call_id, "type": "code_interpreter", "code_interpreter": {"input": value, "outputs": outputs or []}}


def logs(value: str, index: int | None = None) -> dict[str, Any]:
    """What code has printed."""
    output = {"type": "logs", "logs": value}
    return output if index is None else {"index": index, **output}


def begun() -> list[bytes]:
    """A run on its way."""
    return [run("created"), run("queued"), run("in_progress")]


def ended() -> list[bytes]:
    """The end of a run that went well."""
    return [run("completed"), DONE]


def saying(*pieces: str) -> list[bytes]:
    """A whole stream that writes one text in these pieces."""
    return [
        *begun(),
        step("created", message_id=MESSAGE),
        step("in_progress", message_id=MESSAGE),
        message("created"),
        message("in_progress"),
        *(message_delta(piece(value)) for value in pieces),
        message("completed", [text("".join(pieces))]),
        step("completed", message_id=MESSAGE),
        *ended(),
    ]


def calling(*arguments: str) -> list[bytes]:
    """A whole stream that calls a function and waits for its output."""
    return [
        *begun(),
        step("created"),
        step("in_progress"),
        step_delta(function("", call_id=CALL, name="f")),
        *(step_delta(function(value)) for value in arguments),
        run("requires_action", required=[required(arguments="".join(arguments))]),
        DONE,
    ]

"""Events for tests of operators, written as short as a table of them has to be."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from rx_assistant import AssistantStream, RxAssistantError, from_events, replay
from rx_assistant.events import BY_NAME, StreamEvent, frame

Json = dict[str, Any]


def event(name: str, payload: Any) -> StreamEvent:
    """An event by the end of its name (`thread.` left out) and its payload as JSON values."""
    full = name if name in BY_NAME else f"thread.{name}"
    return BY_NAME[full](json.dumps(payload, ensure_ascii=False, separators=(",", ":")).encode())


DONE = BY_NAME["done"](b"[DONE]")


def run(status: str, name: str | None = None, **more: Any) -> StreamEvent:
    """A run's event; named after the status unless told otherwise."""
    payload = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": status, **more}
    return event(f"run.{name or status}", payload)


def requires(*calls: Json, **more: Any) -> StreamEvent:
    """A run that requires action for these calls."""
    return run("requires_action", required_action={"submit_tool_outputs": {"tool_calls": list(calls)}}, **more)


def function(call_id: str, arguments: str, name: str = "f", **more: Any) -> Json:
    """A whole function call."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments, **more}}


def text(value: str, index: int | None = 0, of: str = "msg_1", **more: Any) -> StreamEvent:
    """A delta of one text part."""
    return delta_of(of, {"index": index, "type": "text", "text": {"value": value, **more}})


def delta_of(message: str, *pieces: Json) -> StreamEvent:
    """A delta of a message."""
    content = [{key: value for key, value in piece.items() if value is not None} for piece in pieces]
    return event("message.delta", {"id": message, "object": "thread.message.delta", "delta": {"content": content}})


def message(name: str, *parts: str | Json, of: str = "msg_1", **more: Any) -> StreamEvent:
    """A whole message; parts that are strings are texts."""
    content = [{"type": "text", "text": {"value": p, "annotations": []}} if isinstance(p, str) else p for p in parts]
    status = "in_progress" if name == "created" else name
    return event(
        f"message.{name}", {"id": of, "object": "thread.message", "status": status, "content": content, **more}
    )


def call_delta(step: str, *pieces: Json) -> StreamEvent:
    """A delta of a step that calls tools."""
    details = {"type": "tool_calls", "tool_calls": list(pieces)}
    return event("run.step.delta", {"id": step, "object": "thread.run.step.delta", "delta": {"step_details": details}})


def arguments(value: str, index: int = 0, of: str = "step_1", **more: Any) -> StreamEvent:
    """More of a function's arguments; with `id` and `name` the first fragment."""
    name = {"name": more.pop("name")} if "name" in more else {}
    return call_delta(of, {"index": index, **more, "type": "function", "function": {**name, "arguments": value}})


def step(name: str, *calls: Json, of: str = "step_1", kind: str = "tool_calls", **more: Any) -> StreamEvent:
    """A whole step."""
    details: Json = {"type": kind}
    if kind == "tool_calls":
        details["tool_calls"] = list(calls)
    status = "in_progress" if name == "created" else name
    payload = {"id": of, "object": "thread.run.step", "type": kind, "status": status, "step_details": details, **more}
    return event(f"run.step.{name}", payload)


def stream_of(*events: StreamEvent, **options: Any) -> AssistantStream:
    """A stream that ends well after these events."""
    return from_events([*events, DONE], **options)


def cut(*events: StreamEvent) -> AssistantStream:
    """A stream that breaks after these events."""
    return replay(b"".join(map(frame, events)))


class Seen:
    """What one subscriber got."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.endings: list[Exception | None] = []

    def watch(self, observable: Any) -> Seen:
        """Subscribe to it."""
        observable.subscribe(self.items.append, self.endings.append, lambda: self.endings.append(None))
        return self

    @property
    def error(self) -> Exception:
        """The error that it ended with."""
        [error] = self.endings
        assert error is not None
        return error


def seen(observable: Any) -> Seen:
    """A subscriber's notes."""
    return Seen().watch(observable)


def watched(stream: AssistantStream, *operators: Callable[[Any], Any]) -> Seen:
    """The notes of a subscriber to the stream through operators, after the stream has ended, however that was."""
    notes = seen(stream.pipe(*operators))
    finish(stream)
    return notes


def finish(stream: AssistantStream) -> None:
    """Read the stream to its end, whatever that is."""
    with suppress(RxAssistantError):
        stream.until_done()

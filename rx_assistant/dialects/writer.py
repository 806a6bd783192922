"""Writes one turn of a model as the events of one Assistants run, in the order of the protocol's grammar.

    run.created  run.queued  run.in_progress
    [ step.created  step.in_progress  message.created  message.in_progress  message.delta*  message.completed
      step.completed ]*
    [ step.created  step.in_progress  step.delta* ]        the calls that the run waits for
    run.requires_action | run.completed | run.incomplete | run.failed | run.cancelling run.cancelled

The grammar allows one open message or call at a time, so the open one is closed when the next one begins. More text for
a closed message begins a new message. More input for a closed call of a hosted tool becomes an unknown event. After the
first function call the run can only wait for outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from rx_assistant.dialects.parts import (
    Annotation,
    Arguments,
    Call,
    Ending,
    HostedCall,
    HostedDone,
    HostedInput,
    LateText,
    MessageDone,
    Part,
    Reasoning,
    Refusal,
    Text,
    Unknown,
)
from rx_assistant.dialects.reading import Json, json_bytes
from rx_assistant.events import (
    BY_NAME,
    Kind,
    ReasoningDelta,
    Sourced,
    ThreadMessageDelta,
    ThreadRunStepDelta,
    unknown_kind,
)

Pair = tuple[Kind, bytes]

_COMPLETED: Final = Ending("completed")

_RUN_DEFAULTS: Final[Json] = {
    "assistant_id": "",
    "thread_id": "",
    "status": "queued",
    "started_at": None,
    "expires_at": None,
    "cancelled_at": None,
    "failed_at": None,
    "completed_at": None,
    "required_action": None,
    "last_error": None,
    "model": "",
    "instructions": None,
    "tools": [],
    "metadata": {},
    "temperature": None,
    "top_p": None,
    "max_completion_tokens": None,
    "max_prompt_tokens": None,
    "truncation_strategy": {"type": "auto", "last_messages": None},
    "incomplete_details": None,
    "usage": None,
    "response_format": "auto",
    "tool_choice": "auto",
    "parallel_tool_calls": True,
}


class RunWriter:
    """Turns parts into events, as pairs of an event class and the bytes of its payload.

    `run` holds the known members of the run: `id`, `thread_id`, `assistant_id`, `model`, and any other member of a Run.
    `new_id("msg_")` returns a new id with that prefix, `now()` returns seconds since 1970.
    """

    def __init__(self, run: Mapping[str, Any], *, new_id: Callable[[str], str], now: Callable[[], int]) -> None:
        self._new_id = new_id
        self._now = now
        self._run: Json = {"id": "", "object": "thread.run", "created_at": now(), **_RUN_DEFAULTS, **run}
        self._is_named = bool(self._run["id"])
        self._run["id"] = self._run["id"] or new_id("run_")
        self.has_started = False
        """Whether the first event was written."""
        self._messages: dict[str, _Message] = {}
        self._calls: _Step | None = None
        self._hosted: dict[str, _Step] = {}
        self._source: bytes = b""
        self._pairs: list[Pair] = []

    @property
    def run(self) -> Json:
        """The current run, with the members of a Run. Callers must not change it."""
        return self._run

    def write(self, parts: list[Part], source: bytes) -> list[Pair]:
        """The events for the parts of one payload. `event.source` of each is `source`, the payload."""
        self._source = source
        if not self.has_started:
            self._start()
        for part in parts:
            _WRITERS[type(part)](self, part)
        pairs, self._pairs = self._pairs, []
        return pairs

    def end(self, ending: Ending, source: bytes = b"") -> list[Pair]:
        """The events that close what is open, the run last."""
        self._source = source
        if not self.has_started:
            self._start()
        self._end_open(ending)
        self._end_run(ending)
        pairs, self._pairs = self._pairs, []
        return pairs

    def name(self, *, model: str, run_id: str) -> None:
        """Before the first event: take the model's name and the run's id from the stream, unless they were given."""
        self._run["model"] = self._run["model"] or model
        if run_id and not self._is_named:
            self._run["id"] = run_id

    # -- the run -------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        self.has_started = True
        self._emit("thread.run.created", self._run)
        self._emit("thread.run.queued", self._run)
        self._run = {**self._run, "status": "in_progress", "started_at": self._now()}
        self._emit("thread.run.in_progress", self._run)

    def _end_run(self, ending: Ending) -> None:
        now, run = self._now(), {**self._run, "status": ending.status, "usage": ending.usage}
        if ending.status == "requires_action":
            calls = [{"id": c["id"], "type": "function", "function": _asked(c)} for c in self._joined_calls()]
            run["required_action"] = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
        else:
            if self._calls is not None:
                self._end_step(self._calls, _unfinished(ending), ending)
            if ending.status == "cancelled":
                self._emit("thread.run.cancelling", {**self._run, "status": "cancelling"})
                run["cancelled_at"] = now
            run["completed_at"] = now if ending.status in {"completed", "incomplete"} else None
            if ending.status == "incomplete":
                run["incomplete_details"] = {"reason": "max_completion_tokens"}
            elif ending.status == "failed":
                run["failed_at"] = now
                run["last_error"] = {"code": ending.code, "message": ending.message}
        self._run = run
        self._emit(f"thread.run.{ending.status}", run)

    # -- messages ------------------------------------------------------------------------------------------------

    def _message(self, key: str) -> _Message:
        message = self._messages.get(key)
        if message is None or message.ended:
            message_id = self._new_id("msg_")
            step = self._begin_step({"type": "message_creation", "message_creation": {"message_id": message_id}})
            message = self._messages[key] = _Message(message_id, step)
            value = {
                "id": message_id,
                "object": "thread.message",
                "created_at": self._now(),
                "assistant_id": self._run["assistant_id"],
                "thread_id": self._run["thread_id"],
                "run_id": self._run["id"],
                "status": "in_progress",
                "incomplete_details": None,
                "incomplete_at": None,
                "completed_at": None,
                "role": "assistant",
                "content": [],
                "attachments": [],
                "metadata": {},
            }
            message.value = value
            self._emit("thread.message.created", value)
            self._emit("thread.message.in_progress", value)
        return message

    def _text(self, part: Text) -> None:
        message = self._messages.get(part.message)
        if message is None or message.ended:
            message = self._message(part.message)
        place = message.texts.get(part.part)
        if place is None:
            place = message.open_text(part.part)
            self._delta(
                message, {"index": place.index, "type": "text", "text": {"value": part.value, "annotations": []}}
            )
        else:
            payload = place.prefix + json_bytes(part.value) + b"}}]}}"
            self._pairs.append((ThreadMessageDelta, Sourced(payload, self._source)))
        place.fragments.append(part.value)

    def _refusal(self, part: Refusal) -> None:
        message = self._message(part.message)
        place = message.refusals.get(part.part) or message.open_refusal(part.part)
        self._delta(message, {"index": place.index, "type": "refusal", "refusal": part.value})
        place.fragments.append(part.value)

    def _annotation(self, part: Annotation) -> None:
        message = self._message(part.message)
        place = message.texts.get(part.part) or message.open_text(part.part)
        mark = {"index": len(place.annotations), **part.value}
        self._delta(message, {"index": place.index, "type": "text", "text": {"annotations": [mark]}})
        place.annotations.append(part.value)

    def _delta(self, message: _Message, content: Json) -> None:
        value = {"id": message.id, "object": "thread.message.delta", "delta": {"content": [content]}}
        self._put(ThreadMessageDelta, json_bytes(value))

    def _message_done(self, part: MessageDone) -> None:
        message = self._messages.get(part.message)
        if message is not None:
            self._end_message(message, _COMPLETED)

    def _end_message(self, message: _Message, ending: Ending) -> None:
        if message.ended:
            return
        message.ended = True
        value, now = {**message.value, "content": message.content()}, self._now()
        if ending.message_end is None:
            self._emit("thread.message.completed", {**value, "status": "completed", "completed_at": now})
        else:
            details = {"reason": ending.message_end}
            ended = {**value, "status": "incomplete", "incomplete_at": now, "incomplete_details": details}
            self._emit("thread.message.incomplete", ended)
        stopped = ending.status in {"failed", "cancelled"}
        self._end_step(message.step, ending.status if stopped else "completed", ending)

    # -- steps and calls -----------------------------------------------------------------------------------------

    def _end_open(self, ending: Ending) -> None:
        """End the message or the hosted call that is open."""
        for message in self._messages.values():
            self._end_message(message, ending)
        for step in self._hosted.values():
            self._end_step(step, "completed" if ending.status == "completed" else _unfinished(ending), ending)
        self._hosted.clear()

    def _begin_step(self, details: Json) -> _Step:
        self._end_open(_COMPLETED)
        step = _Step(
            {
                "id": self._new_id("step_"),
                "object": "thread.run.step",
                "created_at": self._now(),
                "run_id": self._run["id"],
                "assistant_id": self._run["assistant_id"],
                "thread_id": self._run["thread_id"],
                "type": details["type"],
                "status": "in_progress",
                "cancelled_at": None,
                "completed_at": None,
                "expires_at": self._run["expires_at"],
                "failed_at": None,
                "last_error": None,
                "step_details": details,
                "usage": None,
            }
        )
        self._emit("thread.run.step.created", step.value)
        self._emit("thread.run.step.in_progress", step.value)
        return step

    def _end_step(self, step: _Step, status: str, ending: Ending) -> None:
        value = {**step.value, "status": status, f"{status}_at": self._now()}
        if step.calls:
            value["step_details"] = {"type": "tool_calls", "tool_calls": step.joined()}
        if status == "failed":
            message = ending.message or "the model stopped before the call was complete"
            value["last_error"] = {"code": ending.code, "message": message}
        self._emit(f"thread.run.step.{status}", value)

    def _call(self, part: Call) -> None:
        if self._calls is None:
            self._calls = self._begin_step({"type": "tool_calls", "tool_calls": []})
        function = {"name": part.name, "arguments": "", "output": None}
        call = {"id": part.id, "type": "function", "function": function}
        self._calls.calls[part.number] = call, []
        self._step_delta(self._calls, {"index": part.number, **call})

    def _arguments(self, part: Arguments) -> None:
        step = self._calls
        assert step is not None  # a reader emits a call before its arguments
        step.calls[part.number][1].append(part.value)
        self._step_delta(step, {"index": part.number, "type": "function", "function": {"arguments": part.value}})

    def _joined_calls(self) -> list[Json]:
        return [] if self._calls is None else self._calls.joined()

    def _hosted_call(self, part: HostedCall) -> None:
        step = self._hosted[part.key] = self._begin_step({"type": "tool_calls", "tool_calls": []})
        inside: Json = {"input": "", "outputs": []} if part.type == "code_interpreter" else {"results": []}
        call = {"id": part.id, "type": part.type, part.type: inside}
        step.calls[0] = call, []
        self._step_delta(step, {"index": 0, **call})

    def _hosted_input(self, part: HostedInput) -> None:
        step = self._hosted.get(part.key)
        if step is None:
            self._unknown(Unknown("model.late_input"))
            return
        step.calls[0][1].append(part.value)
        self._step_delta(step, {"index": 0, "type": "code_interpreter", "code_interpreter": {"input": part.value}})

    def _hosted_done(self, part: HostedDone) -> None:
        step = self._hosted.pop(part.key, None)
        if step is None:
            self._unknown(Unknown("model.late_outputs"))
            return
        outputs = (part.call.get("code_interpreter") or {}).get("outputs")
        if outputs:
            told = [{"index": index, **output} for index, output in enumerate(outputs)]
            self._step_delta(step, {"index": 0, "type": "code_interpreter", "code_interpreter": {"outputs": told}})
        step.calls[0] = part.call, []
        self._end_step(step, "failed" if part.failed else "completed", Ending("failed", message="the tool failed"))

    def _step_delta(self, step: _Step, call: Json) -> None:
        details = {"type": "tool_calls", "tool_calls": [call]}
        value = {"id": step.value["id"], "object": "thread.run.step.delta", "delta": {"step_details": details}}
        self._put(ThreadRunStepDelta, json_bytes(value))

    # -- payloads without a counterpart
    # ----------------------------------------------------------------------------------------

    def _reasoning(self, part: Reasoning) -> None:
        value = {"run_id": self._run["id"], "object": "thread.run.reasoning.delta", "delta": part.value}
        self._put(ReasoningDelta, json_bytes(value))

    def _late_text(self, part: LateText) -> None:
        self._put(unknown_kind(b"model.late_text"), json_bytes({"run_id": self._run["id"], "text": part.value}))

    def _unknown(self, part: Unknown) -> None:
        known = part.name in BY_NAME or not part.name or not part.name.isprintable()
        self._put(unknown_kind(b"model.payload" if known else part.name.encode("utf-8", "replace")), self._source)

    # -- output -----------------------------------------------------------------------------------------------------

    def _emit(self, name: str, value: Json) -> None:
        self._put(BY_NAME[name], json_bytes(value))

    def _put(self, kind: Kind, payload: bytes) -> None:
        self._pairs.append((kind, Sourced(payload, self._source)))


class _Step:
    """A created step, and its calls by index, each with the fragments of its arguments or code."""

    __slots__ = ("calls", "value")

    def __init__(self, value: Json) -> None:
        self.value = value
        self.calls: dict[int, tuple[Json, list[str]]] = {}

    def joined(self) -> list[Json]:
        """The calls with their fragments joined."""
        return [_with_input(call, "".join(fragments)) for _, (call, fragments) in sorted(self.calls.items())]


class _Place:
    """A content part that is being written: its index, its fragments, and the beginning of each further delta."""

    __slots__ = ("annotations", "fragments", "index", "is_refusal", "prefix")

    def __init__(self, index: int, prefix: bytes, *, is_refusal: bool) -> None:
        self.index = index
        self.prefix = prefix
        self.is_refusal = is_refusal
        self.fragments: list[str] = []
        self.annotations: list[Json] = []

    def finished(self) -> Json:
        """The part in the form of the final message."""
        value = "".join(self.fragments)
        if self.is_refusal:
            return {"type": "refusal", "refusal": value}
        return {"type": "text", "text": {"value": value, "annotations": self.annotations}}


class _Message:
    """A message that is being written: its parts by number, and all of them in order of appearance."""

    __slots__ = ("_order", "ended", "id", "refusals", "step", "texts", "value")

    def __init__(self, id: str, step: _Step) -> None:
        self.id = id
        self.step = step
        self.value: Json = {}
        self.ended = False
        self.texts: dict[int, _Place] = {}
        self.refusals: dict[int, _Place] = {}
        self._order: list[_Place] = []

    def open_text(self, part: int) -> _Place:
        """A new text part at the end of the message."""
        place = self.texts[part] = self._open(is_refusal=False)
        return place

    def open_refusal(self, part: int) -> _Place:
        """A new refusal at the end of the message."""
        place = self.refusals[part] = self._open(is_refusal=True)
        return place

    def _open(self, *, is_refusal: bool) -> _Place:
        index = len(self._order)
        place = _Place(index, _text_prefix(self.id, index), is_refusal=is_refusal)
        self._order.append(place)
        return place

    def content(self) -> list[Json]:
        """The finished parts."""
        return [place.finished() for place in self._order]


def _text_prefix(message_id: str, index: int) -> bytes:
    """The JSON before the text in each further delta of a text part."""
    head = b'{"id":' + json_bytes(message_id) + b',"object":"thread.message.delta","delta":{"content":[{"index":'
    return head + str(index).encode() + b',"type":"text","text":{"value":'


def _unfinished(ending: Ending) -> str:
    """The ending of a step that was stopped by the end of the run."""
    return "cancelled" if ending.status == "cancelled" else "failed"


def _with_input(call: Json, value: str) -> Json:
    kind = call["type"]
    key = {"function": "arguments", "code_interpreter": "input"}.get(kind)
    if key is None or not value:
        return call
    return {**call, kind: {**call[kind], key: value}}


def _asked(call: Json) -> Json:
    function = call["function"]
    return {"name": function["name"], "arguments": function["arguments"]}


_WRITERS: Final[Mapping[type, Callable[[RunWriter, Any], None]]] = {
    Text: RunWriter._text,
    Refusal: RunWriter._refusal,
    Annotation: RunWriter._annotation,
    MessageDone: RunWriter._message_done,
    Reasoning: RunWriter._reasoning,
    Call: RunWriter._call,
    Arguments: RunWriter._arguments,
    HostedCall: RunWriter._hosted_call,
    HostedInput: RunWriter._hosted_input,
    HostedDone: RunWriter._hosted_done,
    LateText: RunWriter._late_text,
    Unknown: RunWriter._unknown,
}

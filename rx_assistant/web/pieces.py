"""Events of a run → pieces that protocols for browsers show, in an order that every such protocol accepts.

A `Pieces` belongs to one reader of one stream. It is pure. `snapshots.Fold` decides what an event opens, changes and
closes; this module adds what those protocols require: a run begins before anything else, each text and call begins once
and ends once, and everything has ended before the run ends.

A run stops when the stream ends, not before: a run that requires action may get its answers in the same stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

from rx_assistant.errors import EventDecodeError
from rx_assistant.events import (
    MessageEvent,
    ReasoningDelta,
    RunEvent,
    StreamEvent,
    ThreadCreated,
    ThreadMessageDelta,
    ThreadRunStepDelta,
    UnknownEvent,
)
from rx_assistant.snapshots import CallState, Changes, Fold, MessageState, PartState, StepState
from rx_assistant.types import Run
from rx_assistant.types._inside import inside, models_in, text_in


class RunBegan(NamedTuple):
    """A run began; all other pieces follow."""

    run_id: str
    thread_id: str


class RunChanged(NamedTuple):
    """The status of the run has changed."""

    run: Run


class RunStopped(NamedTuple):
    """The run has ended, or the stream has ended well before it; `run` is its last known state, if any."""

    run_id: str
    thread_id: str
    run: Run | None


class Failed(NamedTuple):
    """The stream has ended with an error."""

    error: Exception


class StepBegan(NamedTuple):
    """A step began. `name` is unique in the run."""

    name: str


class StepEnded(NamedTuple):
    """A step ended, in any way."""

    name: str


class TextBegan(NamedTuple):
    """A text or refusal of a message began. The end of a step ends its texts; more of a text gets a new id."""

    id: str
    message_id: str


class TextGrew(NamedTuple):
    """More of a text."""

    id: str
    message_id: str
    text: str


class TextEnded(NamedTuple):
    """A text is finished."""

    id: str
    message_id: str


class ThoughtBegan(NamedTuple):
    """The model began to reason."""

    id: str


class ThoughtGrew(NamedTuple):
    """More of the reasoning."""

    id: str
    text: str


class ThoughtEnded(NamedTuple):
    """The reasoning ended, or something else came in between."""

    id: str


class CallBegan(NamedTuple):
    """A tool call began. `on_server`: the server runs the tool itself."""

    id: str
    name: str
    on_server: bool


class CallGrew(NamedTuple):
    """More of a call's arguments: JSON text."""

    id: str
    text: str


class CallEnded(NamedTuple):
    """A call's arguments are complete."""

    id: str
    name: str
    arguments: str
    on_server: bool


class CallAnswered(NamedTuple):
    """The output of a call."""

    id: str
    output: str


class Picture(NamedTuple):
    """An image in a message: the `image_file` or `image_url` part as JSON."""

    message_id: str
    part: dict[str, Any]


class Cited(NamedTuple):
    """An annotation of a finished text, as JSON."""

    message_id: str
    annotation: dict[str, Any]


Piece: TypeAlias = (
    RunBegan
    | RunChanged
    | RunStopped
    | Failed
    | StepBegan
    | StepEnded
    | TextBegan
    | TextGrew
    | TextEnded
    | ThoughtBegan
    | ThoughtGrew
    | ThoughtEnded
    | CallBegan
    | CallGrew
    | CallEnded
    | CallAnswered
    | Picture
    | Cited
)

_TEXTUAL: Final = {"text": "value", "refusal": "refusal"}
_CODE: Final = "code_interpreter"
_DELTAS: Final = (ThreadMessageDelta, ThreadRunStepDelta)


class _Text:
    """A text that was begun."""

    __slots__ = ("id", "is_open", "message_id", "sent")

    def __init__(self, message_id: str) -> None:
        self.message_id = message_id
        self.id = ""
        self.sent = 0
        self.is_open = False


class _Call:
    """A tool call. It begins as soon as its id and name are known."""

    __slots__ = ("began", "ended", "id", "name", "on_server", "sent", "step_id")

    def __init__(self, step_id: str) -> None:
        self.step_id = step_id
        self.id = self.name = ""
        self.on_server = False
        self.sent = 0
        self.began = self.ended = False


class Pieces:
    """The pieces of one stream."""

    def __init__(self) -> None:
        self._fold = Fold()
        self._run: Run | None = None
        self._run_id = self._thread_id = ""
        self._began = self._over = False
        self._steps: dict[str, str] = {}  # the open ones: id → name
        self._texts: dict[PartState, _Text] = {}
        self._calls: dict[CallState, _Call] = {}
        self._answered: set[str] = set()
        self._of_users: set[str] = set()
        self._count = 0
        self._thought = ""  # the id of the open one

    def take(self, event: StreamEvent) -> list[Piece]:
        """Return the pieces of one event. EventDecodeError when the payload is not a JSON object."""
        return list(self._take(event))

    def finish(self, error: Exception | None) -> list[Piece]:
        """Return the pieces of the stream's ending."""
        return list(self._finish(error))

    def _take(self, event: StreamEvent) -> Iterator[Piece]:
        if self._over:
            return
        if isinstance(event, ThreadCreated):
            self._thread_id = text_in(event.data, "id")
            return
        if isinstance(event, RunEvent):
            yield from self._next_run(event.data)
        yield from self._begin(event)
        if isinstance(event, RunEvent) and inside(self._run, "status") != event.data.status:
            self._run = event.data
            yield RunChanged(event.data)
        elif isinstance(event, RunEvent):
            self._run = event.data
        elif isinstance(event, MessageEvent) and event.data.role == "user":
            self._of_users.add(text_in(event.data, "id"))
        elif isinstance(event, ReasoningDelta):
            yield from self._think(event.text)
        for version, changes, each in self._fold.advance(event):
            yield from self._changed(version, changes, each)

    def _next_run(self, run: Run) -> Iterator[Piece]:
        """Stop the run before, when another one follows in the same stream."""
        if self._run is not None and text_in(run, "id") != text_in(self._run, "id"):
            yield from self._finish(None)
            Pieces.__init__(self)

    def _begin(self, event: StreamEvent) -> Iterator[Piece]:
        if self._began or (isinstance(event, UnknownEvent) and not isinstance(event, ReasoningDelta)):
            return
        data = event.data
        self._run_id = text_in(data, "id" if isinstance(event, RunEvent) else "run_id")
        self._thread_id = text_in(data, "thread_id") or self._thread_id
        self._began = True
        yield RunBegan(self._run_id, self._thread_id)

    def _finish(self, error: Exception | None) -> Iterator[Piece]:
        if self._over:
            return
        self._over = True
        yield from self._end_thought()
        for text in self._texts.values():
            yield from self._end_text(text)
        for state, call in self._calls.items():
            yield from self._end_call(state, call, self._fold.version)
        for name in self._steps.values():
            yield StepEnded(name)
        if error is not None:
            yield Failed(error)
            return
        if not self._began:
            yield RunBegan(self._run_id, self._thread_id)
        yield RunStopped(self._run_id, self._thread_id, self._run)

    # -- changes -------------------------------------------------------------------------------------------------

    def _changed(self, version: int, changes: Changes, event: StreamEvent) -> Iterator[Piece]:
        for phase, state, position in changes:
            if phase == "created" and isinstance(event, _DELTAS) and not isinstance(state, StepState):
                continue  # the delta itself is the next change
            if isinstance(state, PartState):
                if state.message_id not in self._of_users:
                    yield from self._part(phase, state, position, version, event)
            elif isinstance(state, CallState):
                yield from self._call(phase, state, position, version, event)
            elif isinstance(state, StepState):
                yield from self._step(phase, state, version)
            elif phase == "done":
                yield from self._message(state)

    def _step(self, phase: str, state: StepState, version: int) -> Iterator[Piece]:
        if phase == "created":
            kind = state.details_type.at(version) or text_in(state.view(version), "type") or "step"
            self._steps[state.id] = f"{kind} {state.id}"
            yield StepBegan(self._steps[state.id])
        elif phase == "done":
            yield from self._end_thought()
            for text in self._texts.values():
                yield from self._end_text(text)
            yield from self._outputs(state, version)
            name = self._steps.pop(state.id, None)
            if name is not None:
                yield StepEnded(name)

    def _message(self, state: MessageState) -> Iterator[Piece]:
        for text in self._texts.values():
            if text.message_id == state.id:
                yield from self._end_text(text)

    # -- texts ---------------------------------------------------------------------------------------------------

    def _part(self, phase: str, state: PartState, position: int, version: int, event: Any) -> Iterator[Piece]:
        kind = state.kind_at(version)
        text = self._texts.get(state)
        if kind not in _TEXTUAL:
            if text is None:
                view = state.view(version)
                if inside(view, kind) is not None:
                    self._texts[state] = _Text(state.message_id)
                    yield from self._end_thought()
                    yield Picture(state.message_id, view.to_model().model_dump(mode="json", exclude_unset=True))
            return
        if text is None:
            text = self._texts[state] = _Text(state.message_id)
        if phase == "delta":
            yield from self._grow(text, _text_of(state, position, event))
        else:
            yield from self._grow(text, text_in(state.view(version), *_path(kind))[text.sent :])
        if phase == "done":
            yield from self._end_text(text)
            if kind == "text":
                for mark in models_in(inside(state.text(version), "annotations")):
                    yield Cited(state.message_id, mark.to_model().model_dump(mode="json", exclude_unset=True))

    def _grow(self, text: _Text, more: str) -> Iterator[Piece]:
        if not more:
            return
        yield from self._end_thought()
        if not text.is_open:
            self._count += 1
            text.id, text.is_open = f"{text.message_id}:{self._count}", True
            yield TextBegan(text.id, text.message_id)
        text.sent += len(more)
        yield TextGrew(text.id, text.message_id, more)

    def _end_text(self, text: _Text) -> Iterator[Piece]:
        if text.is_open:
            text.is_open = False
            yield TextEnded(text.id, text.message_id)

    def _think(self, text: str) -> Iterator[Piece]:
        if not self._thought:
            self._count += 1
            self._thought = f"reasoning:{self._run_id}:{self._count}"
            yield ThoughtBegan(self._thought)
        yield ThoughtGrew(self._thought, text)

    def _end_thought(self) -> Iterator[Piece]:
        if self._thought:
            yield ThoughtEnded(self._thought)
            self._thought = ""

    # -- calls ---------------------------------------------------------------------------------------------------

    def _call(self, phase: str, state: CallState, position: int, version: int, event: Any) -> Iterator[Piece]:
        call = self._calls.get(state)
        if call is None:
            call = self._calls[state] = _Call(state.step_id)
        if not call.began:
            view = state.view(version)
            call.id = text_in(view, "id")
            call.name = text_in(view, "function", "name") if state.kind == "function" else state.kind
            if call.id and call.name:
                yield from self._begin_call(state, call)
                yield from self._grow_call(call, _input(view))
        elif phase == "delta":
            yield from self._grow_call(call, _input(state.delta(event, position)))
        if phase == "done":
            yield from self._end_call(state, call, version)

    def _begin_call(self, state: CallState, call: _Call) -> Iterator[Piece]:
        call.began = True
        call.on_server = state.kind != "function"
        call.id = call.id or f"{state.step_id}:{state.index}"
        call.name = call.name or state.kind or "function"
        yield from self._end_thought()
        yield CallBegan(call.id, call.name, call.on_server)
        if call.on_server:
            yield CallGrew(call.id, '{"input":"' if state.kind == _CODE else "{}")

    def _grow_call(self, call: _Call, more: str) -> Iterator[Piece]:
        if more:
            call.sent += len(more)
            yield CallGrew(call.id, json.dumps(more)[1:-1] if call.on_server else more)

    def _end_call(self, state: CallState, call: _Call, version: int) -> Iterator[Piece]:
        if call.ended:
            return
        if not call.began:
            yield from self._begin_call(state, call)
        call.ended = True
        text = _input(state.view(version))
        yield from self._grow_call(call, text[call.sent :])
        if call.on_server:
            text = json.dumps({"input": text}) if state.kind == _CODE else "{}"
            if state.kind == _CODE:
                yield CallGrew(call.id, '"}')
        yield CallEnded(call.id, call.name, text, call.on_server)

    def _outputs(self, state: StepState, version: int) -> Iterator[Piece]:
        """The outputs of a step's calls, and first the calls that an earlier stream has shown."""
        ids = {call.id for call in self._calls.values() if call.began}
        for view in models_in(inside(state.view(version), "step_details", "tool_calls")):
            call_id, output = text_in(view, "id"), _output(view)
            if output is None or not call_id or call_id in self._answered:
                continue
            self._answered.add(call_id)
            if call_id not in ids:
                name = text_in(view, "function", "name") or text_in(view, "type")
                arguments = _input(view) if view.type == "function" else json.dumps({"input": _input(view)})
                yield CallBegan(call_id, name, view.type != "function")
                yield CallGrew(call_id, arguments)
                yield CallEnded(call_id, name, arguments, view.type != "function")
            yield CallAnswered(call_id, output)


def _path(kind: str) -> tuple[str, ...]:
    return ("text", "value") if kind == "text" else ("refusal",)


def _text_of(state: PartState, position: int, event: Any) -> str:
    """The text that a delta adds to a part."""
    if event.is_plain:
        text: str = event.narrow[1][0][1]
        return text
    return text_in(state.delta(event, position), *_path(state.kind))


def _input(call: Any) -> str:
    """The arguments of a function, or the code of an interpreter, of a call or of its delta."""
    return text_in(call, "function", "arguments") or text_in(call, _CODE, "input")


def _output(call: Any) -> str | None:
    """The output of a finished call as text; None if there is none."""
    if call.type == "function":
        output = inside(call, "function", "output")
        return output if isinstance(output, str) else None
    if call.type == _CODE:
        outputs = models_in(inside(call, _CODE, "outputs"))
        return "\n".join([text_in(each, "logs") or f"image {text_in(each, 'image', 'file_id')}" for each in outputs])
    if call.type == "file_search":
        return "\n".join([text_in(each, "file_name") for each in models_in(inside(call, "file_search", "results"))])
    return None


def readable(pieces: Pieces, event: StreamEvent) -> list[Piece]:
    """The pieces of an event; the end of the stream if its payload cannot be read."""
    try:
        return pieces.take(event)
    except EventDecodeError as error:
        return pieces.finish(error)

"""A handler's binding to its stream: events in, callbacks out. What a handler passes on of its stream."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, overload

from rx_assistant.errors import APITimeoutError, StreamClosedError
from rx_assistant.events import DoneEvent, RunEvent, StreamEvent, ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.snapshots import CallState, Change, MessageState, PartState, RunSnapshot, StepState, advance
from rx_assistant.streams import message_around, step_around

if TYPE_CHECKING:
    from rx_assistant.types import Message, Run, RunStep

_BINDING = "rx_assistant binding"  # no identifier: no attribute of a user's class can be meant by it

Call = tuple[Callable[..., Any], tuple[Any, ...]]
"""A callback and its arguments."""

_CREATED: dict[type, str] = {
    MessageState: "on_message_created",
    StepState: "on_run_step_created",
    CallState: "on_tool_call_created",
}
_DONE: dict[type, str] = {
    MessageState: "on_message_done",
    StepState: "on_run_step_done",
    CallState: "on_tool_call_done",
}
_DONE_PARTS = {
    "text": ("on_text_done", "text"),
    "image_file": ("on_image_file_done", "image_file"),
    "image_url": ("on_image_url_done", "image_url"),
    "refusal": ("on_refusal_done", ""),
}


class Binding:
    """A handler and its stream: events in, callbacks out, in order, as (callable, arguments)."""

    is_async = False

    def __init__(self, handler: Any, base: type, stream: Any) -> None:
        self.stream = stream
        self.event: StreamEvent | None = None
        self.snapshot = RunSnapshot()
        self.exception: Exception | None = None
        self._status: str | None = None
        self._on = {name: _overridden(handler, base, name) for name in vars(base) if name.startswith("on_")}

    # -- context -------------------------------------------------------------------------------------------------

    @property
    def run(self) -> Run | None:
        """The run, as the last event that told shows it."""
        return self.snapshot.run

    @property
    def message(self) -> Message | None:
        """The message around the current event."""
        return message_around(self.event, self.snapshot)

    @property
    def step(self) -> RunStep | None:
        """The run step around the current event."""
        return step_around(self.event, self.snapshot)

    # -- events → callbacks --------------------------------------------------------------------------------------

    def calls(self, event: StreamEvent) -> Iterator[Call]:
        """Give the callbacks of one event, each when those before it have run."""
        self.event = event
        on = self._on
        if on["on_event"] is not None and type(event) is not DoneEvent:
            yield on["on_event"], (event,)
        self.snapshot, changes = advance(self.snapshot, event)
        if changes:
            if len(changes) == 2 and changes[0][0] == "delta":
                yield from self._delta(event, changes[0])
                yield from self._delta(event, changes[1])
            else:
                yield from self._many(event, changes)
        if isinstance(event, RunEvent):
            yield from self._run_calls(event.data)

    def _many(self, event: StreamEvent, changes: tuple[Change, ...]) -> Iterator[Call]:
        created = {id(state) for phase, state, _ in changes if phase == "created"}
        is_delta = isinstance(event, ThreadMessageDelta | ThreadRunStepDelta)
        for phase, state, _ in changes:
            if phase == "created":
                yield from self._created(state, with_annotations=not is_delta)
        for change in changes:
            phase, state, position = change
            if phase == "done":
                yield from self._done(state)
            elif phase == "delta" and not (id(state) in created and _is_bare(event, state, position)):
                yield from self._delta(event, change)

    def _run_calls(self, run: Run) -> Iterator[Call]:
        on = self._on
        if run.status != self._status:
            self._status = run.status
            if on["on_run_status"] is not None:
                yield on["on_run_status"], (run,)
        if run.status == "requires_action" and on["on_requires_action"] is not None:
            yield on["on_requires_action"], (run,)

    def _created(self, state: Any, *, with_annotations: bool) -> Iterator[Call]:
        on, version = self._on, self.snapshot.version
        if isinstance(state, PartState):
            if state.kind == "text":
                if on["on_text_created"] is not None:
                    yield on["on_text_created"], (state.text(version),)
                if with_annotations and on["on_annotation"] is not None:
                    text = state.text(version)
                    for annotation in text.annotations or ():
                        yield on["on_annotation"], (annotation, text)
            return
        callback = on[_CREATED[type(state)]]
        if callback is not None:
            yield callback, (state.view(version),)

    def _delta(self, event: Any, change: Change) -> Iterator[Call]:
        _, state, position = change
        on, version = self._on, self.snapshot.version
        if isinstance(state, PartState):
            yield from self._part_delta(event, state, position)
        elif isinstance(state, CallState):
            if on["on_tool_call_delta"] is not None or on["on_code_output"] is not None:
                yield from self._call_delta(event, state, position)
        elif isinstance(state, MessageState):
            if on["on_message_delta"] is not None:
                yield on["on_message_delta"], (event.data.delta, state.view(version))
        elif on["on_run_step_delta"] is not None:
            yield on["on_run_step_delta"], (event.data.delta, state.view(version))

    def _part_delta(self, event: ThreadMessageDelta, part: PartState, position: int) -> Iterator[Call]:
        on, version = self._on, self.snapshot.version
        if part.kind == "text":
            if on["on_text_delta"] is not None:
                yield on["on_text_delta"], (part.text_delta(event, position), part.text(version))
            if on["on_annotation"] is not None and not event.is_plain:
                for annotation in part.text_delta(event, position).annotations or ():
                    yield on["on_annotation"], (annotation, part.text(version))
        elif part.kind == "refusal" and on["on_refusal_delta"] is not None:
            yield on["on_refusal_delta"], (part.delta(event, position), part.view(version))

    def _call_delta(self, event: ThreadRunStepDelta, call: CallState, position: int) -> Iterator[Call]:
        on, version = self._on, self.snapshot.version
        delta = call.delta(event, position)
        if on["on_tool_call_delta"] is not None:
            yield on["on_tool_call_delta"], (delta, call.view(version))
        if on["on_code_output"] is not None and delta.type == "code_interpreter" and delta.code_interpreter:
            for output in delta.code_interpreter.outputs or ():
                yield on["on_code_output"], (output, call.view(version))

    def _done(self, state: Any) -> Iterator[Call]:
        on, model = self._on, state.view(self.snapshot.version).to_model()
        if not isinstance(state, PartState):
            callback = on[_DONE[type(state)]]
            if callback is not None:
                yield callback, (model,)
            return
        name, inside = _DONE_PARTS.get(state.kind, ("", ""))
        callback = on.get(name)
        if callback is not None:
            yield callback, (getattr(model, inside) if inside else model,)

    # -- endings -------------------------------------------------------------------------------------------------

    def failure_calls(self, error: Exception) -> Iterator[Call]:
        """Give the callbacks of a failure. That the stream was closed on purpose is none."""
        on = self._on
        if not isinstance(error, StreamClosedError):
            self.exception = error
            if isinstance(error, APITimeoutError) and error is self.stream.log.failure and on["on_timeout"] is not None:
                yield on["on_timeout"], ()
            if on["on_exception"] is not None:
                yield on["on_exception"], (error,)

    def end_calls(self) -> Iterator[Call]:
        """Give the last callback."""
        if self._on["on_end"] is not None:
            yield self._on["on_end"], ()

    # -- streams.Binding -----------------------------------------------------------------------------------------

    def next(self, event: StreamEvent) -> Awaitable[None] | None:
        """Run the callbacks of one event."""
        for callback, arguments in self.calls(event):
            callback(*arguments)
        return None

    def error(self, error: Exception) -> Awaitable[None] | None:
        """Run `on_timeout` where it fits, `on_exception`, and `on_end` in any case."""
        try:
            for callback, arguments in self.failure_calls(error):
                callback(*arguments)
        finally:
            self.completed()
        return None

    def completed(self) -> Awaitable[None] | None:
        """Run `on_end`."""
        for callback, arguments in self.end_calls():
            callback(*arguments)
        return None


class AsyncBinding(Binding):
    """The same with coroutines; a callback that is a plain function is called like one."""

    is_async = True

    async def next(self, event: StreamEvent) -> None:
        await _await_all(self.calls(event))

    async def error(self, error: Exception) -> None:
        try:
            await _await_all(self.failure_calls(error))
        finally:
            await self.completed()

    async def completed(self) -> None:
        await _await_all(self.end_calls())


async def _await_all(calls: Iterator[Call]) -> None:
    for callback, arguments in calls:
        result = callback(*arguments)
        if result is not None and inspect.isawaitable(result):
            await result


@overload
def binding_of(handler: Any, *, needed: Literal[True]) -> Binding: ...
@overload
def binding_of(handler: Any, *, needed: bool) -> Binding | None: ...
def binding_of(handler: Any, *, needed: bool) -> Binding | None:
    """Give a handler's binding; RuntimeError, where one is needed, when it has none yet."""
    binding: Binding | None = handler.__dict__.get(_BINDING)
    if binding is None and needed:
        raise RuntimeError(
            f"this {type(handler).__name__} is not attached to a stream yet: pass it as event_handler=, "
            "or attach it with stream.attach(handler)"
        )
    return binding


def bind(handler: Any, kind: type[Binding], base: type, stream: Any) -> Binding:
    """Bind a handler to a stream; RuntimeError when it is bound already."""
    if _BINDING in handler.__dict__:
        raise RuntimeError(
            f"this {type(handler).__name__} is bound to a stream already: a handler serves one stream, make a new one"
        )
    binding = kind(handler, base, stream)
    handler.__dict__[_BINDING] = binding
    return binding


def _is_bare(event: Any, state: Any, position: int) -> bool:
    """Whether a tool call's first fragment says nothing but that the call is there."""
    if not isinstance(state, CallState):
        return False
    delta = state.delta(event, position)
    if delta.type == "function":
        return not (delta.function and (delta.function.arguments or delta.function.output))
    if delta.type == "code_interpreter":
        return not (delta.code_interpreter and (delta.code_interpreter.input or delta.code_interpreter.outputs))
    return False


def _overridden(handler: Any, base: type, name: str) -> Callable[..., Any] | None:
    """Give the handler's own callback of that name; None when it is the one that does nothing."""
    callback: Callable[..., Any] = getattr(handler, name)
    return None if getattr(callback, "__func__", None) is getattr(base, name) else callback

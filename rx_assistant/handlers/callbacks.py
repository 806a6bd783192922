"""The callbacks for an event: those that a handler has defined, in order, with their arguments.

Callbacks of the base classes do nothing. Only those that the user's class defines are called, and arguments of other
callbacks are not built. `created` and `delta` callbacks get views, which compute a field when it is read; `done`
callbacks get models.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rx_assistant.events import RunEvent, StreamEvent, ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.snapshots import (
    CallState,
    Changes,
    Fold,
    MessageState,
    PartState,
    State,
    StepState,
    readers,
)
from rx_assistant.types._inside import inside, is_model, models_in

if TYPE_CHECKING:
    from rx_assistant.types import Run

Invocation = tuple[Callable[..., Any], tuple[Any, ...]]
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


class Callbacks:
    """Turns events into invocations, and keeps the snapshot that it folds."""

    def __init__(self, handler: object, base: type) -> None:
        self.fold = Fold()
        self._status: str | None = None
        names = [name for name in vars(base) if name.startswith("on_")]
        self.on = {name: callback for name in names if (callback := own_callback(handler, base, name)) is not None}
        self._on_text_delta, self._on_annotation = self.on.get("on_text_delta"), self.on.get("on_annotation")
        self._on_tool_call_delta, self._on_code_output = (
            self.on.get("on_tool_call_delta"),
            self.on.get("on_code_output"),
        )
        self._text_delta, self._text, self._delta, self._call = readers()
        self._add_delta = {kind: add for kind, (add, wanted) in _ADD_DELTA.items() if wanted & self.on.keys()}

    def of(self, event: StreamEvent) -> Sequence[Invocation]:
        """Fold the event, and return the invocations after `on_event`.

        Raises EventDecodeError when the event's payload is not a JSON object.
        """
        invocations: list[Invocation] = []
        for version, changes, whole in self.fold.advance(event):
            if len(changes) == 2 and changes[0][0] == "delta":  # a delta of one part or call
                for _, state, position in changes:
                    add = self._add_delta.get(type(state))
                    if add is not None:
                        add(self, invocations, whole, state, position, version)
            elif changes:
                self._many(invocations, whole, changes, version)
        if isinstance(event, RunEvent):
            self._run(invocations, event.data)
        return invocations

    # -- changes → invocations -----------------------------------------------------------------------------------------

    def _many(self, invocations: list[Invocation], event: StreamEvent, changes: Changes, version: int) -> None:
        created = {id(state) for phase, state, _ in changes if phase == "created"}
        is_delta = isinstance(event, ThreadMessageDelta | ThreadRunStepDelta)
        for phase, state, _ in changes:
            if phase == "created":
                self._created(invocations, state, version)
                if not is_delta:
                    self._contents(invocations, state, version, since=0)
        for phase, state, position in changes:
            is_new = id(state) in created
            if phase == "done":
                if not is_new:
                    self._contents(invocations, state, version, since=_reported(state, version))
                self._done(invocations, state, version)
            elif phase == "delta" and not (is_new and _is_bare(event, state, position)):
                add = self._add_delta.get(type(state))
                if add is not None:
                    add(self, invocations, event, state, position, version)

    def _created(self, invocations: list[Invocation], state: State, version: int) -> None:
        if not isinstance(state, PartState):
            callback = self.on.get(_CREATED[type(state)])
            if callback is not None:
                invocations.append((callback, (state.view(version),)))
        elif state.kind == "text" and (callback := self.on.get("on_text_created")) is not None:
            invocations.append((callback, (state.text(version),)))

    def _contents(self, invocations: list[Invocation], state: State, version: int, since: int) -> None:
        """The invocations for the annotations or outputs in a whole object, without the first `since`.

        The whole object decides the type of the part, because a stream that lost deltas may have built another part.
        """
        if isinstance(state, PartState) and (callback := self.on.get("on_annotation")) is not None:
            if state.view(version).type == "text":
                text = state.text(version)
                invocations += [(callback, (annotation, text)) for annotation in models_in(text.annotations)[since:]]
        elif isinstance(state, CallState) and (callback := self.on.get("on_code_output")) is not None:
            call = state.view(version)
            if call.type == "code_interpreter":
                outputs = models_in(inside(call.code_interpreter, "outputs"))
                invocations += [(callback, (output, call)) for output in outputs[since:]]

    def _part_delta(
        self, invocations: list[Invocation], event: ThreadMessageDelta, part: PartState, position: int, version: int
    ) -> None:
        if part.kind == "text":
            text_callback, annotation_callback = self._on_text_delta, self._on_annotation
            if text_callback is not None:
                invocations.append((text_callback, (self._text_delta(event, position), self._text(part, version))))
            if annotation_callback is not None and not event.is_plain:
                text = self._text(part, version)
                annotations = models_in(self._text_delta(event, position).annotations)
                invocations += [(annotation_callback, (annotation, text)) for annotation in annotations]
        elif part.kind == "refusal" and (callback := self.on.get("on_refusal_delta")) is not None:
            invocations.append((callback, (part.delta(event, position), part.view(version))))

    def _call_delta(
        self, invocations: list[Invocation], event: ThreadRunStepDelta, call: CallState, position: int, version: int
    ) -> None:
        if (callback := self._on_tool_call_delta) is not None:
            invocations.append((callback, (self._delta(event, position), self._call(call, version))))
        if (callback := self._on_code_output) is not None and not event.is_plain:
            delta, view = self._delta(event, position), self._call(call, version)
            if delta.type == "code_interpreter":
                invocations += [
                    (callback, (output, view)) for output in models_in(inside(delta.code_interpreter, "outputs"))
                ]

    def _message_delta(
        self, invocations: list[Invocation], event: ThreadMessageDelta, message: MessageState, _: int, version: int
    ) -> None:
        if (callback := self.on.get("on_message_delta")) is not None:
            invocations.append((callback, (message.delta(event), message.view(version))))

    def _step_delta(
        self, invocations: list[Invocation], event: ThreadRunStepDelta, step: StepState, _: int, version: int
    ) -> None:
        if (callback := self.on.get("on_run_step_delta")) is not None:
            invocations.append((callback, (step.delta(event), step.view(version))))

    def _done(self, invocations: list[Invocation], state: State, version: int) -> None:
        if isinstance(state, PartState):
            name, model = _finished(state, version)
        else:
            name, model = _DONE[type(state)], state.view(version)
        callback = self.on.get(name)
        if callback is not None and model is not None:
            invocations.append((callback, (model.to_model(),)))

    def _run(self, invocations: list[Invocation], run: Run) -> None:
        if run.status == self._status:
            return
        self._status = run.status
        if (callback := self.on.get("on_run_status")) is not None:
            invocations.append((callback, (run,)))
        if run.status == "requires_action" and (callback := self.on.get("on_requires_action")) is not None:
            invocations.append((callback, (run,)))


_ADD_DELTA: dict[type, tuple[Callable[..., None], set[str]]] = {
    PartState: (Callbacks._part_delta, {"on_text_delta", "on_annotation", "on_refusal_delta"}),
    CallState: (Callbacks._call_delta, {"on_tool_call_delta", "on_code_output"}),
    MessageState: (Callbacks._message_delta, {"on_message_delta"}),
    StepState: (Callbacks._step_delta, {"on_run_step_delta"}),
}
"""The method that builds the invocations, and the callbacks that it serves, by the type of the changed state."""


def _finished(part: PartState, version: int) -> tuple[str, Any]:
    """The callback for a finished part, and its argument; the server's final object decides the type of the part."""
    final: Any = part.view(version)
    if final.type == "text":
        return "on_text_done", part.text(version)
    if final.type == "refusal":
        return "on_refusal_done", final
    if final.type in ("image_file", "image_url") and is_model(getattr(final, final.type)):
        return f"on_{final.type}_done", getattr(final, final.type)
    return "", None


def _reported(state: State, version: int) -> int:
    """How many annotations or outputs were reported while they arrived."""
    if isinstance(state, PartState):
        return state.annotations.length(version)
    return state.outputs.length(version) if isinstance(state, CallState) else 0


def _is_bare(event: Any, state: State, position: int) -> bool:
    """Whether a tool call's first fragment has no content."""
    if not isinstance(state, CallState):
        return False
    delta = state.delta(event, position)
    if delta.type == "function":
        return not (inside(delta.function, "arguments") or inside(delta.function, "output"))
    if delta.type == "code_interpreter":
        return not (inside(delta.code_interpreter, "input") or inside(delta.code_interpreter, "outputs"))
    body = getattr(delta, str(delta.type), None)
    return not getattr(body, "model_fields_set", body)


def own_callback(handler: object, base: type, name: str) -> Callable[..., Any] | None:
    """The handler's callback of that name; None if it is the empty one of the base class."""
    callback: Callable[..., Any] = getattr(handler, name)
    return None if inspect.ismethod(callback) and callback.__func__ is getattr(base, name) else callback

"""Events of a run → AG-UI events.

    RUN_STARTED  STATE_SNAPSHOT  STEP_STARTED  TEXT_MESSAGE_START …  TOOL_CALL_START …  STATE_DELTA  …  RUN_FINISHED

The state is `{"run": {…}}`: the run's ids, status, usage and the reason of its end. A run that requires action when the
stream ends finishes with the outcome `interrupt`, with one interrupt for each call to answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from rx_assistant.events import StreamEvent
from rx_assistant.types import Run
from rx_assistant.types._inside import inside, models_in, text_in
from rx_assistant.web import pieces
from rx_assistant.web.ag_ui.models import core as ag

_SHOWN: Final = ("id", "thread_id", "assistant_id", "model", "status", "last_error", "incomplete_details", "usage")


class AgUiEncoder:
    """AG-UI events of one stream. `thread_id` and `run_id` replace those of the run: a client may have its own."""

    headers: ClassVar[Mapping[str, str]] = {}
    remembers: ClassVar[bool] = True

    def __init__(self, *, thread_id: str | None = None, run_id: str | None = None) -> None:
        self._thread_id = thread_id
        self._run_id = run_id
        self._pieces = pieces.Pieces()
        self._open: dict[str, int] = {}  # message id → its texts that are open: AG-UI knows one text a message
        self._state: dict[str, Any] | None = None

    def encode(self, event: StreamEvent) -> list[bytes]:
        """The AG-UI events of one event, each as a `data:` line."""
        return _blocks(each for piece in pieces.readable(self._pieces, event) for each in self._events(piece))

    def end(self, error: Exception | None) -> list[bytes]:
        """RUN_FINISHED or RUN_ERROR, after the ends of all that was open."""
        return _blocks(each for piece in self._pieces.finish(error) for each in self._events(piece))

    def _events(self, piece: pieces.Piece) -> Iterator[ag.BaseEvent]:
        match piece:
            case pieces.RunBegan(run_id, thread_id):
                self._state = None
                yield ag.RunStartedEvent(
                    thread_id=thread_id if self._thread_id is None else self._thread_id,
                    run_id=run_id if self._run_id is None else self._run_id,
                )
            case pieces.RunChanged(run):
                yield self._changed(run)
            case pieces.RunStopped():
                yield self._stopped(piece)
            case pieces.Failed(error):
                code = text_in(error, "code") or type(error).__name__
                yield ag.RunErrorEvent(message=str(error), code=code)
            case pieces.StepBegan(name):
                yield ag.StepStartedEvent(step_name=name)
            case pieces.StepEnded(name):
                yield ag.StepFinishedEvent(step_name=name)
            case pieces.TextBegan() | pieces.TextGrew() | pieces.TextEnded():
                yield from self._text(piece)
            case _:
                yield from _other(piece)

    def _text(self, piece: pieces.TextBegan | pieces.TextGrew | pieces.TextEnded) -> Iterator[ag.BaseEvent]:
        message_id, is_open = piece.message_id, self._open
        if isinstance(piece, pieces.TextGrew):
            yield ag.TextMessageContentEvent(message_id=message_id, delta=piece.text)
        elif isinstance(piece, pieces.TextBegan):
            is_open[message_id] = is_open.get(message_id, 0) + 1
            if is_open[message_id] == 1:
                yield ag.TextMessageStartEvent(message_id=message_id, role="assistant")
        else:
            is_open[message_id] -= 1
            if not is_open[message_id]:
                yield ag.TextMessageEndEvent(message_id=message_id)

    def _changed(self, run: Run) -> ag.BaseEvent:
        """The state with the current run, or the changes in it."""
        now = {name: value for name, value in run.to_dict().items() if name in _SHOWN}
        before, self._state = self._state, now
        if before is None:
            return ag.StateSnapshotEvent(snapshot={"run": now})
        changes = [
            {"op": "replace" if name in before else "add", "path": f"/run/{name}", "value": value}
            for name, value in now.items()
            if name not in before or before[name] != value
        ]
        changes += [{"op": "remove", "path": f"/run/{name}"} for name in before.keys() - now.keys()]
        return ag.StateDeltaEvent.model_validate({"type": "STATE_DELTA", "delta": changes})

    def _stopped(self, stopped: pieces.RunStopped) -> ag.BaseEvent:
        run = stopped.run
        status = text_in(run, "status")
        usage = _usage(run)
        if run is not None and status in ("failed", "expired"):
            message = text_in(run, "last_error", "message") or f"the run is {status}"
            return ag.RunErrorEvent(message=message, code=text_in(run, "last_error", "code") or status, usage=usage)
        outcome: Any = ag.RunFinishedSuccessOutcome()
        result: Any = None
        if status == "requires_action":
            interrupts = [_interrupt(call) for call in _waiting(run)]
            outcome = ag.RunFinishedInterruptOutcome(interrupts=interrupts) if interrupts else outcome
        elif status == "cancelled":
            outcome = ag.RunFinishedCancelledOutcome()
        elif status == "incomplete":
            result = {"status": status, "reason": text_in(run, "incomplete_details", "reason")}
        return ag.RunFinishedEvent(
            thread_id=stopped.thread_id if self._thread_id is None else self._thread_id,
            run_id=stopped.run_id if self._run_id is None else self._run_id,
            outcome=outcome,
            result=result,
            usage=usage,
        )


def _other(piece: pieces.Piece) -> Iterator[ag.BaseEvent]:
    match piece:
        case pieces.ThoughtBegan(id):
            yield ag.ReasoningStartEvent(message_id=id)
            yield ag.ReasoningMessageStartEvent(message_id=id, role="reasoning")
        case pieces.ThoughtGrew(id, text):
            yield ag.ReasoningMessageContentEvent(message_id=id, delta=text)
        case pieces.ThoughtEnded(id):
            yield ag.ReasoningMessageEndEvent(message_id=id)
            yield ag.ReasoningEndEvent(message_id=id)
        case pieces.CallBegan(id, name):
            yield ag.ToolCallStartEvent(tool_call_id=id, tool_call_name=name)
        case pieces.CallGrew(id, text):
            yield ag.ToolCallArgsEvent(tool_call_id=id, delta=text)
        case pieces.CallEnded(id):
            yield ag.ToolCallEndEvent(tool_call_id=id)
        case pieces.CallAnswered(id, output):
            yield ag.ToolCallResultEvent(message_id=f"{id}:result", tool_call_id=id, content=output, role="tool")
        case pieces.Picture(message_id, part):
            yield ag.CustomEvent(name="image", value={"message_id": message_id, **part})
        case pieces.Cited(message_id, annotation):
            yield ag.CustomEvent(name="annotation", value={"message_id": message_id, **annotation})


def _blocks(events: Iterator[ag.BaseEvent]) -> list[bytes]:
    return [b"data: " + event.model_dump_json(by_alias=True).encode() + b"\n" for event in events]


def _waiting(run: Run | None) -> list[Any]:
    return models_in(inside(run, "required_action", "submit_tool_outputs", "tool_calls"))


def _interrupt(call: Any) -> ag.Interrupt:
    call_id, name = text_in(call, "id"), text_in(call, "function", "name")
    return ag.Interrupt(id=call_id, reason="tool_call", message=f"{name} needs its output", tool_call_id=call_id)


def _usage(run: Run | None) -> list[ag.TokenUsage] | None:
    usage = inside(run, "usage")
    counts = [inside(usage, name) for name in ("prompt_tokens", "completion_tokens")]
    if not all(isinstance(count, int) and not isinstance(count, bool) and count >= 0 for count in counts):
        return None
    model = text_in(run, "model") or None
    return [ag.TokenUsage(model=model, input_tokens=counts[0], output_tokens=counts[1], total_tokens=sum(counts))]

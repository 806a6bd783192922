"""A stream on the screen: text, refusals, images, sources, tool calls and steps, each from its own operator."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rx_assistant import operators as ax
from rx_assistant.errors import EventDecodeError, StreamError
from rx_assistant.events import RunStepEvent, StreamEvent, ToolEvent, ToolFinished, ToolProgress
from rx_assistant.types._inside import inside, is_model, models_in, text_in

if TYPE_CHECKING:
    from rx_assistant.cli.output import Output
    from rx_assistant.streams import AssistantStream
    from rx_assistant.types import Annotation, AnnotationDelta, Message, Run, ToolCall


def show(stream: AssistantStream, output: Output) -> None:
    """Print what the stream brings, as it comes. Subscribes, and reads nothing by itself."""

    shown: set[tuple[str, str]] = set()
    sources = Sources(output)

    def begin(call: Any) -> None:
        output.call_begins(call.id, call.name or call.type)
        call.argument_deltas.subscribe(lambda piece: output.call_goes_on(call.id, piece), complain)

    def end(call: ToolCall) -> None:
        output.call_ends(call.id, *_name_and_input(call))
        for line in _outputs(call):
            output.answer(line)

    def tool(event: ToolEvent) -> None:
        if isinstance(event, ToolProgress):
            output.note(f"  … {event.name}: {event.item}")
        elif isinstance(event, ToolFinished):
            output.answer(str(event.error) if event.output is None else event.output)
            output.note(f"    {event.duration:.1f} s")

    def step(event: RunStepEvent[Any]) -> None:
        step = event.data
        if (step.id, step.status) not in shown:
            shown.add((step.id, step.status))
            output.note(f"· {step.type} {step.status}")

    def complain(error: Exception) -> None:
        if error is output.failure:
            stream.close()  # the output is closed, so nothing more can be shown
        elif not isinstance(error, StreamError):  # how the stream itself ended, the command that waits for it tells
            output.note(f"! {error}", "red")

    def part(message: Message) -> None:
        if message.status == "incomplete":
            reason = inside(message.incomplete_details, "reason") or "no reason given"
            output.note(f"! the message is incomplete: {reason}", "yellow")

    def refuse(piece: str) -> None:
        output.part("refusal")
        output.text(piece)

    stream.pipe(ax.texts()).subscribe(lambda text: output.part((text.message_id, text.index)), complain)
    stream.pipe(ax.text_deltas(), ax.numbered_citations(sources.reference)).subscribe(output.text, complain)
    stream.pipe(ax.refusal_deltas()).subscribe(refuse, complain)
    stream.pipe(ax.refusals()).subscribe(lambda _: output.note("! the assistant refuses", "yellow"), complain)
    stream.pipe(ax.images()).subscribe(lambda image: output.note(f"▣ image {_place(image)}"), complain)
    stream.pipe(ax.annotations()).subscribe(sources.add, complain, sources.show)
    stream.pipe(ax.messages()).subscribe(part, complain)
    stream.pipe(ax.tool_calls()).subscribe(begin, complain)
    stream.pipe(ax.completed_tool_calls()).subscribe(end, complain)
    stream.tool_events.subscribe(tool, complain)
    stream.pipe(ax.of_type(RunStepEvent)).subscribe(step, complain)  # after the calls, which end with their step


class Sources:
    """The citations of a stream: numbers in the text of a terminal, and a list of their files after it."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._numbers: dict[str, int] = {}
        self._places: dict[str, str] = {}

    def reference(self, number: int, mark: str) -> str:
        """Return the text for a mark: a number in a terminal; a pipe gets what the assistant wrote."""
        self._numbers[mark] = number
        return f"[{number}]" if self._output.in_terminal else mark

    def add(self, annotation: Annotation | AnnotationDelta) -> None:
        """Take an annotation as it arrives."""
        place = _place(getattr(annotation, annotation.type, None)) or annotation.type
        self._places.setdefault(annotation.text or "", place)

    def show(self) -> None:
        """Write a line for each source: its number, its mark, its file."""
        for mark, place in self._places.items():
            number = self._numbers.get(mark)
            self._output.note(f"{mark} {place}".strip() if number is None else f"[{number}] {mark} {place}")


def show_json(stream: AssistantStream, output: Output) -> None:
    """Print one event a line: `{"event": NAME, "data": PAYLOAD}`."""

    def line(event: StreamEvent) -> None:
        output.text(json.dumps({"event": event.event, "data": payload(event)}, ensure_ascii=False) + "\n")

    def stop(error: Exception) -> None:
        if error is output.failure:
            stream.close()

    stream.subscribe(line, stop)  # the command that waits for the stream tells how it ended


def payload(event: StreamEvent) -> Any:
    """Give an event's payload as JSON; what is none, as the text that it is."""
    try:
        return event.json()
    except EventDecodeError:
        return event.raw.decode("utf-8", "replace")


def describe_end(run: Run) -> str | None:
    """Say in a sentence why a run is no success; None when it is one."""
    if run.status in ("completed", "requires_action"):
        return None
    error, details = run.last_error, run.incomplete_details
    if error is not None:
        return f"the run {run.status}: " + (f"{error.message} ({error.code})" if is_model(error) else str(error))
    if details is not None and inside(details, "reason"):
        return f"the run is {run.status}: {details.reason}"
    return f"the run ended as {run.status!r}"


def text_of(message: Message) -> str:
    """The text of a message."""
    parts = [text_in(inside(part, "text"), "value") for part in models_in(message.content)]
    return "\n\n".join(filter(None, parts))


def _name_and_input(call: ToolCall) -> tuple[str, str]:
    if call.type == "function":
        return text_in(call.function, "name") or "function", text_in(call.function, "arguments")
    if call.type == "code_interpreter":
        return "code_interpreter", text_in(call.code_interpreter, "input")
    return call.type, ""


def _outputs(call: ToolCall) -> list[str]:
    if call.type == "function":
        output = inside(call.function, "output")
        return [] if output is None else [str(output)]
    if call.type == "code_interpreter":
        outputs = models_in(inside(call.code_interpreter, "outputs"))
        return [
            text_in(output, "logs") if output.type == "logs" else f"▣ image {_place(inside(output, 'image'))}"
            for output in outputs
        ]
    return []


def _place(of: Any) -> str:
    """Where an image or a source is: the id of its file, or its address."""
    return text_in(of, "file_id") or text_in(of, "url")

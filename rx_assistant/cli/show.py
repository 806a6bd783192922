"""A stream on the screen: text, refusals, images, sources, tool calls and steps, each from its own operator."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rx_assistant import operators as ax
from rx_assistant.errors import EventDecodeError, RxAssistantError
from rx_assistant.events import RunStepEvent, StreamEvent, ToolEvent, ToolFinished, ToolProgress
from rx_assistant.types._inside import inside, is_model, models_in, text_in

if TYPE_CHECKING:
    from rx_assistant.cli.output import Output
    from rx_assistant.streams import AssistantStream
    from rx_assistant.types import Annotation, AnnotationDelta, Message, Run, ToolCall


def show(stream: AssistantStream, output: Output) -> None:
    """Print a stream while it is read. Subscribes, and reads nothing by itself."""
    screen = _Screen(stream, output)
    sources, note, failed = Sources(output), output.note, screen.failed
    stream.pipe(ax.texts()).subscribe(lambda text: output.part((text.message_id, text.index)), failed)
    stream.pipe(ax.text_deltas(), ax.numbered_citations(sources.reference)).subscribe(output.text, failed)
    stream.pipe(ax.refusal_deltas()).subscribe(screen.refusal, failed)
    stream.pipe(ax.refusals()).subscribe(lambda _: note("! the assistant refuses", "yellow"), failed)
    stream.pipe(ax.images()).subscribe(lambda image: note(f"▣ image {_place(image)}"), failed)
    stream.pipe(ax.annotations()).subscribe(sources.add, failed, sources.show)
    stream.pipe(ax.messages()).subscribe(screen.message, failed)
    stream.pipe(ax.tool_calls()).subscribe(screen.call, failed)
    stream.pipe(ax.completed_tool_calls()).subscribe(screen.completed_call, failed)
    stream.tool_events.subscribe(screen.tool, failed)
    stream.pipe(ax.of_type(RunStepEvent)).subscribe(screen.step, failed)  # after the calls, which end with their step


class _Screen:
    """Prints the parts of one stream that need more than one line of code."""

    def __init__(self, stream: AssistantStream, output: Output) -> None:
        self._stream = stream
        self._output = output
        self._steps: set[tuple[str, str]] = set()

    def refusal(self, piece: str) -> None:
        """Print a piece of a refusal."""
        self._output.part("refusal")
        self._output.text(piece)

    def message(self, message: Message) -> None:
        """Print the reason of an incomplete message."""
        if message.status == "incomplete":
            reason = inside(message.incomplete_details, "reason") or "no reason given"
            self._output.note(f"! the message is incomplete: {reason}", "yellow")

    def call(self, call: Any) -> None:
        """Print a tool call while it is written."""
        self._output.call_begins(call.id, call.name or call.type)
        call.argument_deltas.subscribe(lambda piece: self._output.call_goes_on(call.id, piece), self.failed)

    def completed_call(self, call: ToolCall) -> None:
        """Print the end of a tool call, and its outputs."""
        self._output.call_ends(call.id, *_name_and_input(call))
        for line in _outputs(call):
            self._output.answer(line)

    def tool(self, event: ToolEvent) -> None:
        """Print the progress and the result of a function."""
        if isinstance(event, ToolProgress):
            self._output.note(f"  … {event.name}: {event.item}")
        elif isinstance(event, ToolFinished):
            self._output.answer(str(event.error) if event.output is None else event.output)
            self._output.note(f"    {event.duration:.1f} s")

    def step(self, event: RunStepEvent[Any]) -> None:
        """Print each new status of a step."""
        step = event.data
        if (step.id, step.status) not in self._steps:
            self._steps.add((step.id, step.status))
            self._output.note(f"· {step.type} {step.status}")

    def failed(self, error: Exception) -> None:
        """Print an error of one part. The command prints the error of the whole stream, which reaches every part."""
        if error is self._output.failure:
            self._stream.close()  # the output is closed, so nothing more can be shown
        elif not isinstance(error, RxAssistantError):
            self._output.note(f"! {error}", "red")


class Sources:
    """The citations of a stream: numbers in the text of a terminal, and a list of their files after it."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._numbers: dict[str, int] = {}
        self._places: dict[str, str] = {}

    def reference(self, number: int, mark: str) -> str:
        """Return the text for a mark: a number in a terminal; the original mark in a pipe."""
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

    stream.subscribe(line, stop)  # the command that waits for the stream prints its ending


def payload(event: StreamEvent) -> Any:
    """An event's payload as JSON, or as text if it is not JSON."""
    try:
        return event.json()
    except EventDecodeError:
        return event.raw.decode("utf-8", "replace")


def describe_end(run: Run) -> str | None:
    """Return a sentence about a run that did not complete; None if it completed."""
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
    """The place of an image or a source: the id of its file, or its address."""
    return text_in(of, "file_id") or text_in(of, "url")

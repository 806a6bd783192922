"""AssistantEventHandler: callbacks for threads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from rx_assistant.handlers._binding import Binding, bind, binding_of
from rx_assistant.handlers._mistakes import check_callbacks
from rx_assistant.handlers._offers import offering

if TYPE_CHECKING:
    from reactivex import abc

    from rx_assistant.events import AssistantStreamEvent
    from rx_assistant.hot import Stream
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.streams import AssistantStream
    from rx_assistant.types import (
        Annotation,
        AnnotationDelta,
        CodeInterpreterOutput,
        CodeInterpreterOutputDelta,
        CodeInterpreterToolCall,
        ImageFile,
        ImageURL,
        Message,
        MessageDelta,
        RefusalContentBlock,
        RefusalDeltaBlock,
        Run,
        RunStep,
        RunStepDelta,
        Text,
        TextDelta,
        ToolCall,
        ToolCallDelta,
    )


@offering
class AssistantEventHandler:
    """Derive from it, override the callbacks that matter, and pass an instance as `event_handler=`.

    Callbacks run on the thread that reads the stream. An instance serves one stream; it passes on what that stream
    offers (`until_done()`, iteration, `text_deltas`, `get_final_run()` …) unless the class defines such a name itself.
    `super().__init__()` need not be called.
    """

    # -- callbacks -----------------------------------------------------------------------------------------------

    def on_event(self, event: AssistantStreamEvent) -> None:
        """Every event, before anything else happens with it."""

    def on_run_status(self, run: Run) -> None:
        """The run's status has changed."""

    def on_requires_action(self, run: Run) -> None:
        """The run waits for the outputs of `run.required_action.submit_tool_outputs.tool_calls`."""

    def on_run_step_created(self, run_step: RunStep) -> None:
        """A run step was seen for the first time."""

    def on_run_step_delta(self, delta: RunStepDelta, snapshot: RunStep) -> None:
        """A run step has grown by `delta` to `snapshot`."""

    def on_run_step_done(self, run_step: RunStep) -> None:
        """A run step has ended, well or not; this is the server's final object."""

    def on_message_created(self, message: Message) -> None:
        """A message was seen for the first time."""

    def on_message_delta(self, delta: MessageDelta, snapshot: Message) -> None:
        """A message has grown by `delta` to `snapshot`."""

    def on_message_done(self, message: Message) -> None:
        """A message is completed, or was left incomplete; this is the server's final object."""

    def on_text_created(self, text: Text) -> None:
        """A text part was seen for the first time; it holds its first fragment already."""

    def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        """A text has grown by `delta` to `snapshot`. The deltas add up to the whole."""

    def on_text_done(self, text: Text) -> None:
        """A text is finished; this is what the server's final message holds."""

    def on_annotation(self, annotation: Annotation | AnnotationDelta, text: Text) -> None:
        """A text has got an annotation: in a delta, or in a whole message that shows it first."""

    def on_refusal_delta(self, delta: RefusalDeltaBlock, snapshot: RefusalContentBlock) -> None:
        """A refusal has grown by `delta` to `snapshot`."""

    def on_refusal_done(self, refusal: RefusalContentBlock) -> None:
        """A refusal is finished."""

    def on_image_file_done(self, image_file: ImageFile) -> None:
        """An image file is there, as the server's final message holds it."""

    def on_image_url_done(self, image_url: ImageURL) -> None:
        """An image by its address is there, as the server's final message holds it."""

    def on_tool_call_created(self, tool_call: ToolCall) -> None:
        """A tool call was seen for the first time."""

    def on_tool_call_delta(self, delta: ToolCallDelta, snapshot: ToolCall) -> None:
        """A tool call has grown by `delta` to `snapshot`. The deltas add up to the whole."""

    def on_code_output(
        self, output: CodeInterpreterOutput | CodeInterpreterOutputDelta, tool_call: CodeInterpreterToolCall
    ) -> None:
        """The code interpreter has put out logs or an image: in a delta, or in a whole step that shows it first."""

    def on_tool_call_done(self, tool_call: ToolCall) -> None:
        """A tool call is finished. A function call is when the run asks for its output, which is None then."""

    def on_end(self) -> None:
        """The stream is over, however it ended. The last callback."""

    def on_timeout(self) -> None:
        """The stream broke because a time limit had passed; `on_exception` follows."""

    def on_exception(self, exception: Exception) -> None:
        """The stream broke, or a callback raised this; `on_end` follows."""

    # -- the stream ----------------------------------------------------------------------------------------------

    def __rx_bind__(self, stream: AssistantStream) -> Binding:
        check_callbacks(self, AssistantEventHandler, awaited=False)
        return bind(self, Binding, AssistantEventHandler, stream)

    def __iter__(self) -> Iterator[AssistantStreamEvent]:
        """Iterate over the stream's events."""
        return iter(binding_of(self).stream)

    def __next__(self) -> AssistantStreamEvent:
        """Give the stream's next event, from the one cursor that `next()` has."""
        event: AssistantStreamEvent = next(binding_of(self).stream)
        return event

    def __anext__(self) -> Awaitable[AssistantStreamEvent]:
        """The same for a handler on an asynchronous stream."""
        event: Awaitable[AssistantStreamEvent] = anext(binding_of(self).stream)
        return event

    def __aiter__(self) -> AsyncIterator[AssistantStreamEvent]:
        """The same for a handler on an asynchronous stream."""
        return aiter(binding_of(self).stream)

    if TYPE_CHECKING:
        exception: Exception | None
        snapshot: RunSnapshot
        request_id: str | None
        text_deltas: Stream[str]

        @property
        def current_event(self) -> AssistantStreamEvent | None: ...
        @property
        def current_run(self) -> Run | None: ...
        @property
        def current_message_snapshot(self) -> Message | None: ...
        @property
        def current_run_step_snapshot(self) -> RunStep | None: ...
        def until_done(self) -> None: ...
        def get_final_run(self) -> Run: ...
        def get_final_run_steps(self) -> list[RunStep]: ...
        def get_final_messages(self) -> list[Message]: ...
        def connect(self) -> None: ...
        def close(self) -> None: ...
        def cancel(self) -> Run: ...
        def cancel_and_wait(self, timeout: float | None = None) -> Run: ...
        def pipe(self, *operators: Callable[[Any], Any]) -> Stream[Any]: ...
        def subscribe(
            self,
            on_next: abc.ObserverBase[AssistantStreamEvent] | abc.OnNext[AssistantStreamEvent] | None = None,
            on_error: abc.OnError | None = None,
            on_completed: abc.OnCompleted | None = None,
            *,
            scheduler: abc.SchedulerBase | None = None,
        ) -> abc.DisposableBase: ...

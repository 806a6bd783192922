"""AssistantEventHandler: callbacks for threads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from rx_assistant.handlers.attributes import with_stream_names
from rx_assistant.handlers.binding import Binding, bind, binding_of
from rx_assistant.handlers.checks import check_callbacks

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


@with_stream_names
class AssistantEventHandler:
    """The base class of handlers: override the callbacks you need, and pass an instance as `event_handler=`.

    Callbacks run on the thread that reads the stream. An instance serves one stream. It has that stream's methods and
    properties (`until_done()`, iteration, `text_deltas`, `get_final_run()` …), unless the class defines the same name.
    A subclass need not call `super().__init__()`.
    """

    # -- callbacks -----------------------------------------------------------------------------------------------

    def on_event(self, event: AssistantStreamEvent) -> None:
        """An event arrived; called for every event, before its other callbacks."""

    def on_run_status(self, run: Run) -> None:
        """The run's status has changed."""

    def on_requires_action(self, run: Run) -> None:
        """The run waits for the outputs of `run.required_action.submit_tool_outputs.tool_calls`."""

    def on_run_step_created(self, run_step: RunStep) -> None:
        """A run step appeared for the first time."""

    def on_run_step_delta(self, delta: RunStepDelta, snapshot: RunStep) -> None:
        """`delta` was added to a run step, which is now `snapshot`."""

    def on_run_step_done(self, run_step: RunStep) -> None:
        """A run step has ended, with success or failure; this is the server's final object."""

    def on_message_created(self, message: Message) -> None:
        """A message appeared for the first time."""

    def on_message_delta(self, delta: MessageDelta, snapshot: Message) -> None:
        """`delta` was added to a message, which is now `snapshot`."""

    def on_message_done(self, message: Message) -> None:
        """A message is completed or incomplete; this is the server's final object."""

    def on_text_created(self, text: Text) -> None:
        """A text part appeared for the first time; it already holds its first fragment."""

    def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        """`delta` was added to a text, which is now `snapshot`. All deltas, joined, are the whole text."""

    def on_text_done(self, text: Text) -> None:
        """A text is finished; this is the text of the server's final message."""

    def on_annotation(self, annotation: Annotation | AnnotationDelta, text: Text) -> None:
        """An annotation of a text arrived: in a delta, or in a whole message if no delta had it."""

    def on_refusal_delta(self, delta: RefusalDeltaBlock, snapshot: RefusalContentBlock) -> None:
        """`delta` was added to a refusal, which is now `snapshot`."""

    def on_refusal_done(self, refusal: RefusalContentBlock) -> None:
        """A refusal is finished."""

    def on_image_file_done(self, image_file: ImageFile) -> None:
        """An image file is finished; this is the part of the server's final message."""

    def on_image_url_done(self, image_url: ImageURL) -> None:
        """An image URL is finished; this is the part of the server's final message."""

    def on_tool_call_created(self, tool_call: ToolCall) -> None:
        """A tool call appeared for the first time."""

    def on_tool_call_delta(self, delta: ToolCallDelta, snapshot: ToolCall) -> None:
        """`delta` was added to a tool call, which is now `snapshot`. All deltas together are the whole call."""

    def on_code_output(
        self, output: CodeInterpreterOutput | CodeInterpreterOutputDelta, tool_call: CodeInterpreterToolCall
    ) -> None:
        """Logs or an image of the code interpreter arrived: in a delta, or in a whole step if no delta had it."""

    def on_tool_call_done(self, tool_call: ToolCall) -> None:
        """A tool call is finished. A function call is finished when the run asks for its output, which is None then."""

    def on_end(self) -> None:
        """The stream has ended, in any way. This is the last callback."""

    def on_timeout(self) -> None:
        """The stream failed because a time limit passed; `on_exception` follows."""

    def on_exception(self, exception: Exception) -> None:
        """The stream failed, or a callback raised this exception; `on_end` follows."""

    # -- the stream ----------------------------------------------------------------------------------------------

    def __rx_bind__(self, stream: AssistantStream) -> Binding:
        check_callbacks(self, AssistantEventHandler, awaited=False)
        return bind(self, Binding, AssistantEventHandler, stream)

    def __iter__(self) -> Iterator[AssistantStreamEvent]:
        """Iterate over the stream's events."""
        return iter(binding_of(self).stream)

    def __next__(self) -> AssistantStreamEvent:
        """Return the stream's next event; all calls of `next()` share one position."""
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
            on_next: abc.ObserverBase[AssistantStreamEvent] | Callable[[AssistantStreamEvent], object] | None = None,
            on_error: Callable[[Exception], object] | None = None,
            on_completed: Callable[[], object] | None = None,
            *,
            scheduler: abc.SchedulerBase | None = None,
        ) -> abc.DisposableBase: ...

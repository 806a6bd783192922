"""AsyncAssistantEventHandler: callbacks for asyncio and trio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn

from rx_assistant.handlers.attributes import with_stream_names
from rx_assistant.handlers.binding import AsyncBinding, bind, binding_of
from rx_assistant.handlers.checks import check_callbacks
from rx_assistant.hot import Stream

if TYPE_CHECKING:
    from reactivex import abc

    from rx_assistant.events import AssistantStreamEvent
    from rx_assistant.handlers.binding import Binding
    from rx_assistant.hot import AsyncStream
    from rx_assistant.snapshots import RunSnapshot
    from rx_assistant.streams import AssistantStream, AsyncAssistantStream, Eager
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
class AsyncAssistantEventHandler:
    """AssistantEventHandler for asyncio and trio: the callbacks may be coroutines, and are awaited event by event.

    A callback may also be a plain `def`. An instance serves one asynchronous stream.
    """

    # -- callbacks -----------------------------------------------------------------------------------------------

    async def on_event(self, event: AssistantStreamEvent) -> None:
        """An event arrived; called for every event, before its other callbacks."""

    async def on_run_status(self, run: Run) -> None:
        """The run's status has changed."""

    async def on_requires_action(self, run: Run) -> None:
        """The run waits for the outputs of `run.required_action.submit_tool_outputs.tool_calls`."""

    async def on_run_step_created(self, run_step: RunStep) -> None:
        """A run step appeared for the first time."""

    async def on_run_step_delta(self, delta: RunStepDelta, snapshot: RunStep) -> None:
        """`delta` was added to a run step, which is now `snapshot`."""

    async def on_run_step_done(self, run_step: RunStep) -> None:
        """A run step has ended, with success or failure; this is the server's final object."""

    async def on_message_created(self, message: Message) -> None:
        """A message appeared for the first time."""

    async def on_message_delta(self, delta: MessageDelta, snapshot: Message) -> None:
        """`delta` was added to a message, which is now `snapshot`."""

    async def on_message_done(self, message: Message) -> None:
        """A message is completed or incomplete; this is the server's final object."""

    async def on_text_created(self, text: Text) -> None:
        """A text part appeared for the first time; it already holds its first fragment."""

    async def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        """`delta` was added to a text, which is now `snapshot`. All deltas, joined, are the whole text."""

    async def on_text_done(self, text: Text) -> None:
        """A text is finished; this is the text of the server's final message."""

    async def on_annotation(self, annotation: Annotation | AnnotationDelta, text: Text) -> None:
        """An annotation of a text arrived: in a delta, or in a whole message if no delta had it."""

    async def on_refusal_delta(self, delta: RefusalDeltaBlock, snapshot: RefusalContentBlock) -> None:
        """`delta` was added to a refusal, which is now `snapshot`."""

    async def on_refusal_done(self, refusal: RefusalContentBlock) -> None:
        """A refusal is finished."""

    async def on_image_file_done(self, image_file: ImageFile) -> None:
        """An image file is finished; this is the part of the server's final message."""

    async def on_image_url_done(self, image_url: ImageURL) -> None:
        """An image URL is finished; this is the part of the server's final message."""

    async def on_tool_call_created(self, tool_call: ToolCall) -> None:
        """A tool call appeared for the first time."""

    async def on_tool_call_delta(self, delta: ToolCallDelta, snapshot: ToolCall) -> None:
        """`delta` was added to a tool call, which is now `snapshot`. All deltas together are the whole call."""

    async def on_code_output(
        self, output: CodeInterpreterOutput | CodeInterpreterOutputDelta, tool_call: CodeInterpreterToolCall
    ) -> None:
        """Logs or an image of the code interpreter arrived: in a delta, or in a whole step if no delta had it."""

    async def on_tool_call_done(self, tool_call: ToolCall) -> None:
        """A tool call is finished. A function call is finished when the run asks for its output, which is None then."""

    async def on_end(self) -> None:
        """The stream has ended, in any way. This is the last callback."""

    async def on_timeout(self) -> None:
        """The stream failed because a time limit passed; `on_exception` follows."""

    async def on_exception(self, exception: Exception) -> None:
        """The stream failed, or a callback raised this exception; `on_end` follows."""

    # -- the stream ----------------------------------------------------------------------------------------------

    def __rx_bind__(self, stream: AsyncAssistantStream | AssistantStream) -> Binding:
        if isinstance(stream, Stream):
            raise TypeError(
                f"{type(self).__name__} is an asynchronous handler and the stream is synchronous: derive the handler "
                "from AssistantEventHandler, or use AsyncAssistantClient"
            )
        check_callbacks(self, AsyncAssistantEventHandler, awaited=True)
        return bind(self, AsyncBinding, AsyncAssistantEventHandler, stream)

    def __aiter__(self) -> AsyncIterator[AssistantStreamEvent]:
        """Iterate over the stream's events."""
        return aiter(binding_of(self).stream)

    def __anext__(self) -> Awaitable[AssistantStreamEvent]:
        """Return the stream's next event; all calls of `anext()` share one position."""
        event: Awaitable[AssistantStreamEvent] = anext(binding_of(self).stream)
        return event

    def __iter__(self) -> NoReturn:
        raise TypeError("this handler's stream is asynchronous: write `async for event in stream`")

    if TYPE_CHECKING:
        exception: Exception | None
        snapshot: RunSnapshot
        request_id: str | None
        text_deltas: AsyncStream[str]

        @property
        def current_event(self) -> AssistantStreamEvent | None: ...
        @property
        def current_run(self) -> Run | None: ...
        @property
        def current_message_snapshot(self) -> Message | None: ...
        @property
        def current_run_step_snapshot(self) -> RunStep | None: ...
        async def until_done(self) -> None: ...
        async def get_final_run(self) -> Run: ...
        async def get_final_run_steps(self) -> list[RunStep]: ...
        async def get_final_messages(self) -> list[Message]: ...
        async def connect(self) -> None: ...
        def close(self) -> Awaitable[None]: ...
        def cancel(self) -> Eager[Run]: ...
        async def cancel_and_wait(self, timeout: float | None = None) -> Run: ...
        def pipe(self, *operators: Callable[[Any], Any]) -> AsyncStream[Any]: ...
        def subscribe(
            self,
            on_next: abc.ObserverBase[AssistantStreamEvent] | Callable[[AssistantStreamEvent], object] | None = None,
            on_error: Callable[[Exception], object] | None = None,
            on_completed: Callable[[], object] | None = None,
            *,
            scheduler: abc.SchedulerBase | None = None,
        ) -> abc.DisposableBase: ...

"""AsyncAssistantEventHandler: callbacks for asyncio and trio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any, NoReturn

from rx_assistant.handlers._binding import AsyncBinding, bind, binding_of
from rx_assistant.handlers._mistakes import check_callbacks
from rx_assistant.handlers._offers import offering
from rx_assistant.hot import Stream

if TYPE_CHECKING:
    from reactivex import abc

    from rx_assistant.events import AssistantStreamEvent
    from rx_assistant.handlers._binding import Binding
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


@offering
class AsyncAssistantEventHandler:
    """AssistantEventHandler for asyncio and trio: the callbacks may be coroutines, and are awaited event by event.

    A plain `def` works too. Deriving from it, an instance serves one asynchronous stream.
    """

    # -- callbacks -----------------------------------------------------------------------------------------------

    async def on_event(self, event: AssistantStreamEvent) -> None:
        """Every event, before anything else happens with it."""

    async def on_run_status(self, run: Run) -> None:
        """The run's status has changed."""

    async def on_requires_action(self, run: Run) -> None:
        """The run waits for the outputs of `run.required_action.submit_tool_outputs.tool_calls`."""

    async def on_run_step_created(self, run_step: RunStep) -> None:
        """A run step was seen for the first time."""

    async def on_run_step_delta(self, delta: RunStepDelta, snapshot: RunStep) -> None:
        """A run step has grown by `delta` to `snapshot`."""

    async def on_run_step_done(self, run_step: RunStep) -> None:
        """A run step has ended, well or not; this is the server's final object."""

    async def on_message_created(self, message: Message) -> None:
        """A message was seen for the first time."""

    async def on_message_delta(self, delta: MessageDelta, snapshot: Message) -> None:
        """A message has grown by `delta` to `snapshot`."""

    async def on_message_done(self, message: Message) -> None:
        """A message is completed, or was left incomplete; this is the server's final object."""

    async def on_text_created(self, text: Text) -> None:
        """A text part was seen for the first time; it holds its first fragment already."""

    async def on_text_delta(self, delta: TextDelta, snapshot: Text) -> None:
        """A text has grown by `delta` to `snapshot`. The deltas add up to the whole."""

    async def on_text_done(self, text: Text) -> None:
        """A text is finished; this is what the server's final message holds."""

    async def on_annotation(self, annotation: Annotation | AnnotationDelta, text: Text) -> None:
        """A text has got an annotation: in a delta, or in a whole message that shows it first."""

    async def on_refusal_delta(self, delta: RefusalDeltaBlock, snapshot: RefusalContentBlock) -> None:
        """A refusal has grown by `delta` to `snapshot`."""

    async def on_refusal_done(self, refusal: RefusalContentBlock) -> None:
        """A refusal is finished."""

    async def on_image_file_done(self, image_file: ImageFile) -> None:
        """An image file is there, as the server's final message holds it."""

    async def on_image_url_done(self, image_url: ImageURL) -> None:
        """An image by its address is there, as the server's final message holds it."""

    async def on_tool_call_created(self, tool_call: ToolCall) -> None:
        """A tool call was seen for the first time."""

    async def on_tool_call_delta(self, delta: ToolCallDelta, snapshot: ToolCall) -> None:
        """A tool call has grown by `delta` to `snapshot`. The deltas add up to the whole."""

    async def on_code_output(
        self, output: CodeInterpreterOutput | CodeInterpreterOutputDelta, tool_call: CodeInterpreterToolCall
    ) -> None:
        """The code interpreter has put out logs or an image: in a delta, or in a whole step that shows it first."""

    async def on_tool_call_done(self, tool_call: ToolCall) -> None:
        """A tool call is finished. A function call is when the run asks for its output, which is None then."""

    async def on_end(self) -> None:
        """The stream is over, however it ended. The last callback."""

    async def on_timeout(self) -> None:
        """The stream broke because a time limit had passed; `on_exception` follows."""

    async def on_exception(self, exception: Exception) -> None:
        """The stream broke, or a callback raised this; `on_end` follows."""

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
        """Give the stream's next event, from the one cursor that `anext()` has."""
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
            on_next: abc.ObserverBase[AssistantStreamEvent] | abc.OnNext[AssistantStreamEvent] | None = None,
            on_error: abc.OnError | None = None,
            on_completed: abc.OnCompleted | None = None,
            *,
            scheduler: abc.SchedulerBase | None = None,
        ) -> abc.DisposableBase: ...

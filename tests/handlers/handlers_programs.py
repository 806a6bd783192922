"""Programs over handlers: the page's own, overrides, narrowing in callbacks, and what a block gives."""

from __future__ import annotations

from handlers_page import HANDLER, example, ours, page
from reference import SHARED
from typed_programs import Programs

RIGHT = """
from typing import assert_type

from typing_extensions import override

from rx_assistant import AssistantClient, AssistantEventHandler, AssistantStreamEvent
from rx_assistant import AsyncAssistantClient, AsyncAssistantEventHandler, RunSnapshot, types as t
from rx_assistant.events import ThreadMessageDelta, ThreadRunRequiresAction
from rx_assistant.streams import AssistantStream, AsyncAssistantStream


class Handler(AssistantEventHandler):
    def __init__(self, greeting: str) -> None:
        self.greeting = greeting

    @override
    def on_event(self, event: AssistantStreamEvent) -> None:
        if event.event == "thread.message.delta":
            assert_type(event, ThreadMessageDelta)
            assert_type(event.data, t.MessageDeltaEvent)
        elif event.event == "thread.run.requires_action":
            assert_type(event, ThreadRunRequiresAction)
            assert_type(event.data.required_action, t.RequiredAction | None)
        elif event.event == "thread.run.step.delta":
            details = event.data.delta.step_details
            if details and details.type == "tool_calls":
                for call in details.tool_calls or []:
                    if call.type == "function" and call.function:
                        assert_type(call.function.arguments, str | None)

    @override
    def on_run_status(self, run: t.Run) -> None:
        if run.status == "requires_action":
            self.on_requires_action(run)

    @override
    def on_requires_action(self, run: t.Run) -> None:
        if run.required_action:
            for call in run.required_action.submit_tool_outputs.tool_calls:
                assert_type(call.function.name, str)

    @override
    def on_run_step_created(self, run_step: t.RunStep) -> None:
        if run_step.step_details.type == "tool_calls":
            assert_type(run_step.step_details, t.ToolCallsStepDetails)

    @override
    def on_run_step_delta(self, delta: t.RunStepDelta, snapshot: t.RunStep) -> None: ...
    @override
    def on_run_step_done(self, run_step: t.RunStep) -> None: ...
    @override
    def on_message_created(self, message: t.Message) -> None: ...
    @override
    def on_message_delta(self, delta: t.MessageDelta, snapshot: t.Message) -> None:
        for part in delta.content or []:
            if part.type == "text":
                assert_type(part, t.TextDeltaBlock)

    @override
    def on_message_done(self, message: t.Message) -> None:
        for part in message.content:
            match part.type:
                case "text":
                    assert_type(part.text.value, str)
                case "image_file":
                    assert_type(part.image_file, t.ImageFile)
                case "image_url":
                    assert_type(part.image_url, t.ImageURL)
                case "refusal":
                    assert_type(part.refusal, str)
                case _:
                    assert_type(part, t.UnknownContentBlock)

    @override
    def on_text_created(self, text: t.Text) -> None: ...
    @override
    def on_text_delta(self, delta: t.TextDelta, snapshot: t.Text) -> None:
        assert_type(delta.value, str | None)
        assert_type(snapshot.value, str)

    @override
    def on_text_done(self, text: t.Text) -> None: ...
    @override
    def on_annotation(self, annotation: t.Annotation | t.AnnotationDelta, text: t.Text) -> None:
        if annotation.type == "file_citation" and annotation.file_citation:
            assert_type(annotation.file_citation.file_id, str | None)

    @override
    def on_refusal_delta(self, delta: t.RefusalDeltaBlock, snapshot: t.RefusalContentBlock) -> None: ...
    @override
    def on_refusal_done(self, refusal: t.RefusalContentBlock) -> None: ...
    @override
    def on_image_file_done(self, image_file: t.ImageFile) -> None: ...
    @override
    def on_image_url_done(self, image_url: t.ImageURL) -> None: ...
    @override
    def on_tool_call_created(self, tool_call: t.ToolCall) -> None:
        if tool_call.type == "function":
            assert_type(tool_call, t.FunctionToolCall)

    @override
    def on_tool_call_delta(self, delta: t.ToolCallDelta, snapshot: t.ToolCall) -> None:
        if delta.type == "code_interpreter":
            assert_type(delta, t.CodeInterpreterToolCallDelta)
            for output in (delta.code_interpreter and delta.code_interpreter.outputs) or []:
                if output.type == "logs":
                    assert_type(output.logs, str | None)
                elif output.type == "image":
                    assert_type(output, t.CodeInterpreterOutputImage)
        elif delta.type == "file_search":
            assert_type(delta, t.FileSearchToolCallDelta)
        elif delta.type == "function":
            assert_type(delta, t.FunctionToolCallDelta)
        else:
            assert_type(delta, t.UnknownToolCallDelta)
        match snapshot:
            case t.FunctionToolCall():
                assert_type(snapshot.function.arguments, str)
            case _:
                pass

    @override
    def on_code_output(
        self, output: t.CodeInterpreterOutput | t.CodeInterpreterOutputDelta, tool_call: t.CodeInterpreterToolCall
    ) -> None:
        if output.type == "logs":
            assert_type(output.logs, str | None)

    @override
    def on_tool_call_done(self, tool_call: t.ToolCall) -> None: ...
    @override
    def on_end(self) -> None:
        assert_type(self.current_event, AssistantStreamEvent | None)
        assert_type(self.current_run, t.Run | None)
        assert_type(self.current_message_snapshot, t.Message | None)
        assert_type(self.current_run_step_snapshot, t.RunStep | None)
        assert_type(self.snapshot, RunSnapshot)

    @override
    def on_timeout(self) -> None: ...
    @override
    def on_exception(self, exception: Exception) -> None: ...


class Later(AsyncAssistantEventHandler):
    @override
    async def on_event(self, event: AssistantStreamEvent) -> None:
        if event.event == "thread.run.requires_action":
            assert_type(event.data, t.Run)

    @override
    async def on_text_delta(self, delta: t.TextDelta, snapshot: t.Text) -> None: ...
    @override
    async def on_tool_call_delta(self, delta: t.ToolCallDelta, snapshot: t.ToolCall) -> None:
        if delta.type == "function":
            assert_type(delta, t.FunctionToolCallDelta)


def blocks(client: AssistantClient) -> None:
    with client.beta.threads.runs.stream(thread_id="t", assistant_id="a", event_handler=Handler("hello")) as stream:
        assert_type(stream, Handler)
        assert_type(stream.greeting, str)
        stream.until_done()
        assert_type(stream.get_final_run(), t.Run)
        assert_type(stream.get_final_messages(), list[t.Message])
        assert_type(stream.get_final_run_steps(), list[t.RunStep])
        for event in stream:
            assert_type(event.event == "thread.run.completed", bool)
        for text in stream.text_deltas:
            assert_type(text, str)
    with client.beta.threads.runs.stream(thread_id="t", assistant_id="a") as plain:
        assert_type(plain, AssistantStream)
    with client.beta.threads.create_and_run_stream(assistant_id="a", thread={}, event_handler=Handler("hi")) as third:
        assert_type(third, Handler)
    with client.beta.threads.runs.submit_tool_outputs_stream(
        run_id="r", thread_id="t", tool_outputs=[{"tool_call_id": "c", "output": "1"}], event_handler=Handler("hi")
    ) as fourth:
        assert_type(fourth, Handler)


async def async_blocks(client: AsyncAssistantClient) -> None:
    async with client.beta.threads.runs.stream(thread_id="t", assistant_id="a", event_handler=Later()) as stream:
        assert_type(stream, Later)
        await stream.until_done()
        assert_type(await stream.get_final_run(), t.Run)
        async for text in stream.text_deltas:
            assert_type(text, str)
    async with client.beta.threads.runs.stream(thread_id="t", assistant_id="a") as plain:
        assert_type(plain, AsyncAssistantStream)
"""

OPTIONAL = """

def optional(client: AssistantClient, maybe: Handler | None) -> None:
    with client.beta.threads.runs.stream(thread_id="t", assistant_id="a", event_handler=maybe) as either:
        assert_type(either, Handler | AssistantStream)


async def optional_later(client: AsyncAssistantClient, maybe: Later | None) -> None:
    async with client.beta.threads.runs.stream(thread_id="t", assistant_id="a", event_handler=maybe) as either:
        assert_type(either, Later | AsyncAssistantStream)
"""
# mypy takes the union of a class and its subclass for the class, and sees no handler there

WRONG = {
    "a callback that does not exist": "@override\n    def on_text(self, text: t.Text) -> None: ...",
    "an argument of another kind": "@override\n    def on_text_done(self, text: str) -> None: ...",
    "an argument too few": "@override\n    def on_text_delta(self, delta: t.TextDelta) -> None: ...",
    "a coroutine": "@override\n    async def on_end(self) -> None: ...",
    "a part without narrowing": "def f(self, call: t.ToolCallDelta) -> None: call.function",
    "what no stream offers": "def f(self) -> None: self.get_final_answer()",
}
HEAD = """
from typing_extensions import override
from rx_assistant import AssistantClient, AssistantEventHandler, types as t

class Handler(AssistantEventHandler):
    """
CLIENT = """# mypy: allow-untyped-defs, allow-incomplete-defs
from rx_assistant import AssistantClient

client = AssistantClient()
"""

PROGRAMS = Programs(right=RIGHT, second=OPTIONAL, head=HEAD, wrong=WRONG)


def of_the_page() -> str:
    """The page's handler with our imports; nothing when the reference data is not there."""
    return CLIENT + ours(example(page(SHARED), HANDLER)) if SHARED.is_dir() else ""

"""A program for type checkers; it is never run. It states what each operator gives on both faces."""

from __future__ import annotations

from typing import assert_type

from pydantic import BaseModel
from reactivex import Observable, operators as ops

from rx_assistant import (
    AssistantStream,
    AsyncAssistantStream,
    AsyncStream,
    RunSnapshot,
    Stream,
    operators as ax,
    types as t,
)
from rx_assistant.events import AssistantStreamEvent, RunEvent, ThreadMessageDelta
from rx_assistant.partial_json import JSONValue


class Weather(BaseModel):
    city: str


def is_early(event: AssistantStreamEvent) -> bool:
    return event.event != "thread.run.completed"


def flat(stream: AssistantStream) -> None:
    assert_type(stream.text_deltas, Stream[str])
    assert_type(stream.pipe(ax.text_deltas()), Stream[str])
    assert_type(stream.pipe(ax.text_snapshots()), Stream[ax.TextSnapshot])
    assert_type(stream.pipe(ax.messages()), Stream[t.Message])
    assert_type(stream.pipe(ax.completed_tool_calls()), Stream[t.ToolCall])
    assert_type(stream.pipe(ax.required_actions()), Stream[t.RequiredAction])
    assert_type(stream.pipe(ax.completed_run_steps()), Stream[t.RunStep])
    assert_type(stream.pipe(ax.runs()), Stream[t.Run])
    assert_type(stream.pipe(ax.run_statuses()), Stream[t.RunStatus])
    assert_type(stream.pipe(ax.snapshots()), Stream[RunSnapshot])
    assert_type(stream.pipe(ax.final_snapshot()), Stream[RunSnapshot])
    assert_type(stream.pipe(ax.of_type(ThreadMessageDelta)), Stream[ThreadMessageDelta])
    for event in stream.pipe(ax.of_type(RunEvent)):
        assert_type(event.data, t.Run)
    for delta in stream.pipe(ax.of_type(ThreadMessageDelta)):
        assert_type(delta.data, t.MessageDeltaEvent)


def the_same_events(stream: AssistantStream) -> None:
    assert_type(stream.pipe(ax.until_terminal()), Stream[AssistantStreamEvent])
    assert_type(stream.pipe(ax.raise_on_failure()), Stream[AssistantStreamEvent])
    assert_type(stream.pipe(ax.verify("strict")), Stream[AssistantStreamEvent])
    assert_type(stream.pipe(ax.events("thread.run.*")), Stream[AssistantStreamEvent])
    assert_type(stream.pipe(ax.of_type(ThreadMessageDelta), ax.verify()), Stream[ThreadMessageDelta])
    assert_type(stream.pipe(ax.until_terminal(), ax.verify(), ax.text_deltas()), Stream[str])


def substreams(stream: AssistantStream) -> None:
    for text in stream.pipe(ax.texts()):
        assert_type(text, ax.TextStream)
        assert_type(list(text), list[str])
        assert_type(text.snapshots.run().value, str)
        assert_type(text.done.run(), t.Text)
    for call in stream.pipe(ax.tool_calls("function")):
        assert_type(call, ax.ToolCallStream)
        assert_type(list(call), list[t.ToolCallDelta])
        assert_type(call.partial_arguments(), Stream[JSONValue])
        assert_type(call.partial_arguments(Weather), Stream[JSONValue | Weather])
        assert_type(call.done.run(), t.ToolCall)
        assert_type(call.outputs, Stream[t.CodeInterpreterOutputDelta])
    for message in stream.pipe(ax.message_streams()):
        assert_type(message.texts, Stream[ax.TextStream])
        assert_type(list(message), list[t.MessageDelta])
        assert_type(message.done.run(), t.Message)
    for step in stream.pipe(ax.run_steps()):
        assert_type(step.tool_calls, Stream[ax.ToolCallStream])
        assert_type(list(step), list[t.RunStepDelta])
    assert_type(stream.pipe(ops.filter(is_early), ax.texts()), Stream[ax.TextStream])


async def asynchronous(stream: AsyncAssistantStream) -> None:
    assert_type(stream.text_deltas, AsyncStream[str])
    assert_type(stream.pipe(ax.text_deltas()), AsyncStream[str])
    async for text in stream.pipe(ax.texts()):
        assert_type(text, ax.AsyncTextStream)
        assert_type([delta async for delta in text], list[str])
        assert_type(await text.done, t.Text)
    async for call in stream.pipe(ax.tool_calls()):
        assert_type(call.partial_arguments(Weather), AsyncStream[JSONValue | Weather])
        assert_type(await call.done, t.ToolCall)
    async for message in stream.pipe(ax.message_streams()):
        assert_type(message.texts, AsyncStream[ax.AsyncTextStream])
    assert_type(stream.pipe(ops.filter(is_early), ax.texts()), AsyncStream[ax.AsyncTextStream])
    assert_type(stream.pipe(ax.verify(), ax.until_terminal(), ax.tool_calls()), AsyncStream[ax.AsyncToolCallStream])
    async for step in stream.pipe(ax.run_steps()):
        assert_type(step.tool_calls, AsyncStream[ax.AsyncToolCallStream])


def anything(source: Observable[AssistantStreamEvent]) -> None:
    assert_type(ax.texts()(source), Stream[ax.TextStream])

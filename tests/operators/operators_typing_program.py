"""A program for type checkers; it is never run. It states what each operator gives on both faces."""

from __future__ import annotations

import sys
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


def subscribed(stream: AssistantStream, words: list[str]) -> None:
    """What a callback returns does not matter."""
    stream.text_deltas.subscribe(sys.stdout.write)
    stream.pipe(ax.text_deltas(), ops.map(len)).subscribe(
        lambda length: length + 1, lambda error: str(error), lambda: words.pop()
    )


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
    assert_type(stream.pipe(ax.refusal_deltas()), Stream[str])
    assert_type(stream.pipe(ax.refusals()), Stream[t.RefusalContentBlock])
    assert_type(stream.pipe(ax.images()), Stream[t.ImageFile | t.ImageURL])
    assert_type(stream.pipe(ax.annotations()), Stream[t.Annotation | t.AnnotationDelta])
    assert_type(stream.pipe(ax.code_outputs()), Stream[t.CodeInterpreterOutputDelta])
    assert_type(stream.pipe(ax.text_deltas(), ax.numbered_citations()), Stream[str])
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


def fluent(stream: AssistantStream) -> None:
    for name in stream.pipe(ax.runs()).map(lambda run: run.id).distinct_until_changed():
        assert_type(name, str)
    for event in stream.filter(lambda event: event.event != "thread.run.queued").take(3):
        assert_type(event, AssistantStreamEvent)
    for texts in stream.text_deltas.buffer_with_count(2):
        assert_type(texts, list[str])
    for window in stream.text_deltas.window_with_count(2):
        assert_type(list(window), list[str])
    for text in stream.text_deltas[1:3] + stream.text_deltas:
        assert_type(text, str)
    assert_type(stream.text_deltas.scan(lambda count, text: count + len(text), 0).run(), int)
    assert_type(stream.text_deltas.first().run(), str)
    assert_type(stream.text_deltas.publish().pipe(ops.to_list()), Stream[list[str]])
    stream.text_deltas.publish().connect()
    short, long = stream.text_deltas.partition(lambda text: len(text) < 9)
    assert_type(list(short), list[str])
    assert_type(long.run(), str)


def seven_operators(stream: AssistantStream) -> None:
    same = stream.pipe(ax.verify(), ax.verify(), ax.verify(), ax.verify(), ax.verify(), ax.verify(), ax.text_deltas())
    assert_type(same, Stream[str])
    assert_type(list(same.pipe(ops.skip(1), ops.skip(1), ops.skip(1))), list[str])


async def fluent_and_asynchronous(stream: AsyncAssistantStream) -> None:
    async for name in stream.pipe(ax.runs()).map(lambda run: run.id).distinct_until_changed():
        assert_type(name, str)
    assert_type(await stream.text_deltas.to_list(), list[str])
    async for window in stream.text_deltas.window_with_count(2):
        assert_type(await window.count(), int)
    async for text in stream.text_deltas[1:3]:
        assert_type(text, str)
    assert_type(stream.pipe(ax.tool_calls(), ops.flat_map(arguments)), AsyncStream[str])
    assert_type(
        stream.pipe(ax.verify(), ops.filter(is_early), ax.tool_calls(), ops.flat_map(arguments)), AsyncStream[str]
    )


def arguments(call: ax.AsyncToolCallStream) -> AsyncStream[str]:
    return call.argument_deltas


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

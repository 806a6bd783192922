"""Programs over the types: unions narrow by `type`, fields are the SDK's, requests fit `Unpack`."""

from __future__ import annotations

from collections.abc import Iterator

from typed_programs import Programs
from types_catalogue import UNIONS, UNKNOWN, alternatives, tags

RIGHT = """
from typing import Literal, Unpack, assert_never, assert_type
from rx_assistant import types as t


def fields_are_annotated_as_what_they_hold(run: t.Run, message: t.Message, step: t.RunStep) -> None:
    assert_type(run.id, str)
    assert_type(run.created_at, int)
    assert_type(run.completed_at, int | None)
    assert_type(run.status, t.RunStatus)
    assert_type(message.role, Literal["user", "assistant"])
    assert_type(run.metadata, dict[str, str] | None)
    assert_type(run.parallel_tool_calls, bool)
    assert_type(message.content, list[t.MessageContent])
    assert_type(step.usage, t.Usage | None)
    if step.step_details.type == "tool_calls":
        for call in step.step_details.tool_calls:
            if call.type == "code_interpreter":
                assert_type(call.code_interpreter.outputs, list[t.CodeInterpreterOutput])


def a_step_that_is_matched(call: t.ToolCall) -> str:
    match call:
        case t.CodeInterpreterToolCall():
            return call.code_interpreter.input
        case t.FunctionToolCall():
            return call.function.arguments
        case t.FileSearchToolCall() | t.UnknownToolCall():
            return call.id
        case _:
            assert_never(call)


def options_narrow_too(run: t.Run) -> None:
    choice = run.tool_choice
    if choice is not None and not isinstance(choice, str):
        assert_type(choice, t.AssistantToolChoice)
    wanted = run.response_format
    if wanted is not None and not isinstance(wanted, str) and wanted.type == "json_schema":
        assert_type(wanted.json_schema, t.JSONSchema)


def create(thread_id: str, **params: Unpack[t.RunCreateParamsBase]) -> t.ListPage[t.Run]:
    return t.ListPage[t.Run](data=[t.Run(id=thread_id, model=params.get("model") or "")])


page = create(
    "thread_1",
    assistant_id="asst_1",
    tools=[{"type": "code_interpreter"}, {"type": "function", "function": {"name": "f", "parameters": {}}}],
    additional_messages=[{"role": "user", "content": [{"type": "text", "text": "hello"}]}],
    tool_choice={"type": "function", "function": {"name": "f"}},
    include=["step_details.tool_calls[*].file_search.results[*].content"],
)
assert_type(page.data, list[t.Run])
thread: t.ThreadCreateParams = {"messages": [{"role": "user", "content": "hello"}], "metadata": None}
store: t.VectorStoreCreateParams = {"expires_after": {"anchor": "last_active_at", "days": 1}}
block = t.TextContentBlock(type="text", text=t.Text(value="hello", annotations=[]))
"""

WRONG = {
    "a part without narrowing": "def f(part: t.MessageContent) -> None: part.text",
    "a word that no status has": 'def f(run: t.Run) -> None:\n    status: t.RunStatus = "sleeping"',
    "a member without its tag": "t.TextContentBlock(text=t.Text())",
    "a request without what it needs": "p: t.RunCreateParamsNonStreaming = {}",
    "a request with a key that it has not": 'p: t.ThreadUpdateParams = {"messages": []}',
    "a tool that is none": 'p: t.AssistantToolParam = {"type": "telepathy"}',
}


def narrowing() -> Iterator[str]:
    """For every union, a function that asks for each `type` in turn and states what it then is.

    A member of several types is known by its class only.
    """
    for name, union in UNIONS.items():
        yield f"def narrows_{name}(value: t.{name}) -> None:"
        if str in alternatives(union) or name.endswith("Option"):
            yield "    if isinstance(value, str):\n        return"
        word = "if"
        for member in alternatives(union):
            if hasattr(member, "model_fields") and member not in UNKNOWN:
                one, *more = tags(member)
                asked = f"isinstance(value, t.{member.__name__})" if more else f'value.type == "{one}"'
                yield f"    {word} {asked}:\n        assert_type(value, t.{member.__name__})"
                word = "elif"
        (unknown,) = [member for member in alternatives(union) if member in UNKNOWN]
        yield f"    else:\n        assert_type(value, t.{unknown.__name__})\n\n"


PROGRAMS = Programs(
    right="\n".join([RIGHT, *narrowing()]),
    head="from rx_assistant import types as t\n\n",
    wrong=WRONG,
)

"""Requests about runs and their steps.

The `…Base` types have no `stream`, for methods with a separate parameter for it.
"""

from collections.abc import Iterable, Sequence
from typing import Literal, Required, TypeAlias

from typing_extensions import TypedDict

from rx_assistant.types.message_params import MessageCreateParams
from rx_assistant.types.run_step import RunStepInclude
from rx_assistant.types.shared import ReasoningEffort
from rx_assistant.types.shared_params import AssistantResponseFormatOptionParam, PageParams
from rx_assistant.types.thread_params import ThreadCreateParams
from rx_assistant.types.tool_params import (
    AssistantToolChoiceOptionParam,
    AssistantToolParam,
    ToolResourcesParam,
)


class TruncationStrategyParam(TypedDict, total=False):
    """The choice of messages for the model: `auto`, or the `last_messages`, so many of them."""

    type: Required[Literal["auto", "last_messages"]]
    last_messages: int | None


class RunAssistantParams(TypedDict, total=False):
    """The assistant of a run."""

    assistant_id: Required[str]


class RunSettingsParams(TypedDict, total=False):
    """The options of a new run, on a new or an existing thread, without its assistant and tools."""

    model: str | None
    reasoning_effort: ReasoningEffort
    instructions: str | None
    metadata: dict[str, str] | None
    temperature: float | None
    top_p: float | None
    max_prompt_tokens: int | None
    max_completion_tokens: int | None
    truncation_strategy: TruncationStrategyParam | None
    tool_choice: AssistantToolChoiceOptionParam | None
    parallel_tool_calls: bool
    response_format: AssistantResponseFormatOptionParam | None


class RunOptionsParams(RunSettingsParams, total=False):
    """The options of a new run, on a new or an existing thread."""

    tools: Iterable[AssistantToolParam] | None


class RunAdditionsParams(TypedDict, total=False):
    """The options that only a run on an existing thread has."""

    additional_instructions: str | None
    additional_messages: Iterable[MessageCreateParams] | None
    include: Sequence[RunStepInclude]


class RunOnThreadParams(RunSettingsParams, RunAdditionsParams, RunAssistantParams, total=False):
    """The options of a run on an existing thread, without its tools."""


class RunCreateParamsBase(RunOnThreadParams, RunOptionsParams, total=False):
    """POST /threads/{thread_id}/runs; `include` goes into the query, as `include[]`."""


class RunCreateParamsNonStreaming(RunCreateParamsBase, total=False):
    """POST /threads/{thread_id}/runs; the reply is the run."""

    stream: Literal[False] | None


class RunCreateParamsStreaming(RunCreateParamsBase):
    """POST /threads/{thread_id}/runs; the reply is a stream of events."""

    stream: Required[Literal[True]]


RunCreateParams: TypeAlias = RunCreateParamsNonStreaming | RunCreateParamsStreaming


class RunWithThreadParams(RunSettingsParams, RunAssistantParams, total=False):
    """The options of a run on a new thread, without its tools."""

    thread: ThreadCreateParams
    tool_resources: ToolResourcesParam | None


class ThreadCreateAndRunParamsBase(RunWithThreadParams, RunOptionsParams, total=False):
    """POST /threads/runs."""


class ThreadCreateAndRunParamsNonStreaming(ThreadCreateAndRunParamsBase, total=False):
    """POST /threads/runs; the reply is the run."""

    stream: Literal[False] | None


class ThreadCreateAndRunParamsStreaming(ThreadCreateAndRunParamsBase):
    """POST /threads/runs; the reply is a stream of events."""

    stream: Required[Literal[True]]


ThreadCreateAndRunParams: TypeAlias = ThreadCreateAndRunParamsNonStreaming | ThreadCreateAndRunParamsStreaming


class ToolOutput(TypedDict, total=False):
    """The output of one call."""

    tool_call_id: str
    output: str


class RunSubmitToolOutputsParamsBase(TypedDict, total=False):
    """POST /threads/{thread_id}/runs/{run_id}/submit_tool_outputs, with the outputs of all calls at once."""

    tool_outputs: Required[Iterable[ToolOutput]]


class RunSubmitToolOutputsParamsNonStreaming(RunSubmitToolOutputsParamsBase, total=False):
    """POST /threads/{thread_id}/runs/{run_id}/submit_tool_outputs; the reply is the run."""

    stream: Literal[False] | None


class RunSubmitToolOutputsParamsStreaming(RunSubmitToolOutputsParamsBase):
    """POST /threads/{thread_id}/runs/{run_id}/submit_tool_outputs; the reply is a stream of events."""

    stream: Required[Literal[True]]


RunSubmitToolOutputsParams: TypeAlias = RunSubmitToolOutputsParamsNonStreaming | RunSubmitToolOutputsParamsStreaming


class RunUpdateParams(TypedDict, total=False):
    """POST /threads/{thread_id}/runs/{run_id}."""

    metadata: dict[str, str] | None


class RunListParams(PageParams, total=False):
    """GET /threads/{thread_id}/runs."""


class StepListParams(PageParams, total=False):
    """GET /threads/{thread_id}/runs/{run_id}/steps; `include` is `include[]` in the query."""

    include: Sequence[RunStepInclude]


class StepRetrieveParams(TypedDict, total=False):
    """GET /threads/{thread_id}/runs/{run_id}/steps/{step_id}; `include` is `include[]` in the query."""

    include: Sequence[RunStepInclude]

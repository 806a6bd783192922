"""Runs: an assistant at work on a thread."""

from typing import Literal, TypeAlias

from rx_assistant.types._base import ABSENT, EMPTY, Array, Wire, WireModel, Word
from rx_assistant.types._inside import inside, models_in, text_in
from rx_assistant.types._markdown import code, function_call, joined
from rx_assistant.types.shared import AssistantResponseFormatOption, Metadata, ReasoningEffort
from rx_assistant.types.tool import AssistantTool, AssistantToolChoiceOption, ToolResources

RunStatus: TypeAlias = Literal[
    "queued",
    "in_progress",
    "requires_action",
    "cancelling",
    "cancelled",
    "failed",
    "completed",
    "incomplete",
    "expired",
]


class PromptTokenDetails(WireModel):
    """How many tokens of the prompt were read from a cache."""

    cached_tokens: Wire[int] = ABSENT


class CompletionTokensDetails(WireModel):
    """How many tokens of the completion are reasoning tokens."""

    reasoning_tokens: Wire[int] = ABSENT


class Usage(WireModel):
    """The tokens that a run or a step has used. Servers send `prompt_token_details`, with `token` in the singular."""

    prompt_tokens: Wire[int] = ABSENT
    completion_tokens: Wire[int] = ABSENT
    total_tokens: Wire[int] = ABSENT
    prompt_token_details: PromptTokenDetails | None = None
    completion_tokens_details: CompletionTokensDetails | None = None


class RequiredActionFunction(WireModel):
    """The function to call, and its arguments as JSON text."""

    name: Wire[str] = ABSENT
    arguments: Wire[str] = ABSENT


class RequiredActionFunctionToolCall(WireModel):
    """A call whose output the run is waiting for."""

    id: Wire[str] = ABSENT
    type: Word[Literal["function"]] = "function"
    function: Wire[RequiredActionFunction] = ABSENT


class RequiredActionSubmitToolOutputs(WireModel):
    """The calls whose outputs are to be submitted, all at once."""

    tool_calls: Wire[Array[RequiredActionFunctionToolCall]] = EMPTY


class RequiredAction(WireModel):
    """The action that the run waits for."""

    type: Word[Literal["submit_tool_outputs"]] = "submit_tool_outputs"
    submit_tool_outputs: Wire[RequiredActionSubmitToolOutputs] = ABSENT


class LastError(WireModel):
    """Why a run failed."""

    code: Word[Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]] = ABSENT
    message: Wire[str] = ABSENT


class IncompleteDetails(WireModel):
    """The limit that stopped a run."""

    reason: Word[Literal["max_completion_tokens", "max_prompt_tokens"]] | None = None


class TruncationStrategy(WireModel):
    """The choice of messages for the model if a thread has too many: automatic, or the last ones."""

    type: Word[Literal["auto", "last_messages"]] = ABSENT
    last_messages: int | None = None


class Run(WireModel):
    """An assistant at work on a thread."""

    id: Wire[str] = ABSENT
    object: Word[Literal["thread.run"]] = "thread.run"
    created_at: Wire[int] = ABSENT
    assistant_id: Wire[str] = ABSENT
    thread_id: Wire[str] = ABSENT
    status: Word[RunStatus] = ABSENT
    started_at: int | None = None
    expires_at: int | None = None
    cancelled_at: int | None = None
    failed_at: int | None = None
    completed_at: int | None = None
    required_action: RequiredAction | None = None
    last_error: LastError | None = None
    model: Wire[str] = ABSENT
    instructions: Wire[str] = ABSENT
    tools: Wire[Array[AssistantTool]] = EMPTY
    tool_resources: ToolResources | None = None
    metadata: Metadata | None = None
    temperature: float | None = None
    top_p: float | None = None
    reasoning_effort: Word[ReasoningEffort] = None
    max_completion_tokens: int | None = None
    max_prompt_tokens: int | None = None
    truncation_strategy: TruncationStrategy | None = None
    incomplete_details: IncompleteDetails | None = None
    usage: Usage | None = None
    response_format: AssistantResponseFormatOption | None = None
    tool_choice: AssistantToolChoiceOption | None = None
    parallel_tool_calls: Wire[bool] = ABSENT

    def _repr_markdown_(self) -> str:
        """A line with status, id and tokens; then the error, and the calls whose outputs the run waits for."""
        tokens = inside(self.usage, "total_tokens")
        line = " · ".join([f"**{self.status}**", code(str(self.id)), *([f"{tokens} tokens"] if tokens else [])])
        reason = text_in(self.last_error, "message") or text_in(self.incomplete_details, "reason")
        action = self.required_action if self.status == "requires_action" else None
        waiting = models_in(inside(action, "submit_tool_outputs", "tool_calls"))
        return joined([line, code(reason) if reason else "", *map(function_call, waiting)])

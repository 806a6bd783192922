"""The request of a Chat Completions stream. Parameters that only some servers accept go into `extra_body=`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Required

from typing_extensions import TypedDict

from rx_assistant.types.shared import ReasoningEffort
from rx_assistant.types.shared_params import (
    ResponseFormatJSONObjectParam,
    ResponseFormatJSONSchemaParam,
    ResponseFormatTextParam,
)


class ChatStreamParams(TypedDict, total=False):
    """POST /chat/completions with `stream`; messages are dicts with `role` and `content`."""

    messages: Required[Iterable[Mapping[str, object]]]
    model: Required[str]
    tools: Iterable[Mapping[str, object]]
    tool_choice: Literal["none", "auto", "required"] | Mapping[str, object]
    parallel_tool_calls: bool
    response_format: ResponseFormatTextParam | ResponseFormatJSONObjectParam | ResponseFormatJSONSchemaParam
    stream_options: Mapping[str, object] | None
    max_completion_tokens: int | None
    max_tokens: int | None
    n: int | None
    stop: str | Sequence[str] | None
    temperature: float | None
    top_p: float | None
    frequency_penalty: float | None
    presence_penalty: float | None
    logit_bias: Mapping[str, int] | None
    logprobs: bool | None
    top_logprobs: int | None
    reasoning_effort: ReasoningEffort
    seed: int | None
    metadata: Mapping[str, str] | None
    store: bool | None
    service_tier: str | None
    user: str

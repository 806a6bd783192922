"""The request of a Responses stream. Parameters that only some servers accept go into `extra_body=`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Required

from typing_extensions import TypedDict


class ResponseStreamParams(TypedDict, total=False):
    """POST /responses with `stream`; `input` is a text, or a list of input items of the Responses API."""

    input: Required[str | Iterable[Mapping[str, object]]]
    model: Required[str]
    instructions: str | None
    tools: Iterable[Mapping[str, object]]
    tool_choice: Literal["none", "auto", "required"] | Mapping[str, object]
    parallel_tool_calls: bool | None
    max_tool_calls: int | None
    text: Mapping[str, object]
    reasoning: Mapping[str, object] | None
    include: Sequence[str] | None
    max_output_tokens: int | None
    temperature: float | None
    top_p: float | None
    top_logprobs: int | None
    truncation: Literal["auto", "disabled"] | None
    background: bool | None
    store: bool | None
    previous_response_id: str | None
    conversation: str | Mapping[str, object] | None
    prompt: Mapping[str, object] | None
    prompt_cache_key: str
    safety_identifier: str
    metadata: Mapping[str, str] | None
    service_tier: str | None
    user: str

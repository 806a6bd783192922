"""Reads an upstream's error, and finds another form of the request that it may accept.

A server that does not know a member of the request says so with 400, 422, or even 500, and names it in `param`, in
`code` or in its text. Each row of `CHAT_BENDS` and `RESPONSES_BENDS` is one such member and the form without it.
A refused tool, function or image has no row: leaving it out would change what the application asked for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from rx_assistant.dialects.chat_request import Form
from rx_assistant.dialects.errors import error_text
from rx_assistant.dialects.responses_request import ResponsesForm

RunErrorCode: TypeAlias = Literal["server_error", "rate_limit_exceeded", "invalid_prompt"]

_SHOWN: Final = 500
_KEY: Final = re.compile(
    r"(?P<head>\b(?:sk|pk|gsk|hf|xai)[-_]|\bAIza|\bBearer\s+|\bapi[ _-]?key\b[^:\n]{0,24}:\s*)[^\s\"'.,]+",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error reply of an upstream, read."""

    status: int
    message: str
    """The upstream's own words, at most 500 characters, with keys masked."""
    code: str = ""
    param: str = ""
    context: int | None = None
    """The model's context length in tokens, if the upstream states it."""
    text: str = ""
    """The whole body in lower case, for the search of names."""

    @property
    def is_too_long(self) -> bool:
        """Whether the prompt is longer than the model's context."""
        return self.status == 413 or bool(_TOO_LONG.search(self.text))

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed a moment later."""
        return self.status in {408, 409, 429} or self.status >= 500

    @property
    def run_code(self) -> RunErrorCode:
        """The code of the run's `last_error`."""
        if self.status == 429:
            return "rate_limit_exceeded"
        return "invalid_prompt" if self.status in {400, 413, 422} else "server_error"

    def __str__(self) -> str:
        return f"the model's server answered {self.status}: {self.message}"


def read_refusal(status: int, content: bytes) -> Refusal:
    """The error in a reply with a status of 400 or more, whatever its shape."""
    raw = content.decode("utf-8", "replace")
    try:
        body: Any = json.loads(raw)
    except (ValueError, RecursionError):
        body = None
    if isinstance(body, list) and body:
        body = body[0]
    error = body.get("error", body) if isinstance(body, dict) else body
    fields = error if isinstance(error, dict) else {}
    words = error_text(error) if error else raw.strip()
    upstream = fields.get("metadata")
    if isinstance(upstream, dict) and isinstance(upstream.get("raw"), str):
        words = f"{words}: {upstream['raw']}"  # OpenRouter: the message of the provider behind it
    return Refusal(
        status=status,
        message=masked(words or "no explanation")[:_SHOWN],
        code=_text(fields.get("code")) or _text(fields.get("type")),
        param=_text(fields.get("param")),
        context=_context(fields, raw),
        text=raw.lower(),
    )


def masked(text: str) -> str:
    """The text with everything that looks like a key masked."""
    return _KEY.sub(lambda found: found["head"] + "***", text)


_TOO_LONG: Final = re.compile(
    r"context_length_exceeded|exceed_context_size|too_many_prompt_tokens|maximum context length"
    r"|context length (?:by|of)|available context size|context window|prompt (?:is )?too long|exceeded max context"
    r"|input is too long"
    r"|length of all messages is too long|reduce the length of the (?:messages|prompt|input)"
)
_CONTEXT: Final = re.compile(
    r"(?:maximum context length (?:is|of)|context size \(|context window (?:is|of|size of)|n_ctx[\"':= ]+)\s*(\d+)",
    re.IGNORECASE,
)


def _context(fields: dict[str, Any], raw: str) -> int | None:
    told = fields.get("n_ctx")
    if isinstance(told, int) and told > 0:
        return told
    found = _CONTEXT.search(raw)
    return int(found[1]) if found else None


def _text(value: object) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


# -- bending -----------------------------------------------------------------------------------------------------


F = TypeVar("F", Form, ResponsesForm)


@dataclass(frozen=True, slots=True)
class Bend(Generic[F]):
    """One other form: for a request that `has` the member, when the refusal's words match `says`."""

    name: str
    says: re.Pattern[str]
    has: Callable[[dict[str, Any], F], bool]
    change: Callable[[F], F]


def _member(name: str) -> Callable[[dict[str, Any], Any], bool]:
    return lambda body, _: name in body


def _word(*names: str) -> re.Pattern[str]:
    return re.compile("|".join(rf"(?<![a-z_]){name}(?![a-z_])" for name in names))


def _has_strict(body: dict[str, Any], form: Form) -> bool:
    schema = body.get("response_format", {}).get("json_schema") or {}
    return "strict" in schema or any("strict" in tool["function"] for tool in body.get("tools", ()))


def _has_empty(body: dict[str, Any], form: Form) -> bool:
    return form.empty == "" and any(message.get("content") == "" for message in body["messages"])


_ROLES: Final = re.compile(
    r"roles? must alternate|alternate user/assistant|only (?:support )?user and assistant|system role|role.{0,20}system"
    r"|system message must|system.{0,40}(?:not supported|must be (?:the first|at the beginning))|unknown role"
    r"|unexpected role|invalid role|last role|does not support 'system'|two (?:user|assistant) messages|consecutive"
)
_EMPTY: Final = re.compile(r"content.{0,60}(?:empty|must not be|blank|minlength|at least 1 char|should have at)")

CHAT_BENDS: Final[tuple[Bend[Form], ...]] = (
    Bend("stream_options", _word("stream_options", "include_usage"), _member("stream_options"),
         lambda form: replace(form, usage=False)),
    Bend("max_tokens", _word("max_tokens"), _member("max_tokens"),
         lambda form: replace(form, limit="max_completion_tokens")),
    Bend("max_completion_tokens", _word("max_completion_tokens"), _member("max_completion_tokens"),
         lambda form: replace(form, limit="max_tokens")),
    Bend("parallel_tool_calls", _word("parallel_tool_calls"), _member("parallel_tool_calls"),
         lambda form: replace(form, parallel=False)),
    Bend("tool_choice as an object", _word("tool_choice", "tool choice"),
         lambda body, _: isinstance(body.get("tool_choice"), dict), lambda form: replace(form, tool_choice="required")),
    Bend("tool_choice", _word("tool_choice", "tool choice"), lambda body, _: body.get("tool_choice") == "required",
         lambda form: replace(form, tool_choice="omitted")),
    Bend("strict", _word("strict"), _has_strict, lambda form: replace(form, strict=False)),
    Bend("json_schema", _word("json_schema", "response_format", "response format", "structured output"),
         lambda body, form: body.get("response_format", {}).get("type") == "json_schema",
         lambda form: replace(form, schema="json_object")),
    Bend("json_object", _word("json_object", "response_format", "response format"),
         lambda body, form: body.get("response_format", {}).get("type") == "json_object",
         lambda form: replace(form, schema="prompt")),
    Bend("reasoning_effort", _word("reasoning_effort", "reasoning effort", "reasoning.effort"),
         _member("reasoning_effort"), lambda form: replace(form, reasoning_effort=False)),
    Bend("temperature", _word("temperature"), _member("temperature"), lambda form: replace(form, temperature=False)),
    Bend("top_p", _word("top_p"), _member("top_p"), lambda form: replace(form, top_p=False)),
    Bend("empty content", _EMPTY, _has_empty, lambda form: replace(form, empty="null")),
    Bend("roles", _ROLES, lambda _, form: form.roles == "apart", lambda form: replace(form, roles="merged")),
)  # fmt: skip


RESPONSES_BENDS: Final[tuple[Bend[ResponsesForm], ...]] = (
    Bend("include", _word("include", "encrypted_content"), _member("include"),
         lambda form: replace(form, include=False)),
    Bend("store", _word("store"), _member("store"), lambda form: replace(form, store=False)),
    Bend("parallel_tool_calls", _word("parallel_tool_calls"), _member("parallel_tool_calls"),
         lambda form: replace(form, parallel=False)),
    Bend("tool_choice", _word("tool_choice", "tool choice"), _member("tool_choice"),
         lambda form: replace(form, tool_choice=False)),
    Bend("strict", _word("strict"), lambda body, form: form.strict and "tools" in body,
         lambda form: replace(form, strict=False)),
    Bend("text.format", _word("text.format", "json_schema", "response_format"), _member("text"),
         lambda form: replace(form, schema=False)),
    Bend("reasoning", _word("reasoning", "reasoning.effort"), _member("reasoning"),
         lambda form: replace(form, reasoning_effort=False)),
    Bend("temperature", _word("temperature"), _member("temperature"), lambda form: replace(form, temperature=False)),
    Bend("top_p", _word("top_p"), _member("top_p"), lambda form: replace(form, top_p=False)),
)  # fmt: skip


def bend(
    rows: Sequence[Bend[F]], form: F, body: dict[str, Any], refusal: Refusal, taken: Container[str] = ()
) -> tuple[str, F] | None:
    """The refused member, and the form without it; None if the refusal names no member that can be left out.

    `param` is the best evidence, then `code`, then the text. Each bend is used once: `taken` holds the names of the
    used ones.
    """
    for words in (refusal.param.lower(), refusal.code.lower(), refusal.text):
        for row in rows:
            if words and row.name not in taken and row.has(body, form) and row.says.search(words):
                return row.name, row.change(form)
    return None

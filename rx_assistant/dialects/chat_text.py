"""The payload of a Chat Completions chunk → its text, if it holds only text: a narrow reading, described by types.

Nine in ten chunks only append a text. A chunk of another shape gives "", and `ChatReader` reads all of it. Members of
a chunk and a choice that are not listed are skipped, as `ChatReader` skips them beside a text.
"""

from __future__ import annotations

from typing import Final, Literal

from msgspec import DecodeError, Struct
from msgspec.json import Decoder


class _Delta(Struct, gc=False, forbid_unknown_fields=True):
    content: str
    role: str | None = None
    refusal: None = None
    reasoning: None = None
    reasoning_content: None = None
    tool_calls: None = None
    function_call: None = None


class _Choice(Struct, gc=False):
    delta: _Delta
    index: int
    finish_reason: None = None
    error: None = None


class _Chunk(Struct, gc=False):
    choices: tuple[_Choice]
    object: Literal["chat.completion.chunk", ""] | None = None
    usage: None = None
    error: None = None
    x_groq: None = None


_decode: Final = Decoder(_Chunk).decode


def only_text(payload: bytes, choice: int) -> str:
    """The text that a chunk appends to this choice; "" if the chunk holds anything else."""
    try:
        found = _decode(payload).choices[0]
    except (DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return found.delta.content if found.index == choice else ""

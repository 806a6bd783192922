"""Streams made anew for each run from a seed: the bytes that all contestants get."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

_SYLLABLES = ("ka", "lo", "mi", "ne", "ru", "sa", "to", "vi", "we", "zu")


def frame(name: str, data: Any) -> bytes:
    """One server-sent event, as the service writes it."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return f"event: {name}\ndata: {text}\n\n".encode()


def words(count: int, seed: int = 1) -> list[str]:
    """Texts of five bytes each."""
    chance = random.Random(seed)
    return [" " + chance.choice(_SYLLABLES) + chance.choice(_SYLLABLES) for _ in range(count)]


def run(status: str) -> dict[str, Any]:
    """A run as the service sends it."""
    return {
        "id": "run_bench0000000000000000000",
        "object": "thread.run",
        "created_at": 1_780_000_000,
        "assistant_id": "asst_bench000000000000000000",
        "thread_id": "thread_bench0000000000000000",
        "status": status,
        "started_at": None,
        "expires_at": 1_780_000_600,
        "cancelled_at": None,
        "failed_at": None,
        "completed_at": None,
        "required_action": None,
        "last_error": None,
        "model": "gpt-4o",
        "instructions": "Be brief.",
        "tools": [],
        "tool_resources": {},
        "metadata": {},
        "temperature": 1.0,
        "top_p": 1.0,
        "max_completion_tokens": None,
        "max_prompt_tokens": None,
        "truncation_strategy": {"type": "auto", "last_messages": None},
        "incomplete_details": None,
        "usage": None,
        "response_format": "auto",
        "tool_choice": "auto",
        "parallel_tool_calls": True,
    }


def message(status: str, text: str | None = None, annotations: list[Any] | None = None) -> dict[str, Any]:
    """A message of the assistant's."""
    content = [] if text is None else [{"type": "text", "text": {"value": text, "annotations": annotations or []}}]
    return {
        "id": "msg_bench0000000000000000000",
        "object": "thread.message",
        "created_at": 1_780_000_000,
        "assistant_id": "asst_bench000000000000000000",
        "thread_id": "thread_bench0000000000000000",
        "run_id": "run_bench0000000000000000000",
        "status": status,
        "incomplete_details": None,
        "incomplete_at": None,
        "completed_at": None,
        "role": "assistant",
        "content": content,
        "attachments": [],
        "metadata": {},
    }


def step(kind: str, status: str, details: dict[str, Any]) -> dict[str, Any]:
    """A run step."""
    return {
        "id": "step_bench000000000000000000",
        "object": "thread.run.step",
        "created_at": 1_780_000_000,
        "run_id": "run_bench0000000000000000000",
        "assistant_id": "asst_bench000000000000000000",
        "thread_id": "thread_bench0000000000000000",
        "type": kind,
        "status": status,
        "cancelled_at": None,
        "completed_at": None,
        "expires_at": 1_780_000_600,
        "failed_at": None,
        "last_error": None,
        "step_details": details,
        "usage": None,
    }


def text_delta(text: str, annotations: list[Any] | None = None) -> dict[str, Any]:
    """A fragment of the text."""
    inside: dict[str, Any] = {"value": text}
    if annotations is not None:
        inside["annotations"] = annotations
    return {
        "id": "msg_bench0000000000000000000",
        "object": "thread.message.delta",
        "delta": {"content": [{"index": 0, "type": "text", "text": inside}]},
    }


def chat_chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """One chunk of a Chat Completions stream, as OpenAI's servers write it."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "chatcmpl-AIJ5s", "object": "chat.completion.chunk", "created": 1_728_933_352, "model": "gpt-4o"}
    value = {**head, "system_fingerprint": "fp_44709d6fcb", "choices": [choice]}
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def code_delta(fragment: str) -> dict[str, Any]:
    """A fragment of a code interpreter's input."""
    call = {"index": 0, "type": "code_interpreter", "code_interpreter": {"input": fragment}}
    return _step_delta(call)


def arguments_delta(fragment: str) -> dict[str, Any]:
    """A fragment of a function's arguments."""
    return _step_delta({"index": 0, "type": "function", "function": {"arguments": fragment}})


def _step_delta(call: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "step_bench000000000000000000",
        "object": "thread.run.step.delta",
        "delta": {"step_details": {"type": "tool_calls", "tool_calls": [call]}},
    }


def text_events(count: int, seed: int = 1) -> Iterator[bytes]:
    """A run that writes `count` fragments of text."""
    pieces = words(count, seed)
    yield frame("thread.run.created", run("queued"))
    yield frame("thread.run.in_progress", run("in_progress"))
    yield frame("thread.message.created", message("in_progress"))
    yield from (frame("thread.message.delta", text_delta(piece)) for piece in pieces)
    yield frame("thread.message.completed", message("completed", "".join(pieces)))
    yield frame("thread.run.completed", run("completed"))
    yield frame("done", "[DONE]")


def annotated_events(count: int, seed: int = 1) -> Iterator[bytes]:
    """A run that writes `count` fragments, each with an annotation."""
    pieces = words(count, seed)
    marks = [
        {
            "index": index,
            "type": "file_citation",
            "text": piece,
            "start_index": 5 * index,
            "end_index": 5 * index + 5,
            "file_citation": {"file_id": "file-bench", "quote": ""},
        }
        for index, piece in enumerate(pieces)
    ]
    final = [{name: value for name, value in mark.items() if name != "index"} for mark in marks]
    yield frame("thread.run.created", run("queued"))
    yield frame("thread.message.created", message("in_progress"))
    for piece, mark in zip(pieces, marks, strict=True):
        yield frame("thread.message.delta", text_delta(piece, [mark]))
    yield frame("thread.message.completed", message("completed", "".join(pieces), final))
    yield frame("thread.run.completed", run("completed"))
    yield frame("done", "[DONE]")


def code_events(count: int, seed: int = 1) -> Iterator[bytes]:
    """A run in which a code interpreter's input is written in `count` fragments."""
    pieces = words(count, seed)
    first = {
        "index": 0,
        "id": "call_bench",
        "type": "code_interpreter",
        "code_interpreter": {"input": "", "outputs": []},
    }
    final = {
        "id": "call_bench",
        "type": "code_interpreter",
        "code_interpreter": {"input": "".join(pieces), "outputs": []},
    }
    yield frame("thread.run.created", run("queued"))
    yield frame("thread.run.step.created", step("tool_calls", "in_progress", {"type": "tool_calls", "tool_calls": []}))
    yield frame("thread.run.step.delta", _step_delta(first))
    yield from (frame("thread.run.step.delta", code_delta(piece)) for piece in pieces)
    details = {"type": "tool_calls", "tool_calls": [final]}
    yield frame("thread.run.step.completed", step("tool_calls", "completed", details))
    yield frame("thread.run.completed", run("completed"))
    yield frame("done", "[DONE]")


def chunks(events: Iterator[bytes], size: int = 16 * 1024) -> list[bytes]:
    """The same bytes, cut into chunks of `size` bytes."""
    body = b"".join(events)
    return [body[start : start + size] for start in range(0, len(body), size)]

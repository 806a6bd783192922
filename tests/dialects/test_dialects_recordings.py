"""What real servers sent, read as one run each: text, calls, reasoning, usage and ending."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import dialects_turns as turns
import pytest
from cases import in_one_test
from chat_recordings import EXPECTED, RESPONSES, body, status

from rx_assistant.dialects.responses import ResponsesTranslator
from rx_assistant.events import StreamEvent
from rx_assistant.sse import Frame, SSEDecoder

SPLICED = {  # several responses in one file, or events cut out of it
    "ai__openai-phase.1.chunks.0.jsonl",
    "ai__openai-reasoning-encrypted-content.1.chunks.0.jsonl",
}

pytestmark = pytest.mark.usefixtures("shared")


@in_one_test("expectation", EXPECTED, ids=lambda path: path.stem[:60])
def test_a_recorded_chat_stream(expectation: Path) -> None:
    expected = json.loads(expectation.read_text())
    found = turns.chat(body(expectation.stem))
    _same_texts(found, expected)
    assert [call[1:] for call in found.calls] == [(one["name"], one["arguments"]) for one in expected["tool_calls"]]
    assert all(one["id"] in (None, "", call[0]) for call, one in zip(found.calls, expected["tool_calls"], strict=True))
    assert found.run.status == status(expected)
    assert (found.run.usage is None) == (not expected["usage"])
    if found.run.usage is not None:
        assert found.run.usage.total_tokens == expected["usage"]["total_tokens"]
    if expected["error"]:
        assert found.run.last_error is not None
        assert expected["error"]["message"] in found.run.last_error.message


def _same_texts(found: turns.Read, expected: dict[str, Any]) -> None:
    text, reasoning = expected["text"], expected["reasoning"]
    if text.lstrip().startswith("<think>"):  # the expectations leave the tags in the text
        thought, _, text = text.partition("</think>")
        reasoning += thought.strip().removeprefix("<think>").strip()
        text = text.lstrip()
    assert found.text + found.late == text or (found.text + found.late).strip() == text.strip()
    if reasoning:  # they do not read reasoning_details that stand alone
        assert found.reasoning == reasoning


@in_one_test("recording", RESPONSES, ids=lambda path: path.name[:60])
def test_a_recorded_responses_stream(recording: Path) -> None:
    payloads = _payloads(recording)
    found = turns.read(_responses(payloads))
    values = [json.loads(payload) for _, payload in payloads if payload.startswith(b"{")]
    finals = [value["response"] for value in values if value["type"] in {"response.completed", "response.incomplete"}]
    if recording.name not in SPLICED:
        assert found.text + found.late == "".join(
            value["delta"] for value in values if value["type"] == "response.output_text.delta"
        )
        asked = [
            (item["call_id"], item["name"], item["arguments"])
            for final in finals
            for item in final.get("output", ())
            if item["type"] == "function_call"
        ]
        assert found.calls == asked
    if finals:
        expected = "incomplete" if finals[-1]["status"] == "incomplete" else "completed"
        assert found.run.status == ("requires_action" if found.calls else expected)


def test_a_responses_stream_without_indices_and_numbers(shared: Path) -> None:
    found = turns.read(_responses(_payloads(shared / "chat" / "live" / "llamacpp__responses_text.sse")))
    assert found.text.startswith("Welcome to the world")
    assert found.run.status == "completed"


def _payloads(recording: Path) -> list[tuple[bytes, bytes]]:
    if recording.suffix == ".jsonl":
        return [(b"", line) for line in recording.read_bytes().splitlines() if line.strip()]
    frames: list[Frame] = []
    SSEDecoder().push(recording.read_bytes(), frames.append)
    return [(frame[0], frame[1]) for frame in frames]


def _responses(payloads: list[tuple[bytes, bytes]]) -> list[StreamEvent]:
    numbers = itertools.count()
    translator = ResponsesTranslator(new_id=lambda prefix: f"{prefix}{next(numbers)}", now=lambda: 1)
    events = [event for name, payload in payloads for event in translator.feed(payload, name)]
    return [*events, *translator.end()]

"""Payloads that no server should send, through both translators: nothing raises, and the run still has its grammar."""

from __future__ import annotations

import itertools
import json
from random import Random
from typing import Any

import dialects_turns as turns
from cases import in_one_test
from chat_recordings import EXPECTED, RESPONSES, body
from dialects_styles import turn
from mutated import MUTATIONS

from rx_assistant.dialects.chat import ChatTranslator
from rx_assistant.dialects.frames import ChatFrames, Payload
from rx_assistant.dialects.responses import ResponsesTranslator

CALL = {"type": "function_call", "id": "fc_1", "call_id": "call_a", "name": "f", "arguments": '{"x":1}'}
CODE = {
    "type": "code_interpreter_call", "id": "ci_1", "code": "1+1", "status": "completed",
    "outputs": [{"type": "logs", "logs": "2"}],
}  # fmt: skip
SEARCH = {"type": "file_search_call", "id": "fs_1", "results": [{"file_id": "file_1", "score": 0.5, "text": "x"}]}
MARK = {"type": "file_citation", "file_id": "file_1", "index": 2}
SAID = {"type": "message", "id": "msg_1", "content": [{"type": "output_text", "text": "Hello", "annotations": [MARK]}]}
THOUGHT = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]}
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "output_tokens_details": {"reasoning_tokens": 1}}


def response() -> list[Payload]:
    """A Responses stream with each kind of item that has a twin."""
    items = [THOUGHT, CODE, SEARCH, SAID, CALL]
    events: list[dict[str, Any]] = [{"type": "response.created", "response": {"id": "resp_1", "model": "m"}}]
    for index, item in enumerate(items):
        place = {"output_index": index, "item_id": item["id"]}
        events.append({"type": "response.output_item.added", **place, "item": {"type": item["type"], "id": item["id"]}})
        match item["type"]:
            case "code_interpreter_call":
                events.append({"type": "response.code_interpreter_call_code.delta", **place, "delta": "1+1"})
            case "message":
                place["content_index"] = 0
                events += [{"type": "response.output_text.delta", **place, "delta": part} for part in ("Hel", "lo")]
                events.append({"type": "response.output_text.annotation.added", **place, "annotation": MARK})
            case "function_call":
                events.append({"type": "response.function_call_arguments.delta", **place, "delta": '{"x":'})
        events.append({"type": "response.output_item.done", **place, "item": item})
    ended = {"id": "resp_1", "status": "completed", "output": items, "usage": USAGE}
    events.append({"type": "response.completed", "response": ended})
    numbered = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    return [(b"", json.dumps(event).encode()) for event in numbered]


def payloads(sent: bytes) -> list[Payload]:
    frames = ChatFrames()
    return [*frames.push(sent), *frames.end()]


def survives(kind: type[ChatTranslator | ResponsesTranslator], sent: list[Payload], random: Random) -> None:
    """Some payloads are damaged; what the events say passes the strict grammar, or `read` raises."""
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(sent))
        name, raw = sent[at]
        try:
            sent[at] = name, random.choice(MUTATIONS)(raw, random)
        except ValueError:
            continue  # it was damaged before
    numbers = itertools.count()
    translator = kind(new_id=lambda prefix: f"{prefix}{next(numbers)}", now=lambda: 1)
    events = [event for name, raw in sent for event in translator.feed(raw, name)]
    turns.read([*events, *translator.end()])


@in_one_test("seed", range(20))
def test_damaged_payloads_of_generated_turns(seed: int) -> None:
    random = Random(seed)
    for _ in range(10):
        survives(ChatTranslator, payloads(turn(random)[1]), random)
        survives(ResponsesTranslator, response(), random)


def test_damaged_payloads_of_recorded_turns(shared: object) -> None:
    random = Random(5)
    chats = [found for path in EXPECTED if (found := payloads(body(path.stem)))]
    responses = [payloads(path.read_bytes()) for path in RESPONSES]
    for _ in range(150):
        survives(ChatTranslator, random.choice(chats)[-60:], random)
        survives(ResponsesTranslator, random.choice(responses)[:60], random)

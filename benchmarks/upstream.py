"""A Chat Completions stream read as Assistants events, beside openai-python's accumulator of such streams."""

from __future__ import annotations

import itertools
import json

from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from benchmarks._measure import Row, race, times_faster
from rx_assistant.dialects.chat import ChatTranslator
from rx_assistant.dialects.frames import ChatFrames

N = 3_000


def payloads() -> list[bytes]:
    """The chunks of one long answer, as OpenAI's servers write them."""
    told = []
    for number in range(N):
        choice = {"index": 0, "delta": {"content": f" word{number}"}, "logprobs": None, "finish_reason": None}
        told.append({"system_fingerprint": "fp_44709d6fcb", "choices": [choice]})
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    told.append({"system_fingerprint": "fp_44709d6fcb", "choices": [last]})
    head = {"id": "chatcmpl-AIJ5s", "object": "chat.completion.chunk", "created": 1728933352, "model": "gpt-4o"}
    return [json.dumps({**head, **one}, separators=(",", ":")).encode() for one in told]


def rows() -> list[Row]:
    """The rows of this table."""
    chunks = payloads()
    body = b"".join(b"data: " + chunk + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    pieces = [body[start : start + 4096] for start in range(0, len(body), 4096)]

    def ours() -> None:
        numbers = itertools.count()
        translator = ChatTranslator(new_id=lambda prefix: f"{prefix}{next(numbers)}", now=lambda: 1)
        frames = ChatFrames()
        text = ""
        for piece in pieces:
            for name, payload in frames.push(piece):
                for event in translator.feed(payload, name):
                    text = event.event
        assert translator.end()[-1].event == "thread.run.completed", text

    def openai() -> None:
        state = ChatCompletionStreamState()
        for chunk in chunks:
            state.handle_chunk(ChatCompletionChunk.model_validate_json(chunk))
        assert state.get_final_completion().choices[0].message.content

    mine, theirs = race(ours, openai)
    work = f"bytes → events of a run, {N} chunks"
    return [times_faster(work, mine, theirs, len(chunks), name="openai's stream state", at_least=20)]

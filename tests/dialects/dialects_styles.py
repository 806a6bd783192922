"""Turns of a model, told as the servers of Chat Completions tell them: the same calls and texts in many styles."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

Json = dict[str, Any]


@dataclass
class Told:
    """What a turn says: its text, its reasoning, its calls as (name, arguments), and the finish_reason."""

    text: str
    reasoning: str
    calls: list[tuple[str, str]]
    finish: str | None


def turn(random: Random) -> tuple[Told, bytes]:
    """A random turn, and a body that holds it."""
    told = Told(
        text=random.choice(["", "Hello", "Grüße 😀, wie geht's?", 'line\n"quoted" \\ and <b>more</b>', " blank ahead"]),
        reasoning=random.choice(["", "", "first I think", "hm 🤔 …"]),
        calls=[_call(random, number) for number in range(random.choice([0, 0, 1, 1, 2, 3]))],
        finish=random.choice(["stop", "tool_calls", "function_call", None]),
    )
    if not told.text and not told.calls:
        told.text = "."
    deltas: list[Json] = [*_reasoning(random, told.reasoning), *_texts(random, told.text)]
    style = random.choice([*_STYLES])
    if told.calls and told.reasoning and random.random() < 0.3:
        style = random.choice([*_STYLES])
    deltas += _STYLES[style](random, told.calls) if told.calls else []
    return told, _body(random, deltas, told.finish)


def _call(random: Random, number: int) -> tuple[str, str]:
    arguments = random.choice(["{}", '{"city": "Bern"}', '{"a":1,"b":[true,null,"x{}"]}', '{"text":"😀 \\"q\\""}'])
    return f"tool_{number}{random.choice(['', '_x'])}", arguments


def _pieces(random: Random, text: str) -> list[str]:
    pieces: list[str] = []
    while text:
        size = random.randint(1, max(1, len(text)))
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def _reasoning(random: Random, text: str) -> Iterator[Json]:
    field = random.choice(["reasoning_content", "reasoning", "reasoning_details", "both", "parts"])
    for piece in _pieces(random, text):
        detail = [{"type": "reasoning.text", "text": piece, "index": 0}]
        match field:
            case "reasoning_details":
                yield {"content": "", "reasoning_details": detail}
            case "both":
                yield {"content": None, "reasoning": piece, "reasoning_details": detail}
            case "parts":
                yield {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": piece}]}]}
            case _:
                yield {"content": random.choice([None, ""]), field: piece}


def _texts(random: Random, text: str) -> Iterator[Json]:
    as_parts = random.random() < 0.2
    for piece in _pieces(random, text):
        yield {"content": [{"type": "text", "text": piece}] if as_parts else piece}


# -- the styles of calls -----------------------------------------------------------------------------------------

Calls = list[tuple[str, str]]


def _numbered(calls: Calls, start: int = 0, step: int = 1) -> Iterator[tuple[int, str, str, str]]:
    for number, (name, arguments) in enumerate(calls):
        yield start + number * step, f"call_{number}", name, arguments


def _openai(random: Random, calls: Calls, start: int = 0, step: int = 1) -> Iterator[Json]:
    for index, id, name, arguments in _numbered(calls, start, step):
        yield _one(index=index, id=id, type="function", function={"name": name, "arguments": ""})
        for piece in _pieces(random, arguments):
            yield _one(index=index, function={"arguments": piece})


def _gaps(random: Random, calls: Calls) -> Iterator[Json]:
    return _openai(random, calls, start=1, step=random.choice([1, 3]))


def _empty_later(random: Random, calls: Calls) -> Iterator[Json]:
    for index, id, name, arguments in _numbered(calls):
        yield _one(index=index, id=id, type="function", function={"name": name, "arguments": None})
        for piece in _pieces(random, arguments):
            yield _one(index=index, id=random.choice(["", None]), function={"name": None, "arguments": piece})


def _whole(random: Random, calls: Calls) -> Iterator[Json]:
    for index, id, name, arguments in _numbered(calls):
        yield _one(index=index, id=id, function={"name": name, "arguments": arguments})


def _all_in_one(random: Random, calls: Calls) -> Iterator[Json]:
    keyed = random.random() < 0.5
    told = [
        {**({"index": index} if keyed else {}), "id": id, "function": {"name": name, "arguments": arguments}}
        for index, id, name, arguments in _numbered(calls)
    ]
    yield {"content": None, "tool_calls": told}


def _as_object(random: Random, calls: Calls) -> Iterator[Json]:
    for index, id, name, arguments in _numbered(calls):
        function = {"name": name, "arguments": json.loads(arguments) or None}
        yield {"tool_calls": {"index": index, "id": id, "type": "function", "function": function}}


def _by_id(random: Random, calls: Calls) -> Iterator[Json]:
    for _, id, name, arguments in _numbered(calls):
        yield _one(id=id, function={"name": name, "arguments": ""})
        for piece in _pieces(random, arguments):
            yield _one(id=id, index=None, function={"arguments": piece})


def _last_goes_on(random: Random, calls: Calls) -> Iterator[Json]:
    for _, id, name, arguments in _numbered(calls):
        yield _one(id=id, function={"name": name})
        for piece in _pieces(random, arguments):
            yield _one(function={"arguments": piece})


def _always_zero(random: Random, calls: Calls) -> Iterator[Json]:
    for _, id, name, arguments in _numbered(calls):
        yield _one(index=0, id=id, function={"name": name, "arguments": ""})
        for piece in _pieces(random, arguments):
            yield _one(index=0, id=random.choice([id, None]), function={"arguments": piece})


def _repeated(random: Random, calls: Calls) -> Iterator[Json]:
    legacy = random.random() < 0.3 and len(calls) == 1
    for index, id, name, arguments in _numbered(calls):
        for piece in _pieces(random, arguments):
            delta = _one(index=index, id=id, type="function", function={"name": name, "arguments": piece})
            yield {**delta, "function_call": {"name": name, "arguments": piece}} if legacy else delta


def _rising(random: Random, calls: Calls) -> Iterator[Json]:
    index = -1
    for _, id, name, arguments in _numbered(calls):
        index += 1
        yield _one(index=index, id=id, function={"name": name, "arguments": ""})
        for piece in _pieces(random, arguments):
            index += 1
            yield _one(index=index, function={"arguments": piece})


def _name_last(random: Random, calls: Calls) -> Iterator[Json]:
    for index, id, name, arguments in _numbered(calls):
        pieces = _pieces(random, arguments)
        at = random.randint(0, len(pieces))
        for piece in pieces[:at]:
            yield _one(index=index, id=id, function={"arguments": piece})
        yield _one(index=index, id=id, function={"name": name})
        for piece in pieces[at:]:
            yield _one(index=index, function={"arguments": piece})


def _without_ids(random: Random, calls: Calls) -> Iterator[Json]:
    keyed = random.random() < 0.5
    for index, _, name, arguments in _numbered(calls):
        place = {"index": index} if keyed else {}
        yield _one(**place, id=random.choice(["", None]), function={"name": name, "arguments": arguments})


def _same_id(random: Random, calls: Calls) -> Iterator[Json]:
    for index, _, name, arguments in _numbered(calls):
        yield _one(index=index, id="call_same", function={"name": name, "arguments": arguments})


def _interleaved(random: Random, calls: Calls) -> Iterator[Json]:
    waiting = {index: _pieces(random, arguments) for index, _, _, arguments in _numbered(calls)}
    for index, id, name, _ in _numbered(calls):
        yield _one(index=index, id=id, function={"name": name, "arguments": ""})
    while waiting:
        index = random.choice([*waiting])
        yield _one(index=index, function={"arguments": waiting[index].pop(0)})
        if not waiting[index]:
            del waiting[index]


def _legacy(random: Random, calls: Calls) -> Iterator[Json]:
    name, arguments = calls[0]
    del calls[1:]
    yield {"function_call": {"name": name, "arguments": ""}}
    for piece in _pieces(random, arguments):
        yield {"function_call": {"arguments": piece}}


def _one(**call: Any) -> Json:
    return {"tool_calls": [call]}


_STYLES: dict[str, Callable[[Random, Calls], Iterator[Json]]] = {
    style.__name__: style
    for style in (
        _openai, _gaps, _empty_later, _whole, _all_in_one, _as_object, _by_id, _last_goes_on, _always_zero, _repeated,
        _rising, _name_last, _without_ids, _same_id, _interleaved, _legacy,
    )
}  # fmt: skip


# -- bodies ------------------------------------------------------------------------------------------------------


def chunk(delta: Json | None, finish: str | None = None, **more: Any) -> Json:
    """One chunk of choice 0."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [choice],
        **more,
    }


def _body(random: Random, deltas: list[Json], finish: str | None) -> bytes:
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    role = random.choice([{"role": "assistant"}, {"role": ""}, {}])
    chunks = [chunk({**role, "content": random.choice(["", None])}), *(chunk({**role, **delta}) for delta in deltas)]
    match random.choice(["with the finish", "alone", "always", "x_groq"]):
        case "with the finish":
            chunks.append(chunk({}, finish, usage=usage))
        case "alone":
            chunks += [chunk(None, finish), {"object": "chat.completion.chunk", "choices": [], "usage": usage}]
        case "always":
            chunks = [{**one, "usage": {**usage, "total_tokens": number}} for number, one in enumerate(chunks)]
            chunks.append(chunk({"content": ""}, finish, usage=usage))
        case _:
            chunks.append(chunk({}, finish, x_groq={"usage": usage}))
    if random.random() < 0.3:
        chunks.insert(random.randrange(len(chunks)), {"type": "ping"})
    if random.random() < 0.2:
        chunks.append(chunk({}, finish, usage=usage))
    return framed(random, chunks)


def framed(random: Random, chunks: list[Json]) -> bytes:
    """The chunks as a body, framed as some server does it."""
    end = random.choice(["\n\n", "\n\n", "\n", "\r\n\r\n", "\r\n"])
    field = random.choice(["data: ", "data: ", "data:", "  data: "])
    lines = [field + json.dumps(one, ensure_ascii=random.random() < 0.5) for one in chunks]
    lines = [line for one in lines for line in ([": keep-alive", one] if random.random() < 0.2 else [one])]
    return (end.join([*lines, field + "[DONE]"]) + end).encode()

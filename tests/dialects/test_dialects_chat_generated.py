"""The same calls and texts, told in every style that servers have: they come out as they were told."""

from __future__ import annotations

import json
from random import Random

import dialects_styles as chat_styles
import dialects_turns as turns
import pytest

from rx_assistant.dialects import chat
from rx_assistant.dialects.chat_text import only_text


def test_whatever_the_style_the_told_turn_comes_out() -> None:
    for seed in range(2500):
        random = Random(seed)
        told, body = chat_styles.turn(random)
        cuts = [random.randrange(len(body)) for _ in range(random.choice([0, 1, 5, 40]))]
        found = turns.chat(body, cuts)
        assert found.text == told.text, seed
        assert found.reasoning == told.reasoning, seed
        assert [name for _, name, _ in found.calls] == [name for name, _ in told.calls], seed
        assert [_value(text) for _, _, text in found.calls] == [_value(text) for _, text in told.calls], seed
        assert len({id for id, _, _ in found.calls}) == len(told.calls), seed
        assert found.run.status == ("requires_action" if told.calls else "completed"), seed
        assert found.run.usage is not None, seed
        assert found.run.usage.total_tokens == 12, seed


def test_every_single_cut_gives_the_same_events() -> None:
    for seed in (3, 29):
        told, body = chat_styles.turn(Random(seed))
        whole = turns.chat(body).events
        for cut in range(len(body)):
            assert turns.chat(body, [cut]).events == whole, (seed, cut, told)


def test_the_short_way_for_plain_text_gives_what_the_long_way_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [chat_styles.turn(Random(seed))[1] for seed in range(200)]
    short = [turns.chat(body).events for body in bodies]
    monkeypatch.setattr(chat, "only_text", lambda payload, choice: "")
    assert [turns.chat(body).events for body in bodies] == short


CHUNK = {"id": "c", "object": "chat.completion.chunk", "model": "m"}


@pytest.mark.parametrize(
    ("choice", "around", "text"),
    [
        pytest.param({"delta": {"content": "é\n"}}, {}, "é\n", id="a text"),
        pytest.param({"delta": {"content": "a", "role": "assistant", "tool_calls": None}}, {}, "a", id="null members"),
        pytest.param({"delta": {"content": "a"}, "logprobs": {"content": []}}, {"vendor": [1]}, "a", id="further"),
        pytest.param({"delta": {"content": "a"}, "finish_reason": None}, {"usage": None}, "a", id="null fields"),
        pytest.param({"delta": {"content": "a"}, "finish_reason": "stop"}, {}, "", id="an ending"),
        pytest.param({"delta": {"content": "a"}}, {"usage": {"total_tokens": 1}}, "", id="usage"),
        pytest.param({"delta": {"content": "a"}}, {"error": {"message": "no"}}, "", id="an error"),
        pytest.param({"delta": {"content": "a", "annotations": []}}, {}, "", id="an unknown member of the delta"),
        pytest.param({"delta": {"content": "a", "reasoning": "b"}}, {}, "", id="reasoning"),
        pytest.param({"delta": {"content": ["a"]}}, {}, "", id="pieces"),
        pytest.param({"delta": {"content": "a"}, "index": 1}, {}, "", id="another choice"),
    ],
)
def test_only_a_chunk_with_one_text_and_nothing_else_is_read_the_short_way(
    choice: dict[str, object], around: dict[str, object], text: str
) -> None:
    value = {**CHUNK, "choices": [{"index": 0, **choice}], **around}
    for separators in ((",", ":"), (", ", ": ")):
        for ascii_only in (True, False):
            payload = json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode()
            assert only_text(payload, 0) == text
    assert only_text(b"{", 0) == only_text(b'{"choices":[]}', 0) == only_text(b"\xff", 0) == ""


def _value(arguments: str) -> object:
    return json.loads(arguments or "{}")

"""The same calls and texts, told in every style that servers have: they come out as they were told."""

from __future__ import annotations

import json
from random import Random

import dialects_styles as chat_styles
import dialects_turns as turns
import pytest

from rx_assistant.dialects.chat import ChatReader


@pytest.mark.parametrize("block", range(10))
def test_whatever_the_style_the_told_turn_comes_out(block: int) -> None:
    for seed in range(block * 1000, block * 1000 + 1000):
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
    for seed in (3, 17, 29):
        told, body = chat_styles.turn(Random(seed))
        whole = turns.chat(body).events
        for cut in range(len(body)):
            assert turns.chat(body, [cut]).events == whole, (seed, cut, told)


def test_the_short_way_for_plain_text_gives_what_the_long_way_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    bodies = [chat_styles.turn(Random(seed))[1] for seed in range(500)]
    short = [turns.chat(body).events for body in bodies]
    monkeypatch.setattr(ChatReader, "_only_text", lambda self, chunk: "")
    assert [turns.chat(body).events for body in bodies] == short


def _value(arguments: str) -> object:
    return json.loads(arguments or "{}")

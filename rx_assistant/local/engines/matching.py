"""Select the assistant's functions that a message asks for, by the words of their names and descriptions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from rx_assistant.local.engine import FunctionTool
from rx_assistant.local.retrieval.terms import terms

_INNER_NAME = re.compile(r"(?<=\s)[A-Z]\w+")
_COMMON = frozenset(
    terms(
        """a about all am an and any are as at be by can could current currently do does for from function get gets give
    given has have hello hi how i if in into is it its like list look make me my need now of on one or our please return
    returns set show tell than that the their them then there this to up us use used user users uses using want was
    we what whats when where which who will with would you your"""
    )
)
_IN_NAME = 2.0
_IN_DESCRIPTION = 1.0
_ENOUGH = 2.0
_LONGEST_MESSAGE = 8_000  # characters
_LONGEST_DESCRIPTION = 1_000


def asked_for(message: str, functions: Sequence[FunctionTool]) -> list[FunctionTool]:
    """The functions that the message asks for, best first. Each matches a word that no better function matches."""
    message = message[:_LONGEST_MESSAGE]
    asked = words(message)
    lowered = message.lower()
    scored = []
    for position, function in enumerate(functions):
        shared = _shared(asked, function)
        score = sum(shared.values())
        named = function.name.lower() in lowered
        if named or score >= _ENOUGH:
            reasons = {*shared, function.name} if named else set(shared)
            scored.append((not named, -score, position, function, reasons))
    chosen: list[FunctionTool] = []
    covered: set[str] = set()
    for *_, function, reasons in sorted(scored, key=lambda entry: entry[:3]):
        if not reasons <= covered:
            chosen.append(function)
            covered |= reasons
    return chosen


def words(text: str) -> frozenset[str]:
    """The stems of all words except stop words, from prose and from names in snake_case or camelCase."""
    return frozenset(term for term in terms(text) if term not in _COMMON and len(term) > 1)


def _shared(asked: frozenset[str], function: FunctionTool) -> Mapping[str, float]:
    weights = dict.fromkeys(words(function.description[:_LONGEST_DESCRIPTION]), _IN_DESCRIPTION)
    weights.update(dict.fromkeys(words(function.name), _IN_NAME))
    return {word: weight for word, weight in weights.items() if word in asked}


def answering(question: str, sentences: Iterable[str]) -> tuple[str, float]:
    """The sentence that fits the question best, and its score. A sentence that only repeats the question is skipped."""
    question = question[:_LONGEST_MESSAGE]
    asked = words(question)
    names = words(" ".join(_INNER_NAME.findall(question)))

    def fit(sentence: str) -> float:
        found = words(sentence)
        return len(found & asked) + len(found & names) if found - asked else 0.0

    best = max(sentences, key=fit, default="")
    return best, fit(best)

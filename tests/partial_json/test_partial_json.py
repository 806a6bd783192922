"""Prefixes of documents: table, growth, exactness, malformed text, depth, cost."""

from __future__ import annotations

import itertools
import json
import sys

import pytest
from cases import in_one_test
from hypothesis import given, settings, strategies as st

from rx_assistant.partial_json import JSONValue, PartialJSON, parse_partial

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
texts = st.builds(
    lambda document, ascii_only, indent: json.dumps(document, ensure_ascii=ascii_only, indent=indent),
    documents,
    st.booleans(),
    st.sampled_from([None, 0, 3]),
)
# Text whose strings hold what splits badly.
escaped = st.lists(
    st.sampled_from(["a", "é", "\\n", "\\\\", '\\"', "\\u00e9", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "u00", "😀"])
).map(lambda parts: json.loads('"' + "".join(parts) + '"'))
awkward = st.builds(
    lambda strings: json.dumps([{key: key} for key in strings]), st.lists(escaped | st.text(max_size=3), max_size=4)
)


def is_beginning(part: JSONValue, whole: JSONValue) -> bool:
    """Whether `whole` is what `part` may grow into: the last piece at each level may be unfinished, no other."""
    if part is None:
        return True
    if type(part) is not type(whole):
        return False
    if isinstance(part, str) and isinstance(whole, str):
        return whole.startswith(part)
    if isinstance(part, list) and isinstance(whole, list):
        return are_beginnings(part, whole)
    if isinstance(part, dict) and isinstance(whole, dict):
        return list(part) == list(whole)[: len(part)] and are_beginnings([*part.values()], [*whole.values()])
    return part == whole


def are_beginnings(part: list[JSONValue], whole: list[JSONValue]) -> bool:
    if not part:
        return True
    *settled, last = part
    return len(part) <= len(whole) and settled == whole[: len(settled)] and is_beginning(last, whole[len(settled)])


# -- what is shown ---------------------------------------------------------------------------------------------


@in_one_test(
    ("text", "value"),
    [
        ("", None),
        (" \n", None),
        # strings
        ('"', ""),
        ('"Par', "Par"),
        ('"Paris"', "Paris"),
        ('"a\\', "a"),
        ('"a\\n', "a\n"),
        ('"a\\\\', "a\\"),
        ('"a\\\\u00', "a\\u00"),
        ('"a\\u', "a"),
        ('"a\\u00e', "a"),
        ('"a\\u00e9', "aé"),
        ('"a\\ud83d', "a"),
        ('"a\\ud83d\\', "a"),
        ('"a\\ud83d\\ude0', "a"),
        ('"a\\ud83d\\ude00', "a😀"),
        ('"a\\ud83dx', "a\ud83dx"),
        ('"a\\ud83d"', "a\ud83d"),
        ('"a\\ud83d\\n', "a\ud83d\n"),
        ('"a\\ud83d\\u0041', "a\ud83dA"),
        # numbers and literals
        *[(text, None) for text in ["-", "1", "12", "1.", "1e", "1e+", "t", "tru", "nul"]],
        *[(f"[{text}", []) for text in ["-", "1", "12", "1.", "1e", "1e+", "t", "tru", "nul"]],
        ("12 ", 12),
        ("true", True),
        ("[1,", [1]),
        ("[1 ", [1]),
        ("[true", [True]),
        ("[null", [None]),
        ("[false, -0.5e3,", [False, -500.0]),
        # lists and objects
        ("[", []),
        ("[[", [[]]),
        ('["a', ["a"]),
        ('["a", ', ["a"]),
        ("[1, 2]", [1, 2]),
        ("{", {}),
        ('{"', {}),
        ('{"cit', {}),
        ('{"city"', {}),
        ('{"city":', {}),
        ('{"city": ', {}),
        ('{"city": "', {"city": ""}),
        ('{"city": "Par', {"city": "Par"}),
        ('{"city": "Paris"', {"city": "Paris"}),
        ('{"city": "Paris",', {"city": "Paris"}),
        ('{"city": "Paris", "da', {"city": "Paris"}),
        ('{"city": "Paris", "days":', {"city": "Paris"}),
        ('{"city": "Paris", "days": 1', {"city": "Paris"}),
        ('{"city": "Paris", "days": 12}', {"city": "Paris", "days": 12}),
        ('{"a": {"b": [1, {"c": "d', {"a": {"b": [1, {"c": "d"}]}}),
        ('{"a": [], "b": [{', {"a": [], "b": [{}]}),
        ('{"a,": "b:[{', {"a,": "b:[{"}),
        ('{"a": 1, "a": "x', {"a": "x"}),
    ],
)
def test_the_value_so_far(text: str, value: JSONValue) -> None:
    shown = parse_partial(text)
    assert shown == value
    assert type(shown) is type(value)


@settings(deadline=None)
@given(texts | awkward)
def test_every_prefix_shows_a_beginning_of_the_whole_and_never_less_than_the_one_before(text: str) -> None:
    whole = json.loads(text)
    before: JSONValue = None
    for length in range(len(text) + 1):
        value = parse_partial(text[:length])
        assert is_beginning(value, whole), (text[:length], value)
        assert is_beginning(before, value), (text[:length], before, value)
        before = value


@settings(deadline=None)
@given(texts | awkward)
def test_a_document_that_cannot_go_on_is_shown_whole(text: str) -> None:
    assert parse_partial(text + " ") == json.loads(text)


@settings(deadline=None)
@given(texts | awkward, st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(1, 4))
def test_a_value_lags_by_a_tenth_at_most_and_the_last_is_exact(text: str, steps: list[int], every: int) -> None:
    parser, shown, at = PartialJSON(), [parse_partial(text[:n]) for n in range(len(text) + 1)], 0
    for count, size in enumerate(itertools.cycle(steps)):
        if at == len(text):
            break
        parser.push(text[at : at + size])
        at = min(at + size, len(text))
        if count % every == 0:
            assert parser.value in shown[at - at // 10 : at + 1]
    assert parser.text == text
    assert parser.finish() == json.loads(text)


def test_a_value_that_was_handed_out_never_changes() -> None:
    text = json.dumps({"list": list(range(50)), "text": "x" * 50})
    parser, kept = PartialJSON(), []
    for char in text:
        parser.push(char)
        kept.append((parser.value, json.dumps(parser.value)))
    assert [json.dumps(value) for value, _ in kept] == [dump for _, dump in kept]
    assert kept[-1][0] is parser.value


# -- malformed, unfinished -------------------------------------------------------------------------------------

NAMES_THE_COMMA = sys.version_info >= (3, 13)  # json's own place of a trailing comma: on it, or behind it


@in_one_test(
    ("text", "position"),
    [
        ("]", 0),
        ("[1}", 2),
        ('{"a":]', 5),
        ('{"a" 1}', 5),
        ('{"a": 1 "b', 8),
        ("[1 2,", 3),
        ("[1,]", 3 - NAMES_THE_COMMA),
        ('{"a": 1,}', 8 - NAMES_THE_COMMA),
        ("[,,", 1),
        ("1,", 1),
        ("{}}", 2),
        ('{} "', 3),
        ("[tru ", 1),
        ('["a\nb', 3),
        ('["\\x', 2),
        ('["\\uzz', 2),
        ('["\\ud83d\\uzz', 8),
        ("{1:", None),
        ("\ufeff[", 0),
        ("[" + "1" * 5000 + ",", None),
    ],
)
def test_malformed_text_is_a_decode_error_that_says_where(text: str, position: int | None) -> None:
    parser = PartialJSON()
    parser.push(text)
    if position is None:
        parser.push("0]")
    with pytest.raises(json.JSONDecodeError) as error:
        _ = parser.value
    assert error.value.doc == parser.text
    assert position is None or error.value.pos == position
    parser.push(" " * 100)
    with pytest.raises(json.JSONDecodeError):
        _ = parser.value
    with pytest.raises(json.JSONDecodeError):
        parser.finish()


@st.composite
def damaged_texts(draw: st.DrawFn) -> str:
    text = draw(texts)
    place = draw(st.integers(0, len(text)))
    return text[:place] + draw(st.text('[]{}:,"\\ 1e', max_size=2)) + text[place + draw(st.integers(0, 2)) :]


@settings(deadline=None)
@given(st.text('[]{}:,"\\ua1 -.et') | damaged_texts())
def test_malformed_text_is_refused_for_good_and_json_never(text: str) -> None:
    parser, refused = PartialJSON(), False
    for char in text:
        parser.push(char)
        try:
            _ = parser.value
        except json.JSONDecodeError:
            refused = True
        else:
            assert not refused
    try:
        whole = parser.finish()
    except json.JSONDecodeError:
        return
    assert not refused
    assert is_beginning(parser.value, whole)


def test_unfinished_text_has_no_exact_value() -> None:
    parser = PartialJSON()
    parser.push('{"a": "b"')
    assert parser.value == {"a": "b"}
    with pytest.raises(json.JSONDecodeError):
        parser.finish()


def test_the_exact_value_may_be_null() -> None:
    parser = PartialJSON()
    parser.push("null")
    assert parser.finish() is None


@pytest.mark.parametrize("opening", ["[", '{"a":', '[{"a":'])
def test_too_many_levels_are_a_decode_error_not_a_crash(opening: str) -> None:
    assert parse_partial(opening * 100) is not None
    parser = PartialJSON()
    parser.push(opening * 100_000)
    with pytest.raises(json.JSONDecodeError, match="levels"):
        _ = parser.value
    with pytest.raises(json.JSONDecodeError):
        parser.finish()


# -- cost ------------------------------------------------------------------------------------------------------


def parses_of(text: str, step: int) -> tuple[int, int]:
    """How many different values are read, and how many characters they were made from."""
    parser, lengths, last = PartialJSON(), [], None
    for at in range(0, len(text), step):
        parser.push(text[at : at + step])
        if parser.value is not last:
            last = parser.value
            lengths.append(min(at + step, len(text)))
    return len(lengths), sum(lengths)


def test_reading_at_every_delta_parses_ten_times_the_text_at_most() -> None:
    text = json.dumps([{"name": f"item {n}", "price": n / 4} for n in range(3000)])
    times, characters = parses_of(text, 5)
    assert times < 100
    assert characters <= 10 * len(text)


@pytest.mark.timeout(30)  # seconds; anything quadratic takes minutes
@pytest.mark.parametrize(
    "text", ['["' + "x" * 10**6 + '"]', "[" + "1" * 4000 + " " * 10**6 + "]", "[" + "[]," * 10**5 + "1]"], ids=len
)
def test_a_megabyte_in_small_fragments_costs_its_length(text: str) -> None:
    parser = PartialJSON()
    for at in range(0, len(text), 5):
        parser.push(text[at : at + 5])
        _ = parser.value
    assert parser.finish() == json.loads(text)

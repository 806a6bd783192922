"""Marks of numbered passages in a text that comes in pieces."""

from __future__ import annotations

from hypothesis import given, strategies as st

from rx_assistant.dialects.citing import Citations, Cited

TEXTS = st.lists(
    st.sampled_from(
        [
            "a",
            "word ",
            "【1】",
            "【2†notes.txt】",
            "【9】",
            "【",
            "】",
            "†",
            "【1",
            "【12345】",
            "\n",
            "【3†" + "x" * 60,
        ]
    ),
    max_size=12,
).map("".join)


def told(text: str, cuts: list[int]) -> list[Cited]:
    citations, found, at = Citations({1, 2, 3}), list[Cited](), 0
    for cut in [*sorted(cut % (len(text) + 1) for cut in cuts), len(text)]:
        found += citations.push(text[at:cut])
        at = cut
    return [*found, *citations.end()]


@given(TEXTS, st.lists(st.integers(0, 200), max_size=20))
def test_no_text_is_lost_and_cuts_change_no_mark(text: str, cuts: list[int]) -> None:
    found = told(text, cuts)
    assert "".join(one.text for one in found) == text
    assert [one for one in found if one.number is not None] == [one for one in told(text, []) if one.number is not None]


def test_marks_of_known_passages_are_found_and_others_stay_text() -> None:
    found = told("See 【2†notes.txt】 and 【9】.", [5, 6, 7])
    assert [one for one in found if one.number is not None] == [Cited("【2†notes.txt】", 2)]


def test_no_more_than_forty_characters_are_held_back() -> None:
    citations = Citations({1})
    assert not [*citations.push("【1†" + "x" * 30)]
    assert "".join(one.text for one in citations.push("x" * 20)).startswith("【1†xxx")

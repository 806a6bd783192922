"""The index terms of a text: words in lower case, without accents and English endings; CJK text in pairs."""

from __future__ import annotations

import re
import unicodedata

_CJK = "぀-ヿ㐀-䶿一-鿿가-힯"
_RUN = re.compile(rf"[{_CJK}]+|[^\W_{_CJK}]+")
_IS_CJK = re.compile(rf"[{_CJK}]")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LONGEST_QUERY = 8_000  # characters
_MOST_TERMS = 64
_STOP = frozenset(
    re.findall(
        r"\w+",
        """a about an and any are as at be been but by can could did do does for from had has have how i if in into is
        it its me my of on or our s so t that the their them there these they this those to was we were what when where
        which who whom whose why will with would you your""",
    )
)


def terms(text: str) -> list[str]:
    """The terms, in order and with repetitions."""
    plain = "".join(
        character
        for character in unicodedata.normalize("NFKD", _CAMEL.sub(" ", text))
        if not unicodedata.combining(character)
    )
    found: list[str] = []
    for run in _RUN.findall(unicodedata.normalize("NFC", plain).casefold()):
        if _IS_CJK.match(run):
            found += [run[index : index + 2] for index in range(max(1, len(run) - 1))]
        else:
            found.append(_stem(run))
    return found


def query_terms(text: str) -> list[str]:
    """The distinct terms of a query.

    Stop words are left out, unless the query has only stop words. A long query is cut after 8 000 characters and 64
    terms.
    """
    words = dict.fromkeys(terms(text[:_LONGEST_QUERY]))
    meaningful = [word for word in words if word not in _STOP_STEMS]
    return (meaningful or list(words))[:_MOST_TERMS]


def _stem(word: str) -> str:
    """The word without plural and verb endings. Text and query use the same rules."""
    if len(word) < 4 or not word.isascii() or not word.isalpha():
        return word
    if word.endswith("ies"):
        word = word[:-3] + "y"
    elif (word.endswith("es") and word[-4:-2] in ("ss", "sh", "ch")) or word[-3:] in ("xes", "zes"):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed", "ly"):
        stem = word.removesuffix(ending)
        if stem != word and len(stem) > 2 and re.search(r"[aeiouy]", stem):
            word = stem[:-1] if len(stem) > 3 and stem[-1] == stem[-2] and stem[-1] not in "lsz" else stem
            break
    return word.removesuffix("e") if len(word) > 3 else word


_STOP_STEMS = frozenset(_stem(word) for word in _STOP)

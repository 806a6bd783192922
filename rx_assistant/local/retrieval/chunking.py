"""Text cut into overlapping chunks of a number of tokens, at ends of lines or sentences where possible."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from rx_assistant.local import tokens
from rx_assistant.local.retrieval.extraction import ExtractionError

_MOST_TOKENS = 5_000_000
_PARAGRAPH = re.compile(r"\n\s*\n\s*")
_SENTENCE = re.compile(r"\n|(?<=[.!?。！？])\s+")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of the text with its position. `place` is the page, slide or sheet where it begins."""

    start: int
    end: int
    text: str
    place: str = ""


def chunks(text: str, size: int, overlap: int) -> Iterator[Chunk]:
    """Chunks of at most `size` tokens.

    Each begins about `overlap` tokens before the end of the previous chunk. ExtractionError if the text has more tokens
    than the service accepts in a file.
    """
    ends = list(islice(tokens.ends(text), _MOST_TOKENS + 1))
    if len(ends) > _MOST_TOKENS:
        raise ExtractionError("invalid_file", f"The file has more than {_MOST_TOKENS} tokens.")
    first = covered = 0
    while first < len(ends):
        last = min(first + size, len(ends))
        start = ends[first - 1] if first else 0
        end = ends[last - 1]
        if last < len(ends):
            good_end = _break(text, start, end)
            whole = bisect_right(ends, good_end)
            if whole > first and good_end > covered:
                end, last = good_end, whole
        if text[start:end].strip():
            yield Chunk(start, end, text[start:end])
        if last >= len(ends):
            return
        first = max(first + 1, last - overlap)
        covered = end


def _break(text: str, start: int, end: int) -> int:
    """The last end of a line or sentence in the second half of the chunk; `end` if there is none."""
    half = start + (end - start) // 2
    for pattern in (_PARAGRAPH, _SENTENCE):
        places = [match.end() for match in pattern.finditer(text, half, end)]
        if places:
            return places[-1]
    return end

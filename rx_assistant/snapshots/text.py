"""A text that grows by fragments, readable at any version.

Fragments are collected in blocks of 256. A full block is joined once; its fragments are slices of it from then on. Two
arrays, with four bytes per item, hold the version of each fragment, and the text's length after each fragment of the
full blocks. The text of the last reading is cached. If no reader holds this text any more, CPython extends it in place;
else a reader that follows the growth copies it once per reading. No fragment is joined twice.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from itertools import accumulate

_BITS = 8
_BLOCK = 1 << _BITS
_LAST = _BLOCK - 1
_UNREAD = (0, "")


class TextLog:
    """An append-only text. Writers hold the store's lock, readers do not: a fragment's version is appended last."""

    __slots__ = ("_blocks", "_ends", "_open", "_read", "_versions")

    def __init__(self) -> None:
        self._open: list[str] = []
        self._blocks: list[list[str] | str] = [self._open]
        self._ends = array("I", (0,))
        self._versions = array("I")
        self._read = _UNREAD  # number of fragments, their text; replaced as one tuple

    def append(self, version: int, text: str) -> None:
        """Append `text` from `version` on."""
        fragments = self._open
        fragments.append(text)
        self._versions.append(version)
        if len(fragments) == _BLOCK:
            self._close(fragments)

    def _close(self, fragments: list[str]) -> None:
        ends = self._ends
        ends.fromlist(list(accumulate(map(len, fragments), initial=ends[-1]))[1:])  # in one step: readers hold no lock
        self._blocks[-1] = "".join(fragments)
        self._open = []
        self._blocks.append(self._open)

    def count(self, version: int) -> int:
        """How many fragments there were at `version`."""
        versions = self._versions
        count = len(versions)
        if not count or versions[count - 1] <= version:
            return count
        return bisect_right(versions, version, 0, count)

    def at(self, version: int) -> str:
        """The text at `version`."""
        versions = self._versions
        count = len(versions)
        if count and versions[count - 1] > version:
            count = bisect_right(versions, version, 0, count)
        have, text = self._read
        if have > count:
            return text[: self._end(count)]
        if have < count:
            block = self._blocks[have >> _BITS]
            one_more = have + 1 == count and isinstance(block, list)
            more = block[have & _LAST] if one_more else self._between(have, count)
            self._read = _UNREAD  # without this reference, `+=` extends the text in place
            text += more
            self._read = count, text
        return text

    def newest(self, version: int) -> str:
        """The last fragment at `version`; empty if there was none."""
        count = self.count(version)
        return self._between(count - 1, count) if count else ""

    def length(self, version: int) -> int:
        """The text's length at `version`, in characters."""
        return self._end(self.count(version))

    def copy(self, version: int) -> TextLog:
        """A copy up to `version`, independent of this one."""
        copied = TextLog()
        count = self.count(version)
        full = count >> _BITS
        copied._blocks = [self._between(block << _BITS, (block + 1) << _BITS) for block in range(full)]
        copied._open = [self._between(at, at + 1) for at in range(full << _BITS, count)]
        copied._blocks.append(copied._open)
        copied._ends = self._ends[: (full << _BITS) + 1]
        copied._versions = self._versions[:count]
        return copied

    def _end(self, count: int) -> int:
        """The text's length after `count` fragments. Another thread may be closing the block at the same time."""
        ends = self._ends
        known = len(ends) - 1
        fragments = self._blocks[known >> _BITS] if count > known else ""
        if isinstance(fragments, str):
            return ends[count]
        return ends[known] + sum(map(len, fragments[: count - known]))

    def _between(self, start: int, stop: int) -> str:
        """Fragments `start` to `stop`, joined."""
        first, last = start >> _BITS, (stop - 1) >> _BITS
        if first == last:
            return self._within(first, start, stop)
        pieces = [self._within(first, start, (first + 1) << _BITS)]
        pieces += [self._within(block, block << _BITS, (block + 1) << _BITS) for block in range(first + 1, last)]
        pieces.append(self._within(last, last << _BITS, stop))
        return "".join(pieces)

    def _within(self, number: int, start: int, stop: int) -> str:
        """Fragments `start` to `stop` of one block. Another thread may be joining the block at the same time."""
        block = self._blocks[number]
        before = number << _BITS
        if isinstance(block, str):
            ends, offset = self._ends, self._ends[before]
            return block[ends[start] - offset : ends[stop] - offset]
        if stop - start == 1:
            return block[start - before]
        return "".join(block[start - before : stop - before])

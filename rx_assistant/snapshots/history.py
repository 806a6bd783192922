"""The value of a field at every version: append-only, so readers need no lock.

A writer adds entries under the version that it will publish next. A reader asks with a published version, so it does
not see them. `Members` works in the same way, for the parts of a message and the calls of a step.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import itemgetter
from typing import Generic, Protocol, TypeVar

_T = TypeVar("_T")
_Self = TypeVar("_Self")
_version_of = itemgetter(0)


def count_at(entries: list[tuple[int, _T]], version: int) -> int:
    """How many entries there were at `version`."""
    if not entries or entries[-1][0] <= version:
        return len(entries)
    return bisect_right(entries, version, key=_version_of)


class History(Generic[_T]):
    """The values of one scalar; None before the first value."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[tuple[int, _T]] = []

    def put(self, version: int, value: _T) -> None:
        """Set the value from `version` on."""
        self._entries.append((version, value))

    def at(self, version: int) -> _T | None:
        """The value at `version`."""
        entries = self._entries
        if not entries:
            return None
        newest = entries[-1]
        if newest[0] <= version:
            return newest[1]
        count = bisect_right(entries, version, key=_version_of)
        return entries[count - 1][1] if count else None

    def copy(self, version: int) -> History[_T]:
        """A copy up to `version`, independent of this one."""
        copied: History[_T] = History()
        copied._entries = self._entries[: count_at(self._entries, version)]
        return copied


class _Indexed(Protocol):
    @property
    def index(self) -> int: ...

    def copy(self: _Self, version: int) -> _Self: ...


_M = TypeVar("_M", bound=_Indexed)


class Members(Generic[_M]):
    """The members of a list on the wire, each at its own index. They may arrive in any order and with gaps.

    `by_index` holds all members of the newest version; only the writer may use it.
    """

    __slots__ = ("_arrived", "_ascending", "_last", "by_index")

    def __init__(self) -> None:
        self.by_index: dict[int, _M] = {}
        self._arrived: list[tuple[int, _M]] = []
        self._ascending = True
        self._last = -1  # the highest index

    def add(self, version: int, member: _M) -> None:
        """Add `member` from `version` on."""
        if self._arrived and self._arrived[-1][1].index > member.index:
            self._ascending = False
        self.by_index[member.index] = member
        self._last = max(self._last, member.index)
        self._arrived.append((version, member))

    def at(self, version: int) -> list[_M]:
        """The members at `version`, by index."""
        arrived = self._arrived
        found = [member for _, member in arrived[: count_at(arrived, version)]]
        if not self._ascending:
            found.sort(key=lambda member: member.index)
        return found

    def find(self, index: int, version: int) -> _M | None:
        """The member at `index` at `version`; None if there was none."""
        member = self.by_index.get(index)
        if member is None or self._arrived[-1][0] <= version:
            return member
        return next((found for since, found in self._arrived if found is member and since <= version), None)

    def free_index(self, wished: int | None = None) -> int:
        """The index `wished` if it is free, else the first index after all members."""
        if wished is not None and wished not in self.by_index:
            return wished
        return self._last + 1

    def copy(self, version: int) -> Members[_M]:
        """A copy up to `version` with copied members, independent of this one."""
        copied: Members[_M] = Members()
        arrived = self._arrived
        for since, member in arrived[: count_at(arrived, version)]:
            copied.add(since, member.copy(version))
        return copied

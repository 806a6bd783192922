"""Values that arrive as pieces of JSON, each for one index: annotations, code outputs, images, searches.

A piece is stored as the bytes of its delta event and its place in the payload. Its model is built once, at the first
reading. Normally piece number i is the whole value at index i, and a reading copies one list. Pieces in another order,
or several for one index, are merged; each reading continues the merge of the last one.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any, Final, Protocol, TypeAlias

from rx_assistant.events import ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.snapshots.history import count_at
from rx_assistant.types._readonly import ReadOnlyList

Node: TypeAlias = dict[str, Any]
"""A JSON object."""


Delta: TypeAlias = ThreadMessageDelta | ThreadRunStepDelta


class Shape(Protocol):
    """One kind of pieces: their place in the event, and how they merge."""

    event: type[Delta]

    def find(self, payload: Any, place: tuple[int, int]) -> Node:
        """The piece at `place` of an event's payload."""
        ...

    def merge(self, old: Node, new: Node) -> Node:
        """Two pieces of one index, merged."""
        ...

    def build(self, node: Node) -> Any:
        """The model."""
        ...


_Piece: TypeAlias = tuple[int, bytes | Node, tuple[int, int]]
_Merged: TypeAlias = dict[int, tuple[Node, Any]]

_building: Final = Lock()
"""The lock for appending models to the list of a log. No user code runs under it."""


class PieceLog:
    """An append-only list of pieces. Writers hold the store's lock, readers do not."""

    __slots__ = ("_merged", "_models", "_next", "_pieces", "_regular", "_shape")

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._pieces: list[tuple[int, _Piece]] = []
        self._next = 0
        self._regular = 0  # how many pieces, from the first on, are whole and in order
        self._models: list[Any] = []  # models of the first regular pieces
        self._merged: tuple[int, _Merged] = (0, {})  # number of pieces, their merged values; replaced as one tuple

    def append(self, version: int, index: int, piece: Delta | Node, place: tuple[int, int] = (0, 0)) -> None:
        """Add a piece for `index` from `version` on: its place in an event, or the value itself."""
        global _recent
        pieces = self._pieces
        if index == self._regular == len(pieces):
            self._regular = self._next = index + 1
        elif index >= self._next:
            self._next = index + 1
        if isinstance(piece, dict):
            pieces.append((version, (index, piece, place)))
        else:
            _recent = piece
            pieces.append((version, (index, piece.raw, place)))

    def count(self, version: int) -> int:
        """How many pieces there were at `version`."""
        return count_at(self._pieces, version)

    def length(self, version: int) -> int:
        """How many models `at` returns, without building them."""
        count = self.count(version)
        return count if count <= self._regular else len({piece[0] for _, piece in self._pieces[:count]})

    def next_index(self) -> int:
        """The first index after all pieces that have arrived."""
        return self._next

    def at(self, version: int) -> ReadOnlyList[Any]:
        """The models at `version`, by index."""
        count = self.count(version)
        if count > self._regular:
            merged = self._merge(count)
            return ReadOnlyList([merged[index][1] for index in sorted(merged)])
        if count > len(self._models):
            self._build(count)
        models = ReadOnlyList(self._models)
        return models if len(models) == count else ReadOnlyList(models[:count])

    def newest(self, version: int) -> Any:
        """The model at the highest index at `version`; None if there is no model."""
        count = self.count(version)
        if count > self._regular or not count:
            models = self.at(version)
            return models[-1] if models else None
        if count > len(self._models):
            self._build(count)
        return self._models[count - 1]

    def copy(self, version: int) -> PieceLog:
        """A copy up to `version`, independent of this one."""
        copied = PieceLog(self._shape)
        count = self.count(version)
        copied._pieces = self._pieces[:count]
        copied._next = max((piece[0] for _, piece in copied._pieces), default=-1) + 1
        copied._regular = min(self._regular, count)
        copied._models = self._models[: copied._regular]
        return copied

    def _build(self, count: int) -> None:
        with _building:
            for node in self._nodes(self._pieces[len(self._models) : count]):
                self._models.append(self._shape.build(node))

    def _merge(self, count: int) -> _Merged:
        have, merged = self._merged
        if have == count:
            return merged
        have, merged = (have, dict(merged)) if have < count else (0, {})
        pieces, touched = self._pieces[have:count], set()
        for (_, (index, _, _)), node in zip(pieces, self._nodes(pieces), strict=True):
            merged[index] = self._shape.merge(merged[index][0], node) if index in merged else node, None
            touched.add(index)
        for index in touched:
            node = merged[index][0]
            merged[index] = node, self._shape.build(node)
        if count >= self._merged[0]:
            self._merged = count, merged
        return merged

    def _nodes(self, pieces: list[tuple[int, _Piece]]) -> Iterator[Node]:
        """The JSON of each piece, without its index; an event is parsed once for all the pieces in it."""
        event, shape = _recent, self._shape
        for _, (_, source, place) in pieces:
            if not isinstance(source, bytes):
                yield source
                continue
            if event is None or event.raw is not source or type(event) is not shape.event:
                event = shape.event(source)
            node = dict(shape.find(event.payload, place))
            node.pop("index", None)
            yield node


_recent: Delta | None = None
"""The last event with a piece, so that a reader of every piece parses each event once."""

"""Values that arrive as pieces of JSON, each for one index: annotations, code outputs, images, searches.

A piece is kept as the bytes of its delta event and its place in there; models are built when somebody reads them,
once. In the ordinary case piece number i is index i, whole, and a reading costs one copy of a list. Pieces in another
order, or several for one index, are merged, continuing from the last reading.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Lock
from typing import Any, Final, Protocol, TypeAlias

from rx_assistant.events import ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.snapshots._history import count_at
from rx_assistant.types._readonly import ReadOnlyList

Node: TypeAlias = dict[str, Any]
"""A JSON object."""


Delta: TypeAlias = ThreadMessageDelta | ThreadRunStepDelta


class Shape(Protocol):
    """What the pieces of one kind are, and which event brings them."""

    event: type[Delta]

    def find(self, payload: Any, place: tuple[int, int]) -> Node:
        """The piece at `place` of an event's payload."""
        ...

    def merge(self, old: Node, new: Node) -> Node:
        """Both pieces of one index together."""
        ...

    def build(self, node: Node) -> Any:
        """The model."""
        ...


_Piece: TypeAlias = tuple[int, bytes | Node, tuple[int, int]]
_Merged: TypeAlias = dict[int, tuple[Node, Any]]

_building: Final = Lock()
"""Held while models are added to the end of a log's list; no foreign code runs under it."""


class PieceLog:
    """An append-only list of pieces. Written under the store's lock, read without."""

    __slots__ = ("_merged", "_models", "_next", "_pieces", "_regular", "_shape")

    def __init__(self, shape: Shape) -> None:
        self._shape = shape
        self._pieces: list[tuple[int, _Piece]] = []
        self._next = 0
        self._regular = 0  # that many pieces, from the first, are whole and in order
        self._models: list[Any] = []  # of the first regular pieces
        self._merged: tuple[int, _Merged] = (0, {})  # number of pieces, what they make; swapped whole

    def append(self, version: int, index: int, piece: Delta | Node, place: tuple[int, int] = (0, 0)) -> None:
        """From `version` on there is a piece for `index`: at `place` in an event, or as it is."""
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
        """How many models `at` gives, without building any."""
        count = self.count(version)
        return count if count <= self._regular else len({piece[0] for _, piece in self._pieces[:count]})

    def next_index(self) -> int:
        """The index behind all those that have arrived."""
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
        """The model at the highest index at `version`, None if there is none."""
        count = self.count(version)
        if count > self._regular or not count:
            models = self.at(version)
            return models[-1] if models else None
        if count > len(self._models):
            self._build(count)
        return self._models[count - 1]

    def copy(self, version: int) -> PieceLog:
        """The same up to `version`, to be continued on its own."""
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
"""The event that brought a piece last: who reads each piece as it comes need not parse it again."""

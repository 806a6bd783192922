"""The staged objects of an import: a temporary table of the store's database, which SQLite keeps on the disk.

Each object has a `key`, the time that places it, and a `rank`, its position for equal keys. Objects of one parent that
a file holds newest first, as lists of the API do, get reversed ranks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.moving.shapes import Item
from rx_assistant.local.store import COLUMNS, Store

_SCHEMA = f"""
CREATE TEMP TABLE staged (
    number INTEGER PRIMARY KEY,
    rank INTEGER NOT NULL,
    key INTEGER NOT NULL,
    is_flat INTEGER NOT NULL,
    kind TEXT NOT NULL,
    parent TEXT NOT NULL,
    id TEXT NOT NULL,
    {", ".join(COLUMNS)},
    size INTEGER NOT NULL,
    body TEXT NOT NULL,
    notes TEXT NOT NULL,
    UNIQUE (kind, parent, id)
);
"""
_FIELDS = ("kind", "parent", "id", *COLUMNS, "size", "body", "notes")
_NAMES = ", ".join(_FIELDS)
_REPLACED = ", ".join(f"{name} = excluded.{name}" for name in (*_FIELDS[3:], "key", "is_flat"))
_ADD = (
    f"INSERT INTO staged (number, rank, key, is_flat, {_NAMES}) VALUES (?, ?, ?, ?{', ?' * len(_FIELDS)})"
    f" ON CONFLICT (kind, parent, id) DO UPDATE SET {_REPLACED} WHERE excluded.is_flat <= staged.is_flat"
)
_SAME_OBJECT = "o.kind = s.kind AND o.parent = s.parent AND o.id = s.id"
_PLACED = """
CREATE TEMP TABLE placed AS SELECT row_number() OVER (ORDER BY key, is_new, seq) AS place, is_new, seq FROM (
    SELECT seq, 0 AS is_new, coalesce(max(created) OVER (ORDER BY seq), 0) AS key FROM (
        SELECT seq, json_extract(body, '$.created_at') AS created FROM objects UNION SELECT seq, NULL FROM places
    )
    UNION ALL SELECT row_number() OVER (ORDER BY key, rank), 1, key FROM staged
);
CREATE INDEX temp.placed_by_seq ON placed (is_new, seq);
"""


class Staging:
    """Objects on their way into the store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._connection = store.connection
        self._connection.execute("PRAGMA temp_store = FILE")
        self._connection.executescript(_SCHEMA)
        self._number = 0
        self._group: tuple[str, str] | None = None
        self._first = 0
        self._last_key = 0
        self._rises = self._falls = False

    @contextmanager
    def file(self) -> Iterator[None]:
        """The objects that are added in the block come from one file."""
        with self._store.atomic():
            yield
            self._end_group()

    def add(self, item: Item, key: int) -> bool:
        """Stage the object. If it is staged already, the new one takes its place, and the result is False."""
        if self._group != (item.kind, item.parent):
            self._end_group()
            self._group = (item.kind, item.parent)
        elif key != self._last_key:
            self._rises |= key > self._last_key
            self._falls |= key < self._last_key
        self._last_key = key
        self._number += 1
        body = json.dumps(item.value)
        self._connection.execute(
            _ADD,
            (
                *(self._number, self._number, key, item.is_flat, item.kind, item.parent, item.id),
                *map(item.value.get, COLUMNS),
                *(len(body), body, json.dumps(item.notes)),
            ),
        )
        (number,) = self._connection.execute("SELECT max(number) FROM staged").fetchone()
        return bool(number == self._number)

    def _end_group(self) -> None:
        if self._falls and not self._rises:
            self._connection.execute(
                "UPDATE staged SET rank = ? - number WHERE number BETWEEN ? AND ?",
                (self._first + self._number, self._first, self._number),
            )
        self._group, self._first = None, self._number + 1
        self._rises = self._falls = False

    def get(self, kind: str, id: str) -> JsonObject | None:
        """The staged object without a parent."""
        row = self._connection.execute(
            "SELECT body FROM staged WHERE kind = ? AND parent = '' AND id = ?", (kind, id)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def each(self, kinds: Sequence[str], at_once: int) -> Iterator[tuple[int, JsonObject]]:
        """The numbers and objects of some kinds. They can be replaced meanwhile."""
        last, rows = 0, [(0, "")]
        marks = ", ".join("?" * len(kinds))
        while rows:
            rows = self._connection.execute(
                f"SELECT number, body FROM staged WHERE kind IN ({marks}) AND number > ? ORDER BY number LIMIT ?",
                (*kinds, last, at_once),
            ).fetchall()
            for last, body in rows:
                yield last, json.loads(body)

    def replace(self, number: int, value: JsonObject) -> None:
        """Change a staged object."""
        body = json.dumps(value)
        self._connection.execute(
            f"UPDATE staged SET body = ?, size = ?, {' = ?, '.join(COLUMNS)} = ? WHERE number = ?",
            (body, len(body), *map(value.get, COLUMNS), number),
        )

    def absent(self, kind: str, parents: str) -> Iterator[tuple[str, int, JsonObject]]:
        """The parents that exist neither in the store nor here: id, time of the first child, and a child."""
        self._connection.execute(
            "CREATE TEMP TABLE absent AS SELECT parent, min(key) AS key, min(number) AS child FROM staged"
            " WHERE kind = ? AND parent NOT IN (SELECT id FROM staged WHERE kind = ?)"
            " AND parent NOT IN (SELECT id FROM objects WHERE kind = ?) GROUP BY parent",
            (kind, parents, parents),
        )
        for id, key, child in self._connection.execute("SELECT * FROM absent"):
            (body,) = self._connection.execute("SELECT body FROM staged WHERE number = ?", (child,)).fetchone()
            yield id, key, json.loads(body)
        self._connection.execute("DROP TABLE absent")

    def known(self, *, same: bool) -> Iterator[tuple[str, str, str]]:
        """The staged objects that the store has, with the same or with another content: kind, parent, id."""
        yield from self._connection.execute(
            f"SELECT s.kind, s.parent, s.id FROM staged AS s JOIN objects AS o ON {_SAME_OBJECT}"
            f" WHERE s.body {'=' if same else '!='} o.body"
        )

    def drop_known(self) -> None:
        """Forget the staged objects that the store has."""
        self._connection.execute(
            f"DELETE FROM staged AS s WHERE EXISTS (SELECT 1 FROM objects AS o WHERE {_SAME_OBJECT})"
        )

    def counts(self) -> list[tuple[str, int]]:
        """The number of staged objects of each kind."""
        return self._connection.execute("SELECT kind, count(*) FROM staged GROUP BY kind ORDER BY kind").fetchall()

    def move(self) -> None:
        """Move all staged objects into the store, within the caller's transaction."""
        execute = self._connection.execute
        (first,) = execute("SELECT min(key) FROM staged").fetchone()
        (newest,) = execute("SELECT max(json_extract(body, '$.created_at')) FROM objects").fetchone()
        columns = f"({_NAMES})"
        if first is None:
            return
        if newest is None or newest <= first:
            execute(f"INSERT INTO objects {columns} SELECT {_NAMES} FROM staged ORDER BY key, rank")
            return
        # The order of the store changes: every row gets a position after the last one that was ever used.
        for statement in _PLACED.split(";\n"):
            execute(statement)
        (last,) = execute("SELECT max(seq) FROM (SELECT seq FROM objects UNION ALL SELECT seq FROM places)").fetchone()
        for table in ("places", "objects"):
            execute(
                f"UPDATE {table} SET seq = ? + (SELECT place FROM placed WHERE is_new = 0 AND seq = {table}.seq)",
                (last,),
            )
        execute(
            f"INSERT INTO objects (seq, {_NAMES}) SELECT ? + place, {_NAMES} FROM placed JOIN"
            " (SELECT *, row_number() OVER (ORDER BY key, rank) AS row FROM staged) ON is_new = 1 AND row = placed.seq"
            " ORDER BY place",
            (last,),
        )

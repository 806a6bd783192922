"""Wire objects in SQLite, by kind, parent and id, in the order of their creation. Knows nothing of what they mean.

Every object is one row: its JSON as the wire shows it, and `notes`, a second JSON object for what the wire does not
show. The fields that lists and counts ask for are columns too, so that no query reads the JSON. Calls are short and
synchronous, all from the event loop's thread; a page ends early when its JSON exceeds `PAGE_BYTES`.

The place of a deleted object is remembered, for readers whose cursor it is.

`put_anyway` is for an ending that must not be lost when the disk is full: the object stays in memory, readers see it,
and the next write that succeeds takes it along.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sqlite3
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from rx_assistant.local.directory import connect
from rx_assistant.local.json_text import JsonObject

_log = logging.getLogger("rx_assistant.local")

_MIGRATIONS = (
    """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    parent TEXT NOT NULL,
    id TEXT NOT NULL,
    status TEXT,
    run_id TEXT,
    purpose TEXT,
    usage_bytes INTEGER,
    size INTEGER NOT NULL,
    body TEXT NOT NULL,
    notes TEXT NOT NULL DEFAULT '{}',
    UNIQUE (kind, parent, id)
);
CREATE INDEX IF NOT EXISTS objects_in_order ON objects (kind, parent, seq);
CREATE INDEX IF NOT EXISTS objects_counted ON objects (kind, parent, status, usage_bytes);
CREATE TABLE IF NOT EXISTS places (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    parent TEXT NOT NULL,
    id TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS places_by_id ON places (kind, parent, id);
CREATE TABLE IF NOT EXISTS replies (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    fingerprint TEXT NOT NULL,
    body TEXT,
    stream TEXT
);
""",
)
"""The steps from an empty database to the present schema, oldest first. A step that was released never changes."""
_COLUMNS = ("status", "run_id", "purpose", "usage_bytes")
_PUT = (
    "INSERT INTO objects (kind, parent, id, status, run_id, purpose, usage_bytes, size, body, notes)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, parent, id) DO UPDATE SET status = excluded.status,"
    " run_id = excluded.run_id, purpose = excluded.purpose, usage_bytes = excluded.usage_bytes,"
    " size = excluded.size, body = excluded.body"
)
_MOST_PLACES = 100_000
PAGE_BYTES = 4 * 2**20


@dataclass(frozen=True, slots=True)
class Page:
    """What a list request asks for; `where` compares fields that are columns with values."""

    limit: int = 20
    order: str = "desc"
    after: str | None = None
    before: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)


class Placed(NamedTuple):
    """An object with its place in the order of creation, and its notes."""

    place: int
    value: JsonObject
    notes: JsonObject


class Kept(NamedTuple):
    """A reply that is kept for its idempotency key: an object, or the name of a stream."""

    fingerprint: str
    body: JsonObject | None
    stream: str | None


class UnknownCursorError(Exception):
    """`after` or `before` names no object of the list."""

    def __init__(self, name: str, id: str) -> None:
        super().__init__(f"{name}={id!r} is not in the list")
        self.name = name
        self.id = id


class Store:
    """Objects kept in `path`, in memory by default."""

    def __init__(self, path: str | os.PathLike[str] = ":memory:") -> None:
        self.connection = connect(path, _MIGRATIONS)
        self._closing = weakref.finalize(self, self.connection.close)
        self._unwritten: dict[tuple[str, str, str], JsonObject] = {}

    def close(self) -> None:
        """Lets go of the database; in memory, that is the end of it. Collecting this object does the same."""
        self._closing()

    def put(self, kind: str, value: JsonObject, parent: str = "", notes: JsonObject | None = None) -> None:
        """Adds the object, or replaces it in its place; notes stay as they are unless given."""
        if self._unwritten:
            self._write_unwritten()
        self._write(kind, value, parent, notes)

    def _write(self, kind: str, value: JsonObject, parent: str, notes: JsonObject | None = None) -> None:
        body = json.dumps(value)
        self.connection.execute(
            _PUT + ("" if notes is None else ", notes = excluded.notes"),
            (kind, parent, value["id"], *map(value.get, _COLUMNS), len(body), body, json.dumps(notes or {})),
        )

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """The block's writes are all done, or none of them. No other work may happen in the block: it never awaits."""
        if self.connection.in_transaction:
            yield
            return
        self.connection.execute("BEGIN")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite has ended it by itself if the disk is full
                self.connection.execute("ROLLBACK")
            raise

    def put_anyway(self, kind: str, value: JsonObject, parent: str = "") -> None:
        """Like `put`; an object that cannot be written now is kept in memory until it can."""
        key = (kind, parent, value["id"])
        self._unwritten[key] = json.loads(json.dumps(value))
        try:
            self._write_unwritten()
        except sqlite3.Error:
            _log.exception("%s %s could not be written: the next write tries again", kind, value["id"])

    def _write_unwritten(self) -> None:
        for (kind, parent, id), value in list(self._unwritten.items()):
            self._write(kind, value, parent)
            del self._unwritten[kind, parent, id]

    @property
    def changes(self) -> int:
        """How many rows were written so far: it grows with each change."""
        return self.connection.total_changes

    def get(self, kind: str, id: str, parent: str = "") -> JsonObject | None:
        """The object, None if there is none."""
        if self._unwritten and (value := self._unwritten.get((kind, parent, id))) is not None:
            return dict(value)
        return self._one("body", kind, id, parent)

    def notes(self, kind: str, id: str, parent: str = "") -> JsonObject:
        """What is noted about the object; empty if there is none."""
        return self._one("notes", kind, id, parent) or {}

    def delete(self, kind: str, id: str, parent: str = "") -> bool:
        """Whether there was such an object to delete."""
        self._unwritten.pop((kind, parent, id), None)
        self.connection.execute(
            "INSERT INTO places (seq, kind, parent, id) SELECT seq, kind, parent, id FROM objects"
            " WHERE kind = ? AND parent = ? AND id = ?",
            (kind, parent, id),
        )
        self.connection.execute(
            "DELETE FROM places WHERE number <= (SELECT max(number) FROM places) - ?", (_MOST_PLACES,)
        )
        cursor = self.connection.execute(
            "DELETE FROM objects WHERE kind = ? AND parent = ? AND id = ?", (kind, parent, id)
        )
        return cursor.rowcount > 0

    def was_deleted(self, kind: str, id: str, parent: str = "") -> bool:
        """Whether there was such an object before; the newest 100 000 deletions are remembered."""
        found = self.connection.execute(
            "SELECT 1 FROM places WHERE kind = ? AND parent = ? AND id = ? LIMIT 1", (kind, parent, id)
        )
        return found.fetchone() is not None

    async def sweep(self, kind: str, parent: str) -> None:
        """Deletes the objects of a parent that is gone, a few at a time: large ones keep SQLite busy."""
        deleted = 1
        while deleted:
            deleted = self.connection.execute(
                "DELETE FROM objects WHERE seq IN"
                " (SELECT seq FROM objects WHERE kind = ? AND parent = ? LIMIT (CASE WHEN"
                " (SELECT size FROM objects WHERE kind = ? AND parent = ? LIMIT 1) > 100000 THEN 5 ELSE 200 END))",
                (kind, parent) * 2,
            ).rowcount
            await asyncio.sleep(0)

    def count(self, kind: str, parent: str) -> int:
        """How many objects of that kind the parent has."""
        row = self.connection.execute(
            "SELECT count(*) FROM objects WHERE kind = ? AND parent = ?", (kind, parent)
        ).fetchone()
        return int(row[0])

    def tally(self, kind: str, parent: str) -> dict[str, int]:
        """How many of the parent's objects have each status."""
        rows = self.connection.execute(
            "SELECT status, count(*) FROM objects WHERE kind = ? AND parent = ? GROUP BY status", (kind, parent)
        )
        return {str(value): int(count) for value, count in rows}

    def usage_bytes(self, kind: str, parent: str) -> int:
        """The sum of `usage_bytes` over the parent's objects."""
        row = self.connection.execute(
            "SELECT sum(usage_bytes) FROM objects WHERE kind = ? AND parent = ?", (kind, parent)
        ).fetchone()
        return int(row[0] or 0)

    def ids(self, kind: str, parent: str) -> list[str]:
        """The ids of the parent's objects, oldest first."""
        rows = self.connection.execute(
            "SELECT id FROM objects WHERE kind = ? AND parent = ? ORDER BY seq", (kind, parent)
        )
        return [row[0] for row in rows]

    def each(self, kind: str, parent: str) -> Iterator[JsonObject]:
        """The parent's objects, oldest first."""
        rows = self.connection.execute(
            "SELECT body FROM objects WHERE kind = ? AND parent = ? ORDER BY seq", (kind, parent)
        ).fetchall()
        return (json.loads(row[0]) for row in rows)

    def order(self, kind: str, parent: str, first: str) -> dict[str, int]:
        """The places of the parent's objects from `first` on, by id; objects of all kinds share one count."""
        rows = self.connection.execute(
            "SELECT id, seq FROM objects WHERE kind = ? AND parent = ? AND seq >= ? ORDER BY seq",
            (kind, parent, self._seq(kind, parent, "first", first)),
        )
        return {str(id): int(seq) for id, seq in rows}

    def grandchildren(self, kind: str, parents: str, parent: str, first: int) -> Iterator[Placed]:
        """The objects of a kind under all objects of the kind `parents` that `parent` has, from the place `first`."""
        rows = self.connection.execute(
            "SELECT grown.seq, grown.body, grown.notes FROM objects AS middle JOIN objects AS grown"
            " ON grown.kind = ? AND grown.parent = middle.id AND grown.seq >= ?"
            " WHERE middle.kind = ? AND middle.parent = ? ORDER BY grown.seq",
            (kind, first, parents, parent),
        ).fetchall()
        return (Placed(seq, json.loads(body), json.loads(notes)) for seq, body, notes in rows)

    def parents(self, kind: str, id: str) -> list[str]:
        """Under which parents an object with that id exists."""
        rows = self.connection.execute("SELECT parent FROM objects WHERE kind = ? AND id = ?", (kind, id))
        return [row[0] for row in rows]

    def with_status(self, kind: str, *statuses: str) -> list[tuple[str, JsonObject, JsonObject]]:
        """The objects of a kind that have one of the statuses, oldest first: parent, object, notes."""
        marks = ", ".join("?" * len(statuses))
        rows = self.connection.execute(
            f"SELECT parent, body, notes FROM objects WHERE kind = ? AND status IN ({marks}) ORDER BY seq",
            (kind, *statuses),
        ).fetchall()
        return [(parent, json.loads(body), json.loads(notes)) for parent, body, notes in rows]

    def orphans(self, kind: str, parents: str) -> list[str]:
        """The ids of missing objects of the kind `parents` under which there are objects of `kind`."""
        rows = self.connection.execute(
            "SELECT DISTINCT parent FROM objects WHERE kind = ? AND parent NOT IN"
            " (SELECT id FROM objects WHERE kind = ?)",
            (kind, parents),
        )
        return [row[0] for row in rows]

    def page(self, kind: str, parent: str, page: Page) -> tuple[list[JsonObject], bool]:
        """One page of the parent's objects, and whether more follow; UnknownCursorError for a cursor that is none.

        `before` takes the page that ends right before that object, in the same order.
        """
        terms: list[tuple[str, Sequence[str | int]]] = [("kind = ? AND parent = ?", (kind, parent))]
        newer, older = ("<", ">") if page.order == "desc" else (">", "<")
        if page.after is not None:
            terms.append((f"seq {newer} ?", (self._seq(kind, parent, "after", page.after),)))
        if page.before is not None:
            terms.append((f"seq {older} ?", (self._seq(kind, parent, "before", page.before),)))
        terms += [(f"{name} = ?", (value,)) for name, value in page.where.items()]
        backwards = page.before is not None and page.after is None
        descending = (page.order == "desc") != backwards
        rows = self.connection.execute(
            f"SELECT size, body FROM objects WHERE {' AND '.join(term for term, _ in terms)}"
            f" ORDER BY seq {'DESC' if descending else 'ASC'} LIMIT ?",
            [value for _, values in terms for value in values] + [page.limit + 1],
        )
        found: list[JsonObject] = []
        room = PAGE_BYTES
        for size, body in rows:
            room -= size
            if len(found) == page.limit or (room < 0 and found):
                rows.close()
                return (found[::-1] if backwards else found), True
            value: JsonObject = json.loads(body)
            found.append(self._unwritten.get((kind, parent, value["id"])) or value)
        return (found[::-1] if backwards else found), False

    # Replies to idempotency keys

    def reply(self, key: str) -> Kept | None:
        """What was answered to the key."""
        row = self.connection.execute("SELECT fingerprint, body, stream FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else Kept(row[0], None if row[1] is None else json.loads(row[1]), row[2])

    def keep_reply(self, key: str, reply: Kept) -> None:
        """Keeps what was answered to the key."""
        body = None if reply.body is None else json.dumps(reply.body)
        self.connection.execute(
            "INSERT OR REPLACE INTO replies (key, fingerprint, body, stream) VALUES (?, ?, ?, ?)",
            (key, reply.fingerprint, body, reply.stream),
        )

    def drop_reply(self, key: str) -> None:
        """Forgets what was answered to the key."""
        self.connection.execute("DELETE FROM replies WHERE key = ?", (key,))

    def replies(self) -> list[tuple[str, str | None]]:
        """The keys whose replies are kept, oldest first, each with the name of its stream if it has one."""
        return self.connection.execute("SELECT key, stream FROM replies ORDER BY number").fetchall()

    def _one(self, column: str, kind: str, id: str, parent: str) -> JsonObject | None:
        row = self.connection.execute(
            f"SELECT {column} FROM objects WHERE kind = ? AND parent = ? AND id = ?", (kind, parent, id)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def _seq(self, kind: str, parent: str, name: str, id: str) -> int:
        row = self.connection.execute(
            "SELECT seq FROM objects WHERE kind = ? AND parent = ? AND id = ? UNION ALL"
            " SELECT seq FROM places WHERE kind = ? AND parent = ? AND id = ? ORDER BY seq DESC LIMIT 1",
            (kind, parent, id) * 2,
        ).fetchone()
        if row is None:
            raise UnknownCursorError(name, id)
        return int(row[0])

"""Wire objects in SQLite, by kind, parent and id, in the order of their creation.

Every object is one row: its JSON on the wire, and `notes`, a second JSON object for data that is not sent. Fields that
lists and counts use are columns too, so that no query reads the JSON. Calls are short and synchronous, all from the
event loop's thread. A page ends early when its JSON exceeds `PAGE_BYTES`. The position of a deleted object is
remembered, because it may be a reader's cursor.

`put_anyway` is for an ending that must not be lost when the disk is full: the object stays in memory, readers see it,
and the next successful write includes it.
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

from rx_assistant.local.directory import connect, connect_reader
from rx_assistant.local.json_text import ENCODER, JsonObject

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
"""The steps from an empty database to the current schema, oldest first. A released step never changes."""
COLUMNS = ("status", "run_id", "purpose", "usage_bytes")
"""The fields of an object that are columns, too."""
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
    """The parameters of a list request. `where` compares columns with values."""

    limit: int = 20
    order: str = "desc"
    after: str | None = None
    before: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)


class Placed(NamedTuple):
    """An object with its notes and its position in the order of creation."""

    place: int
    value: JsonObject
    notes: JsonObject


class Stored(NamedTuple):
    """An object as it is stored: its position in the order of creation, its id and its JSON."""

    place: int
    id: str
    body: str

    @property
    def value(self) -> JsonObject:
        """The object."""
        value: JsonObject = json.loads(self.body)
        return value


class StoredReply(NamedTuple):
    """The reply to an idempotency key: an object, or the name of a stream."""

    fingerprint: str
    body: JsonObject | None
    stream: str | None


class UnknownCursorError(Exception):
    """`after` or `before` is not the id of an object in the list."""

    def __init__(self, name: str, id: str) -> None:
        super().__init__(f"{name}={id!r} is not in the list")
        self.name = name
        self.id = id


class Store:
    """Objects stored in the file `path`, by default in memory.

    With `read_only` it has the state at this moment, and another process may write meanwhile.
    """

    def __init__(self, path: str | os.PathLike[str] = ":memory:", *, read_only: bool = False) -> None:
        self.connection = (connect_reader if read_only else connect)(path, _MIGRATIONS)
        self._closing = weakref.finalize(self, self.connection.close)
        self._closing.atexit = False  # a server that was not stopped still uses it when the program ends
        self._unwritten: dict[tuple[str, str, str], JsonObject] = {}

    def close(self) -> None:
        """Close the database. A database in memory is lost. Garbage collection of this object does the same."""
        self._closing()

    def put(
        self,
        kind: str,
        value: JsonObject,
        parent: str = "",
        notes: JsonObject | None = None,
        body: str | None = None,
    ) -> None:
        """Add the object, or replace it without changing its position. Existing notes stay unless `notes` is given.

        `body` is the object's JSON if the caller has it already.
        """
        if self._unwritten:
            self._write_unwritten()
        self._write(kind, value, parent, notes, body)

    def _write(
        self, kind: str, value: JsonObject, parent: str, notes: JsonObject | None = None, body: str | None = None
    ) -> None:
        if body is None:
            body = _encoded(value)
        self.connection.execute(
            _PUT + ("" if notes is None else ", notes = excluded.notes"),
            (
                kind,
                parent,
                value["id"],
                *map(value.get, COLUMNS),
                len(body),
                body,
                json.dumps(notes) if notes else "{}",
            ),
        )

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """A transaction: all writes of the block are done, or none. The block must not await."""
        if self.connection.in_transaction:
            yield
            return
        self.connection.execute("BEGIN")
        try:
            yield
            self.connection.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):  # SQLite ends the transaction itself if the disk is full
                self.connection.execute("ROLLBACK")
            raise

    def put_anyway(self, kind: str, value: JsonObject, parent: str = "") -> None:
        """Like `put`, but an object that cannot be written is kept in memory until it can be."""
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
        """The number of rows written so far. It grows with each change."""
        return self.connection.total_changes

    def has(self, kind: str, id: str, parent: str = "") -> bool:
        """Whether the object exists."""
        if (kind, parent, id) in self._unwritten:
            return True
        found = self.connection.execute(
            "SELECT 1 FROM objects WHERE kind = ? AND parent = ? AND id = ?", (kind, parent, id)
        )
        return found.fetchone() is not None

    def get(self, kind: str, id: str, parent: str = "") -> JsonObject | None:
        """The object; None if it does not exist."""
        if self._unwritten and (value := self._unwritten.get((kind, parent, id))) is not None:
            return dict(value)
        return self._one("body", kind, id, parent)

    def notes(self, kind: str, id: str, parent: str = "") -> JsonObject:
        """The notes of the object; empty if it does not exist."""
        return self._one("notes", kind, id, parent) or {}

    def delete(self, kind: str, id: str, parent: str = "") -> bool:
        """Delete the object. Returns whether it existed."""
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
        """Whether the object existed and was deleted. The newest 100 000 deletions are remembered."""
        found = self.connection.execute(
            "SELECT 1 FROM places WHERE kind = ? AND parent = ? AND id = ? LIMIT 1", (kind, parent, id)
        )
        return found.fetchone() is not None

    async def sweep(self, kind: str, parent: str) -> None:
        """Delete the objects of a deleted parent, a few at a time, because large objects keep SQLite busy."""
        deleted = 1
        while deleted:
            deleted = self.connection.execute(
                "DELETE FROM objects WHERE seq IN"
                " (SELECT seq FROM objects WHERE kind = ? AND parent = ? LIMIT (CASE WHEN"
                " (SELECT size FROM objects WHERE kind = ? AND parent = ? LIMIT 1) > 100000 THEN 5 ELSE 200 END))",
                (kind, parent) * 2,
            ).rowcount
            await asyncio.sleep(0)

    def has_any(self, kind: str, parent: str) -> bool:
        """Whether the parent has an object of that kind."""
        found = self.connection.execute("SELECT 1 FROM objects WHERE kind = ? AND parent = ? LIMIT 1", (kind, parent))
        return found.fetchone() is not None

    def tally(self, kind: str, parent: str) -> dict[str, int]:
        """The number of the parent's objects for each status."""
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

    def grandchildren(self, kind: str, parents: str, parent: str, first: int) -> Iterator[Placed]:
        """The objects of a kind below the objects of the kind `parents` that `parent` has, from the position `first`
        on.
        """
        rows = self.connection.execute(  # CROSS: SQLite would begin with all objects of that kind
            "SELECT grown.seq, grown.body, grown.notes FROM objects AS middle CROSS JOIN objects AS grown"
            " ON grown.kind = ? AND grown.parent = middle.id AND grown.seq >= ?"
            " WHERE middle.kind = ? AND middle.parent = ? ORDER BY grown.seq",
            (kind, first, parents, parent),
        ).fetchall()
        return (Placed(seq, json.loads(body), json.loads(notes)) for seq, body, notes in rows)

    def parents(self, kind: str, id: str) -> list[str]:
        """The parents that have an object with that id."""
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
        """The ids of deleted objects of the kind `parents` that still have objects of `kind`."""
        rows = self.connection.execute(
            "SELECT DISTINCT parent FROM objects WHERE kind = ? AND parent NOT IN"
            " (SELECT id FROM objects WHERE kind = ?)",
            (kind, parents),
        )
        return [row[0] for row in rows]

    def total(self) -> int:
        """The number of all objects."""
        return int(self.connection.execute("SELECT count(*) FROM objects").fetchone()[0])

    def everything(self) -> Iterator[tuple[str, str, JsonObject, JsonObject]]:
        """All objects, oldest first: kind, parent, object, notes."""
        for kind, parent, body, notes in self.connection.execute(
            "SELECT kind, parent, body, notes FROM objects ORDER BY seq"
        ):
            yield kind, parent, json.loads(body), json.loads(notes)

    def page(self, kind: str, parent: str, page: Page) -> tuple[list[JsonObject], bool]:
        """One page of the parent's objects, and whether more follow. See `stored_page`."""
        found, more = self.stored_page(kind, parent, page)
        return [item.value for item in found], more

    def stored_page(self, kind: str, parent: str, page: Page) -> tuple[list[Stored], bool]:
        """One page of the parent's objects as they are stored, and whether more follow.

        UnknownCursorError for an unknown cursor. `before` selects the page that ends right before that object, in the
        same order.
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
            f"SELECT size, seq, id, body FROM objects WHERE {' AND '.join(term for term, _ in terms)}"
            f" ORDER BY seq {'DESC' if descending else 'ASC'} LIMIT ?",
            [value for _, values in terms for value in values] + [page.limit + 1],
        )
        found: list[Stored] = []
        room = PAGE_BYTES
        for size, seq, id, body in rows:
            room -= size
            if len(found) == page.limit or (room < 0 and found):
                rows.close()
                return (found[::-1] if backwards else found), True
            unwritten = self._unwritten.get((kind, parent, id))
            found.append(Stored(seq, id, body if unwritten is None else _encoded(unwritten)))
        return (found[::-1] if backwards else found), False

    # Replies to idempotency keys

    def reply(self, key: str) -> StoredReply | None:
        """The reply to the key."""
        row = self.connection.execute("SELECT fingerprint, body, stream FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else StoredReply(row[0], None if row[1] is None else json.loads(row[1]), row[2])

    def keep_reply(self, key: str, reply: StoredReply) -> None:
        """Keep the reply to the key."""
        body = None if reply.body is None else json.dumps(reply.body)
        self.connection.execute(
            "INSERT OR REPLACE INTO replies (key, fingerprint, body, stream) VALUES (?, ?, ?, ?)",
            (key, reply.fingerprint, body, reply.stream),
        )

    def drop_reply(self, key: str) -> None:
        """Delete the reply to the key."""
        self.connection.execute("DELETE FROM replies WHERE key = ?", (key,))

    def replies(self) -> list[tuple[str, str | None]]:
        """The keys with a kept reply, oldest first, each with the name of its stream if there is one."""
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


def _encoded(value: JsonObject) -> str:
    """The JSON of an object. Half of a surrogate pair is escaped, because SQLite cannot hold it."""
    text = ENCODER.encode(value)
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value)
    return text

"""Wire objects in SQLite, by kind, parent and id, in the order of their creation. Knows nothing of what they mean.

Every object is one row: its JSON as the wire shows it, and `notes`, a second JSON object for what the wire does not
show. Calls are short and synchronous, all from the event loop's thread.
"""

from __future__ import annotations

import json
import sqlite3
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from rx_assistant.local.json_text import JsonObject

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    parent TEXT NOT NULL,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    notes TEXT NOT NULL DEFAULT '{}',
    UNIQUE (kind, parent, id)
);
CREATE INDEX IF NOT EXISTS objects_in_order ON objects (kind, parent, seq);
"""


@dataclass(frozen=True, slots=True)
class Page:
    """What a list request asks for; `where` compares fields of the object with values."""

    limit: int = 20
    order: str = "desc"
    after: str | None = None
    before: str | None = None
    where: Mapping[str, str] = field(default_factory=dict)


class UnknownCursorError(Exception):
    """`after` or `before` names no object of the list."""

    def __init__(self, name: str, id: str) -> None:
        super().__init__(f"{name}={id!r} is not in the list")
        self.name = name
        self.id = id


class Store:
    """Objects kept in `path`, in memory by default."""

    def __init__(self, path: str = ":memory:") -> None:
        self.connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._closing = weakref.finalize(self, self.connection.close)
        self.connection.execute("PRAGMA journal_mode = WAL")
        self.connection.execute("PRAGMA synchronous = NORMAL")
        self.connection.executescript(_SCHEMA)

    def close(self) -> None:
        """Lets go of the database; in memory, that is the end of it. Collecting this object does the same."""
        self._closing()

    def put(self, kind: str, value: JsonObject, parent: str = "", notes: JsonObject | None = None) -> None:
        """Adds the object, or replaces it in its place; notes stay as they are unless given."""
        self.connection.execute(
            "INSERT INTO objects (kind, parent, id, body, notes) VALUES (?, ?, ?, ?, ?) ON CONFLICT (kind, parent, id)"
            " DO UPDATE SET body = excluded.body" + ("" if notes is None else ", notes = excluded.notes"),
            (kind, parent, value["id"], json.dumps(value), json.dumps(notes or {})),
        )

    def get(self, kind: str, id: str, parent: str = "") -> JsonObject | None:
        """The object, None if there is none."""
        return self._one("body", kind, id, parent)

    def notes(self, kind: str, id: str, parent: str = "") -> JsonObject:
        """What is noted about the object; empty if there is none."""
        return self._one("notes", kind, id, parent) or {}

    def delete(self, kind: str, id: str, parent: str = "") -> bool:
        """Whether there was such an object to delete."""
        cursor = self.connection.execute(
            "DELETE FROM objects WHERE kind = ? AND parent = ? AND id = ?", (kind, parent, id)
        )
        return cursor.rowcount > 0

    def delete_all(self, kind: str, parent: str) -> None:
        """Deletes the objects of one parent."""
        self.connection.execute("DELETE FROM objects WHERE kind = ? AND parent = ?", (kind, parent))

    def count(self, kind: str, parent: str) -> int:
        """How many objects of that kind the parent has."""
        row = self.connection.execute(
            "SELECT count(*) FROM objects WHERE kind = ? AND parent = ?", (kind, parent)
        ).fetchone()
        return int(row[0])

    def tally(self, kind: str, parent: str, field: str) -> dict[str, int]:
        """How many of the parent's objects have each value of `field`."""
        rows = self.connection.execute(
            "SELECT json_extract(body, ?), count(*) FROM objects WHERE kind = ? AND parent = ? GROUP BY 1",
            (f"$.{field}", kind, parent),
        )
        return {str(value): int(count) for value, count in rows}

    def total(self, kind: str, parent: str, field: str) -> int:
        """The sum of `field` over the parent's objects."""
        row = self.connection.execute(
            "SELECT sum(json_extract(body, ?)) FROM objects WHERE kind = ? AND parent = ?", (f"$.{field}", kind, parent)
        ).fetchone()
        return int(row[0] or 0)

    def each(self, kind: str, parent: str) -> Iterator[JsonObject]:
        """The parent's objects, oldest first."""
        rows = self.connection.execute(
            "SELECT body FROM objects WHERE kind = ? AND parent = ? ORDER BY seq", (kind, parent)
        ).fetchall()
        return (json.loads(row[0]) for row in rows)

    def parents(self, kind: str, id: str) -> list[str]:
        """Under which parents an object with that id exists."""
        rows = self.connection.execute("SELECT parent FROM objects WHERE kind = ? AND id = ?", (kind, id))
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
        terms += [("json_extract(body, ?) = ?", (f"$.{name}", value)) for name, value in page.where.items()]
        backwards = page.before is not None and page.after is None
        descending = (page.order == "desc") != backwards
        rows = self.connection.execute(
            f"SELECT body FROM objects WHERE {' AND '.join(term for term, _ in terms)}"
            f" ORDER BY seq {'DESC' if descending else 'ASC'} LIMIT ?",
            [value for _, values in terms for value in values] + [page.limit + 1],
        ).fetchall()
        found = [json.loads(row[0]) for row in rows[: page.limit]]
        return (found[::-1] if backwards else found), len(rows) > page.limit

    def _one(self, column: str, kind: str, id: str, parent: str) -> JsonObject | None:
        row = self.connection.execute(
            f"SELECT {column} FROM objects WHERE kind = ? AND parent = ? AND id = ?", (kind, parent, id)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def _seq(self, kind: str, parent: str, name: str, id: str) -> int:
        row = self.connection.execute(
            "SELECT seq FROM objects WHERE kind = ? AND parent = ? AND id = ?", (kind, parent, id)
        ).fetchone()
        if row is None:
            raise UnknownCursorError(name, id)
        return int(row[0])

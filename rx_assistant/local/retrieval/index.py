"""Chunks in SQLite's full-text index, and the search that ranks them.

FTS5 finds the candidates and ranks them by its BM25. The best candidates are ranked again with the statistics of the
searched stores only. FTS5 counts over all stores, and its weight of a word is 0 if half of the chunks contain it; in a
store of one file, that would be every word. Scores are between 0 and 1: about 0.7 for a passage of ordinary length with
each word of the query once.

Chunks can also have vectors. If the query has one too, the chunks are ranked by cosine as well, and both rankings are
fused by reciprocal rank fusion. The score of a passage is then 1 if it is first in both rankings, and at most 0.5 if it
is in one of them only. Passages that have only common words of the query share the last rank by words, because their
order means nothing.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import sqlite3
import weakref
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from rx_assistant.local.directory import connect
from rx_assistant.local.retrieval.chunking import Chunk
from rx_assistant.local.retrieval.extraction import heading
from rx_assistant.local.retrieval.terms import query_terms, terms

_log = logging.getLogger("rx_assistant.local")

MIGRATIONS = (
    """
CREATE TABLE IF NOT EXISTS chunks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    store TEXT NOT NULL,
    file TEXT NOT NULL,
    start INTEGER NOT NULL,
    text TEXT NOT NULL,
    place TEXT NOT NULL,
    length INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS chunks_of_file ON chunks (store, file);
CREATE VIRTUAL TABLE IF NOT EXISTS chunk_terms USING fts5 (
    store, terms, tokenize = "unicode61 remove_diacritics 0 tokenchars '_-'"
);
""",
    """
CREATE TABLE vectors (chunk INTEGER PRIMARY KEY, model TEXT NOT NULL, vector BLOB NOT NULL);
""",
)
_CANDIDATES = 200
_K1 = 1.2
_B = 0.5
_STEEPNESS = 1.2
_FUSION = 60
_WEAK = 0.2


@dataclass(frozen=True, slots=True)
class Passage:
    """A chunk that a search found. Its text begins with the heading of its page, slide or sheet, if there is one."""

    store_id: str
    file_id: str
    score: float
    text: str


class QueryVector(NamedTuple):
    """The vector of a query, and the model that made it."""

    model: str
    vector: bytes


class _Candidate(NamedTuple):
    id: int
    store: str
    file: str
    text: str
    place: str
    terms: str
    length: int


class ChunkIndex:
    """All vector stores' chunks, in one database."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection

    def add(self, store: str, file: str, found: Iterable[tuple[Chunk, list[str]]]) -> None:
        """Indexes more chunks of a file, given with their terms."""
        with self._transaction():
            for chunk, chunk_terms in found:
                row = (store, file, chunk.start, chunk.text, chunk.place, len(chunk_terms))
                cursor = self._db.execute(
                    "INSERT INTO chunks (store, file, start, text, place, length) VALUES (?, ?, ?, ?, ?, ?)", row
                )
                self._db.execute(
                    "INSERT INTO chunk_terms (rowid, store, terms) VALUES (?, ?, ?)",
                    (cursor.lastrowid, store, " ".join(chunk_terms)),
                )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise

    def remove(self, store: str, file: str | None = None) -> None:
        """Delete the chunks of a file, or of a whole store."""
        where, values = ("store = ?", [store]) if file is None else ("store = ? AND file = ?", [store, file])
        with self._transaction():
            for table, key in (("chunk_terms", "rowid"), ("vectors", "chunk")):
                self._db.execute(f"DELETE FROM {table} WHERE {key} IN (SELECT id FROM chunks WHERE {where})", values)
            self._db.execute(f"DELETE FROM chunks WHERE {where}", values)

    def without_vector(self, model: str, after: int, most: int) -> list[tuple[int, str]]:
        """Chunks behind number `after` that have no vector of this model: their numbers and texts, oldest first."""
        return self._db.execute(
            "SELECT id, text FROM chunks LEFT JOIN vectors ON chunk = id"
            " WHERE id > ? AND model IS NOT ? ORDER BY id LIMIT ?",
            (after, model, most),
        ).fetchall()

    def set_vectors(self, model: str, found: Iterable[tuple[int, bytes]]) -> None:
        """Store vectors of chunks. An empty vector marks a text that the model cannot read."""
        with self._transaction():
            self._db.executemany(
                "INSERT OR REPLACE INTO vectors (chunk, model, vector) SELECT id, ?, ? FROM chunks WHERE id = ?",
                [(model, vector, chunk) for chunk, vector in found],
            )

    def drop_vectors(self, model: str, size: int) -> None:
        """Delete the model's vectors that do not have `size` bytes: another model had the same name."""
        with self._transaction():
            self._db.execute("DELETE FROM vectors WHERE model = ? AND length(vector) NOT IN (0, ?)", (model, size))

    def files(self) -> set[tuple[str, str]]:
        """The files with chunks, as pairs of store id and file id."""
        return set(self._db.execute("SELECT DISTINCT store, file FROM chunks"))

    def text(self, store: str, file: str) -> str:
        """The text of the file, joined from its chunks."""
        rows = self._db.execute(
            "SELECT start, text FROM chunks WHERE store = ? AND file = ? ORDER BY start", (store, file)
        )
        parts: list[str] = []
        end = 0
        for start, text in rows:
            parts.append(text[max(0, end - start) :])
            end = max(end, start + len(text))
        return "".join(parts)

    def search(
        self,
        stores: Sequence[str],
        query: str,
        most: int,
        files: Collection[str] | None = None,
        vector: QueryVector | None = None,
    ) -> list[Passage]:
        """The best passages, best first; `files` limits them to some."""
        if not stores:
            return []
        ranked = self._by_words(stores, query, files)
        near = [] if vector is None else self._by_vector(stores, files, vector)
        if near:
            ranked = self._fused(ranked, near, most)
        return [Passage(row.store, row.file, round(score, 6), _placed(row)) for score, row in ranked[:most]]

    def _by_words(
        self, stores: Sequence[str], query: str, files: Collection[str] | None
    ) -> list[tuple[float, _Candidate]]:
        wanted = query_terms(query)
        if not wanted:
            return []
        any_of = f"chunk_terms MATCH ?{_among(files)} ORDER BY bm25(chunk_terms), chunks.id LIMIT ?"
        candidates = self._candidates(any_of, [_expression(stores, wanted), *(files or ()), _CANDIDATES])
        weights = self._weights(stores, wanted)
        average = self._average_length(stores)
        return sorted(((self._score(row, weights, average), row) for row in candidates), key=lambda pair: -pair[0])

    def _candidates(self, where: str, values: Sequence[object]) -> list[_Candidate]:
        rows = self._db.execute(
            "SELECT chunks.id, chunks.store, chunks.file, chunks.text, chunks.place, chunk_terms.terms, chunks.length"
            f" FROM chunk_terms JOIN chunks ON chunks.id = chunk_terms.rowid WHERE {where}",
            values,
        )
        return [_Candidate(*row) for row in rows]

    def _by_vector(self, stores: Sequence[str], files: Collection[str] | None, query: QueryVector) -> list[int]:
        """The chunks most like the query, best first."""
        from rx_assistant.local.retrieval.vectors import nearest

        rows = self._db.execute(
            "SELECT chunk, vector FROM chunks JOIN vectors ON chunk = chunks.id"
            f" WHERE store IN ({_marks(stores)}){_among(files)} AND model = ? AND length(vector) = ?",
            [*stores, *(files or ()), query.model, len(query.vector)],
        )
        return nearest(query.vector, rows, _CANDIDATES)

    def _fused(
        self, ranked: list[tuple[float, _Candidate]], near: list[int], most: int
    ) -> list[tuple[float, _Candidate]]:
        """Both rankings as one. The score is 1 for a passage that is first in both."""
        scores = {row.id: _share(rank if score >= _WEAK else _CANDIDATES) for rank, (score, row) in enumerate(ranked)}
        for rank, chunk in enumerate(near):
            scores[chunk] = scores.get(chunk, 0.0) + _share(rank)
        best = sorted(scores, key=lambda chunk: -scores[chunk])[:most]
        known = {row.id: row for _, row in ranked}
        missing = [chunk for chunk in best if chunk not in known]
        known |= {row.id: row for row in self._candidates(f"chunks.id IN ({_marks(missing)})", missing)}
        return [(scores[chunk], known[chunk]) for chunk in best]

    def _weights(self, stores: Sequence[str], wanted: Sequence[str]) -> dict[str, float]:
        """The weight of each term: rare terms weigh more."""
        total = self._count(stores)
        weights = {}
        for term in wanted:
            having = self._count(stores, term)
            weights[term] = math.log(1 + (total - having + 0.5) / (having + 0.5))
        return weights

    def _count(self, stores: Sequence[str], *wanted: str) -> int:
        row = self._db.execute(
            "SELECT count(*) FROM chunk_terms WHERE chunk_terms MATCH ?", (_expression(stores, wanted),)
        ).fetchone()
        return int(row[0])

    def _average_length(self, stores: Sequence[str]) -> float:
        row = self._db.execute(
            f"SELECT avg(length) FROM chunks WHERE store IN ({_marks(stores)})", list(stores)
        ).fetchone()
        return float(row[0] or 1)

    @staticmethod
    def _score(row: _Candidate, weights: dict[str, float], average: float) -> float:
        counts = Counter(row.terms.split(" "))
        norm = _K1 * (1 - _B + _B * row.length / average)
        found = sum(weight * counts[term] * (_K1 + 1) / (counts[term] + norm) for term, weight in weights.items())
        return 1 - math.exp(-_STEEPNESS * found / sum(weights.values()))


def _share(rank: int) -> float:
    """The part of a fused score that one ranking gives, 0.5 for its first passage. The first rank is 0."""
    return (_FUSION + 1) / (_FUSION + 1 + rank) / 2


def _marks(values: Collection[object]) -> str:
    return ", ".join("?" * len(values))


def _among(files: Collection[str] | None) -> str:
    return "" if files is None else f" AND chunks.file IN ({_marks(files)})"


def _placed(row: _Candidate) -> str:
    """The text below the heading of its page, even if the chunk begins in the middle of the page."""
    above = heading(row.place)
    return row.text if row.text.startswith(above) else above + row.text


T = TypeVar("T")


class IndexThread:
    """A `ChunkIndex` in its own thread, so that a long search does not block the event loop.

    Work is done in the order of the calls. The thread starts with the first call and ends with `close()`.
    """

    def __init__(self, path: str | os.PathLike[str] = ":memory:") -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rx_assistant.local.index")
        self._db: sqlite3.Connection | None = None
        self._opened: ChunkIndex | None = None
        self._closing = False

    async def ask(self, work: Callable[[ChunkIndex], T]) -> T:
        """Run `work` after all earlier work, and return its result."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: work(self._index()))

    def tell(self, work: Callable[[ChunkIndex], None]) -> None:
        """Run `work` without waiting for it. An error is logged."""
        self._thread.submit(lambda: work(self._index())).add_done_callback(self._report)

    def close(self) -> None:
        """Drop waiting work, interrupt running work, and close the database."""
        if self._closing:
            return
        self._closing = True
        if self._db is not None:
            self._db.interrupt()
        self._thread.shutdown(cancel_futures=True)
        if self._db is not None:
            self._db.close()

    def _report(self, done: Future[None]) -> None:
        if not self._closing and not done.cancelled() and (error := done.exception()) is not None:
            _log.error("the index of the vector stores failed", exc_info=error)

    def _index(self) -> ChunkIndex:
        if self._opened is None:
            self._db = connect(self._path, MIGRATIONS)
            weakref.finalize(self, self._db.close)
            self._opened = ChunkIndex(self._db)
        return self._opened


def analysed(found: Iterable[Chunk]) -> list[tuple[Chunk, list[str]]]:
    """The chunks with their terms. This is slow, so it runs in a thread."""
    return [(chunk, terms(chunk.text)) for chunk in found]


def _expression(stores: Sequence[str], wanted: Sequence[str]) -> str:
    """The full-text query: any of the terms, in any of the stores."""
    among = " OR ".join(f'store : "{store}"' for store in stores)
    any_of = " OR ".join(f'terms : "{term}"' for term in wanted)
    return f"({among}) AND ({any_of})" if any_of else f"({among})"

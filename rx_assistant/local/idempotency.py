"""Idempotency-Key: the same key with the same request gives the first reply again; a stream starts at its first frame.

The same key with another request is refused with 422, as in the IETF draft (clients retry a 409). A second request
waits while the first is being answered. Only successful replies are kept, and only the newest. A durable server keeps
them in its store, and streams in the files of their frames, so that they survive a restart.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rx_assistant.local.errors import ApiError
from rx_assistant.local.frame_log import FrameLog
from rx_assistant.local.replies import Encoded, EventStream, FileContent, Reply
from rx_assistant.local.store import Store, StoredReply

_MOST_KEYS = 1000
_MOST_STREAM_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class _Entry:
    fingerprint: str
    reply: asyncio.Future[Reply]

    def stream_bytes(self) -> int:
        """The bytes that the entry keeps in memory."""
        reply = self.reply.result() if self.reply.done() and not self.reply.cancelled() else None
        return reply.frames.size if isinstance(reply, EventStream) else 0


class Replays:
    """Replies by key. `store` keeps them too. `restored` returns the frame log with a name from the store."""

    def __init__(self, store: Store | None = None, restored: Callable[[str], FrameLog | None] | None = None) -> None:
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._store = store
        self._restored = restored or (lambda _: None)

    def load(self) -> None:
        """Load the replies from the store."""
        if self._store is None:
            return
        for key, _ in self._store.replies():
            kept = self._store.reply(key)
            reply = None if kept is None else self._reply(kept)
            if kept is None or reply is None:
                self._store.drop_reply(key)
                continue
            future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
            future.set_result(reply)
            self._entries[key] = _Entry(kept.fingerprint, future)

    def _reply(self, stored: StoredReply) -> Reply | None:
        if stored.stream is None:
            return stored.body
        log = self._restored(stored.stream)
        return None if log is None else EventStream(log)

    async def answer(self, key: str, fingerprint: str, make: Callable[[], Awaitable[Reply]]) -> tuple[Reply, bool]:
        """The reply, and whether it is a repetition."""
        while True:
            entry = self._entries.get(key)
            if entry is None:
                return await self._first(key, fingerprint, make), False
            if entry.fingerprint != fingerprint:
                raise ApiError(
                    422,
                    "This Idempotency-Key was used before, with another request.",
                    type="idempotency_error",
                    param="Idempotency-Key",
                    code="idempotency_key_reused",
                )
            await asyncio.wait({entry.reply})
            if not entry.reply.cancelled():
                return entry.reply.result(), True

    async def _first(self, key: str, fingerprint: str, make: Callable[[], Awaitable[Reply]]) -> Reply:
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._entries[key] = _Entry(fingerprint, future)
        try:
            reply = await make()
        except BaseException:
            del self._entries[key]
            future.cancel()  # a request that waits then runs the handler itself
            raise
        future.set_result(reply)
        self._keep(key, fingerprint, reply)
        self._trim()
        return reply

    def _keep(self, key: str, fingerprint: str, reply: Reply) -> None:
        if self._store is None or isinstance(reply, FileContent | Encoded):
            return
        if not isinstance(reply, EventStream):
            self._store.keep_reply(key, StoredReply(fingerprint, reply, None))
        elif (spool := reply.frames.spool) is not None:
            spool.is_wanted = True
            reply.frames.write()
            self._store.keep_reply(key, StoredReply(fingerprint, None, spool.path.name))

    def _trim(self) -> None:
        kept = sum(entry.stream_bytes() for entry in self._entries.values())
        for key, entry in list(self._entries.items()):
            if len(self._entries) <= _MOST_KEYS and kept <= _MOST_STREAM_BYTES:
                return
            if entry.reply.done():
                kept -= entry.stream_bytes()
                del self._entries[key]
                self._drop(key, entry)

    def _drop(self, key: str, entry: _Entry) -> None:
        if self._store is None or entry.reply.cancelled():
            return
        self._store.drop_reply(key)
        reply = entry.reply.result()
        if isinstance(reply, EventStream) and (spool := reply.frames.spool) is not None:
            spool.is_wanted = False
            if reply.frames.ended:
                spool.discard()

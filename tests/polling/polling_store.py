"""A vector store's server that looks closely at how files arrive."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from loopback import Loopback, Received, Wire
from polling_faces import body, on

BATCHES = "/v1/vector_stores/vs_1/file_batches"


class Store:
    """A vector store's server: files get the ids `file-<their name>`; `hold`, `refuse` and `late` name files.

    It answers the first upload when `together` are under way.
    """

    def __init__(self, hold: str = "^$", refuse: str = "^$", late: str = "^$", together: int = 1) -> None:
        self.hold, self.refuse, self.late, self.together = hold, refuse, late, together
        self.now = self.most = 0
        self._enough = asyncio.Event()
        self.contents: dict[str, bytes] = {}
        self.types: dict[str, str] = {}

    async def __call__(self, request: Received, wire: Wire) -> None:
        if request.path == "/v1/files":
            await self._upload(request, wire)
        else:
            sent = body(request)
            number = request.path.rpartition("vsfb_")[2] if sent is None else len(sent["file_ids"])
            counts = {"in_progress": 0, "completed": int(number), "failed": 0, "cancelled": 0, "total": int(number)}
            batch = {"id": f"vsfb_{number}", "vector_store_id": "vs_1", "status": "completed", "file_counts": counts}
            await wire.json(batch)

    async def _upload(self, request: Received, wire: Wire) -> None:
        name, kind, content = parts(request)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            if self.most >= self.together:
                self._enough.set()
            await self._enough.wait()
            if re.search(self.hold, name):
                await wire.peer_gone()
            elif re.search(self.refuse, name):
                await asyncio.sleep(0.05)
                await wire.json({"error": {"message": f"{name} is refused"}}, 400)
            else:
                if re.search(self.late, name):
                    await asyncio.sleep(0.02)
                self.contents[name], self.types[name] = content, kind
                await wire.json({"id": f"file-{name}", "object": "file"})
        finally:
            self.now -= 1


def parts(request: Received) -> tuple[str, str, bytes]:
    """Name, type and content of the file in a form."""
    boundary = request.headers["content-type"].partition("boundary=")[2].encode()
    [form] = [part for part in request.body.split(b"--" + boundary) if b'name="file"' in part]
    head, _, content = form.partition(b"\r\n\r\n")
    name = re.search(rb'filename="([^"]*)"', head)
    kind = re.search(rb"Content-Type: (\S+)", head)
    assert name is not None
    assert b"assistants" in request.body
    return name[1].decode(), kind[1].decode() if kind else "", content.removesuffix(b"\r\n")


def upload(face: str, server: Loopback, files: Any, **options: Any) -> Any:
    return on(face, server.url, lambda c: c.vector_stores.file_batches.upload_and_poll("vs_1", files=files, **options))


def named(count: int, size: int = 10) -> list[tuple[str, bytes]]:
    return [(f"{number:02}", b"x" * size) for number in range(count)]

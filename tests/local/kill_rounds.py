"""A durable server is killed at random moments under load; after each restart everything that was answered is there.

    python -m local.kill_rounds [ROUNDS] [SEED]      in the folder `tests`

In each round six threads upload files, write messages, stream runs and delete, until the server is killed after 0.05 to
0.8 seconds. Then it starts again, and this must hold:
- what was answered is there as it was answered, and what was deleted is gone;
- each id in a list can be had, each message and run belongs to its thread, files have their bytes;
- runs that were in progress have ended, and each text begins with what its reader had seen;
- there is no file that belongs to nothing.
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from local.conftest import Api, parsed
from local.durable import OPENED, Process

_LOST = (httpx.TransportError, httpx.StreamError)


@dataclass
class Answered:
    """What the server has answered so far, by path: an object that is there, or None for one that is gone."""

    objects: dict[str, dict | None] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    seen: dict[str, str] = field(default_factory=dict)
    unsure: set[str] = field(default_factory=set)
    counts: dict[str, int] = field(default_factory=dict)

    def made(self, path: str, value: dict) -> dict:
        """The server answered with this object."""
        self.objects[path] = value
        self.count("made")
        return value

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1


class Round:
    """Load on one server until it is killed."""

    def __init__(self, api: Api, answered: Answered, assistant: str, dice: random.Random) -> None:
        self._api, self._answered, self._assistant = api, answered, assistant
        self._seeds = [dice.random() for _ in range(6)]

    def run(self, process: Process, seconds: float) -> None:
        """Returns when the server is killed and every thread has noticed."""
        works = (self._messages, self._messages, self._uploads, self._streams, self._streams, self._deletions)
        threads = [
            threading.Thread(target=self._until_killed, args=pair) for pair in zip(works, self._seeds, strict=True)
        ]
        for thread in threads:
            thread.start()
        time.sleep(seconds)
        process.kill()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive()

    def _until_killed(self, work: Callable[[random.Random], None], seed: float) -> None:
        dice = random.Random(seed)
        try:
            while True:
                work(dice)
        except _LOST:
            return

    def _thread(self) -> str:
        thread = self._api("POST", "/threads", {"metadata": {"kept": "yes"}})
        self._answered.made(f"/threads/{thread['id']}", thread)
        return str(thread["id"])

    def _messages(self, dice: random.Random) -> None:
        thread = self._thread()
        for number in range(dice.randrange(1, 10)):
            body = {"role": "user", "content": f"message {number} " * dice.randrange(1, 50)}
            message = self._api("POST", f"/threads/{thread}/messages", body)
            self._answered.made(f"/threads/{thread}/messages/{message['id']}", message)

    def _uploads(self, dice: random.Random) -> None:
        content = dice.randbytes(dice.randrange(100_000))
        file = self._api.upload("a.txt", content)
        self._answered.contents[file["id"]] = content
        self._answered.made(f"/files/{file['id']}", file)

    def _streams(self, dice: random.Random) -> None:
        thread = self._thread()
        message = self._api("POST", f"/threads/{thread}/messages", {"role": "user", "content": "count"})
        self._answered.made(f"/threads/{thread}/messages/{message['id']}", message)
        body = {"assistant_id": self._assistant, "stream": True}
        read, cancelled = b"", False
        try:
            with self._api.http.stream("POST", f"/threads/{thread}/runs", json=body) as response:
                for chunk in response.iter_raw():
                    read += chunk
                    if not cancelled and len(read) > dice.randrange(2_000, 200_000):
                        cancelled = True
                        self._api("POST", f"/threads/{thread}/runs/{parsed(whole(read))[0][1]['id']}/cancel", {})
        finally:
            self._note_seen(read)

    def _note_seen(self, read: bytes) -> None:
        for name, data in parsed(whole(read)):
            if name == "thread.message.delta":
                self._answered.seen[data["id"]] = (
                    self._answered.seen.get(data["id"], "") + data["delta"]["content"][0]["text"]["value"]
                )
            elif name == "thread.run.created":
                self._answered.objects[f"/threads/{data['thread_id']}/runs/{data['id']}"] = {"id": data["id"]}
                self._answered.count("streams")

    def _deletions(self, dice: random.Random) -> None:
        thread, file = self._thread(), self._api.upload("b.txt", b"gone")
        self._answered.made(f"/files/{file['id']}", file)
        self._answered.contents[file["id"]] = b"gone"
        for path in (f"/threads/{thread}", f"/files/{file['id']}"):
            self._answered.unsure.add(path)
            self._api("DELETE", path)
            self._answered.unsure.discard(path)
            self._answered.objects[path] = None
            self._answered.count("deleted")


def whole(read: bytes) -> bytes:
    """The whole frames."""
    return read[: read.rfind(b"\n\n") + 2]


def check(api: Api, answered: Answered, data: Path) -> None:
    """Raises AssertionError for anything that the server has lost, or that does not fit together."""
    for path, value in answered.objects.items():
        response = api.http.get(path)
        if path in answered.unsure and response.status_code == 404:
            continue
        if value is None:
            assert response.status_code == 404, path
            continue
        found = response.json()
        assert response.status_code == 200, (path, found)
        assert {name: found[name] for name in value} == value, path
        if path.startswith("/files/"):
            assert api.http.get(f"{path}/content").content == answered.contents[value["id"]], path
    texts: dict[str, str] = {}
    threads = [path for path, value in answered.objects.items() if value and path.count("/") == 2 and "thread" in path]
    for thread in threads:
        if api.http.get(thread).status_code == 200:
            settle(api, thread)
            check_thread(api, thread, texts)
    for id, seen in answered.seen.items():
        assert texts[id].startswith(seen), (id, len(texts[id]), len(seen))
    files = {file["id"] for file in api("GET", "/files", params={"limit": 10_000})["data"]}
    assert {path.name for path in (data / "files").iterdir()} == files
    assert list((data / "streams").iterdir()) == []


def settle(api: Api, thread: str) -> None:
    """Cancels runs that were still queued when the server was killed: they are going on now."""
    for run in api("GET", f"{thread}/runs")["data"]:
        while run["status"] not in ("failed", "cancelled", "completed"):
            api.http.post(f"{thread}/runs/{run['id']}/cancel")
            run = api("GET", f"{thread}/runs/{run['id']}")


def check_thread(api: Api, thread: str, texts: dict[str, str]) -> None:
    """The thread's lists fit its objects, and nothing is going on."""
    for kind in ("messages", "runs"):
        after = None
        while True:
            page = api("GET", f"{thread}/{kind}", params={"limit": 100, **({"after": after} if after else {})})
            for value in page["data"]:
                found = api("GET", f"{thread}/{kind}/{value['id']}")
                assert found == value, (found, value)
                assert value["thread_id"] == thread.removeprefix("/threads/")
                if kind == "runs":
                    for step in api("GET", f"{thread}/runs/{value['id']}/steps")["data"]:
                        assert step["status"] != "in_progress", step
                else:
                    assert value.get("status") != "in_progress", value
                    texts[value["id"]] = "".join(part["text"]["value"] for part in value["content"])
            if not page["has_more"]:
                break
            after = page["last_id"]


def rounds(data: Path, number: int, seed: int) -> dict[str, int]:
    """Kills the server `number` times; what was answered, counted. Prints the counts after each tenth time."""
    dice, answered, total = random.Random(seed), Answered(), {}
    process = Process(data)
    try:
        api = process.start()
        assistant = api.assistant(name="Ada")
        for round in range(number):
            Round(api, answered, assistant, dice).run(process, dice.uniform(0.05, 0.8))
            api = process.start()
            check(api, answered, data)
            if round % 10 == 9:  # what was checked ten times is not checked for ever
                for what, count in answered.counts.items():
                    total[what] = total.get(what, 0) + count
                answered = Answered()
                print(f"{round + 1} of {number}: {total}", flush=True)
            while len(OPENED) > 1:
                OPENED.pop(0).http.close()
    finally:
        process.kill()
        while OPENED:
            OPENED.pop().http.close()
    for what, count in answered.counts.items():
        total[what] = total.get(what, 0) + count
    return total


if __name__ == "__main__":
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        counted = rounds(Path(directory) / "data", kills, int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print(f"{kills} kills in {time.monotonic() - started:.0f} s: {counted}; nothing lost")

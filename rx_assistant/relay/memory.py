"""The relay of one process: the logs are lists."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from rx_assistant.relay.base import Relay
from rx_assistant.relay.entries import Command, Entry, RelayState

if TYPE_CHECKING:
    from rx_assistant.relay.entries import Status
    from rx_assistant.relay.log import Outcome


@dataclass(slots=True)
class _Run:
    status: Status = "open"
    generation: int = 0
    count: int = 0
    reason: str = ""
    entries: list[Entry] = field(default_factory=list)
    commands: dict[int, Command] = field(default_factory=dict)
    commands_sent: int = 0
    snapshot: tuple[int, bytes] = (0, b"")
    alive_until: float = 0.0
    kept_until: float = 0.0

    def state(self, now: float) -> RelayState:
        return RelayState(self.status, self.generation, self.count, now < self.alive_until, self.reason)


class MemoryRelay(Relay):
    """Runs that are followed in the process that publishes them. See `Relay` for the options.

    Nothing is written anywhere and no connection is made, so that a program can use it until it needs a second process.
    """

    is_remote = False

    def __init__(
        self,
        *,
        lease: float = 10.0,
        ttl: float = 3600.0,
        max_entries: int = 100_000,
        max_event_bytes: int = 16 * 2**20,
    ) -> None:
        super().__init__(
            lease=lease,
            ttl=ttl,
            max_entries=max_entries,
            flush_interval=0.0,
            max_batch_bytes=64 * 1024,
            max_event_bytes=max_event_bytes,
            max_pending=max(16 * 2**20, max_event_bytes),
        )
        self._runs: dict[str, _Run] = {}
        self._mutex = threading.RLock()
        self._listeners: dict[tuple[str, bool], list[Callable[[list[Any]], None]]] = {}

    # -- the producer's side -------------------------------------------------------------------------------------

    def claim(self, key: str, *, taking: int | None = None, base: int | None = None) -> RelayState | None:
        now = time.monotonic()
        with self._mutex:
            self._forget_old(now)
            run = self._runs.get(key)
            if run is None:
                if taking is not None and base is None:
                    return None
                run = self._runs[key] = _Run(generation=taking or 0, count=base or 0)
            elif run.status == "ended" or (run.status == "open" and now < run.alive_until):
                return None
            if taking is not None and (run.generation != taking or run.status == "paused"):
                return None
            run.status, run.generation, run.reason = "open", run.generation + 1, ""
            self._keep(run, now)
            return run.state(now)

    def append(self, key: str, generation: int, start: int, frames: Sequence[bytes]) -> Outcome:
        end = start + len(frames)
        with self._mutex:
            run = self._runs.get(key)
            refused = self._refusal(run, generation)
            if run is None or refused is not None:
                return refused or "lost"
            if run.count == end:
                return "ok"
            if run.count != start:
                return "behind"
            self._add(key, run, Entry(start, end, generation, b"".join(frames)))
        return "ok"

    def seal(self, key: str, generation: int, start: int, frame: bytes) -> Outcome:
        with self._mutex:
            run = self._runs.get(key)
            if run is not None and run.status == "ended" and run.generation == generation and run.count == start + 1:
                return "ok"
            refused = self._refusal(run, generation)
            if run is None or refused is not None:
                return refused or "lost"
            run.status, run.alive_until = "ended", 0.0
            self._add(key, run, Entry(start, start + 1, generation, frame, is_last=True))
        return "ok"

    def release(self, key: str, generation: int, status: Literal["paused", "interrupted"], reason: str = "") -> Outcome:
        with self._mutex:
            run = self._runs.get(key)
            refused = self._refusal(run, generation)
            if run is None or refused is not None:
                return refused or "lost"
            run.status, run.reason, run.alive_until = status, reason, 0.0
            self._tell(key, Entry(run.count, run.count, generation, b""))
        return "ok"

    def beat(self, key: str, generation: int) -> Outcome:
        with self._mutex:
            run = self._runs.get(key)
            refused = self._refusal(run, generation)
            if run is None or refused is not None:
                return refused or "lost"
            self._keep(run, time.monotonic())
        return "ok"

    @staticmethod
    def _refusal(run: _Run | None, generation: int) -> Outcome | None:
        if run is None:
            return "lost"
        if run.generation != generation or run.status in ("paused", "interrupted"):
            return "fenced"
        return "ended" if run.status == "ended" else None

    def _add(self, key: str, run: _Run, entry: Entry) -> None:
        run.entries.append(entry)
        run.count = entry.end
        if len(run.entries) > self.max_entries:
            del run.entries[: len(run.entries) - self.max_entries]
        self._tell(key, entry)

    def _keep(self, run: _Run, now: float) -> None:
        run.alive_until, run.kept_until = now + self.lease, now + self.ttl

    def _forget_old(self, now: float) -> None:
        for key in [key for key, run in self._runs.items() if now >= run.kept_until]:
            del self._runs[key]

    # -- the followers' side -------------------------------------------------------------------------------------

    def state(self, key: str) -> RelayState | None:
        now = time.monotonic()
        with self._mutex:
            self._forget_old(now)
            run = self._runs.get(key)
            return None if run is None else run.state(now)

    def read(self, key: str, position: int, limit: int) -> list[Entry]:
        with self._mutex:
            run = self._runs.get(key)
            if run is None:
                return []
            first = _first_after(run.entries, position)
            return run.entries[first : first + limit]

    def store_snapshot(self, key: str, generation: int, position: int, frames: bytes) -> Outcome:
        with self._mutex:
            run = self._runs.get(key)
            refused = self._refusal(run, generation)
            if run is None or refused is not None:
                return refused or "lost"
            run.snapshot = (position, frames)
        return "ok"

    def stored_snapshot(self, key: str) -> tuple[int, bytes]:
        with self._mutex:
            run = self._runs.get(key)
            return (0, b"") if run is None else run.snapshot

    # -- news and commands ---------------------------------------------------------------------------------------

    def send(self, key: str, command: Command) -> None:
        with self._mutex:
            run = self._runs.get(key)
            if run is None:
                return
            run.commands_sent += 1
            run.commands[run.commands_sent] = command
            for take in tuple(self._listeners.get((key, True), ())):
                take([(run.commands_sent, command)])

    def accept(self, key: str, number: object) -> bool:
        with self._mutex:
            run = self._runs.get(key)
            return run is not None and run.commands.pop(number, None) is not None  # type: ignore[call-overload]

    def listen(self, key: str, position: int | None, take: Callable[[list[Any]], None]) -> Callable[[], None]:
        place = (key, position is None)
        with self._mutex:
            self._listeners.setdefault(place, []).append(take)
            run = self._runs.get(key)
            old: list[Any] = [] if run is None or position is not None else list(run.commands.items())
            if old:
                take(old)

        def stop() -> None:
            with self._mutex:
                found = self._listeners.get(place, [])
                if take in found:
                    found.remove(take)
                if not found:
                    self._listeners.pop(place, None)

        return stop

    def _tell(self, key: str, entry: Entry) -> None:
        for take in tuple(self._listeners.get((key, False), ())):
            take([entry])


def _first_after(entries: list[Entry], position: int) -> int:
    """The index of the first entry that holds event number `position`, or comes after it."""
    low, high = 0, len(entries)
    while low < high:
        middle = (low + high) // 2
        if entries[middle].end <= position:
            low = middle + 1
        else:
            high = middle
    return low

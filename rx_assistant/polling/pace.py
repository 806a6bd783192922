"""How long to wait between two fetches: a reply and the settings → seconds. It reads no clock."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

T = TypeVar("T")

DEFAULT = 1.0
"""Seconds, if neither the caller nor the server sets an interval."""

HEADER = "openai-poll-after-ms"

_number = re.compile(r"\s*[0-9]+(\.[0-9]+)?\s*", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class Polled(Generic[T]):
    """The result of one fetch: the state, and the seconds that the server asks to wait before the next fetch."""

    value: T
    poll_after: float | None = None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Intervals that grow by `factor` after each reply, up to `cap` seconds.

    Each interval is shortened by a random part, at most `jitter` of it (0 to 1). `random` returns a number in [0, 1).
    """

    factor: float = 1.5
    cap: float = 30.0
    jitter: float = 0.0
    random: Callable[[], float] = field(default=random.random, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.factor < math.inf:
            raise ValueError(f"factor must be at least 1, got {self.factor!r}")
        if not self.cap > 0:
            raise ValueError(f"cap must be more than 0 seconds, got {self.cap!r}")
        if not 0 <= self.jitter <= 1:
            raise ValueError(f"jitter must be a share between 0 and 1, got {self.jitter!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PollSettings:
    """How to poll: seconds between two fetches, how that interval grows, and seconds until PollTimeoutError.

    `interval=None` follows the server, and uses 1 s if the server sets no interval. `deadline=None` has no limit.
    """

    interval: float | None = None
    backoff: Backoff | None = None
    deadline: float | None = None

    def __post_init__(self) -> None:
        if self.interval is not None and not _is_wait(self.interval):
            raise ValueError(f"interval must be a number of seconds, 0 or more, got {self.interval!r}")
        deadline: object = self.deadline
        if deadline is not None and (not isinstance(deadline, int | float) or math.isnan(deadline)):
            raise ValueError(f"the longest wait must be a number of seconds, got {deadline!r}")
        if self.deadline == math.inf:
            object.__setattr__(self, "deadline", None)


class Pace:
    """The waits of one subscription, one after the other."""

    __slots__ = ("_backoff", "_follows_server", "_next")

    def __init__(self, settings: PollSettings) -> None:
        self._follows_server = settings.interval is None
        self._backoff = settings.backoff
        self._next = DEFAULT if settings.interval is None else settings.interval

    def after(self, polled: Polled[Any]) -> float:
        """Seconds from this reply to the next fetch. An interval in the settings takes precedence over the server's."""
        asked = polled.poll_after if self._follows_server else None
        if asked is not None and _is_wait(asked):
            return float(asked)
        return self._next_interval()

    def _next_interval(self) -> float:
        backoff, wait = self._backoff, self._next
        if backoff is None:
            return wait
        self._next = min(wait * backoff.factor, backoff.cap)
        return min(wait, backoff.cap) * (1 - backoff.jitter * backoff.random())


def poll_after(headers: Mapping[str, str]) -> float | None:
    """Seconds from a reply's `openai-poll-after-ms`. None if the header is missing or is not a number."""
    text = headers.get(HEADER) or ""
    seconds = float(text) / 1000 if _number(text) else math.inf
    return seconds if _is_wait(seconds) else None


def _is_wait(seconds: object) -> bool:
    return isinstance(seconds, int | float) and 0 <= seconds < math.inf

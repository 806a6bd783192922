"""When to retry, and how long to wait first: pure functions of a status, headers and a number of tries."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

FIRST = 0.5
LONGEST = 8.0
PATIENCE = 60.0
"""Seconds. If the server asks for a longer wait, there is no retry: its error goes to the caller at once."""


def is_retryable(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a reply with this status may be retried. The server's `x-should-retry` takes precedence."""
    match headers.get("x-should-retry"):
        case "true":
            return True
        case "false":
            return False
    return status in {408, 409, 429} or status >= 500


def wait_before(tries: int, headers: Mapping[str, str], *, now: float, random: Callable[[], float]) -> float | None:
    """Seconds until the next try; None if the server asks for a wait longer than the limit.

    `tries` is the number of tries so far, `now` is the wall clock (for HTTP dates), `random` gives [0, 1).
    """
    asked = asked_wait(headers, now)
    if asked is None:
        return backoff(tries) * (1 - 0.25 * random())
    return asked if asked <= PATIENCE else None


def backoff(tries: int) -> float:
    """0.5 s, 1 s, 2 s … up to 8 s."""
    return min(FIRST * 2.0 ** min(tries - 1, 10), LONGEST)


def asked_wait(headers: Mapping[str, str], now: float) -> float | None:
    """The wait that the server asks for: `retry-after-ms`, else `retry-after` in seconds or as a date. Other values are
    ignored.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        return max(parsedate_to_datetime(value).timestamp() - now, 0.0)
    except (ValueError, TypeError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 <= value < float("inf") else None

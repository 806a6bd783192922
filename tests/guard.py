"""The time limits of tests: generous, because a loaded machine may stop a process for seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

GUARD = 30.0
"""Seconds after which a test gives up on something that happens within milliseconds."""


def attempts(
    early: type[BaseException] = AssertionError, limits: Sequence[float] = (0.2, 1.0, 5.0)
) -> Iterator[AbstractContextManager[float]]:
    """Blocks that get a time limit in seconds. After `early`, which a limit too short for a loaded machine makes, the
    next block gets a longer one. A claim that never holds fails with the longest, too.
    """
    held = False

    @contextmanager
    def attempt(limit: float) -> Iterator[float]:
        nonlocal held
        try:
            yield limit
            held = True
        except early:
            if limit == limits[-1]:
                raise

    for limit in limits:
        if not held:
            yield attempt(limit)

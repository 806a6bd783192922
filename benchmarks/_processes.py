"""The benchmark server in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def server(core: int | None = None) -> Iterator[int]:
    """Give the port of a running server; on one core of its own where the machine has another."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks._server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    port = int(process.stdout.readline())
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, {core})
    try:
        yield port
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


@contextmanager
def one_core(core: int) -> Iterator[None]:
    """Keep this process on one core."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)

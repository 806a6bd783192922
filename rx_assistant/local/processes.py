"""Separate processes of this program, for work that must not harm the server: the code for both ends.

The server holds a `SeparateProcess`. The module in the process calls `limit`, so that the system ends it in time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO

_PATIENCE = 2.0  # seconds for a process that ends gently


class KilledError(Exception):
    """The process was killed because the server no longer wants its result."""


class SeparateProcess:
    """Runs a module of this package, with options as JSON. Any thread may kill it, even before it starts."""

    def __init__(self, module: str, options: Mapping[str, object], environment: Mapping[str, str] = os.environ) -> None:
        # -P and the parent's path: the same packages, and no modules from the working directory.
        self.command = [sys.executable, "-P", "-m", module, json.dumps(options)]
        self._environment = {**environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self.killed = False
        self.late = False

    def kill(self, *, gently: bool = False) -> None:
        """End the process at once, or let it end by itself when `reap` waits for it."""
        with self._lock:
            self.killed = True
            if self._process is not None and gently:
                self._process.terminate()
            elif self._process is not None:
                self._process.kill()

    def reap(self) -> None:
        """Wait until a killed process has ended, and close its pipes."""
        if self._process is None:
            return
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
        with suppress(BrokenPipeError), self._process:
            pass

    def start(self, stdin: int | IO[bytes] = subprocess.PIPE) -> subprocess.Popen[bytes]:
        """Start it, with a pipe as its stdout. KilledError if it was killed before."""
        with self._lock:
            if self.killed:
                raise KilledError
            self._process = subprocess.Popen(
                self.command,
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=self._environment,
                start_new_session=True,  # Ctrl-C in the terminal must only reach the server
            )
            return self._process

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Kill the process if the block takes longer; then `late` is true."""
        timer = threading.Timer(seconds, self._be_late)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _be_late(self) -> None:
        self.late = True
        self.kill()


def limit(**values: int) -> None:
    """Limit this process, by the names of `resource` without `RLIMIT_`. Limits that the system lacks are left out."""
    try:
        import resource
    except ImportError:
        return
    for name, value in values.items():
        with suppress(AttributeError, ValueError, OSError):  # macOS refuses to limit the address space
            kind = getattr(resource, f"RLIMIT_{name}")
            hard = resource.getrlimit(kind)[1]
            soft = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (soft, hard if name == "CPU" else soft))

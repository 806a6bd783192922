"""Durable servers for tests: one in a process that can be killed, and the engine that both kinds use."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from local.conftest import Api

OPENED: list[Api] = []
"""The clients that `at` opened. The caller of `at` closes their connections."""


def at(server: Any) -> Api:
    """Plain HTTP against the server."""
    OPENED.append(Api(server))
    return OPENED[-1]


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Process:
    """A durable server in a process of its own, on a port that it keeps over restarts."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = free_port()
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Api:
        """Starts it; returns when it listens."""
        script = Path(__file__).with_name("run_durable.py")
        self._process = subprocess.Popen(
            [sys.executable, str(script), str(self.data), str(self.port)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(script.parent.parent)},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline().strip() == self.base_url
        return at(self)

    def kill(self, sig: int = signal.SIGKILL) -> None:
        """Ends it; without a chance to tidy up, unless another signal is given."""
        if self._process is not None:
            self._process.send_signal(sig)
            self._process.wait(20)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

"""PDF and Office files, each read by a separate process (`worker.py`).

A malicious file can stop only that process. A process is killed at its time limit, when the task that waits for the
text is cancelled, and at `close`. The caller limits the number of processes at once.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from rx_assistant.local.processes import KilledError, SeparateProcess
from rx_assistant.local.retrieval.extraction import Extracted, ExtractionError, ending_of

_MOST_OUTPUT = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one process: seconds of processor time, seconds of wall time, bytes of memory."""

    cpu: int = 60
    wall: int = 120
    memory: int = 2**30


class DocumentReader:
    """Starts the processes and ends them."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._workers: set[_Worker] = set()
        self._closed = False

    async def read(self, filename: str, path: Path) -> Extracted:
        """The file's text with its pages. ExtractionError if it cannot be read within the limits."""
        worker = _Worker(ending_of(filename), self._limits)
        self._workers.add(worker)
        if self._closed:
            worker.kill()
        try:
            return await asyncio.to_thread(worker.read, path)
        except KilledError:
            raise asyncio.CancelledError from None
        finally:
            worker.kill()
            self._workers.discard(worker)

    def close(self) -> None:
        """Kills every process. Later readings are cancelled."""
        self._closed = True
        for worker in list(self._workers):
            worker.kill()


class _Worker(SeparateProcess):
    """The process that reads one file."""

    def __init__(self, ending: str, limits: Limits) -> None:
        self._limits = limits
        options = {
            "ending": ending,
            "cpu": limits.cpu,
            "wall": limits.wall,
            "memory": limits.memory,
            "parent": os.getpid(),
        }
        super().__init__("rx_assistant.local.retrieval.worker", options)

    def read(self, path: Path) -> Extracted:
        """Runs the process; returns when it has ended."""
        with path.open("rb") as content:
            process = self.start(content)
        with self.within(self._limits.wall), process:
            assert process.stdout is not None
            output = process.stdout.read(_MOST_OUTPUT + 1)
            if len(output) > _MOST_OUTPUT:
                process.kill()
        return self._judged(output, process.returncode)

    def _judged(self, output: bytes, status: int) -> Extracted:
        if self.late:
            raise ExtractionError("invalid_file", f"Reading the file takes longer than {self._limits.wall} seconds.")
        if self.killed:
            raise KilledError
        if status == -getattr(signal, "SIGXCPU", 0):
            message = f"Reading the file takes more than {self._limits.cpu} seconds of processor time."
            raise ExtractionError("invalid_file", message)
        if len(output) > _MOST_OUTPUT:
            raise ExtractionError("invalid_file", "The file has too much text.")
        if status < 0:
            raise ExtractionError("invalid_file", f"Reading the file failed: its process ended with signal {-status}.")
        if status > 0:
            raise RuntimeError(f"the process that reads documents ended with exit code {status}: {self.command}")
        reply = json.loads(output)
        if "error" in reply:
            raise ExtractionError(*reply["error"])
        return Extracted.of_pages(reply["pages"])

"""The command line: talk to a server, be one, move its data. `run` says the exit codes."""

from __future__ import annotations

from rx_assistant.cli.app import run

__all__ = ["run"]

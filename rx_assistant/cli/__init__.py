"""The command line: ask, replay, serve, watch and upload. Errors are one sentence; exit codes are said in `run`."""

from __future__ import annotations

from rx_assistant.cli._app import run

__all__ = ["run"]

"""The command line: ask, models, replay, serve, watch and upload. Exit codes are said in `run`."""

from __future__ import annotations

from rx_assistant.cli.app import run

__all__ = ["run"]

"""The front door of the local server: `serve` in a thread."""

from __future__ import annotations

from rx_assistant.local.engine import Engine
from rx_assistant.local.engines.builtin import BuiltinEngine
from rx_assistant.local.server import Server
from rx_assistant.local.state import Settings, State


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    engine: Engine | None = None,
    *,
    api_key: str | None = None,
    log_level: str = "error",
    run_ttl: float = 600.0,
) -> Server:
    """A server for a `with` (or `async with`) block, on a free port unless `port` names one.

    `run_ttl` is after how many seconds a run expires.
    """
    state = State(Settings(api_key=api_key, run_ttl=run_ttl), engine or BuiltinEngine())
    return Server(state, host, port, log_level)

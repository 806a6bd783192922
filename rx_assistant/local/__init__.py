"""An Assistants server on this machine: for demonstrations, for tests, and for applications written for the hosted one.

with rx_assistant.local.serve() as server:
    client = AssistantClient(base_url=server.base_url)
"""

from __future__ import annotations

from rx_assistant.local.engine import Engine, RunContext
from rx_assistant.local.server import Server
from rx_assistant.local.serving import serve

__all__ = ["Engine", "RunContext", "Server", "serve"]

"""An Assistants server on this machine: for demonstrations, for tests, and for applications written for the hosted one.

    with rx_assistant.local.serve() as server:
        client = AssistantClient(base_url=server.base_url)

`serve` runs it in a thread, `run` in the foreground, `app` gives the ASGI application. What answers is an engine:
`rx_assistant.local.engine` has the protocol and the actions, `rx_assistant.local.engines` those that come along.
"""

from __future__ import annotations

try:
    from rx_assistant.local.engine import Engine, RunContext
    from rx_assistant.local.server import Server
    from rx_assistant.local.serving import app, run, serve
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] in ("starlette", "uvicorn", "python_multipart", "yaml"):
        raise ModuleNotFoundError(
            "the local server needs more packages: pip install 'rx_assistant[local]'", name=error.name
        ) from error
    raise

__all__ = ["Engine", "RunContext", "Server", "app", "run", "serve"]

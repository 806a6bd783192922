"""An Assistants server on this machine: for demonstrations, for tests, and for applications written for the hosted one.

    with rx_assistant.local.serve() as server:
        client = AssistantClient(base_url=server.base_url)

`serve` runs it in a thread, `run` in the foreground, `app` gives the ASGI application, and `transport` lets clients of
httpx and httpx2 ask it without a port. What answers is an engine: `rx_assistant.local.engine` has the protocol and the
actions, `rx_assistant.local.engines` those that come along. The names are loaded when they are first touched, because
the server needs the packages of the `local` extra.
"""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rx_assistant.local.engine import Engine, RunContext
    from rx_assistant.local.in_process import Transport
    from rx_assistant.local.server import Server
    from rx_assistant.local.serving import app, run, serve, transport

__all__ = ["Engine", "RunContext", "Server", "Transport", "app", "run", "serve", "transport"]

_HOMES = {
    "Engine": "engine",
    "RunContext": "engine",
    "Server": "server",
    "app": "serving",
    "run": "serving",
    "serve": "serving",
    "Transport": "in_process",
    "transport": "serving",
}
_MODULES = ("engine", "engines")
_EXTRA = ("starlette", "uvicorn", "python_multipart", "yaml")


def __getattr__(name: str) -> object:
    if name not in _HOMES and name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOMES.get(name, name)}")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ModuleNotFoundError(
            "the local server needs more packages: pip install 'rx_assistant[local]'", name=error.name
        ) from error
    return module if name in _MODULES else getattr(module, name)


def __dir__() -> list[str]:
    """The names that can be touched: without the extra, those of `engine`."""
    complete = all(map(find_spec, _EXTRA))
    return [name for name in (*__all__, *_MODULES) if complete or _HOMES.get(name, name) == "engine"]

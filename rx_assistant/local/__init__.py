"""An Assistants server on this machine: for demonstrations, for tests, and for applications of the hosted service.

    with rx_assistant.local.serve() as server:
        client = AssistantClient(base_url=server.base_url)

`serve` runs it in a thread, `run` in the foreground, `app` gives the ASGI application, and `transport` lets clients of
httpx and httpx2 use it without a port. An engine answers the runs: `rx_assistant.local.engine` has the protocol and the
actions, `rx_assistant.local.engines` the engines of this package. The names are loaded when they are first used,
because the server needs the packages of the `local` extra.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from rx_assistant.lazy import exports_of, load

if TYPE_CHECKING:
    from rx_assistant.local.exports import *  # noqa: F403

_MODULES = ("engine", "engines")
_HOME_OF = {**exports_of(__name__), **dict.fromkeys(_MODULES, __name__)}
_EXTRA = ("starlette", "uvicorn", "python_multipart", "yaml")

__all__ = sorted(_HOME_OF.keys() - _MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    try:
        return load(__name__, _HOME_OF, name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ModuleNotFoundError(
            "the local server needs more packages: pip install 'rx_assistant[local]'", name=error.name
        ) from error


def __dir__() -> list[str]:
    """The names that can be used: without the extra, only `engine` and its names."""
    complete = all(map(find_spec, _EXTRA))
    return [
        name for name in (*__all__, *_MODULES) if complete or name == "engine" or "engine" in _HOME_OF[name].split(".")
    ]

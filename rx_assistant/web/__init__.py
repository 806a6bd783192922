"""Streams for browsers: server-sent events that resume, in the protocols that web pages read.

    return EventStreamResponse(stream)                          # Starlette, FastAPI: the unchanged Assistants events
    return EventStreamResponse(stream, protocol="ui_message")   # `useChat` of the Vercel AI SDK
    return EventStreamResponse(stream, protocol="ag_ui")        # AG-UI clients
    return EventStream(stream)                                  # Flask, and other WSGI frameworks

`rx_assistant.web.ag_ui` reads AG-UI too. The names are loaded when they are first used: `EventStreamResponse` needs
Starlette, AG-UI the package `ag-ui-protocol`.

    pieces        events → runs, steps, texts, calls: the content of every protocol
    encoder       the Encoder protocol
    assistants, ui_message, ag_ui      the encoders
    reading       a place in a stream → the next bytes; cursors
    event_stream  bodies for threads (WSGI) and tasks
    asgi          EventStreamResponse
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from rx_assistant.lazy import exports_of, load

if TYPE_CHECKING:
    from rx_assistant.web.exports import *  # noqa: F403

_HOME_OF = {**exports_of(__name__), "ag_ui": __name__}
_EXTRAS = {"EventStreamResponse": ("starlette", "web"), "ag_ui": ("ag_ui", "ag-ui")}

__all__ = sorted(_HOME_OF.keys() - {"ag_ui"})  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    try:
        return load(__name__, _HOME_OF, name)
    except ModuleNotFoundError as error:
        package, extra = _EXTRAS.get(name, ("", ""))
        if (error.name or "").partition(".")[0] != package:
            raise
        raise ModuleNotFoundError(
            f"{name} needs another package: pip install 'rx_assistant[{extra}]'", name=error.name
        ) from error


def __dir__() -> list[str]:
    """The names that can be used without further packages."""
    return [name for name in (*__all__, "ag_ui") if name not in _EXTRAS or find_spec(_EXTRAS[name][0]) is not None]

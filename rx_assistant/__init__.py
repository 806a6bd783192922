"""The Assistants event stream as a hot Observable, with operators, snapshots, polling and a local server.

Names are loaded when they are first used (PEP 562), so that importing the package costs next to nothing. The packages
`operators`, `types`, `gui` and `local` are reached the same way: `rx_assistant.local.serve()`. `exports.py` lists the
names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rx_assistant.lazy import exports_of, load

if TYPE_CHECKING:
    from rx_assistant.exports import *  # noqa: F403

_HOME_OF = exports_of(__name__)

__all__ = sorted(  # pyright: ignore[reportUnsupportedDunderAll]
    _HOME_OF, key=lambda name: (not name.isupper(), name)
)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("rx_assistant")
    value = load(__name__, _HOME_OF, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

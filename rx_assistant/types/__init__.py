"""Every object of the Assistants API as a pydantic model, and every request body as a TypedDict.

One flat namespace with the SDK's names; modules are loaded at first access. If the SDK uses one name for several types,
the type that the SDK exports keeps the name. Of the others, the part of a finished object has the plain name, and the
rest name their owner: `LastError` belongs to a run, `RunStepLastError` to a step; `FileCitation` is final,
`FileCitationDelta` is not; `FunctionDefinition` is a model, `FunctionDefinitionParam` a request's TypedDict.

`exports.py` lists the names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rx_assistant.lazy import exports_of, load

if TYPE_CHECKING:
    from rx_assistant.types.exports import *  # noqa: F403

_HOME_OF = exports_of(__name__)

__all__ = sorted(_HOME_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    value = load(__name__, _HOME_OF, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__

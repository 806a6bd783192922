"""The text that the model gets in place of the output of a failed call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

from rx_assistant.errors import ToolError

ExposeErrors: TypeAlias = Literal["type", "message"] | Callable[[BaseException], str]
"""What the model learns about an exception: its type, also its message, or the text that a function returns."""


def checked(expose: ExposeErrors) -> ExposeErrors:
    """Return the option if it is valid; otherwise raise TypeError or ValueError."""
    if not (expose in ("type", "message") or callable(expose)):
        raise ValueError(f"expose_errors must be 'type', 'message' or a function, got {expose!r}")
    return expose


def failure_text(error: BaseException, expose: ExposeErrors) -> str:
    """The text for the model. A ToolError is written for the model; any other exception may hold secrets."""
    if isinstance(error, ToolError):
        return f"error: {error}"
    if callable(expose):
        return str(expose(error))
    kind = type(error).__name__
    return f"error: {kind}: {error}" if expose == "message" else f"error: the tool failed with {kind}"

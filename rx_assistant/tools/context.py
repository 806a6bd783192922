"""What a tool can know about its call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class ToolContext:
    """The call that a tool answers. A parameter with this annotation gets it; the model does not see the parameter."""

    __slots__ = ("_report", "_wake", "arguments", "call_id", "cancelled", "name", "run_id", "thread_id")

    def __init__(
        self,
        call_id: str,
        name: str,
        arguments: str,
        *,
        run_id: str | None = None,
        thread_id: str | None = None,
        report: Callable[[Any], None] | None = None,
    ) -> None:
        self.call_id = call_id
        self.name = name
        self.arguments = arguments
        self.run_id = run_id
        self.thread_id = thread_id
        self.cancelled = False
        """Whether the call was cancelled. A function in a thread continues, but its output is not used."""
        self._report = report
        self._wake: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"ToolContext(call_id={self.call_id!r}, name={self.name!r}, arguments={self.arguments!r})"

    def give_up(self) -> None:
        """Cancel the call: its output is not needed any more."""
        self.cancelled = True
        if self._wake is not None:
            self._wake()

    def when_given_up(self, wake: Callable[[], None]) -> None:
        """Call `wake` when the call is cancelled."""
        self._wake = wake

    def report(self, item: Any) -> None:
        """Emit `item` as a ToolProgress event; from any thread."""
        if self._report is not None and not self.cancelled:
            self._report(item)

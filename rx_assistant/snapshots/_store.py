"""One run's state at every version: append-only, shared by all snapshots that were folded one from the other.

Theory of operation. A snapshot is a store and a version. Folding an event onto the newest snapshot appends to the
store, stamped with the next version, and then publishes that version; older snapshots go on reading what was there at
theirs. Folding onto an older snapshot copies the store up to it first. Whether a snapshot is the newest is decided, and
everything is written, under `lock`; no foreign code runs under it. Reading takes no lock: every log appends its
version last, or swaps a whole tuple.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from rx_assistant.snapshots._history import History, count_at
from rx_assistant.snapshots._states import CallState, MessageState, StepState

if TYPE_CHECKING:
    from typing import Any

    from rx_assistant.events import Held
    from rx_assistant.types import Run, Thread


class Store:
    """What a run's events have said so far, by identity."""

    __slots__ = (
        "calls",
        "drops",
        "held",
        "lock",
        "message_order",
        "messages",
        "run",
        "step_order",
        "steps",
        "stray",
        "strays",
        "thread",
        "version",
        "warned",
    )

    def __init__(self) -> None:
        self.lock = Lock()
        self.version = 0
        self.thread: History[Thread] = History()
        self.run: History[Run] = History()
        self.messages: dict[str, MessageState] = {}
        self.message_order: list[tuple[int, MessageState]] = []
        self.steps: dict[str, StepState] = {}
        self.step_order: list[tuple[int, StepState]] = []
        self.calls: list[tuple[int, CallState]] = []
        self.stray: StepState | None = None  # holds the calls that a run requires and no step has shown
        self.strays: dict[str, CallState] = {}  # the same calls by id
        self.drops: int | None = None  # the first version with a call that its step's final object does not hold
        self.held: History[Held] | None = None  # the halves of characters at the ends of texts, once there are any
        self.warned = False  # whether an event without an id has been logged

    def add_message(self, version: int, state: MessageState) -> None:
        """From `version` on there is this message."""
        self.messages[state.id] = state
        self.message_order.append((version, state))

    def add_step(self, version: int, state: StepState) -> None:
        """From `version` on there is this step."""
        self.steps[state.id] = state
        self.step_order.append((version, state))

    def hold(self, version: int, held: Held) -> None:
        """From `version` on these halves of characters wait for their other half."""
        self.held = self.held or History()
        self.held.put(version, held)

    def fork(self, version: int) -> Store:
        """The store as it was at `version`, to be continued on its own. Call it under the lock."""
        copied = Store()
        copied.version = version
        copied.thread = self.thread.copy(version)
        copied.run = self.run.copy(version)
        for since, message in self.message_order[: count_at(self.message_order, version)]:
            copied.add_message(since, message.copy(version))
        for since, step in self.step_order[: count_at(self.step_order, version)]:
            copied.add_step(since, step.copy(version))
        copied.stray = self.stray and self.stray.copy(version)
        found = copied.stray.calls.at(version) if copied.stray else []
        copied.strays = {call.identity.at(version) or "": call for call in found}
        for since, call in self.calls[: count_at(self.calls, version)]:
            copied.calls.append((since, copied.call_like(call)))
        copied.drops = self.drops if self.drops is not None and self.drops <= version else None
        copied.held = self.held and self.held.copy(version)
        copied.warned = self.warned
        return copied

    def call_like(self, other: CallState) -> CallState:
        """This store's state of a call that a copied store knows."""
        step = self.steps.get(other.step_id) or self.stray
        found = step.calls.by_index.get(other.index) if step else None
        assert found is not None
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        names = [name for name in self.__slots__ if name != "lock"]
        return _restore, ({name: getattr(self, name) for name in names},)


def _restore(fields: dict[str, Any]) -> Store:
    store = Store()
    for name, value in fields.items():
        setattr(store, name, value)
    return store

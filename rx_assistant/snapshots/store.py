"""One run's state at every version: append-only, shared by a chain of folded snapshots.

Theory of operation. A snapshot is a store and a version. Folding an event onto the newest snapshot appends to the
store under the next version; older snapshots keep reading their own version. Folding onto an older snapshot first
copies the store up to that version. The test for the newest snapshot and all writes happen under `lock`; no user code
runs under it. Reading and copying take no lock, because every log appends its version last, or replaces a whole tuple.

A store with `has_writer` belongs to one `Fold`, which writes without the lock. Folding onto any of its snapshots copies
it first.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from rx_assistant.snapshots.history import History, count_at
from rx_assistant.snapshots.states import CallState, MessageState, StepState

if TYPE_CHECKING:
    from typing import Any

    from rx_assistant.events import Held
    from rx_assistant.snapshots.changes import Changes, State
    from rx_assistant.types import Run, Thread


class Store:
    """The state of a run: messages and steps by their ids."""

    __slots__ = (
        "appended",
        "calls",
        "drops",
        "has_writer",
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
        self.version = 0  # the newest one, also after a failure that left it incomplete
        self.has_writer = False
        self.appended: dict[State, Changes] = {}
        self.thread: History[Thread] = History()
        self.run: History[Run] = History()
        self.messages: dict[str, MessageState] = {}
        self.message_order: list[tuple[int, MessageState]] = []
        self.steps: dict[str, StepState] = {}
        self.step_order: list[tuple[int, StepState]] = []
        self.calls: list[tuple[int, CallState]] = []
        self.stray: StepState | None = None  # holds the calls that a run requires before a step has shown them
        self.strays: dict[str, CallState] = {}  # the same calls by id
        self.drops: int | None = None  # the first version with a call that is missing in its step's final object
        self.held: History[Held] | None = None  # the halves of characters at the ends of texts, once there are any
        self.warned = False  # whether an event without an id has been logged

    def add_message(self, version: int, state: MessageState) -> None:
        """Add a message from `version` on."""
        self.messages[state.id] = state
        self.message_order.append((version, state))

    def add_step(self, version: int, state: StepState) -> None:
        """Add a step from `version` on."""
        self.steps[state.id] = state
        self.step_order.append((version, state))

    def hold(self, version: int, held: Held) -> None:
        """Store the halves of characters that wait for their second half from `version` on."""
        self.held = self.held or History()
        self.held.put(version, held)

    def fork(self, version: int) -> Store:
        """A copy of the store up to `version`, independent of this one."""
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
        """The state in this store of the same call as `other`, which belongs to the store that this one copies."""
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

"""RunSnapshot: a run's state after one event. Each field is read from the store when the program reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, overload

from rx_assistant.snapshots.history import count_at
from rx_assistant.snapshots.states import MessageState, StepState
from rx_assistant.snapshots.store import Store

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema, SchemaSerializer

    from rx_assistant.snapshots.model import RunState
    from rx_assistant.types import Message, RequiredAction, Run, RunStatus, RunStep, Text, Thread, ToolCall, Usage

_T = TypeVar("_T", covariant=True)


class _Viewable(Protocol[_T]):
    def view(self, version: int) -> _T: ...


class Views(Sequence[_T], Generic[_T]):
    """A read-only list that builds its items at access. Equal to a list of equal items."""

    __slots__ = ("_count", "_states", "_version")

    def __init__(self, states: Sequence[tuple[int, _Viewable[_T]]], count: int, version: int) -> None:
        self._states = states
        self._count = count
        self._version = version

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> _T: ...
    @overload
    def __getitem__(self, index: slice) -> list[_T]: ...
    def __getitem__(self, index: int | slice) -> _T | list[_T]:
        if isinstance(index, slice):
            return [self[at] for at in range(*index.indices(self._count))]
        at = index + self._count if index < 0 else index
        if not 0 <= at < self._count:
            raise IndexError(f"index out of range: got {index}, the list has {self._count} items")
        return self._states[at][1].view(self._version)

    def __iter__(self) -> Iterator[_T]:
        return map(self.__getitem__, range(self._count))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Views | list):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(list(self))


class RunSnapshot:
    """A run's state after one event: `run`, `messages`, `steps`, `tool_calls`, and values computed from them.

    `RunSnapshot()` is the state before any event; `fold` returns the others. A snapshot never changes, and may be read
    from any thread. It only holds a reference to a shared store and a number, and reading one field computes that field
    only.
    """

    __slots__ = ("_store", "_version")
    _restored: ClassVar[Callable[[RunState], RunSnapshot]]  # set by the module that folds, which imports this one

    def __init__(self, store: Store | None = None, version: int = 0) -> None:
        self._store = Store() if store is None else store
        self._version = version

    @property
    def version(self) -> int:
        """The version of the store that the snapshot shows, for `view(version)` of a State from `advance`."""
        return self._version

    @property
    def thread(self) -> Thread | None:
        """The thread, if a `thread.created` event has brought it; None otherwise."""
        return self._store.thread.at(self._version)

    @property
    def run(self) -> Run | None:
        """The newest run object from the server; None before the first run event."""
        return self._store.run.at(self._version)

    @property
    def status(self) -> RunStatus | None:
        """The run's status; None before the first run event."""
        run = self.run
        return run.status if run else None

    @property
    def usage(self) -> Usage | None:
        """The tokens that the run used; None until the server has sent them, which it does when the run has ended."""
        run = self.run
        return run.usage if run else None

    @property
    def required_action(self) -> RequiredAction | None:
        """The calls whose outputs the run waits for; None if it does not wait for outputs."""
        run = self.run
        return run.required_action if run else None

    @property
    def messages(self) -> Sequence[Message]:
        """The messages, in the order of their first event."""
        states, version = self._store.message_order, self._version
        return Views(states, count_at(states, version), version)

    @property
    def steps(self) -> Sequence[RunStep]:
        """The run steps, in the order of their first event."""
        states, version = self._store.step_order, self._version
        return Views(states, count_at(states, version), version)

    @property
    def tool_calls(self) -> Sequence[ToolCall]:
        """The tool calls of all steps, in the order of their first event.

        Calls that are missing in the final object of their step are left out.
        """
        states, version = self._store.calls, self._version
        count, drops = count_at(states, version), self._store.drops
        if drops is not None and drops <= version:
            states = [each for each in states[:count] if not each[1].is_dropped(version)]
            count = len(states)
        return Views(states, count, version)

    @property
    def text(self) -> str:
        """The texts of all messages, joined; for a finished message, the texts of its final object."""
        states, version = self._store.message_order, self._version
        return "".join(message.text(version) for _, message in states[: count_at(states, version)])

    def message_state(self, message_id: str) -> MessageState | None:
        """The store's state of the message with this id; None if there is none yet."""
        state = self._store.messages.get(message_id)
        return state if state and state.since <= self._version else None

    def step_state(self, step_id: str) -> StepState | None:
        """The store's state of the step with this id; None if there is none yet."""
        state = self._store.steps.get(step_id)
        return state if state and state.since <= self._version else None

    def message(self, message_id: str) -> Message | None:
        """The message with this id; None if there is none yet."""
        state = self.message_state(message_id)
        return state.view(self._version) if state else None

    def step(self, step_id: str) -> RunStep | None:
        """The step with this id; None if there is none yet."""
        state = self.step_state(step_id)
        return state.view(self._version) if state else None

    def text_part(self, message_id: str, index: int) -> Text | None:
        """The text at this content index of the message with this id; None if there is none yet."""
        state = self._store.messages.get(message_id)
        part = state.part(index, self._version) if state else None
        return part.text(self._version) if part and part.kind == "text" else None

    def tool_call(self, step_id: str, index: int) -> ToolCall | None:
        """The tool call at this index of the step with this id; None if there is none yet."""
        state = self._store.steps.get(step_id)
        call = state.call(index, self._version) if state else None
        return call.view(self._version) if call else None

    def to_model(self) -> RunState:
        """The whole state as a plain model with `thread`, `run`, `messages` and `steps`."""
        from rx_assistant.snapshots.model import RunState

        return RunState(
            thread=self.thread,
            run=self.run,
            messages=[message.to_model() for message in self.messages],
            steps=[step.to_model() for step in self.steps],
        )

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """The whole state as plain dicts; the options are those of pydantic's `model_dump`."""
        return self.to_model().model_dump(**options)

    def model_dump_json(self, **options: Any) -> str:
        """The whole state as JSON; the options are those of pydantic's `model_dump_json`."""
        return self.to_model().model_dump_json(**options)

    def to_dict(self, **options: Any) -> dict[str, Any]:
        """The whole state as plain dicts, without fields that were not on the wire; like `to_dict` of the models."""
        return self.to_model().to_dict(**options)

    def to_json(self, **options: Any) -> str:
        """The whole state as JSON text, without fields that were not on the wire; like `to_json` of the models."""
        return self.to_model().to_json(**options)

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """`thread`, `run`, `messages` and `steps` as pairs, like iterating over a pydantic model."""
        return iter(self.to_model())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from rx_assistant.snapshots.model import snapshot_schema

        return snapshot_schema(cls, handler)

    @property
    def __pydantic_serializer__(self) -> SchemaSerializer:
        from rx_assistant.snapshots.model import serializer

        return serializer()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RunSnapshot):
            return NotImplemented
        if self._store is other._store and self._version == other._version:
            return True
        return self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash((self.run, len(self.messages), len(self.steps)))

    def _parts(self) -> tuple[Any, ...]:
        return self.thread, self.run, self.messages, self.steps, self.tool_calls

    def __reduce__(self) -> tuple[Any, ...]:
        with self._store.lock:
            return RunSnapshot, (self._store.fork(self._version), self._version)

    def __copy__(self) -> RunSnapshot:
        return self

    def __deepcopy__(self, memo: object) -> RunSnapshot:
        return self

    def _repr_markdown_(self) -> str:
        from rx_assistant.types._markdown import joined, of_tool_call

        run = self.run._repr_markdown_() if self.run else ""
        messages = [message._repr_markdown_() for message in self.messages]
        return joined([run, *map(of_tool_call, self.tool_calls), *messages])

    def __repr__(self) -> str:
        run = self.run
        shown = f"{run.id!r} {run.status}" if run else "None"
        counts = f"messages={len(self.messages)}, steps={len(self.steps)}, tool_calls={len(self.tool_calls)}"
        return f"RunSnapshot(run={shown}, {counts})"

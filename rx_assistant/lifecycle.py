"""Statuses, the allowed transitions between them, and the order of a run's events. Event contents are unknown here.

No other module lists statuses. Code that needs to know whether an object is finished reads these tables.

Theory of a stream. A run, its steps and its messages are each created once and then move through their statuses
(the first table). A stream interleaves these objects in one order (the second table): a run works on one step at a
time, a step either writes one message or makes tool calls, and an inner object ends before the outer one. A stream
ends with `done`, which follows the status at which the run stops, or with `error`, which may come at any time.
Readers do not receive these two: their stream completes or fails. A recording of several streams of one run
continues after `requires_action`.

`Grammar` checks a stream against both tables. In "strict" mode it accepts exactly what they allow, and a status must
be the one in the event's name. In "lenient" mode it checks only each object's own transitions: statuses may be
skipped, steps and messages may overlap or come without each other, and if `data.status` and the name of an event
differ, `data.status` counts. The recorded streams of servers have all of this. Both modes skip unknown events.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from rx_assistant.errors import ProtocolError

__all__ = [
    "EVENTS",
    "FILE",
    "FILE_BATCH",
    "MESSAGE",
    "RUN",
    "RUN_STOPS",
    "STEP",
    "VECTOR_STORE",
    "VECTOR_STORE_FILE",
    "Grammar",
    "Lifecycle",
    "Meaning",
    "VerifyMode",
]

VerifyMode: TypeAlias = Literal["lenient", "strict"]


class Lifecycle:
    """The statuses of one kind of object and the transitions between them; a status without transitions is terminal.

    `failures` are the terminal statuses other than success. `stops` are the statuses at which polling stops, because
    nothing changes without another request.
    """

    __slots__ = ("_reachable", "failures", "initial", "name", "statuses", "stops", "terminal", "transitions")

    def __init__(self, name: str, transitions: Mapping[str, str], failures: str = "", pauses: str = "") -> None:
        self.name = name
        self.transitions = {status: frozenset(following.split()) for status, following in transitions.items()}
        self.initial = next(iter(transitions))
        self.statuses = frozenset(transitions)
        self.terminal = frozenset(status for status, following in self.transitions.items() if not following)
        self.failures = frozenset(failures.split())
        self.stops = self.terminal | frozenset(pauses.split())
        self._reachable = {status: self._closure(status) for status in transitions}

    def __repr__(self) -> str:
        return f"<Lifecycle of a {self.name}>"

    def may_become(self, status: str, following: str) -> bool:
        """Whether `following` may come next. The initial status comes twice: with `created`, then under its name."""
        return following in self.transitions[status] or status == following == self.initial

    def may_reach(self, status: str, following: str) -> bool:
        """Whether `following` may come at any later time, if statuses may be skipped or repeated."""
        return following in self._reachable[status] or (status == following and status not in self.terminal)

    def _closure(self, status: str) -> frozenset[str]:
        reached: set[str] = set()
        ahead = set(self.transitions[status])
        while ahead:
            reached |= ahead
            ahead = {later for each in ahead for later in self.transitions[each]} - reached
        return frozenset(reached)


# -- first table: status → the statuses that may follow; the first one is the initial status ---------------------

RUN = Lifecycle(
    "run",
    {
        "queued": "in_progress cancelling failed expired",
        "in_progress": "requires_action cancelling completed failed incomplete expired",
        "requires_action": "queued cancelling expired",
        "cancelling": "cancelled completed failed incomplete expired",  # the run may end before the cancel takes effect
        "completed": "",
        "failed": "",
        "cancelled": "",
        "incomplete": "",
        "expired": "",
    },
    failures="failed cancelled incomplete expired",
    pauses="requires_action",
)
STEP = Lifecycle(
    "step",
    {
        "in_progress": "completed failed cancelled expired",
        "completed": "",
        "failed": "",
        "cancelled": "",
        "expired": "",
    },
    failures="failed cancelled expired",
)
MESSAGE = Lifecycle(
    "message", {"in_progress": "completed incomplete", "completed": "", "incomplete": ""}, failures="incomplete"
)
VECTOR_STORE = Lifecycle(
    "vector store",
    {"in_progress": "completed", "completed": "in_progress expired", "expired": ""},  # a new file reopens it
    failures="expired",
    pauses="completed",
)
VECTOR_STORE_FILE = Lifecycle(
    "vector store file",
    {"in_progress": "completed failed cancelled", "completed": "", "failed": "", "cancelled": ""},
    failures="failed cancelled",
)
FILE_BATCH = Lifecycle(
    "file batch",
    {"in_progress": "completed failed cancelled", "completed": "", "failed": "", "cancelled": ""},
    failures="failed cancelled",
)
FILE = Lifecycle("file", {"uploaded": "processed error", "processed": "", "error": ""}, failures="error")

RUN_STOPS = RUN.stops
"""The statuses at which a run stops: the terminal ones and `requires_action`."""


class Meaning(NamedTuple):
    """The meaning of an event's name: the lifecycle of its object, the last word, and the object's status afterwards.

    `life` is None for `thread.created`, `error` and `done`; `status` is None for these and for deltas.
    """

    life: Lifecycle | None
    verb: str
    status: str | None


def _events(prefix: str, life: Lifecycle, verbs: str) -> dict[str, Meaning]:
    statuses = {"created": life.initial, "delta": None}
    return {f"{prefix}.{verb}": Meaning(life, verb, statuses.get(verb, verb)) for verb in verbs.split()}


EVENTS: Mapping[str, Meaning] = {
    "thread.created": Meaning(None, "created", None),
    **_events("thread.run", RUN, "created queued in_progress requires_action completed incomplete failed"),
    **_events("thread.run", RUN, "cancelling cancelled expired"),
    **_events("thread.run.step", STEP, "created in_progress delta completed failed cancelled expired"),
    **_events("thread.message", MESSAGE, "created in_progress delta completed incomplete"),
    "error": Meaning(None, "error", None),
    "done": Meaning(None, "done", None),
}

# -- second table: state of a stream → event → next state --------------------------------------------------------

_RUN_ENDS = {f"thread.run.{status}": "ended" for status in sorted(RUN.terminal)}
_STEP_ENDS = {f"thread.run.step.{status}": "running" for status in sorted(STEP.terminal)}
_TOOLS = {"thread.run.step.delta": "tool calls", **_STEP_ENDS, "thread.run.requires_action": "waiting"}

_ORDER: Mapping[str, Mapping[str, str]] = {
    "start": {
        "thread.created": "thread created",
        "thread.run.created": "run created",
        "thread.run.step.completed": "resumed",  # the step whose outputs were submitted
    },
    "thread created": {"thread.run.created": "run created"},
    "run created": {"thread.run.queued": "queued"},
    "resumed": {"thread.run.queued": "queued"},
    "queued": {"thread.run.in_progress": "running", **_RUN_ENDS},
    "running": {"thread.run.step.created": "step created", **_RUN_ENDS},
    "step created": {"thread.run.step.in_progress": "step"},
    "step": {"thread.message.created": "message created", **_TOOLS},
    "tool calls": _TOOLS,
    "message created": {"thread.message.in_progress": "message"},
    "message": {
        "thread.message.delta": "message",
        "thread.message.completed": "message completed",
        "thread.message.incomplete": "message incomplete",
    },
    "message completed": {"thread.run.step.completed": "running"},
    "message incomplete": _STEP_ENDS,
    "ended": {"done": "done"},
    "waiting": {"thread.run.step.completed": "resumed", "done": "done"},  # for tool outputs: the next stream has them
}
# In addition, `error` may end any state, and `thread.run.cancelling`, where it is allowed, keeps the state.
_OVER = ("done", "error")
_MAY_CANCEL = frozenset(_ORDER) - {"start", "thread created", "run created", "resumed", "ended", "waiting"}

# -- the machine -------------------------------------------------------------------------------------------------


class Grammar:
    """Checks one stream, event by event, and raises `ProtocolError` at the first event that is not allowed.

    ```python
    grammar = Grammar("strict")
    grammar.feed("thread.run.created", id="run_1", status="queued")
    ...
    grammar.finish()
    ```

    The error's message names the event, the state, and the events that were expected. A Grammar that has raised must
    not be used further. Raises ValueError for an unknown mode.
    """

    __slots__ = ("_resumed", "_run", "_state", "_statuses", "_strict")

    def __init__(self, mode: VerifyMode = "lenient") -> None:
        if mode not in ("lenient", "strict"):
            raise ValueError(f"mode must be 'lenient' or 'strict', got {mode!r}")
        self._strict = mode == "strict"
        self._state = "start"  # lenient mode uses only "start", "under way", "ended", "done" and "error"
        self._resumed = False  # whether an earlier stream created the run, and perhaps a step
        self._run: str | None = None
        self._statuses: dict[tuple[str, str | None], str] = {}

    def feed(self, name: str, *, id: str | None = None, status: str | None = None, run_id: str | None = None) -> None:
        """Check the next event: its name, and from its data the id, the status and the id of its run.

        Values that are None are not checked. Deltas have no status; only steps and messages have a run id.
        Raises ProtocolError when the event is not allowed here.
        """
        meaning = EVENTS.get(name)
        if meaning is None:
            return
        if self._state == "start":
            self._resumed = name not in ("thread.created", "thread.run.created")
        self._check_not_over(name)
        status_before = self._run_status
        if meaning.life is RUN:
            self._check_run(name, id)
            self._advance(name, RUN, self._run, status)
        elif meaning.life is not None and id is not None:
            if self._strict:
                self._check_run(name, run_id)
            self._advance(name, meaning.life, id, status)
        self._state = self._following(name, status_before)

    def finish(self) -> None:
        """Check the end of the stream. Raises ProtocolError when the stream must not end here.

        It may end after `done` or `error`, and once the run has stopped.
        """
        if self._state in _OVER:
            return
        if self._strict:
            if "done" in _ORDER[self._state]:
                return
            raise ProtocolError(
                f"the stream ended in state {self._state!r}: expected {self._expected(self._run_status)}"
            )
        if self._run_status not in RUN_STOPS:
            state = "before any run" if self._run_status is None else f"with run {self._run!r} {self._run_status}"
            raise ProtocolError(f"the stream ended {state}: expected the run to stop, or 'done' or 'error'")

    # Statuses: the first table.

    @property
    def _run_status(self) -> str | None:
        return self._statuses.get((RUN.name, self._run))

    def _check_run(self, name: str, run_id: str | None) -> None:
        if self._run is None:
            self._run = run_id
        elif run_id is not None and run_id != self._run:
            raise ProtocolError(f"event {name!r}: run must be {self._run!r}, got {run_id!r}")

    def _advance(self, name: str, life: Lifecycle, id: str | None, sent: str | None) -> None:
        key = (life.name, id)
        status = self._statuses.get(key)
        self._check_created(name, life, key, status is not None)
        following = self._following_status(name, life, sent)
        if following is None:
            if status in life.terminal:
                raise ProtocolError(f"event {name!r}: {life.name} {id!r} is already {status}")
            following = status or life.initial
        elif status is not None:
            may = life.may_become if self._strict else life.may_reach
            if not may(status, following):
                expected = _alternatives(sorted(life.transitions[status])) or "no further event of it"
                change = f"is {status} and cannot become {following}"
                raise ProtocolError(f"event {name!r}: {life.name} {id!r} {change}: expected {expected}")
        self._statuses[key] = following

    def _check_created(self, name: str, life: Lifecycle, key: tuple[str, str | None], known: bool) -> None:
        if EVENTS[name].verb == "created":
            if known:
                raise ProtocolError(f"event {name!r}: {key[0]} {key[1]!r} was already created")
        elif not known and (life is MESSAGE or (life is STEP and not self._resumed)):
            raise ProtocolError(f"event {name!r}: {key[0]} {key[1]!r} was never created")

    def _following_status(self, name: str, life: Lifecycle, sent: str | None) -> str | None:
        """The status that this event gives its object; None if it is a delta."""
        named = EVENTS[name].status
        if named is None or sent is None or sent == named:
            return named
        if self._strict:
            raise ProtocolError(f"event {name!r}: its {life.name} has status {sent!r}: expected {named!r}")
        return sent if sent in life.statuses else named

    # Order: the second table.

    def _check_not_over(self, name: str) -> None:
        if self._state == "error" and name == "done" and not self._strict:
            return
        if self._state in _OVER:
            raise ProtocolError(f"event {name!r} after {self._state!r}: expected the end of the stream")

    def _following(self, name: str, status_before: str | None) -> str:
        if name == "error":
            return "error"
        if self._strict:
            return self._following_strictly(name, status_before)
        if name == "done":
            return "done"
        if self._state == "ended":
            raise ProtocolError(f"event {name!r} after run {self._run!r} {self._run_status}: expected 'done'")
        return "ended" if self._run_status in RUN.terminal else "under way"

    def _following_strictly(self, name: str, status_before: str | None) -> str:
        if name == "thread.run.cancelling" and self._state in _MAY_CANCEL:
            return self._state
        following = _ORDER[self._state].get(name)
        if following is None:
            raise ProtocolError(f"event {name!r} in state {self._state!r}: expected {self._expected(status_before)}")
        return following

    def _expected(self, run_status: str | None) -> str:
        """The events that are allowed now, except `error` and `thread.run.cancelling`."""
        return _alternatives([repr(name) for name in _ORDER[self._state] if _may_follow(name, run_status)])


def _may_follow(name: str, run_status: str | None) -> bool:
    life, _, status = EVENTS[name]
    return life is not RUN or status is None or run_status is None or RUN.may_become(run_status, status)


def _alternatives(words: list[str]) -> str:
    return " or ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))

"""Whole streams of the local server, with its answers to polls; and the same streams, cut and resumed."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import httpx

from rx_assistant import AssistantClient, local
from rx_assistant.client.polling import Countdown, SyncFetch
from rx_assistant.client.run_events import RunRequests
from rx_assistant.events import DoneEvent, StreamEvent, classify
from rx_assistant.http.options import NO_OPTIONS
from rx_assistant.http.session import Session
from rx_assistant.http.settings import Settings
from rx_assistant.lifecycle import RUN_STOPS
from rx_assistant.polling import AsyncPolledBody, Polled, PolledBody, PollSettings, RunEventEncoder, RunObjects
from rx_assistant.snapshots import Fold, PartState, RunSnapshot, fold
from rx_assistant.sse import SSEDecoder
from rx_assistant.streams import AssistantStream, AsyncAssistantStream, RunIdentity

PLOT = "iVBORw0KGgo="
FILES = {"plot.png": {"base64": PLOT}, "a.txt": "The capital of France is Paris."}
WEATHER = [
    {"function": "weather", "arguments": {"city": "Paris", "units": "metric"}, "id": "call_1"},
    {"function": "weather", "arguments": {"city": "Rome é 😀"}, "id": "call_2"},
]
CODE = {"code": "import math\r\nprint(math.pi)\nplot()", "logs": ["3.14159\n", "more\n"], "images": ["plot.png"]}

SCRIPTS: dict[str, list[Any]] = {
    "text": [[{"text": 'Grüße, 世界! \n"quoted" \\ and 😀 all of it.'}]],
    "nothing": [[]],
    "parts": [
        [
            {"text": "One. "},
            "new_part",
            {"text": "Two, a part of its own."},
            {"image_file": "plot.png", "detail": "low"},
            {"image_url": "https://example.com/a.png"},
            {"text": "Last."},
        ]
    ],
    "citations": [
        [
            {
                "text": "See 【0†a.txt】 and also 【1†a.txt】, it says.",
                "cite": [
                    {"text": "【0†a.txt】", "file": "a.txt"},
                    {"text": "【1†a.txt】", "file": "a.txt", "kind": "file_path"},
                ],
            }
        ]
    ],
    "refusal": [[{"refusal": "I would rather not talk about that at all."}]],
    "two messages": [[{"text": "First message."}, "end_step", {"text": "Second message."}]],
    "code": [[{"text": "Let me compute."}, {"calls": [CODE]}, {"text": "It is pi."}]],
    "side by side": [[{"calls": [{"code": "a = 1"}, {"code": "b = 2", "logs": ["2"]}], "interleave": True}]],
    "search": [[{"calls": [{"search": "France"}]}, {"text": "Nothing found."}]],
    "functions": [
        [{"text": "I shall ask."}, {"calls": WEATHER, "interleave": True}],
        [{"text": "Once more."}, {"calls": [{"function": "weather", "arguments": {}, "id": "call_3"}]}],
        [{"text": "It is {outputs}."}],
    ],
    "failed": [[{"text": "Well, "}, {"fail": "it broke", "code": "rate_limit_exceeded"}]],
    "failed in a tool": [[{"calls": [{"code": "loop()"}]}, {"fail": "it broke"}]],
    "incomplete": [[{"text": "As I was saying"}, {"incomplete": "max_completion_tokens"}]],
    "expired": [[{"text": "Too slow"}, "expire"]],
    "keep-alives": [
        [{"raw": ": ping\n\n"}, {"text": "Still "}, {"raw": "event: odd\ndata: {}\n\n"}, {"text": "here."}]
    ],
}


@dataclass(frozen=True)
class Recorded:
    """One stream as it came over the wire, the server's answers to GET after it, and the ids of the answered calls."""

    name: str
    body: bytes
    found: RunObjects
    answered: tuple[str, ...] = ()
    events: list[StreamEvent] = field(default_factory=list, compare=False)

    @property
    def identity(self) -> RunIdentity:
        return RunIdentity(self.found.run.id, self.found.run.thread_id)

    @property
    def whole(self) -> RunSnapshot:
        """The snapshot of the uncut stream."""
        return folded(self.events)

    @property
    def boundaries(self) -> list[int]:
        """Where each frame ends."""
        return [match.end() for match in re.finditer(rb"\n\n", self.body)]

    @property
    def start(self) -> int:
        """The first byte after which the stream can be resumed: the run's id has arrived, or was known before."""
        if self.answered:
            return 0
        return next(end for end in self.boundaries if b"event: thread.run." in self.body[:end])

    @property
    def settled(self) -> int:
        """Where the run stops. A stream that breaks after this byte has ended well."""
        for end in self.boundaries:
            run = folded(events_of(self.body[:end])).run
            if run is not None and run.status in RUN_STOPS:
                return end
        raise AssertionError


def recorded_streams(name: str) -> list[Recorded]:
    """The streams of a script, in order; recorded once."""
    return _recorded_streams(name)


@cache
def _recorded_streams(name: str) -> list[Recorded]:
    script = {"files": FILES, "chunk": 7, "runs": [{"turns": SCRIPTS[name]}]}
    found: list[Recorded] = []
    with local.serve(script=script) as server, AssistantClient(base_url=server.base_url) as client:
        assistant = client.assistants.create(model="local", tools=[{"type": "file_search"}])
        thread = client.threads.create(messages=[{"role": "user", "content": "go"}])
        path, given = f"/threads/{thread.id}/runs", {"assistant_id": assistant.id}
        answered: tuple[str, ...] = ()
        while True:
            body = httpx.post(server.base_url + path, json={**given, "stream": True}).content
            recorded = record(f"{name} {len(found)}", server.base_url, body, answered)
            found.append(recorded)
            action = recorded.found.run.required_action
            if action is None:
                return found
            answered = tuple(call.id for call in action.submit_tool_outputs.tool_calls)
            path = f"/threads/{thread.id}/runs/{recorded.found.run.id}/submit_tool_outputs"
            given = {"tool_outputs": [{"tool_call_id": call, "output": f"out {call}"} for call in answered]}


def record(name: str, base_url: str, body: bytes, answered: tuple[str, ...]) -> Recorded:
    """A recorded stream, with the objects that the server has now."""
    events = events_of(body)
    run = folded(events).run
    assert run is not None
    session = Session(Settings(base_url=base_url))
    try:
        countdown = Countdown(None, session.settings.timeout)
        fetch = SyncFetch(session, RunRequests(RunIdentity(run.id, run.thread_id), NO_OPTIONS, countdown))
        return Recorded(name, body, fetch().value, answered, events)
    finally:
        session.close()


def events_of(body: bytes) -> list[StreamEvent]:
    """The events whose last byte is in; `done` is none."""
    found: list[StreamEvent] = []

    def emit(frame: tuple[bytes, bytes]) -> None:
        kind, payload = classify(*frame)
        if kind is not DoneEvent:
            found.append(kind(payload))

    SSEDecoder().push(body, emit)
    return found


def folded(events: Iterable[StreamEvent]) -> RunSnapshot:
    """All of them, added up."""
    snapshot = RunSnapshot()
    for event in events:
        snapshot = fold(snapshot, event)
    return snapshot


def objects(recorded: Recorded, count: int) -> RunObjects:
    """The objects that a server may return to a poll after it has sent `count` events."""
    snapshot = folded(recorded.events[:count])
    assert snapshot.run is not None
    before = [step for step in recorded.found.steps if step.id not in {known.id for known in recorded.whole.steps}]
    steps = [*before, *(step.to_model() for step in snapshot.steps)]
    return RunObjects(snapshot.run.to_model(), steps, [message.to_model() for message in snapshot.messages])


# -- cut and resumed -----------------------------------------------------------------------------------------------


class Torn:
    """A body that breaks off."""

    request_id = "req_torn"

    def __init__(self, data: bytes) -> None:
        self._chunks = iter([data])

    def read(self) -> bytes:
        return next(self._chunks, b"")

    def saw_event(self) -> None:
        """No time limits."""

    def finish(self) -> None:
        """Nothing to give back."""

    close = finish


class AsyncTorn(Torn):
    """The same for event loops."""

    async def read(self) -> bytes:  # type: ignore[override]
        return super().read()

    async def aclose(self) -> None:
        """Nothing to give back."""

    finish = aclose  # type: ignore[assignment]
    close_soon = Torn.close


class States:
    """A reader that has one answer after the other."""

    request_id = None

    def __init__(self, answers: Iterable[RunObjects]) -> None:
        self._answers = iter(answers)
        self.closed = False

    def __call__(self) -> Polled[RunObjects]:
        return Polled(next(self._answers), 0)

    def close(self) -> None:
        self.closed = True


class AsyncStates(States):
    """The same for event loops."""

    async def __call__(self) -> Polled[RunObjects]:  # type: ignore[override]
        return super().__call__()


def resumed(one: Recorded, offset: int, answers: Iterable[RunObjects] = (), **options: Any) -> AssistantStream:
    """The recorded stream, cut at a byte. It continues by polling; the last answer is the final one."""

    def resume(identity: RunIdentity | None, snapshot: RunSnapshot) -> PolledBody | None:
        if identity is None:
            return None
        assert identity == one.identity
        return PolledBody(
            States([*answers, one.found]), RunEventEncoder(snapshot, one.answered), PollSettings(interval=0)
        )

    known = one.identity if one.answered else None
    return AssistantStream(lambda: Torn(one.body[:offset]), resume=resume, identity=known, **options)


def resumed_async(
    one: Recorded, offset: int, answers: Iterable[RunObjects] = (), **options: Any
) -> AsyncAssistantStream:
    """The same for event loops."""

    async def open() -> AsyncTorn:
        return AsyncTorn(one.body[:offset])

    async def resume(identity: RunIdentity | None, snapshot: RunSnapshot) -> AsyncPolledBody:
        return AsyncPolledBody(
            AsyncStates([*answers, one.found]),
            RunEventEncoder(snapshot, one.answered),
            PollSettings(interval=0),
        )

    known = one.identity if one.answered else None
    return AsyncAssistantStream(open, resume=resume, identity=known, **options)


# -- law L5 --------------------------------------------------------------------------------------------------------


def check_once(events: Iterable[StreamEvent], one: Recorded) -> None:
    """Everything is created once, its deltas add up to the final object, and it is done once."""
    phases: dict[int, list[str]] = defaultdict(list)
    states: dict[int, Any] = {}
    reader, texts = Fold(), defaultdict(list)
    for event in events:
        assert not isinstance(event, DoneEvent), "an ending is no item"
        for phase, state, _ in [change for _, changes, _ in reader.advance(event) for change in changes]:
            phases[id(state)].append(phase)
            states[id(state)] = state
            if phase == "delta" and isinstance(state, PartState):
                texts[id(state)].append(state.log.newest(reader.version))
    for key, told in phases.items():
        assert told[0] == "created", (one.name, states[key])
        assert (told.count("created"), told.count("done")) == (1, 1 if ends(states[key], one) else 0), one.name
        assert "done" not in told[:-1], one.name
        if isinstance(states[key], PartState) and states[key].kind in ("text", "refusal"):
            assert "".join(texts[key]) == final_text(states[key], one)
    assert reader.snapshot == one.whole


def ends(state: Any, one: Recorded) -> bool:
    """Whether the whole stream closes it; what the run waits with stays open."""
    waiting = one.found.run.status == "requires_action"
    kind = type(state).__name__
    if kind == "StepState" and waiting:
        return one.whole.step(state.id).status != "in_progress"  # type: ignore[union-attr]
    return True


def final_text(part: PartState, one: Recorded) -> str:
    """What the server's own message says there."""
    [message] = [message for message in one.found.messages if message.id == part.message_id]
    block = message.content[part.index]
    return str(block.text.value if block.type == "text" else block.refusal)  # type: ignore[union-attr]


def around(one: Recorded) -> Iterator[int]:
    """Every frame boundary, one byte before it and one behind."""
    offsets = {end + step for end in one.boundaries for step in (-1, 0, 1)}
    yield from sorted(offset for offset in offsets if 0 < offset <= len(one.body))

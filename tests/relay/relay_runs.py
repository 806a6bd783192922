"""Runs of a scripted local server: their events as they were streamed, and the server, which still has the objects."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import Any

from rx_assistant import AssistantClient, RunSnapshot, fold, local
from rx_assistant.events import StreamEvent, frame
from rx_assistant.relay import Relay

TEXT = "Grüße, 世界! 😀 It is all there, from the first word to the last, and nothing comes twice."
SCRIPT: Any = {
    "runs": [
        {
            "turns": [
                [
                    {"text": "Let me compute."},
                    {"calls": [{"code": "import math\nprint(math.pi)", "logs": ["3.14159\n"]}]},
                    {"text": TEXT},
                    "end_step",
                    {"text": "A second message."},
                ]
            ]
        }
    ],
    "chunk": 4,
}
WAITING: Any = {
    "runs": [
        {
            "turns": [
                [{"text": "I ask."}, {"calls": [{"function": "weather", "arguments": {"city": "Rome"}, "id": "c1"}]}],
                [{"text": "It is {outputs}."}],
            ]
        }
    ],
    "chunk": 4,
}
GUARD = 60.0


@dataclass(frozen=True)
class Finished:
    """A run that has ended: its events, and the client of its server."""

    events: list[StreamEvent]
    client: AssistantClient

    @property
    def whole(self) -> RunSnapshot:
        """The state at the end."""
        return folded(self.events)

    @property
    def frames(self) -> list[bytes]:
        """The events' frames."""
        return [frame(event) for event in self.events]


@contextmanager
def finished_run(script: Any = SCRIPT) -> Iterator[Finished]:
    """A run on a local server, read to its end."""
    with local.serve(script=script) as server, AssistantClient(base_url=server.base_url) as client:
        assistant = client.assistants.create(model="local")
        thread = client.threads.create(messages=[{"role": "user", "content": "go"}])
        with client.threads.runs.stream(thread_id=thread.id, assistant_id=assistant.id) as stream:
            events: list[StreamEvent] = list(stream)
        yield Finished(events, client)


def folded(events: Iterable[StreamEvent]) -> RunSnapshot:
    """All of them, added up."""
    return reduce(fold, events, RunSnapshot())


def written(relay: Relay, key: str, frames: list[bytes], batch: int = 3) -> int:
    """Write frames as a producer that then gives no more sign of life; returns its generation."""
    state = relay.claim(key)
    assert state is not None
    for start in range(0, len(frames), batch):
        outcome = relay.append(key, state.generation, state.count + start, frames[start : start + batch])
        assert outcome == "ok"
    return state.generation


def until(condition: Callable[[], object]) -> None:
    """Wait until something is true."""
    end = time.monotonic() + GUARD
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)

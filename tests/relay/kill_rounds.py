"""Rounds in which the process that publishes a run is killed by `kill -9`, at a random moment, under many followers.

    python tests/relay/kill_rounds.py [rounds] [seed] [followers]

Each round is a run on a local server, published by a process of its own. Followers are in two relays, as in two
processes; half of them have a client and may take over. Every follower must end with the server's final state, have
been told each text once, and have the same events as all others. The suite plays a few rounds.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

from relay_runs import TEXT, folded  # noqa: E402
from relay_servers import RedisServer  # noqa: E402

from rx_assistant import AssistantClient, local  # noqa: E402
from rx_assistant.events import StreamEvent  # noqa: E402
from rx_assistant.relay import RedisRelay, Relay  # noqa: E402

PRODUCER = Path(__file__).with_name("relay_producer.py")
WORDS = f"{TEXT} " * 4
SCRIPT: Any = {
    "runs": [{"turns": [[{"text": "First."}, {"calls": [{"code": "print(1)", "logs": ["1\n"]}]}, {"text": WORDS}]]}],
    "chunk": 6,
    "pause": 0.004,
}
LEASE = 1.0
GUARD = 60.0


class Rounds:
    """Kills producers; counts what became of their runs."""

    def __init__(self, redis_url: str, client: AssistantClient, rng: Random, followers: int) -> None:
        self.seen: Counter[str] = Counter()
        self._url = redis_url
        self._client = client
        self._rng = rng
        self._followers = followers
        self._assistant = client.assistants.create(model="local").id

    def play(self, number: int) -> None:
        """One run, and one kill."""
        key = f"run-{number}"
        thread = self._client.threads.create(messages=[{"role": "user", "content": "go"}]).id
        command = [sys.executable, str(PRODUCER), self._url, "kill", key, str(LEASE), str(self._client.base_url)]
        with (
            RedisRelay(self._url, prefix="kill", lease=LEASE) as one,
            RedisRelay(self._url, prefix="kill", lease=LEASE) as two,
            ThreadPoolExecutor(self._followers) as pool,
        ):
            jobs = [pool.submit(self._follow, (one, two)[n % 2], key, n % 4 < 2) for n in range(self._followers)]
            producer = subprocess.Popen([*command, self._assistant, thread], stderr=subprocess.DEVNULL)
            try:
                self._kill(one, key, producer)
                found = [job.result(2 * GUARD) for job in jobs]
            finally:
                producer.kill()
                producer.wait()
            self._check(key, thread, found, one)

    def _kill(self, relay: Relay, key: str, producer: subprocess.Popen[bytes]) -> None:
        """Kill the producer once it has told a random number of events, or a moment after its end."""
        count = self._rng.randint(1, 90)
        end = time.monotonic() + GUARD
        while time.monotonic() < end:
            state = relay.state(key)
            if state is not None and (state.count >= count or state.status == "ended"):
                break
            time.sleep(0.001)
        producer.kill()

    def _follow(self, relay: Relay, key: str, may_take: bool) -> list[StreamEvent]:
        with relay.follow(key, resumer=self._client if may_take else None, patience=GUARD) as stream:
            return list(stream)

    def _check(self, key: str, thread: str, found: list[list[StreamEvent]], relay: Relay) -> None:
        events = found[0]
        assert all(other == events for other in found), f"{key}: the followers differ"
        snapshot = folded(events)
        assert snapshot.run is not None
        steps = list(self._client.threads.runs.steps.list(snapshot.run.id, thread_id=thread, order="asc"))
        messages = list(self._client.threads.messages.list(thread, order="asc", run_id=snapshot.run.id))
        assert snapshot.run == self._client.threads.runs.retrieve(snapshot.run.id, thread_id=thread), key
        assert list(snapshot.messages) == messages, key
        assert list(snapshot.steps) == steps, key
        state = relay.state(key)
        assert state is not None
        assert state.status == "ended", key
        told = [event.event for event in events]
        assert len([name for name in told if name == "thread.message.created"]) == len(messages), key
        text = "".join(text for event in events if event.event == "thread.message.delta" for _, text in _texts(event))
        assert text == snapshot.text, key
        self.seen["taken over" if state.generation > 1 else "ended before the kill"] += 1
        self.seen[f"generation {state.generation}"] += 1


def _texts(event: Any) -> Any:
    return event.text_fragments


@contextmanager
def rounds(seed: int, followers: int) -> Iterator[Rounds]:
    """The servers that the rounds need."""
    with (
        tempfile.TemporaryDirectory() as directory,
        RedisServer(Path(directory)) as redis_server,
        local.serve(script=SCRIPT) as server,
        AssistantClient(base_url=server.base_url) as client,
    ):
        yield Rounds(redis_server.url, client, Random(seed), followers)


def main(count: int = 200, seed: int = 1, followers: int = 20) -> None:
    """Play rounds, and print what was seen."""
    begun = time.monotonic()
    with rounds(seed, followers) as played:
        for number in range(count):
            played.play(number)
            if number % 10 == 9:
                print(f"{number + 1} rounds, {time.monotonic() - begun:.0f} s: {dict(played.seen)}", flush=True)
    print(f"{count} kills, {followers} followers each, {time.monotonic() - begun:.0f} s: {dict(played.seen)}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

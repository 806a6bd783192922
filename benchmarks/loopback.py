"""Over HTTP on loopback, from a server in a process of its own: handlers, and the time to the first text."""

from __future__ import annotations

import statistics
import time

import openai
from openai import AssistantEventHandler as SdkHandler

from benchmarks import _peers  # noqa: F401  # silences the SDK's deprecation warnings
from benchmarks._measure import Row, race, times_faster
from benchmarks._processes import server
from rx_assistant import AssistantClient, AssistantEventHandler, operators as ax

N = 3_000


class _Ours(AssistantEventHandler):
    read = 0

    def on_text_delta(self, delta, snapshot):
        self.read += len(delta.value)


class _Theirs(SdkHandler):
    read = 0

    def on_text_delta(self, delta, snapshot):
        self.read += len(delta.value)


def rows() -> list[Row]:
    """The rows of this table."""
    with server() as port:
        base_url = f"http://127.0.0.1:{port}/v1"
        with (
            AssistantClient(base_url=base_url, api_key="none") as mine,
            openai.OpenAI(base_url=base_url, api_key="none") as sdk,
        ):
            return [handler(mine, sdk, 1, 7), handler(mine, sdk, 10, 14), first_text(mine, sdk)]


def handler(mine: AssistantClient, sdk: openai.OpenAI, group: int, target: float) -> Row:
    """A handler with `on_text_delta`, `group` events in one chunk."""
    thread = f"t-{N}-{group}-0-1"

    def ours() -> None:
        with mine.threads.runs.stream(thread_id=thread, assistant_id="a", event_handler=_Ours()) as stream:
            stream.until_done()
        assert stream.read == 5 * N

    def theirs() -> None:
        with sdk.beta.threads.runs.stream(thread_id=thread, assistant_id="a", event_handler=_Theirs()) as stream:
            stream.until_done()
        assert stream.read == 5 * N

    own, other = race(ours, theirs)
    events = "one event" if group == 1 else f"{group} events"
    return times_faster(f"loopback HTTP, {events} per chunk, handler", own, other, N, name="openai", at_least=target)


def first_text(mine: AssistantClient, sdk: openai.OpenAI) -> Row:
    """Seconds from the call to the reader's first text, on an open connection."""
    thread = "t-20-1-0-1"

    def ours() -> float:
        came: list[float] = []
        begun = time.perf_counter()
        with mine.threads.runs.stream(thread_id=thread, assistant_id="a") as stream:
            stream.pipe(ax.text_deltas()).subscribe(lambda _: came or came.append(time.perf_counter()))
            stream.until_done()
        return came[0] - begun

    def theirs() -> float:
        came = 0.0
        begun = time.perf_counter()
        with sdk.beta.threads.runs.stream(thread_id=thread, assistant_id="a") as stream:
            for _ in stream.text_deltas:
                came = came or time.perf_counter()
        return came - begun

    laps = [(ours(), theirs()) for _ in range(200)]
    own, other = (statistics.median(lap[place] for lap in laps[20:]) for place in (0, 1))
    return Row(
        "from connect to the first text, loopback",
        f"{own * 1e3:.2f} ms",
        f"openai {other * 1e3:.2f} ms",
        f"{own / other:.2f}",
        "≤ 1",
        own <= other,
    )

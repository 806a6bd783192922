"""Rounds of a run with tools through a proxy that breaks connections, on every face of the client.

    python tests/polling/fault_rounds.py [rounds] [seed]

Each round is one question: a run that calls a tool, and its answer. Every stream has `on_disconnect="poll"`. It counts
what must not happen: a wrong text, a second run for one call, a tool call told twice, a round given up. The suite plays
a few rounds; 3 000 take minutes.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import anyio  # noqa: E402
import httpx  # noqa: E402
from loopback import Loopback, Received, Wire  # noqa: E402

from rx_assistant import AssistantClient, AsyncAssistantClient, local, operators as ax  # noqa: E402
from rx_assistant.errors import RxAssistantError  # noqa: E402

TEXT = "It is 12 °C in Grüß Gott, and 😀 that is all there is to say about the weather of today."
CALL = "call_1"
SCRIPT: Any = {
    "runs": [
        {
            "turns": [
                [
                    {"text": "Let me look."},
                    {"calls": [{"function": "weather", "arguments": {"city": "Rome"}, "id": CALL}]},
                ],
                [{"text": TEXT}],
            ]
        }
    ],
    "chunk": 5,
}
FAULTS = ("refused", "no reply", "head only", "cut", "cut clean", "502", "502 after")
CHANCE = 0.25
RETRIES = 6
PATIENT = {"retry-after-ms": "2"}


class FaultProxy:
    """A handler for Loopback that passes requests on to `target` and spoils a quarter of the replies."""

    def __init__(self, target: str, seed: int) -> None:
        self.faults: Counter[str] = Counter()
        self.chance = CHANCE
        self._target = target.removesuffix("/v1")
        self._random = Random(seed)
        self._http: httpx.AsyncClient | None = None

    async def __call__(self, request: Received, wire: Wire) -> None:
        fault = self._random.choice(FAULTS) if self._random.random() < self.chance else "none"
        self.faults[fault] += 1
        if fault == "refused":
            wire.reset()
        elif fault == "502":
            await wire.reply(502, b"<html>Bad Gateway</html>", {"content-type": "text/html", **PATIENT})
        else:
            try:
                await self._pass_on(request, wire, fault)
            except httpx.TransportError:  # a connection to the server behind that had been idle: one fault more
                self.faults["behind"] += 1
                wire.reset()

    async def _pass_on(self, request: Received, wire: Wire, fault: str) -> None:
        if self._http is None:
            self._http = httpx.AsyncClient(timeout=30)
        headers = {name: value for name, value in request.headers.items() if name not in ("host", "content-length")}
        url = self._target + request.target
        async with self._http.stream(request.method, url, headers=headers, content=request.body) as reply:
            if fault == "no reply":
                await reply.aread()
                wire.reset()
            elif fault == "502 after":
                await reply.aread()
                await wire.reply(502, b"<html>Bad Gateway</html>", {"content-type": "text/html", **PATIENT})
            elif reply.headers.get("content-type", "").startswith("text/event-stream"):
                await self._stream(reply, wire, fault)
            else:
                await self._reply(reply, wire, fault)

    async def _reply(self, reply: httpx.Response, wire: Wire, fault: str) -> None:
        body = await reply.aread()
        kept = {name: value for name, value in reply.headers.items() if name != "content-length"}
        await wire.head(reply.status_code, {**kept, "content-length": str(len(body))})
        if fault == "none":
            await wire.send(body)
        else:
            await wire.send(b"" if fault == "head only" else body[: self._random.randrange(max(len(body), 1))])
            wire.reset()

    async def _stream(self, reply: httpx.Response, wire: Wire, fault: str) -> None:
        await wire.events()
        left = {"none": 1 << 40, "head only": 0}.get(fault, self._random.randrange(12_000))
        async for data in reply.aiter_raw():
            if data[:left]:
                await wire.chunk(data[:left])
            left -= len(data)
            if left <= 0:
                break
        if left > 0 or fault == "cut clean":
            await wire.end()
        else:
            wire.reset()

    async def aclose(self) -> None:
        """Close the connections to the server behind."""
        if self._http is not None:
            await self._http.aclose()


class Tally:
    """What became of the rounds."""

    def __init__(self) -> None:
        self.rounds = 0
        self.wrong: list[str] = []

    def check(self, text: str, calls: list[str], runs: int) -> None:
        """One round that came to its end."""
        self.rounds += 1
        if text != TEXT:
            self.wrong.append(f"the text was {text!r}")
        if calls != [CALL]:
            self.wrong.append(f"the calls were {calls}")
        if runs != 1:
            self.wrong.append(f"there were {runs} runs")

    def gave_up(self, error: BaseException) -> None:
        """One round that did not."""
        self.rounds += 1
        self.wrong.append(f"given up: {type(error).__name__}: {error}"[:300])


def round_of(client: AssistantClient, direct: AssistantClient, assistant: str, tally: Tally) -> None:
    """One question, on a thread."""
    thread = direct.threads.create(messages=[{"role": "user", "content": "go"}])
    calls: list[str] = []
    try:
        stream = client.threads.runs.stream(thread.id, assistant_id=assistant, on_disconnect="poll")
        with stream:
            stream.pipe(ax.completed_tool_calls()).subscribe(lambda call: calls.append(str(call.id)))
            run = stream.get_final_run()
        outputs = [{"tool_call_id": call, "output": "12"} for call in calls]
        with client.threads.runs.submit_tool_outputs_stream(
            run.id, thread.id, tool_outputs=outputs, on_disconnect="poll"
        ) as rest:
            text = "".join(rest.text_deltas)
            assert rest.get_final_run().status == "completed"
    except RxAssistantError as error:
        tally.gave_up(error)
    else:
        tally.check(text, calls, len(list(direct.threads.runs.list(thread.id))))


async def async_round_of(client: AsyncAssistantClient, direct: AssistantClient, assistant: str, tally: Tally) -> None:
    """The same in a task."""
    thread = await anyio.to_thread.run_sync(lambda: direct.threads.create(messages=[{"role": "user", "content": "go"}]))
    calls: list[str] = []
    try:
        stream = client.threads.runs.stream(thread.id, assistant_id=assistant, on_disconnect="poll")
        async with stream:
            stream.pipe(ax.completed_tool_calls()).subscribe(lambda call: calls.append(str(call.id)))
            run = await stream.get_final_run()
        outputs = [{"tool_call_id": call, "output": "12"} for call in calls]
        async with client.threads.runs.submit_tool_outputs_stream(
            run.id, thread.id, tool_outputs=outputs, on_disconnect="poll"
        ) as rest:
            text = "".join([piece async for piece in rest.text_deltas])
            assert (await rest.get_final_run()).status == "completed"
    except RxAssistantError as error:
        tally.gave_up(error)
    else:
        runs = await anyio.to_thread.run_sync(lambda: len(list(direct.threads.runs.list(thread.id))))
        tally.check(text, calls, runs)


def play(face: str, rounds: int, seed: int, at_once: int = 20) -> tuple[Tally, Counter[str]]:
    """So many rounds on one face, `at_once` of them side by side."""
    tally = Tally()
    with local.serve(script=SCRIPT, poll_after_ms=2) as server, AssistantClient(base_url=server.base_url) as direct:
        proxy = FaultProxy(server.base_url, seed)
        assistant = direct.assistants.create(model="local").id
        with Loopback(proxy) as loopback:
            side_by_side = _on_threads if face == "threads" else _in_tasks
            side_by_side(face, loopback.url, rounds, at_once, lambda client: (client, direct, assistant, tally))
            loopback.run(proxy.aclose())
    return tally, proxy.faults


def _on_threads(_face: str, url: str, rounds: int, at_once: int, given: Callable[[Any], Any]) -> None:
    with AssistantClient(base_url=url, max_retries=RETRIES) as client, ThreadPoolExecutor(at_once) as pool:
        for begun in [pool.submit(round_of, *given(client)) for _ in range(rounds)]:
            begun.result()


def _in_tasks(face: str, url: str, rounds: int, at_once: int, given: Callable[[Any], Any]) -> None:
    async def main() -> None:
        limit = anyio.CapacityLimiter(at_once)
        async with AsyncAssistantClient(base_url=url, max_retries=RETRIES) as client:

            async def one() -> None:
                async with limit:
                    await async_round_of(*given(client))

            async with anyio.create_task_group() as tasks:
                for _ in range(rounds):
                    tasks.start_soon(one)

    anyio.run(main, backend=face)


def main(rounds: int = 3000, seed: int = 1) -> None:
    """Play a third of the rounds on each face, and say what came of them."""
    failed = False
    for face in ("threads", "asyncio", "trio"):
        started = time.perf_counter()
        tally, faults = play(face, rounds // 3, seed, at_once=40)
        took = time.perf_counter() - started
        spoilt = sum(count for fault, count in faults.items() if fault != "none")
        print(f"{face}: {tally.rounds} rounds, {spoilt} of {sum(faults.values())} replies spoilt, {took:.0f} s")
        for line, count in Counter(tally.wrong).most_common():
            print(f"  {count} × {line}")
        failed = failed or bool(tally.wrong)
    print("FAILED" if failed else "text exact, one run and one tool call per round, none given up")
    sys.exit(failed)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

"""The model server `@copilotkit/aimock` in a process of its own, and runs that the official SDKs ask of it.

`python tests/local/aimock.py COUNT` makes that many runs with each SDK and protocol while the model server drops,
garbles, breaks off and limits requests, and prints how they ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import openai

import rx_assistant.local
from rx_assistant.local.engines.protocols import ProtocolName
from rx_assistant.local.engines.upstream import UpstreamEngine

HERE = Path(__file__).parent / "node"
MODULES = Path(os.environ.get("RX_ASSISTANT_NODE_MODULES") or HERE / "node_modules")
ENVIRONMENT = {**os.environ, "NODE_PATH": str(MODULES)}

CHAOS = {"dropRate": 0.2, "malformedRate": 0.2, "disconnectRate": 0.2, "rateLimitRate": 0.2}
TEXTS = {
    "hello": "Hello! How can I help you today?",
    "riddle": "The answer is: a man.",
    "weather": "It is sunny in Oslo.",
}
"""The answer to each question, as `node/aimock.json` has it."""
REASONS = {
    "rate_limit_exceeded": ("answered 429",),
    "server_error": ("answered 500", "cannot be reached", "gave no answer", "broke off", "could not be read"),
}
"""What the error of a failed run may say, by its code."""


class Told(NamedTuple):
    """How a run ended for its reader."""

    question: str
    status: str
    text: str
    error: dict[str, Any] | None


def is_true(told: Told) -> bool:
    """Whether a run ended as it should: with its whole answer, or failed with a code and words that fit together."""
    if told.status == "completed":
        return told.text == TEXTS[told.question] and told.error is None
    if told.status != "failed" or told.error is None:
        return False
    return any(words in told.error["message"] for words in REASONS.get(told.error["code"], ()))


@contextmanager
def served(protocol: ProtocolName, **chaos: float) -> Iterator[str]:
    """A local server that asks the model server; its base URL."""
    with _model_server(**chaos) as url, rx_assistant.local.serve(engine=UpstreamEngine(url, protocol=protocol)) as own:
        yield own.base_url


@contextmanager
def _model_server(**chaos: float) -> Iterator[str]:
    command = ["node", str(HERE / "aimock.cjs"), json.dumps(chaos)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


def ask_with_node(base_url: str, count: int) -> list[Told]:
    """The runs of `node/asking.cjs`."""
    command = ["node", str(HERE / "asking.cjs"), base_url, str(count)]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=600, env=ENVIRONMENT, check=False)
    assert finished.returncode == 0, finished.stderr
    return [Told(**json.loads(line)) for line in finished.stdout.splitlines()]


def ask_with_python(base_url: str, count: int) -> list[Told]:
    """The same with the SDK for Python."""
    return asyncio.run(_ask_all(base_url, count))


async def _ask_all(base_url: str, count: int) -> list[Told]:
    async with openai.AsyncOpenAI(base_url=base_url, api_key="any", max_retries=0) as client:
        questions = [*TEXTS]
        return await asyncio.gather(*(_ask(client, questions[number % 3]) for number in range(count)))


async def _ask(client: openai.AsyncOpenAI, question: str) -> Told:
    tools: Any = [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]
    assistant = await client.beta.assistants.create(model="gpt-4o", tools=tools)
    thread = await client.beta.threads.create(messages=[{"role": "user", "content": question}])
    runs, texts = client.beta.threads.runs, []
    asked = runs.stream(thread_id=thread.id, assistant_id=assistant.id)
    while True:
        async with asked as stream:
            texts += [delta async for delta in stream.text_deltas]
            run = await stream.get_final_run()
        if run.status != "requires_action":
            error = None if run.last_error is None else run.last_error.model_dump()
            return Told(question, run.status, "".join(texts), error)
        calls = run.required_action.submit_tool_outputs.tool_calls
        outputs: Any = [{"tool_call_id": call.id, "output": "sunny"} for call in calls]
        asked = runs.submit_tool_outputs_stream(run_id=run.id, thread_id=thread.id, tool_outputs=outputs)


ASKING: Final = (ask_with_python, ask_with_node)


def main(count: int) -> int:
    """The runs, in groups of 20; the exit code is 1 if one of them had no true ending."""
    false = 0
    for protocol in get_args(ProtocolName):
        for ask in ASKING:
            with served(protocol, **CHAOS) as url:
                told = [one for _ in range(0, count, 20) for one in ask(url, 20)]
            endings = Counter(one.status if one.error is None else one.error["message"] for one in told)
            print(f"{protocol}, {ask.__name__}: {len(told)} runs", *endings.most_common(), sep="\n  ")
            wrong = [one for one in told if not is_true(one)]
            false += len(wrong)
            for one in wrong:
                print("  NOT TRUE:", one)
    return 1 if false else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))

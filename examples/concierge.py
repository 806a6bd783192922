"""The assistant of the chat examples, with tools, on a local server unless OPENAI_BASE_URL names another.

On the local server, the engine `Concierge` writes at a readable pace and calls functions. The functions, `tools`, run
in the application, as with any model.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import anyio

from rx_assistant import AssistantClient, RunSnapshot, ToolSet
from rx_assistant.local import RunContext, serve
from rx_assistant.local.engine import Action, Arguments, Failure, FunctionCall, Text
from rx_assistant.types import Run

CITIES = {
    "Lisbon": (0, 24, "clear skies"),
    "Prague": (1, 12, "light rain"),
    "Reykjavik": (0, 4, "wind and snow"),
    "Tokyo": (9, 19, "high clouds"),
}  # hours from UTC, degrees Celsius, the sky

WELCOME = f"Ask for the weather or the time in {', '.join(CITIES)}. Or for a story, or an error."

City = Literal["Lisbon", "Prague", "Reykjavik", "Tokyo"]
tools = ToolSet()


@tools.tool(needs_approval=False)
def get_weather(city: City) -> str:
    """The weather in a city."""
    _, degrees, sky = CITIES[city]
    return f"{city}: {degrees} °C, {sky}"


@tools.tool(needs_approval=False)
def get_time(city: City) -> str:
    """The time in a city."""
    return f"{city}: {datetime.now(UTC) + timedelta(hours=CITIES[city][0]):%H:%M}"


@tools.tool
def book_table(city: City) -> str:
    """Book a table for tonight."""
    return f"{city}: a table for two, at eight"


def status_line(snapshot: RunSnapshot) -> str:
    """The run in one line: its status, its latest step, its tokens."""
    words = [(snapshot.status or "connecting").replace("_", " ")]
    if snapshot.steps:
        step = snapshot.steps[-1]
        words.append(f"step {len(snapshot.steps)}: {step.type.replace('_', ' ')} {step.status.replace('_', ' ')}")
    if snapshot.usage:
        words.append(f"{snapshot.usage.total_tokens} tokens")
    return "  ·  ".join(words)


def complaint(run: Run | None) -> str | None:
    """Why a run has not completed, if the run has a reason."""
    if run and run.last_error:
        return f"The run {run.status}: {run.last_error.message}"
    if run and run.incomplete_details:
        return f"The run is incomplete: {run.incomplete_details.reason}"
    return None


@dataclass(frozen=True)
class Conversation:
    """The client, the assistant and the thread of a chat."""

    base_url: str
    assistant_id: str
    thread_id: str


@contextmanager
def conversation(pace: float = 0.03) -> Generator[Conversation]:
    """An assistant and a fresh thread, for a `with` block. `pace`: seconds between two words of the local server."""
    elsewhere = os.environ.get("OPENAI_BASE_URL")
    with ExitStack() as stack:
        url = elsewhere or stack.enter_context(serve(engine=Concierge(pace))).base_url
        with AssistantClient(base_url=url) as client:
            model = os.environ.get("OPENAI_MODEL", "concierge")
            assistant = client.assistants.create(model=model, name="Concierge", tools=tools.definitions())
            thread = client.threads.create()
        yield Conversation(url, assistant.id, thread.id)


class Concierge:
    """The local server's assistant. It has no model: it only looks for cities and a few words in the question."""

    def __init__(self, pace: float = 0.03) -> None:
        self._pace = pace

    async def run(self, context: RunContext) -> AsyncIterator[Action]:
        """One turn: function calls, or the answer."""
        question = context.question.lower()
        wanted = [
            (name, city)
            for city in CITIES
            if city.lower() in question
            for word, name in (("weather", "get_weather"), ("time", "get_time"), ("table", "book_table"))
            if word in question
        ]
        if "error" in question:
            async for action in self._say("I was asked to fail, so here it comes"):
                yield action
            yield Failure("The concierge has left the building, as you asked.")
        elif wanted and not context.tool_outputs:
            async for action in self._calls(wanted):
                yield action
        else:
            outputs = [output.output for output in context.tool_outputs]
            async for action in self._say(_report(outputs) if outputs else _story(question)):
                yield action

    async def _say(self, text: str) -> AsyncIterator[Action]:
        for word in text.split(" "):
            yield Text(f"{word} ")
            await anyio.sleep(self._pace)

    async def _calls(self, wanted: list[tuple[str, str]]) -> AsyncIterator[Action]:
        for index, (name, city) in enumerate(wanted):
            yield FunctionCall(name, index)
            arguments = json.dumps({"city": city})
            for start in range(0, len(arguments), 2):
                yield Arguments(arguments[start : start + 2], index)
                await anyio.sleep(self._pace)


def _report(outputs: list[str]) -> str:
    lines = "\n".join(f"- {output}" for output in outputs)
    return f"I have looked it up for you:\n\n{lines}\n\nIs there anything else that I can do?"


def _story(question: str) -> str:
    if "story" not in question:
        return f"Good day! {WELCOME} Whatever I write arrives word by word, and you may stop me at any time."
    return "\n\n".join([_TALE] * 4)


_TALE = (
    "A stream of small events came down from the hills, each carrying one word and nothing else. In the valley "
    "somebody had built a mill: it took the words as they came, thirty a second or three thousand, and turned "
    "them into sentences that a person could read.\n\nThe miller kept one rule. Nothing is lost, and nothing "
    "overtakes anything else. When a visitor came late, he told the story again from the beginning; when one fell "
    "asleep, he let him sleep, and went on for the others."
)

"""The SDK's page of documentation as programs: its lines, indented again, with the imports and the client exchanged.

The page lost its indentation, so the levels of each example are listed here. Nothing of its text is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from rx_assistant import AssistantClient, AsyncAssistantClient

HANDLER = ("from typing_extensions import override", "000000001121121121123434456" + "0000" + "1110" + "1")
EVENTS = ("You can also iterate over all the streamed events.", "0110" + "1223")
TEXTS = ("You can also iterate over just the text deltas received", "0110" + "12")
"""Where an example begins (a line of prose before it is left out), and the level of each of its lines."""

PROSE = (EVENTS[0], TEXTS[0])


def page(shared: Path) -> str:
    """The unchanged page."""
    return (shared / "seed" / "assistant-streaming-helpers.txt").read_text("utf-8")


def example(text: str, which: tuple[str, str]) -> str:
    """One example as the page has it, indented."""
    begin, levels = which
    lines = text[text.index(begin) :].splitlines()[begin in PROSE :]
    return "".join(f"{int(level) * '    '}{line}\n" for level, line in zip(levels, lines, strict=False))


def ours(program: str) -> str:
    """The program with the imports of this package. The test provides the client."""
    program = re.sub(r"from openai import AssistantEventHandler, OpenAI", "from rx_assistant import *", program)
    program = program.replace("import *", "import AssistantEventHandler")
    program = re.sub(r"from openai\.types\.[a-z.]+ import", "from rx_assistant.types import", program)
    return re.sub(r"client = .*\n", "", program)


def made_async(program: str) -> str:
    """The program as a coroutine `main()`, with the asynchronous handler."""
    program = program.replace("AssistantEventHandler", "AsyncAssistantEventHandler")
    for plain, waiting in (
        ("def on_", "async def on_"),
        ("with client", "async with client"),
        ("    for event in stream", "    async for event in stream"),
        ("    for text in stream", "    async for text in stream"),
        ("stream.until_done()", "await stream.until_done()"),
    ):
        program = program.replace(plain, waiting)
    return "async def main():\n" + "".join(f"    {line}\n" for line in program.splitlines())


def client_of(*bodies: bytes) -> AssistantClient:
    """A client whose requests are answered with these streams in turn, the last one for ever."""
    return AssistantClient(
        base_url="http://replayed/v1", http_client=httpx.Client(transport=httpx.MockTransport(_answer(bodies)))
    )


def async_client_of(*bodies: bytes) -> AsyncAssistantClient:
    """The same for asyncio and trio."""
    return AsyncAssistantClient(
        base_url="http://replayed/v1", http_client=httpx.AsyncClient(transport=httpx.MockTransport(_answer(bodies)))
    )


def _answer(bodies: Sequence[bytes]) -> Any:
    left = list(bodies)

    def answer(request: httpx.Request) -> httpx.Response:
        body = left.pop(0) if len(left) > 1 else left[0]
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    return answer

"""A durable server in a process of its own: `python run_durable.py DIR PORT`. It prints its base URL, once it listens.

Its engine says `one `, `two `, … without end or up to the number that the last message asks for (`say 5`), calls a
function (`call`), or takes a moment (`wait`).
"""

from __future__ import annotations

import asyncio
import itertools
import sys

from rx_assistant import local
from rx_assistant.local.engine import Arguments, FunctionCall, Text, Usage


class Counting:
    """Counts aloud."""

    async def run(self, context):
        asked = context.messages[-1].text if context.messages else "say 3"
        if asked.startswith("call") and not context.tool_outputs:
            yield FunctionCall("look_up")
            yield Arguments('{"what": ')
            yield Arguments('"it"}')
            yield Usage(7, 3)
            return
        if context.tool_outputs:
            yield Text(f"It is {context.tool_outputs[-1].output}.")
            yield Usage(11, 5)
            return
        most = int(asked.split()[1]) if asked.startswith("say ") else None
        for number in itertools.count(1) if most is None else range(1, most + 1):
            yield Text(f"{number} ")
            await asyncio.sleep(0.001)


if __name__ == "__main__":
    local.run(
        port=int(sys.argv[2]),
        engine=Counting(),
        data=sys.argv[1],
        log_level="error",
        on_listening=lambda url: print(url, flush=True),
    )

"""The application of OpenAI's guides, unchanged except for its base URL, answered by a model server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from loopback import Received, Wire

from local.upstreams import calls, says

APPLICATION = Path(__file__).with_name("documented_application.py")

PRINTED = """\
completed 1
assistant > file_search
assistant > Jane Doe, there were 15552752000 shares [0].
[0] aapl-10k.txt
It is 57 degrees, and the chance of rain is 6 %.
"""


async def thinks(request: Received, wire: Wire) -> None:
    """A model that reads its passages and calls its functions."""
    messages, tools = request.json["messages"], request.json.get("tools", [])
    if messages[-1]["role"] == "tool":
        outputs = [message["content"] for message in messages[-2:]]
        assert outputs == ["57", "0.06"]
        answer = says("It is 57 degrees, ", "and the chance of rain is 6 %.")
    elif tools:
        place = '{"location": "San Francisco"}'
        answer = calls(("a", tools[0]["function"]["name"], place), ("b", tools[1]["function"]["name"], place))
    else:
        system = messages[0]["content"]
        assert system.startswith("Please address the user as Jane Doe.")
        at = system.index("†aapl-10k.txt】")
        answer = says("Jane Doe, there were 15552752000 shares ", f"{system[at - 2 : at]}】", ".")
    await wire.events()
    for start in range(0, len(answer), 100):
        await wire.chunk(answer[start : start + 100])
    await wire.end()


def test_the_documented_application_runs_unchanged(ask, tmp_path: Path) -> None:
    (tmp_path / "goog-10k.txt").write_text("Alphabet had 5.8 billion shares of class A.", "utf-8")
    (tmp_path / "aapl-10k.txt").write_text("15552752000 shares of AAPL were outstanding in October 2023.", "utf-8")
    api, upstream = ask(thinks)
    environment = {**os.environ, "OPENAI_BASE_URL": api.server.base_url, "OPENAI_API_KEY": "any"}
    finished = subprocess.run(
        [sys.executable, "-W", "ignore", str(APPLICATION), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=90,
        env=environment,
        check=False,
    )
    assert finished.stderr == ""
    assert finished.stdout == PRINTED
    assert len(upstream.bodies) == 3

"""What importing costs, in a cold process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks._measure import Row

OURS = "from rx_assistant import AssistantClient, AssistantEventHandler, operators"
THEIRS = "from openai import OpenAI, AssistantEventHandler"


def cold(code: str) -> float:
    """Seconds of a process that does this and nothing else."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - begun


def rows() -> list[Row]:
    """The row of this table. The bare interpreter's start is taken off both sides."""
    for code in (OURS, THEIRS):
        cold(code)
    laps = [(cold(OURS), cold(THEIRS), cold("pass")) for _ in range(7)]
    ours, theirs, bare = (statistics.median(lap[place] for lap in laps) for place in range(3))
    share = (ours - bare) / (theirs - bare)
    return [
        Row(
            "import in a cold process",
            f"{(ours - bare) * 1e3:.0f} ms",
            f"openai {(theirs - bare) * 1e3:.0f} ms",
            f"{share:.2f}",
            "≤ 0.33",
            share <= 1 / 3,
        )
    ]

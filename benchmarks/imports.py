"""What importing costs, in a cold process."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from benchmarks._measure import Row, at_most

OURS = "from rx_assistant import AssistantClient, AssistantEventHandler, operators"
THEIRS = "from openai import OpenAI, AssistantEventHandler"
ITS_PACKAGES = "import click, rich"


def cold(code: str) -> float:
    """Seconds of a process that does this and nothing else."""
    return timed(lambda: subprocess.run([sys.executable, "-c", code], check=True))


def timed(work: Callable[[], object]) -> float:
    """Seconds of a call."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def help_page() -> None:
    """The command's help, as a shell calls it."""
    command = [
        sys.executable,
        "-c",
        "import sys; sys.argv = ['rx-assistant', '--help']; from rx_assistant.__main__ import main; main()",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def rows() -> list[Row]:
    """The rows of this table. The bare interpreter's start is taken off both sides of the import."""
    for code in (OURS, THEIRS, ITS_PACKAGES):
        cold(code)
    laps = [(cold(OURS), cold(THEIRS), cold("pass"), timed(help_page), cold(ITS_PACKAGES)) for _ in range(7)]
    ours, theirs, bare, shown, packages = (statistics.median(lap[place] for lap in laps) for place in range(5))
    return [
        at_most(
            "import in a cold process",
            (ours - bare) * 1e3,
            (theirs - bare) * 1e3,
            unit="ms",
            name="openai",
            limit=0.2,
        ),
        at_most(
            "rx-assistant --help",
            shown * 1e3,
            packages * 1e3,
            unit="ms",
            name="python -c 'import click, rich'",
            limit=1.5,
        ),
    ]

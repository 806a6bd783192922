"""What importing costs, in a cold process.

All that is imported is compiled beforehand, as pip compiles what it installs: into a folder of the benchmark's own,
which is filled by a first, unmeasured import. So it is the same whether the environment forbids bytecode or not.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from tempfile import TemporaryDirectory

from benchmarks._measure import Row, at_most

OURS = "from rx_assistant import AssistantClient, AssistantEventHandler, operators"
THEIRS = "from openai import OpenAI, AssistantEventHandler"
ITS_PACKAGES = "import click, rich"
HELP = "import sys; sys.argv = ['rx-assistant', '--help']; from rx_assistant.__main__ import main; main()"
LAPS = 7


def cold(code: str, bytecode: str) -> float:
    """Seconds of a process that does this and nothing else. `bytecode` is the folder of compiled modules."""
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": bytecode, "PYTHONDONTWRITEBYTECODE": ""}
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def rows() -> list[Row]:
    """The rows of this table. The bare interpreter's start is taken off both sides of the import."""
    codes = (OURS, THEIRS, "pass", HELP, ITS_PACKAGES)
    with TemporaryDirectory() as bytecode:
        laps = [[cold(code, bytecode) for code in codes] for _ in range(1 + LAPS)][1:]
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

"""Several programs, each in a process of its own that begins with what this one has imported."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping


def exit_codes(programs: Mapping[str, Callable[[], object]]) -> dict[str, int]:
    """Run the programs one after the other in forked children; return their exit codes, negative for a signal.

    Call this while no other thread runs.
    """
    codes: dict[str, int] = {}
    for name, program in programs.items():
        sys.stdout.flush()
        child = os.fork()
        if not child:
            program()
            sys.exit()
        codes[name] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return codes

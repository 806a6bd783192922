"""`rx-assistant replay`: a recording on the screen."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import rx_assistant
from rx_assistant.cli.failure import RunFailed
from rx_assistant.cli.output import Output
from rx_assistant.cli.show import describe_end, show, show_json


def replay(file: Path, *, as_json: bool, events_per_second: float | None) -> None:
    """Print a recording, as text or as JSON lines. Raises its error if it did not end well. `-` is stdin."""
    output = Output()
    source = iter(partial(os.read, 0, 1 << 16), b"") if str(file) == "-" else file
    with rx_assistant.replay(source, events_per_second=events_per_second) as stream:
        (show_json if as_json else show)(stream, output)
        try:
            stream.until_done()
        finally:
            output.finish()
        run = stream.snapshot.run
    failure = None if run is None else describe_end(run)
    if failure is not None:
        raise RunFailed(failure)

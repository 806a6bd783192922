"""`rx-assistant watch`: a run's states until it rests, then what it has written.

The states are one moving line in a terminal, and a line each in a pipe.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from reactivex import operators as ops
from rich.progress import Progress, ProgressColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from rx_assistant.cli.failure import RunFailed
from rx_assistant.cli.output import Output
from rx_assistant.cli.show import describe_end, show
from rx_assistant.client import AssistantClient
from rx_assistant.gui import printable
from rx_assistant.hot import Stream
from rx_assistant.types import Run
from rx_assistant.types._inside import inside, models_in, text_in

T = TypeVar("T")


def watch(
    run_id: str,
    *,
    thread_id: str,
    base_url: str | None,
    api_key: str | None,
    interval: int | None,
    timeout: float | None,
) -> None:
    """Print the run's states until it has ended or requires action, and then its messages and calls.

    Raises RunFailed if it ended other than well.
    """
    with AssistantClient(base_url=base_url, api_key=api_key) as client:
        states = client.threads.runs.watch(run_id, thread_id, poll_interval_ms=interval, max_wait_seconds=timeout)
        run = (_in_place if sys.stdout.isatty() else _in_lines)(states)
        if run.status in ("completed", "incomplete"):
            _show_what_it_wrote(client, run_id, thread_id)
    failure = describe_end(run)
    if failure is not None:
        raise RunFailed(failure)


def _show_what_it_wrote(client: AssistantClient, run_id: str, thread_id: str) -> None:
    output = Output()
    with client.threads.runs.watch_events(run_id, thread_id) as stream:
        show(stream, output)
        stream.until_done()
    output.finish()


def last_of(states: Stream[T], show: Callable[[T], object]) -> T:
    """Wait for the last state on this thread, showing each on the way; an interrupt leaves nothing behind."""

    def shown(state: T) -> T:
        show(state)
        return state

    return states.pipe(ops.map(shown)).run()


@contextmanager
def bars(*columns: ProgressColumn, expand: bool = False) -> Iterator[Progress]:
    """Give bars that vanish when the block fails, so that only the error is on the screen."""
    with Progress(*columns, expand=expand) as progress:
        try:
            yield progress
        except BaseException:
            progress.live.transient = True
            raise


def _in_lines(states: Stream[Run]) -> Run:
    shown = ""

    def show(run: Run) -> None:
        nonlocal shown
        line, before = _line(run), shown
        shown = line
        if line != before:
            print(line, flush=True)

    return last_of(states, show)


def _in_place(states: Stream[Run]) -> Run:
    text = TextColumn("{task.description}", markup=False, table_column=Column())  # which is wrapped
    with bars(SpinnerColumn(), text, TimeElapsedColumn()) as progress:
        line = progress.add_task("asking", total=None)
        run = last_of(states, lambda state: progress.update(line, description=printable(_line(state))))
        progress.update(line, total=1, completed=1)
    return run


def _line(run: Run) -> str:
    """The status, and the functions that a run waits for."""
    action = run.required_action if run.status == "requires_action" else None
    calls = models_in(inside(action, "submit_tool_outputs", "tool_calls"))
    names = ", ".join(text_in(call.function, "name") or "?" for call in calls)
    return f"{run.status}: {names}" if names else str(run.status)

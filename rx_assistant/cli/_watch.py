"""`rx-assistant watch`: a run's states until it rests; a moving bar in a terminal, a line for each state in a pipe."""

from __future__ import annotations

import sys
from contextlib import closing

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from rx_assistant.cli._failure import RunFailed
from rx_assistant.cli._show import describe_end
from rx_assistant.client import AssistantClient
from rx_assistant.hot import Stream
from rx_assistant.types import Run


def watch(
    run_id: str,
    *,
    thread_id: str,
    base_url: str | None,
    api_key: str | None,
    interval: int | None,
    timeout: float | None,
) -> None:
    """Print the run's states until it has ended or requires action; raise if it ended other than well."""
    with AssistantClient(base_url=base_url, api_key=api_key) as client:
        states = client.threads.runs.watch(run_id, thread_id, poll_interval_ms=interval, max_wait_seconds=timeout)
        run = (_with_bar if sys.stdout.isatty() else _in_lines)(states)
    failure = describe_end(run)
    if failure is not None:
        raise RunFailed(failure)


def _in_lines(states: Stream[Run]) -> Run:
    shown: str | None = None
    with closing(iter(states)) as following:  # type: ignore[type-var]
        for run in following:
            if run.status != shown:
                shown = run.status
                print(_line(run), flush=True)
    return run


def _with_bar(states: Stream[Run]) -> Run:
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns) as progress, closing(iter(states)) as following:  # type: ignore[type-var]
        bar = progress.add_task("asking", total=None)
        for run in following:
            progress.update(bar, description=_line(run))
        progress.update(bar, total=1, completed=1)
    return run


def _line(run: Run) -> str:
    """The status, and the functions that a run waits for."""
    action = run.required_action if run.status == "requires_action" else None
    calls = (action and action.submit_tool_outputs and action.submit_tool_outputs.tool_calls) or ()
    names = ", ".join(call.function.name or "?" for call in calls if call.function)
    return f"{run.status}: {names}" if names else str(run.status)

"""Events → the run: its states, its end, its failure. If a stream has several runs, their ids tell them apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from reactivex import Observable

from rx_assistant import errors
from rx_assistant.events import RunEvent
from rx_assistant.hot import Scope, Sink, operator
from rx_assistant.lifecycle import RUN
from rx_assistant.operators._select import E, Event
from rx_assistant.types._inside import is_model

if TYPE_CHECKING:
    from rx_assistant.types import Run, RunStatus

_ERRORS: Final = {
    "failed": errors.RunFailedError,
    "cancelled": errors.RunCancelledError,
    "expired": errors.RunExpiredError,
    "incomplete": errors.RunIncompleteError,
}


def runs() -> Callable[[Observable[Event]], Observable[Run]]:
    """Emit the whole Run of each run event.

        source  run.created  run.queued  message.delta  run.completed
        runs()  Run          Run                        Run

    >>> stream.pipe(ax.runs()).run().usage.total_tokens
    57

    Raises:
        EventDecodeError: a run event's payload is not a JSON object; through on_error.
    """
    return operator(_runs)


def _runs(down: Sink[Run], scope: Scope[Event]) -> Callable[[Event], object]:
    def on_event(event: Event) -> None:
        if isinstance(event, RunEvent):
            down.next(event.data)

    return on_event


def run_statuses() -> Callable[[Observable[Event]], Observable[RunStatus]]:
    """Emit a run's status whenever it changes.

        source          run.created  run.queued  run.in_progress  run.completed
        run_statuses()  queued                   in_progress      completed

    The status is from the data, not from the event's name: servers have sent `thread.run.completed` for runs that are
    incomplete. A status that this version does not know is emitted unchanged.

    >>> list(stream.pipe(ax.run_statuses()))
    ['queued', 'in_progress', 'requires_action', 'queued', 'in_progress', 'completed']

    Raises:
        EventDecodeError: a run event's payload is not a JSON object; through on_error.
    """
    return operator(_run_statuses)


def _run_statuses(down: Sink[RunStatus], scope: Scope[Event]) -> Callable[[Event], object]:
    known: dict[str, RunStatus] = {}

    def on_event(event: Event) -> None:
        if isinstance(event, RunEvent):
            run = event.data
            if run.status and known.get(run.id) != run.status:
                known[run.id] = run.status
                down.next(run.status)

    return on_event


def until_terminal() -> Callable[[Observable[E]], Observable[E]]:
    """Emit the same events up to the one with the run's last status, then complete.

        source            run.created  message.delta  run.completed  |
        until_terminal()  run.created  message.delta  run.completed|

    A run that requires action has not ended. With several runs in one stream, the stream completes with the last one.

    >>> stream.pipe(ax.until_terminal()).run().event
    'thread.run.completed'

    Raises:
        EventDecodeError: a run event's payload is not a JSON object; through on_error.
    """
    return operator(_until_terminal)


def _until_terminal(down: Sink[E], scope: Scope[E]) -> Callable[[E], object]:
    under_way: set[str] = set()

    def on_event(event: E) -> None:
        if not isinstance(event, RunEvent):
            down.next(event)
            return
        run = event.data
        down.next(event)
        if run.status not in RUN.terminal:
            under_way.add(run.id)
            return
        under_way.discard(run.id)
        if not under_way:
            down.completed()

    return on_event


def raise_on_failure() -> Callable[[Observable[E]], Observable[E]]:
    """Emit the same events. After the event of a failed run, fail with an error that holds the run.

        source              run.created  message.delta  run.failed  |
        raise_on_failure()  run.created  message.delta  run.failed  X RunFailedError

    >>> stream.pipe(ax.raise_on_failure()).run().event
    'thread.run.completed'

    Raises:
        RunFailedError: the run failed; RunCancelledError, RunExpiredError and RunIncompleteError are subclasses. All
            through on_error, with the run in `run`.
        EventDecodeError: a run event's payload is not a JSON object; through on_error.
    """
    return operator(_raise_on_failure)


def _raise_on_failure(down: Sink[E], scope: Scope[E]) -> Callable[[E], object]:
    def on_event(event: E) -> None:
        run = event.data if isinstance(event, RunEvent) else None
        down.next(event)
        if run is not None and run.status in RUN.failures:
            down.error(_failure(run))

    return on_event


def _failure(run: Run) -> errors.RunFailedError:
    return _ERRORS[run.status](f"run {run.id!r} is {run.status}{_because(run)}", run)


def _because(run: Run) -> str:
    error, details = run.last_error, run.incomplete_details
    if error is not None:
        return f": {error.code}: {error.message}" if is_model(error) else f": {error}"
    if details is not None:
        return f": {details.reason}" if is_model(details) else f": {details}"
    return ""

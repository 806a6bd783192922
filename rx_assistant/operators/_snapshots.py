"""Events → snapshots of the run, after each event or at the end."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable

from rx_assistant.hot import Hooks, Scope, Sink, operator
from rx_assistant.operators._select import Event
from rx_assistant.snapshots import RunSnapshot, fold


def snapshots() -> Callable[[Observable[Event]], Observable[RunSnapshot]]:
    """Emit a RunSnapshot of all events so far, after every event.

        source       run.created  message.delta  message.delta  |
        snapshots()  RunSnapshot  RunSnapshot    RunSnapshot    |

    A snapshot never changes, so it may be stored and read at any time. It is small: a reference to a state that all
    snapshots share, and a number.

    >>> [len(snapshot.text) for snapshot in stream.pipe(ax.snapshots())][-7:]
    [0, 5, 19, 20, 20, 20, 20]

    Raises:
        EventDecodeError: a payload is not a JSON object; through on_error.
    """
    return operator(_snapshots)


def _snapshots(down: Sink[RunSnapshot], scope: Scope[Event]) -> Callable[[Event], object]:
    snapshot = RunSnapshot()

    def on_event(event: Event) -> None:
        nonlocal snapshot
        snapshot = fold(snapshot, event)
        down.next(snapshot)

    return on_event


def final_snapshot() -> Callable[[Observable[Event]], Observable[RunSnapshot]]:
    """Emit one RunSnapshot of all events when the stream completes.

        source            run.created  message.delta  run.completed  |
        final_snapshot()                                                  RunSnapshot|

    A stream that fails emits its error instead; `error.snapshot` holds the events before it.

    >>> stream.pipe(ax.final_snapshot()).run().text
    'It is 12°C in Paris.'

    Raises:
        EventDecodeError: a payload is not a JSON object; through on_error.
    """
    return operator(_final_snapshot)


def _final_snapshot(down: Sink[RunSnapshot], scope: Scope[Event]) -> Hooks:
    snapshot = RunSnapshot()

    def on_event(event: Event) -> None:
        nonlocal snapshot
        snapshot = fold(snapshot, event)

    def on_completed() -> None:
        down.next(snapshot)
        down.completed()

    return Hooks(on_event, completed=on_completed)

"""What the subscriptions of this moment, on this thread, belong to: a loop, a direct subscription, or nothing.

A root (a stream that owns a log) looks here when it is subscribed to.

    loop   subscribing   the subscription …
    ────   ───────────   ────────────────────────────────────────────────────────────────────────────────────
    set    True          is part of a loop that is being made: the loop reads it from a private cursor
    set    False         was made in a step of the loop: the loop reads it if it got the loop's own scheduler
    None   True          is part of a direct `subscribe()`: it waits until somebody reads the stream
    None   False         is foreign, made by an operator of reactivex alone: it connects the stream

reactivex hands the scheduler of a subscription down to every source, but an operator with a scheduler of its own
replaces it. So the scheduler alone does not say what a subscription belongs to. A step never waits, so this is a matter
of the thread, and a task that was started meanwhile does not inherit it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rx_assistant.hot._loops import Loop


class Feeding(threading.local):
    """`loop` takes a step or subscribes; `subscribing` while a loop or a direct subscription is being made.

    Both are cleared while a log delivers to its seats.
    """

    loop: Loop[Any] | None = None
    subscribing: bool = False


FEEDING = Feeding()

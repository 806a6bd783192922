"""What a subscription belongs to: a loop, a direct subscription, or nothing.

A root (a stream that owns a log) looks here when it is subscribed to. reactivex hands the scheduler of a subscription
down to every source, also long after, so a loop is known by its scheduler. An operator with a scheduler of its own
(`delay(1.0, scheduler=…)`) replaces it. So a loop, or a direct `subscribe()`, that is being made on this thread counts
as well: that is MAKING.

    the scheduler is   MAKING is          the subscription …
    ────────────────   ────────────────   ───────────────────────────────────────────────────────────────────
    a loop's           anything           belongs to that loop, which reads it from a private cursor
    another            a loop             belongs to that loop
    another            direct             is direct: it waits until something reads the stream
    another            nothing            is foreign, made by an operator of reactivex: it connects the stream
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rx_assistant.hot.loops import Loop


class Making(threading.local):
    """The subscription that is being made on this thread: a loop's, or a direct one. Cleared while a log delivers."""

    loop: Loop[Any] | None = None
    direct: bool = False


MAKING = Making()

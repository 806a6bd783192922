"""Which loop makes the subscriptions of this moment, on this thread.

A step of a loop never waits, so this is a matter of the thread, and no context that a task started meanwhile inherits.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rx_assistant.hot._loops import Loop


class Feeding(threading.local):
    """`loop` is the loop that is taking a step or subscribing; None outside, and while a log delivers to its seats."""

    loop: Loop[Any] | None = None


FEEDING = Feeding()

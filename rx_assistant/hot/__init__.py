"""The hot log and the observables that stand on it: one producer, any number of readers, nothing twice.

It knows no event types: a log keeps pairs `(kind, payload)` and makes an item by `kind(payload)` for whoever reads it.
"""

from __future__ import annotations

from rx_assistant.hot.clock import TIMERS, StreamScheduler, Timers
from rx_assistant.hot.cursors import Cursor
from rx_assistant.hot.delivery import HotLog
from rx_assistant.hot.lift import Hooks, ReplayPoint, Scope, operator
from rx_assistant.hot.loops import loop_for, position_in
from rx_assistant.hot.root import AsyncDriver, Driver, Root, Waker
from rx_assistant.hot.state import DELIVERED, ENDED, RELEASED
from rx_assistant.hot.storage import FOREVER, NOTHING
from rx_assistant.hot.stream import AsyncStream, Stream, wrap
from rx_assistant.hot.subscriber import DIRECT, SUBSCRIBING, Sink, Subscriber, deferred
from rx_assistant.hot.threads import Sleepers, start_thread

__all__ = [
    "DELIVERED",
    "DIRECT",
    "ENDED",
    "FOREVER",
    "NOTHING",
    "RELEASED",
    "SUBSCRIBING",
    "TIMERS",
    "AsyncDriver",
    "AsyncStream",
    "Cursor",
    "Driver",
    "Hooks",
    "HotLog",
    "ReplayPoint",
    "Root",
    "Scope",
    "Sink",
    "Sleepers",
    "Stream",
    "StreamScheduler",
    "Subscriber",
    "Timers",
    "Waker",
    "deferred",
    "loop_for",
    "operator",
    "position_in",
    "start_thread",
    "wrap",
]

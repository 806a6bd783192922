"""The hot log and the observables that stand on it: one producer, any number of readers, nothing twice.

It knows no event types: a log keeps pairs `(kind, payload)` and makes an item by `kind(payload)` for whoever reads it.
"""

from __future__ import annotations

from rx_assistant.hot.blocks import AsyncBlock, SyncBlock
from rx_assistant.hot.callables import deferred
from rx_assistant.hot.clock import TIMERS, StreamScheduler, Timers
from rx_assistant.hot.cursor import NOTHING, Cursor
from rx_assistant.hot.definition import Birth, Hooks, Scope, SubstreamOperator, operator
from rx_assistant.hot.log import FOREVER, HotLog
from rx_assistant.hot.loops import loop_for, position_in
from rx_assistant.hot.making import MAKING
from rx_assistant.hot.state import DELIVERED, ENDED, RELEASED
from rx_assistant.hot.stream import AsyncStream, Stream, wrap
from rx_assistant.hot.subscriber import Sink, Subscriber
from rx_assistant.hot.threads import Sleepers, start_thread
from rx_assistant.hot.types import AsyncDriver, Driver, Root, Waker

__all__ = [
    "DELIVERED",
    "ENDED",
    "FOREVER",
    "MAKING",
    "NOTHING",
    "RELEASED",
    "TIMERS",
    "AsyncBlock",
    "AsyncDriver",
    "AsyncStream",
    "Birth",
    "Cursor",
    "Driver",
    "Hooks",
    "HotLog",
    "Root",
    "Scope",
    "Sink",
    "Sleepers",
    "Stream",
    "StreamScheduler",
    "Subscriber",
    "SubstreamOperator",
    "SyncBlock",
    "Timers",
    "Waker",
    "deferred",
    "loop_for",
    "operator",
    "position_in",
    "start_thread",
    "wrap",
]

"""The hot log and the observables that read it: one producer, any number of readers, one request.

    blocks      `with` and `async with` on an object of the other kind
    threads     start and sleep, safe against interrupts
    clock       schedulers, timers and workers
    subscriber  one subscription in a chain, and what it belongs to
    state       the states of a log, and the table of the transitions between them
    storage     items, positions, trimming
    delivery    HotLog: its subscribers, its queue of actions, the one thread that delivers, the state of handlers
    cursors     private positions in a log
    root        the protocols of streams that own a log, and of the drivers that read for them
    loops       `for` and `async for` over a stream
    stream      Stream and AsyncStream
    lift        operator(): a function for one subscription → an operator

Each module imports only modules above it in this list. This is the way of an item to a subscriber, a loop and an
operator:

    append ──▶ storage ──▶ delivery ──▶ subscriber ──▶ on_next
                  │                         ▲
                  └─▶ cursor ──▶ loop ──────┘         lift: subscriber ──▶ hooks ──▶ subscriber

A stream is a `Stream` or an `AsyncStream`: these are its two faces, for threads and for event loops. Event types are
unknown here: a log stores pairs `(kind, payload)`, and each reader builds an item with `kind(payload)`.
"""

from __future__ import annotations

from rx_assistant.hot.blocks import AsyncBlock, SyncBlock
from rx_assistant.hot.clock import TIMERS, StreamScheduler, Timers, Worker, call_later
from rx_assistant.hot.cursors import Cursor
from rx_assistant.hot.delivery import HotLog
from rx_assistant.hot.lift import Hooks, ReplayPoint, Scope, SubstreamOperator, operator
from rx_assistant.hot.loops import loop_for
from rx_assistant.hot.root import AsyncDriver, Driver, Root, Waker
from rx_assistant.hot.state import DELIVERED, ENDED, RELEASED
from rx_assistant.hot.storage import FOREVER, NOTHING
from rx_assistant.hot.stream import AsyncStream, Stream, wrap
from rx_assistant.hot.subscriber import DIRECT, SUBSCRIBING, Sink, Subscriber, deferred
from rx_assistant.hot.threads import Sleepers, outside_collection, start_thread

__all__ = [
    "DELIVERED",
    "DIRECT",
    "ENDED",
    "FOREVER",
    "NOTHING",
    "RELEASED",
    "SUBSCRIBING",
    "TIMERS",
    "AsyncBlock",
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
    "SubstreamOperator",
    "SyncBlock",
    "Timers",
    "Waker",
    "Worker",
    "call_later",
    "deferred",
    "loop_for",
    "operator",
    "outside_collection",
    "start_thread",
    "wrap",
]

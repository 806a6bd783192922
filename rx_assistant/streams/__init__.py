"""Streams of one run: where Rx meets I/O.

    body ──chunk──▶ Feed ──events──▶ HotLog ──▶ subscribers, loops, handlers
      ▲               │                 │
      │ read          └── ending ──▶ end, cut
      │
    Pump, AsyncPump        pump_state decides the next step of each caller, a pump reads and waits
    AssistantStream, …     base, and for each of the two faces (sync and async): getters, close, cancel, idleness

Feed turns chunks into events and decides the ending; `hot/state.py` has the states of an ending. A body is an open
response, a recording (`sources`) or polled states. `context` folds snapshots, `recording` writes frames to disk,
`async_handlers` awaits handlers between two events, `unread` warns of streams that nothing reads.
"""

from __future__ import annotations

from rx_assistant.streams.async_pump import AsyncOpen, AsyncPump, AsyncResume
from rx_assistant.streams.async_stream import AsyncAssistantStream, AsyncPost, Eager, HandledAsyncStream
from rx_assistant.streams.base import OnIdle, OnSubscribe, Post, Replay
from rx_assistant.streams.body import AsyncBody, Body
from rx_assistant.streams.context import message_around, step_around
from rx_assistant.streams.factories import MAX_EVENT_BYTES, from_events, from_response, replay, replay_async
from rx_assistant.streams.feed import RunIdentity
from rx_assistant.streams.handling import Binding, Handler
from rx_assistant.streams.pump import Open, Pump, Resume
from rx_assistant.streams.recording import Recording
from rx_assistant.streams.sync_stream import AssistantStream, HandledStream

__all__ = [
    "MAX_EVENT_BYTES",
    "AssistantStream",
    "AsyncAssistantStream",
    "AsyncBody",
    "AsyncOpen",
    "AsyncPost",
    "AsyncPump",
    "AsyncResume",
    "Binding",
    "Body",
    "Eager",
    "HandledAsyncStream",
    "HandledStream",
    "Handler",
    "OnIdle",
    "OnSubscribe",
    "Open",
    "Post",
    "Pump",
    "Recording",
    "Replay",
    "Resume",
    "RunIdentity",
    "from_events",
    "from_response",
    "message_around",
    "replay",
    "replay_async",
    "step_around",
]

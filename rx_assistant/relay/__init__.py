"""One run that many processes follow: `MemoryRelay` within a process, `RedisRelay` across processes and machines.

    producer:   stream ──▶ publishing ──▶ relay (memory, redis)
    follower:   relay ──▶ tailing ──▶ following ──▶ AssistantStream, AsyncAssistantStream
    late:       relay ──▶ catching_up ──▶ one compacted state, then tailing
    the producer dies: tailing ──▶ takeover ──▶ publishing

`entries` are the units of a log and their cursors, `base` is the common part of all relays. Only `redis` imports the
redis package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rx_assistant.relay.base import CatchUp, Relay
from rx_assistant.relay.entries import Command, Entry, RelayState
from rx_assistant.relay.following import FollowedAsyncStream, FollowedStream
from rx_assistant.relay.memory import MemoryRelay
from rx_assistant.relay.publishing import Publication
from rx_assistant.relay.tailing import Tail
from rx_assistant.relay.takeover import AsyncResumer, Resumer

if TYPE_CHECKING:
    from rx_assistant.relay.redis import RedisRelay

__all__ = [
    "AsyncResumer",
    "CatchUp",
    "Command",
    "Entry",
    "FollowedAsyncStream",
    "FollowedStream",
    "MemoryRelay",
    "Publication",
    "RedisRelay",
    "Relay",
    "RelayState",
    "Resumer",
    "Tail",
]


def __getattr__(name: str) -> object:
    if name == "RedisRelay":  # imported only when it is used: it needs the extra `redis`
        from rx_assistant.relay.redis import RedisRelay

        return RedisRelay
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

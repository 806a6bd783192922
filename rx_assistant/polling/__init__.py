"""Polling as a pipeline: states that are fetched until they are final, as streams."""

from __future__ import annotations

from rx_assistant.polling._bodies import AsyncPolledBody, AsyncReader, PolledBody, Reader
from rx_assistant.polling._pace import Backoff, Polled, poll_after
from rx_assistant.polling._progress import Tally, UploadProgress, UploadStopped
from rx_assistant.polling._telling import RunObjects, Telling
from rx_assistant.polling._turns import Fetch, OwnThread, Plan, TooLate
from rx_assistant.polling._watch import (
    async_origin,
    origin,
    planned,
    poll,
    poll_async,
    watch,
    watch_async,
    watching,
    watching_async,
)

__all__ = [
    "AsyncPolledBody",
    "AsyncReader",
    "Backoff",
    "Fetch",
    "OwnThread",
    "Plan",
    "Polled",
    "PolledBody",
    "Reader",
    "RunObjects",
    "Tally",
    "Telling",
    "TooLate",
    "UploadProgress",
    "UploadStopped",
    "async_origin",
    "origin",
    "planned",
    "poll",
    "poll_after",
    "poll_async",
    "watch",
    "watch_async",
    "watching",
    "watching_async",
]

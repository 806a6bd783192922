"""Polling as a pipeline: states that are fetched until they are final, as streams."""

from __future__ import annotations

from rx_assistant.polling.body import AsyncPolledBody, AsyncRunFetch, PolledBody, RunFetch
from rx_assistant.polling.loop import DeadlinePassed, Fetch, Plan
from rx_assistant.polling.observables import (
    loop_origin,
    observe,
    observe_async,
    poll,
    poll_async,
    thread_origin,
    watch,
    watch_async,
)
from rx_assistant.polling.pace import Backoff, Polled, PollSettings, poll_after
from rx_assistant.polling.run_events import RunEventEncoder, RunObjects
from rx_assistant.polling.subscription import OwnThreadScheduler
from rx_assistant.polling.uploads import UploadCounter, UploadProgress, UploadStopped

__all__ = [
    "AsyncPolledBody",
    "AsyncRunFetch",
    "Backoff",
    "DeadlinePassed",
    "Fetch",
    "OwnThreadScheduler",
    "Plan",
    "PollSettings",
    "Polled",
    "PolledBody",
    "RunEventEncoder",
    "RunFetch",
    "RunObjects",
    "UploadCounter",
    "UploadProgress",
    "UploadStopped",
    "loop_origin",
    "observe",
    "observe_async",
    "poll",
    "poll_after",
    "poll_async",
    "thread_origin",
    "watch",
    "watch_async",
]

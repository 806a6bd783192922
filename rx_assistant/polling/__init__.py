"""Polling as a pipeline: states that are fetched until they are final, as streams."""

from __future__ import annotations

from rx_assistant.polling._pace import Backoff, Polled, poll_after
from rx_assistant.polling._watch import watch, watch_async

__all__ = ["Backoff", "Polled", "poll_after", "watch", "watch_async"]

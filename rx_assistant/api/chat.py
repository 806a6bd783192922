"""Requests on `/chat/completions`. These are not Assistants operations, so they have no beta header."""

from __future__ import annotations

from dataclasses import replace

from rx_assistant.api import request as ask
from rx_assistant.api.request import Params, Request


def stream(params: Params) -> Request:
    """Request a completion in chunks. A server that cannot stream may answer with JSON."""
    return replace(ask.post("/chat/completions", params), headers=(), takes_json=True).streamed()

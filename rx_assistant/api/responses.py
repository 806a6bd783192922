"""Requests on `/responses`. These are not Assistants operations, so they have no beta header."""

from __future__ import annotations

from dataclasses import replace

from rx_assistant.api import request as ask
from rx_assistant.api.request import Params, Request, segment


def stream(params: Params) -> Request:
    """Request a response as events. A server that cannot stream may answer with JSON."""
    return replace(ask.post("/responses", params), headers=(), takes_json=True).streamed()


def resume(response_id: str, starting_after: int) -> Request:
    """The events of a background response after this sequence number."""
    request = ask.get(_path(response_id), {"stream": True, "starting_after": starting_after})
    return replace(request, headers=(), accept="text/event-stream", takes_json=True)


def retrieve(response_id: str) -> Request:
    return replace(ask.get(_path(response_id)), headers=())


def cancel(response_id: str) -> Request:
    return replace(ask.post(f"{_path(response_id)}/cancel", None), headers=())


def _path(response_id: str) -> str:
    return f"/responses/{segment('response_id', response_id)}"

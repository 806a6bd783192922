"""Requests on `/assistants`."""

from __future__ import annotations

from rx_assistant.api import request as ask
from rx_assistant.api.request import Params, Request, segment


def create(params: Params) -> Request:
    return ask.post("/assistants", params)


def retrieve(assistant_id: str) -> Request:
    return ask.get(_path(assistant_id))


def update(assistant_id: str, params: Params) -> Request:
    return ask.post(_path(assistant_id), params)


def list(params: Params) -> Request:
    return ask.get("/assistants", params)


def delete(assistant_id: str) -> Request:
    return ask.delete(_path(assistant_id))


def _path(assistant_id: str) -> str:
    return f"/assistants/{segment('assistant_id', assistant_id)}"

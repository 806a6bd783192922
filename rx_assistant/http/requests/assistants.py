"""Requests on `/assistants`."""

from __future__ import annotations

from rx_assistant.http import request as http
from rx_assistant.http.request import Params, Request, segment


def create(params: Params) -> Request:
    return http.post("/assistants", params)


def retrieve(assistant_id: str) -> Request:
    return http.get(_path(assistant_id))


def update(assistant_id: str, params: Params) -> Request:
    return http.post(_path(assistant_id), params)


def list(params: Params) -> Request:
    return http.get("/assistants", params)


def delete(assistant_id: str) -> Request:
    return http.delete(_path(assistant_id))


def _path(assistant_id: str) -> str:
    return f"/assistants/{segment('assistant_id', assistant_id)}"

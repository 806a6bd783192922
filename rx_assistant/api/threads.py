"""Requests on `/threads`. There is no list of threads."""

from __future__ import annotations

from rx_assistant.api import request as ask
from rx_assistant.api.request import Params, Request, segment


def create(params: Params) -> Request:
    return ask.post("/threads", params)


def retrieve(thread_id: str) -> Request:
    return ask.get(path(thread_id))


def update(thread_id: str, params: Params) -> Request:
    return ask.post(path(thread_id), params)


def delete(thread_id: str) -> Request:
    return ask.delete(path(thread_id))


def create_and_run(params: Params) -> Request:
    return ask.post("/threads/runs", ask.of_assistant(params))


def path(thread_id: str) -> str:
    """The path of one thread."""
    return f"/threads/{segment('thread_id', thread_id)}"

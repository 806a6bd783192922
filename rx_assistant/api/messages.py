"""Requests on `/threads/{thread_id}/messages`."""

from __future__ import annotations

from rx_assistant.api import request as ask, threads
from rx_assistant.api.request import Params, Request, segment


def create(thread_id: str, params: Params) -> Request:
    return ask.post(_messages(thread_id), params)


def retrieve(message_id: str, thread_id: str) -> Request:
    return ask.get(_path(message_id, thread_id))


def update(message_id: str, thread_id: str, params: Params) -> Request:
    return ask.post(_path(message_id, thread_id), params)


def list(thread_id: str, params: Params) -> Request:
    return ask.get(_messages(thread_id), params)


def delete(message_id: str, thread_id: str) -> Request:
    return ask.delete(_path(message_id, thread_id))


def _messages(thread_id: str) -> str:
    return f"{threads.path(thread_id)}/messages"


def _path(message_id: str, thread_id: str) -> str:
    return f"{_messages(thread_id)}/{segment('message_id', message_id)}"

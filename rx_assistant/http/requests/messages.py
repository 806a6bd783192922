"""Requests on `/threads/{thread_id}/messages`."""

from __future__ import annotations

from rx_assistant.http import request as http
from rx_assistant.http.request import Params, Request, segment
from rx_assistant.http.requests import threads


def create(thread_id: str, params: Params) -> Request:
    return http.post(_messages(thread_id), params)


def retrieve(message_id: str, thread_id: str) -> Request:
    return http.get(_path(message_id, thread_id))


def update(message_id: str, thread_id: str, params: Params) -> Request:
    return http.post(_path(message_id, thread_id), params)


def list(thread_id: str, params: Params) -> Request:
    return http.get(_messages(thread_id), params)


def delete(message_id: str, thread_id: str) -> Request:
    return http.delete(_path(message_id, thread_id))


def _messages(thread_id: str) -> str:
    return f"{threads.path(thread_id)}/messages"


def _path(message_id: str, thread_id: str) -> str:
    return f"{_messages(thread_id)}/{segment('message_id', message_id)}"

"""Requests on `/vector_stores/{vector_store_id}/files`."""

from __future__ import annotations

from rx_assistant.api import request as ask, vector_stores
from rx_assistant.api.request import Params, Request, segment


def create(vector_store_id: str, params: Params) -> Request:
    return ask.post(_files(vector_store_id), params)


def retrieve(file_id: str, vector_store_id: str) -> Request:
    return ask.get(_path(file_id, vector_store_id))


def update(file_id: str, vector_store_id: str, params: Params) -> Request:
    return ask.post(_path(file_id, vector_store_id), params)


def list(vector_store_id: str, params: Params) -> Request:
    return ask.get(_files(vector_store_id), params)


def delete(file_id: str, vector_store_id: str) -> Request:
    return ask.delete(_path(file_id, vector_store_id))


def content(file_id: str, vector_store_id: str) -> Request:
    """The text that was extracted from the file, as a page of parts."""
    return ask.get(f"{_path(file_id, vector_store_id)}/content")


def _files(vector_store_id: str) -> str:
    return f"{vector_stores.path(vector_store_id)}/files"


def _path(file_id: str, vector_store_id: str) -> str:
    return f"{_files(vector_store_id)}/{segment('file_id', file_id)}"

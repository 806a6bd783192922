"""Requests on `/vector_stores/{vector_store_id}/files`."""

from __future__ import annotations

from rx_assistant.http import request as http
from rx_assistant.http.request import Params, Request, segment
from rx_assistant.http.requests import vector_stores


def create(vector_store_id: str, params: Params) -> Request:
    return http.post(_files(vector_store_id), params)


def retrieve(file_id: str, vector_store_id: str) -> Request:
    return http.get(_path(file_id, vector_store_id))


def update(file_id: str, vector_store_id: str, params: Params) -> Request:
    return http.post(_path(file_id, vector_store_id), params)


def list(vector_store_id: str, params: Params) -> Request:
    return http.get(_files(vector_store_id), params)


def delete(file_id: str, vector_store_id: str) -> Request:
    return http.delete(_path(file_id, vector_store_id))


def content(file_id: str, vector_store_id: str) -> Request:
    """The text that was extracted from the file, as a page of parts."""
    return http.get(f"{_path(file_id, vector_store_id)}/content")


def _files(vector_store_id: str) -> str:
    return f"{vector_stores.path(vector_store_id)}/files"


def _path(file_id: str, vector_store_id: str) -> str:
    return f"{_files(vector_store_id)}/{segment('file_id', file_id)}"

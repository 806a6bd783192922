"""Requests on `/vector_stores/{vector_store_id}/file_batches`."""

from __future__ import annotations

from rx_assistant.api import request as ask, vector_stores
from rx_assistant.api.request import Params, Request, segment


def create(vector_store_id: str, params: Params) -> Request:
    return ask.post(_batches(vector_store_id), params)


def retrieve(batch_id: str, vector_store_id: str) -> Request:
    return ask.get(_path(batch_id, vector_store_id))


def cancel(batch_id: str, vector_store_id: str) -> Request:
    return ask.post(f"{_path(batch_id, vector_store_id)}/cancel", None)


def list_files(batch_id: str, vector_store_id: str, params: Params) -> Request:
    return ask.get(f"{_path(batch_id, vector_store_id)}/files", params)


def _batches(vector_store_id: str) -> str:
    return f"{vector_stores.path(vector_store_id)}/file_batches"


def _path(batch_id: str, vector_store_id: str) -> str:
    return f"{_batches(vector_store_id)}/{segment('batch_id', batch_id)}"

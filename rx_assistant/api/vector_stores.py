"""Requests on `/vector_stores`."""

from __future__ import annotations

from rx_assistant.api import request as ask
from rx_assistant.api.request import Params, Request, segment


def create(params: Params) -> Request:
    return ask.post("/vector_stores", params)


def retrieve(vector_store_id: str) -> Request:
    return ask.get(path(vector_store_id))


def update(vector_store_id: str, params: Params) -> Request:
    return ask.post(path(vector_store_id), params)


def list(params: Params) -> Request:
    return ask.get("/vector_stores", params)


def delete(vector_store_id: str) -> Request:
    return ask.delete(path(vector_store_id))


def search(vector_store_id: str, params: Params) -> Request:
    return ask.post(f"{path(vector_store_id)}/search", params)


def path(vector_store_id: str) -> str:
    """The path of one vector store."""
    return f"/vector_stores/{segment('vector_store_id', vector_store_id)}"

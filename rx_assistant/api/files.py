"""Requests on `/files`. They need no beta header."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from rx_assistant.api import request as ask
from rx_assistant.api.request import Params, Request, segment
from rx_assistant.api.uploads import upload
from rx_assistant.types import FileTypes


def create(file: FileTypes, params: Params) -> Request:
    return Request("POST", "/files", upload=upload(file, tuple(_fields(ask.given(params)))), headers=())


def retrieve(file_id: str) -> Request:
    return _plain(ask.get(_path(file_id)))


def list(params: Params) -> Request:
    return _plain(ask.get("/files", params))


def delete(file_id: str) -> Request:
    return _plain(ask.delete(_path(file_id)))


def content(file_id: str) -> Request:
    """The file's bytes. The reply may have any type."""
    return replace(_plain(ask.get(f"{_path(file_id)}/content")), accept="*/*")


def _plain(request: Request) -> Request:
    return replace(request, headers=())


def _path(file_id: str) -> str:
    return f"/files/{segment('file_id', file_id)}"


def _fields(params: Params) -> Iterator[tuple[str, str]]:
    """Form fields. The members of an object become `name[member]`."""
    for name, value in params.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}[{key}]", str(member)) for key, member in value.items())
        elif value is not None:
            yield name, str(value)

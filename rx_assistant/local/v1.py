"""Requests for version 1 of the API, which the service ended on 2024-12-18: they are refused and told so."""

from __future__ import annotations

import re

from starlette.datastructures import Headers

from rx_assistant.local.errors import ApiError, bad_request

GONE = "Version 1 of the Assistants API is gone: use a client that sends 'OpenAI-Beta: assistants=v2'."

_PATHS = re.compile(r"/assistants/[^/]+/files(/[^/]+)?|/threads/[^/]+/messages/[^/]+/files(/[^/]+)?")


def refuse(headers: Headers) -> None:
    """400 for a request whose `OpenAI-Beta` header asks for version 1, and not for version 2 too."""
    asked = {part.strip() for value in headers.getlist("openai-beta") for part in value.split(",")}
    if "assistants=v1" in asked and "assistants=v2" not in asked:
        raise bad_request(GONE, code="invalid_beta")


def is_path(path: str) -> bool:
    """Whether only version 1 had such a path."""
    return _PATHS.fullmatch(path) is not None


def explained(error: ApiError) -> ApiError:
    """The refusal of a body, with a word on version 1 if the body is one of that version.

    Such bodies come without the header from clients of Azure.
    """
    field = (error.param or "").rpartition(".")[2]
    if (error.code == "unknown_parameter" and field == "file_ids") or error.message.startswith(
        "Invalid value: 'retrieval'."
    ):
        error.message += f" {GONE}"
    return error

"""Refuse requests for version 1 of the API, which the service ended on 2024-12-18."""

from __future__ import annotations

import re

from starlette.datastructures import Headers

from rx_assistant.local.errors import ApiError, bad_request

GONE = "Version 1 of the Assistants API is gone: use a client that sends 'OpenAI-Beta: assistants=v2'."

_PATHS = re.compile(r"/assistants/[^/]+/files(/[^/]+)?|/threads/[^/]+/messages/[^/]+/files(/[^/]+)?")


def refuse(headers: Headers) -> None:
    """Raise 400 if the `OpenAI-Beta` header asks for version 1 and not also for version 2."""
    asked = {part.strip() for value in headers.getlist("openai-beta") for part in value.split(",")}
    if "assistants=v1" in asked and "assistants=v2" not in asked:
        raise bad_request(GONE, code="invalid_beta")


def is_path(path: str) -> bool:
    """Whether the path existed only in version 1."""
    return _PATHS.fullmatch(path) is not None


def explained(error: ApiError) -> ApiError:
    """The error for a body.

    If the body has the form of version 1, the text says so: Azure's clients send such bodies without the header.
    """
    field = (error.param or "").rpartition(".")[2]
    if (error.code == "unknown_parameter" and field == "file_ids") or error.message.startswith(
        "Invalid value: 'retrieval'."
    ):
        error.message += f" {GONE}"
    return error

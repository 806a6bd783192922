"""Replies with an error status become errors of this package, with the parsed body and without the key."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rx_assistant import errors
from rx_assistant.errors import APIStatusError
from rx_assistant.http.redaction import redact, redact_value
from rx_assistant.http.transports import Response, hide_credentials

_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    422: errors.UnprocessableEntityError,
    429: errors.RateLimitError,
}

_GONE = (
    "OpenAI switched its Assistants endpoints off on 2026-08-26, so {host} no longer answers on this path. "
    "base_url= chooses another server: a compatible host, or rx_assistant.local.serve()."
)
_SHOWN = 300


def status_error(response: Response, content: bytes, secrets: Sequence[str]) -> APIStatusError:
    """The error for a reply with a status of 300 or more, whose body has been read as far as it came."""
    hide_credentials(response.request)
    status = response.status_code
    kind = _BY_STATUS.get(status, errors.InternalServerError if status >= 500 else APIStatusError)
    parsed = _parsed(content)
    body = redact_value(parsed.get("error", parsed) if isinstance(parsed, dict) else parsed, secrets)
    said = redact(_sentence(response, content, body), secrets)
    return kind(f"Error code: {status} - {said}", response=response, body=body)


def _sentence(response: Response, content: bytes, body: object) -> str:
    host = response.request.url.host
    if response.status_code == 404 and _is_openai(host) and _is_assistants(response.request.url.path):
        return _GONE.format(host=host)
    if 300 <= response.status_code < 400:
        return _redirect(response)
    message = body.get("message") if isinstance(body, dict) else body
    if isinstance(message, str) and message.strip():
        return message.strip()[:_SHOWN] if not isinstance(body, dict) else message.strip()
    return content[:_SHOWN].decode("utf-8", "replace").strip() or response.reason_phrase or "no further explanation"


def _redirect(response: Response) -> str:
    target = response.headers.get("location")
    if not target:
        return "a redirect without a Location header"
    return f"the server redirects to {target}, which was not followed; if you trust that address, set base_url to it"


def _is_openai(host: str) -> bool:
    return host == "openai.com" or host.endswith(".openai.com")


def _is_assistants(path: str) -> bool:
    return "/assistants" in path or "/threads" in path


def _parsed(content: bytes) -> object:
    """The JSON value of a body, else its text, else None."""
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError:
        return content.decode("utf-8", "replace")

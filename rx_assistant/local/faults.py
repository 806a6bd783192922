"""Replies that a scenario sends instead of the server's own: overload, maintenance pages, any status."""

from __future__ import annotations

from fnmatch import fnmatchcase

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from rx_assistant.local.errors import ApiError
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.paths import asked
from rx_assistant.local.responses import json_reply

_TYPES = {401: "invalid_request_error", 429: "requests"}


class Faults:
    """The faults in order. A fault ends after it was sent `times` times."""

    def __init__(self, faults: list[JsonObject]) -> None:
        self._faults = [(fault, [fault.get("times")]) for fault in faults]

    def take(self, request: Request) -> Response | None:
        """The fault's reply to this request; None if no fault matches."""
        for fault, left in self._faults:
            if left[0] != 0 and _fits(fault["request"], request):
                left[0] = None if left[0] is None else left[0] - 1
                return _reply(fault)
        return None


def _fits(pattern: str, request: Request) -> bool:
    method, _, path = pattern.partition(" ")
    return method in ("*", request.method) and fnmatchcase(asked(request), path)


def _reply(fault: JsonObject) -> Response:
    status, headers = fault["status"], fault.get("headers", {})
    if "html" in fault:
        return HTMLResponse(fault["html"], status, headers)
    kind = fault.get("type") or _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    error = ApiError(status, fault.get("message", f"A fault with status {status}."), type=kind, code=fault.get("code"))
    return json_reply(error.body(), status, headers)

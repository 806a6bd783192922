"""Refusals as the service words them: a status and the body `{"error": {message, type, param, code}}`."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Mapping

FULL = "The server's disk is full."
_FULL_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
INVALID_REQUEST = "invalid_request_error"
SERVER_ERROR = "server_error"


class ApiError(Exception):
    """Raised by a handler, sent to the client as an error body with `status`."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = INVALID_REQUEST,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, object]:
        """The JSON object that goes over the wire."""
        error = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {"error": error}


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """400: the request is malformed, or the object's state forbids it."""
    return ApiError(400, message, param=param, code=code)


def not_found(noun: str, id: str, param: str | None = None) -> ApiError:
    """404: `noun` is what kind of object has no such id, as the service calls it (`run step`)."""
    return ApiError(404, f"No {noun} found with id {id!r}.", param=param)


def server_error(request_id: str) -> ApiError:
    """500, with the sentence that the service sends."""
    message = (
        "The server had an error processing your request. "
        f"(Please include the request ID {request_id} when you report it.)"
    )
    return ApiError(500, message, type=SERVER_ERROR)


def is_full(error: BaseException) -> bool:
    """Whether the disk took no more: of a file, or of the database."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in _FULL_ERRORS


def disk_full() -> ApiError:
    """507: the request would have been done, had there been room."""
    return ApiError(507, FULL, type=SERVER_ERROR, code="insufficient_storage")

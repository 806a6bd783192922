"""Errors with the service's texts: a status and the body `{"error": {message, type, param, code}}`."""

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
    """A 400: the request is malformed, or the state of the object does not allow it."""
    return ApiError(400, message, param=param, code=code)


def not_found(noun: str, id: str, param: str | None = None) -> ApiError:
    """A 404. `noun` is the service's word for the kind of the missing object, such as `run step`."""
    return ApiError(404, f"No {noun} found with id {id!r}.", param=param)


def server_error(request_id: str) -> ApiError:
    """A 500 with the service's text."""
    message = (
        "The server had an error processing your request. "
        f"(Please include the request ID {request_id} when you report it.)"
    )
    return ApiError(500, message, type=SERVER_ERROR)


def is_full(error: BaseException) -> bool:
    """Whether the error means that the disk is full, for a file or for the database."""
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode == sqlite3.SQLITE_FULL
    return isinstance(error, OSError) and error.errno in _FULL_ERRORS


def disk_full() -> ApiError:
    """A 507: the disk is full."""
    return ApiError(507, FULL, type=SERVER_ERROR, code="insufficient_storage")

"""Finds the message in an error of a model server. The bodies of such errors have many shapes."""

from __future__ import annotations

from typing import Any

from rx_assistant.dialects.reading import json_text


def error_text(error: Any) -> str:
    """The message of an error, in any of the shapes that servers use."""
    if isinstance(error, str):
        return error
    if isinstance(error, dict):
        for key in ("message", "detail", "error", "error_msg", "msg"):
            if error.get(key):
                return error_text(error[key])
    if isinstance(error, list) and error:
        return error_text(error[0])
    return json_text(error) if error not in (None, {}, []) else "the model's server reported an error"

"""Removes keys from log lines and error messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from rx_assistant.errors import may_be_secret

HIDDEN = "[hidden]"

_CREDENTIALS = re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',]+|://[^/\s]+@")
_BARE_ADDRESS = re.compile(r"[^\s/:@'\"]+:[^\s/@]+@")
_QUERY = re.compile(r"([?&]([^?&=\s#]{1,64})=)[^&\s#\"']+")


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the given secrets, and without anything that looks like credentials."""
    for secret in secrets:
        if len(secret) >= 4:
            text = text.replace(secret, HIDDEN)
    text = _CREDENTIALS.sub(lambda found: f"{found[1]} {HIDDEN}" if found[1] else f"://{HIDDEN}@", text)
    return _QUERY.sub(lambda found: f"{found[1]}{HIDDEN}" if may_be_secret(found[2]) else found[0], text)


def redact_address(text: str) -> str:
    """The text without user and password in addresses without a scheme, as some libraries quote them."""
    return _BARE_ADDRESS.sub(f"{HIDDEN}@", text)


def secrets_in(headers: Mapping[str, str]) -> list[str]:
    """The credentials in a request's headers, with and without their scheme."""
    values = [value for name, value in headers.items() if may_be_secret(name)]
    return [*values, *(value.partition(" ")[2] for value in values if " " in value)]


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers without secrets, for a log line."""
    return {name: HIDDEN if may_be_secret(name) else value for name, value in headers.items()}


def redact_value(value: object, secrets: Iterable[str]) -> object:
    """A parsed JSON value without the given secrets, at any depth."""
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, dict):
        return {name: redact_value(member, secrets) for name, member in value.items()}
    if isinstance(value, list):
        return [redact_value(item, secrets) for item in value]
    return value

"""Object ids and request ids in the service's shapes: `thread_` and 24 letters or digits, `vs_` and 32 hex digits."""

from __future__ import annotations

import secrets
import string

_ALPHABET = (string.ascii_letters + string.digits).encode()
_LETTERS = bytes(_ALPHABET[byte % len(_ALPHABET)] for byte in range(256))
_HEX_PREFIXES = frozenset({"vs_", "vsfb_", "req_"})


def new_id(prefix: str) -> str:
    """A fresh id that begins with `prefix`, which includes its separator: `new_id("run_")`."""
    if prefix in _HEX_PREFIXES:
        return prefix + secrets.token_hex(16)
    return prefix + secrets.token_bytes(24).translate(_LETTERS).decode()

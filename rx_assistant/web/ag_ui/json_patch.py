"""JSON Patch (RFC 6902): a JSON document and a list of operations → the changed document."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any


def patched(document: Any, operations: Sequence[Mapping[str, Any]]) -> Any:
    """Return a changed copy. ValueError for an operation that cannot be applied; then nothing is changed."""
    root = {"": copy.deepcopy(document)}
    for operation in operations:
        _apply(root, operation)
    return root[""]


def _apply(root: dict[str, Any], operation: Mapping[str, Any]) -> None:
    op, path = operation["op"], operation["path"]
    if op == "add":
        _add(root, path, copy.deepcopy(operation["value"]))
    elif op == "remove":
        _remove(root, path)
    elif op == "replace":
        _get(root, path)
        _set(root, path, copy.deepcopy(operation["value"]))
    elif op == "move":
        if path.startswith(operation["from"] + "/"):
            raise ValueError(f"path must not be inside from, got {path!r} and {operation['from']!r}")
        _add(root, path, _remove(root, operation["from"]))
    elif op == "copy":
        _add(root, path, copy.deepcopy(_get(root, operation["from"])))
    elif op == "test":
        found = _get(root, path)
        if not _equal(found, operation["value"]):
            raise ValueError(f"the value at {path!r} must be {operation['value']!r}, got {found!r}")
    else:
        raise ValueError(f"op must be an operation of JSON Patch, got {op!r}")


def _equal(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: `True` is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return bool(one == other)


def _parent(root: dict[str, Any], path: str) -> tuple[Any, str]:
    """The container of a path, and the last key. The whole document is the value of "" in `root`."""
    if path and not path.startswith("/"):
        raise ValueError(f"path must be empty or begin with '/', got {path!r}")
    *keys, last = [key.replace("~1", "/").replace("~0", "~") for key in path.split("/")]
    found: Any = root
    for key in keys:
        found = _member(found, key, path)
    return found, last


def _member(container: Any, key: str, path: str) -> Any:
    if isinstance(container, dict) and key in container:
        return container[key]
    if isinstance(container, list):
        return container[_index(container, key, path, len(container))]
    raise ValueError(f"path must lead to a value, got {path!r}: nothing at {key!r}")


def _index(array: list[Any], key: str, path: str, end: int) -> int:
    if not (key.isascii() and key.isdecimal() and (key == "0" or key[0] != "0") and int(key) < end):
        raise ValueError(f"path must have an index below {end} for an array of {len(array)}, got {key!r} in {path!r}")
    return int(key)


def _get(root: dict[str, Any], path: str) -> Any:
    container, key = _parent(root, path)
    return _member(container, key, path)


def _set(root: dict[str, Any], path: str, value: Any) -> None:
    container, key = _parent(root, path)
    if isinstance(container, list):
        container[_index(container, key, path, len(container))] = value
    elif isinstance(container, dict):
        container[key] = value
    else:
        raise ValueError(f"path must lead into an object or array, got {path!r}")


def _add(root: dict[str, Any], path: str, value: Any) -> None:
    container, key = _parent(root, path)
    if isinstance(container, list):
        at = len(container) if key == "-" else _index(container, key, path, len(container) + 1)
        container.insert(at, value)
    else:
        _set(root, path, value)


def _remove(root: dict[str, Any], path: str) -> Any:
    container, key = _parent(root, path)
    value = _member(container, key, path)
    if path:
        del container[int(key) if isinstance(container, list) else key]
    else:
        root[""] = None
    return value

"""From the path and method of a request to the endpoint that answers it.

starlette tries its routes one after the other, in several layers. Here a path is looked up part by part, which costs
the same however many operations there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rx_assistant.local.dispatch import Endpoint


class Found(NamedTuple):
    """What a lookup found: the endpoint with its parameters, or the methods that the path has instead of this one."""

    endpoint: Endpoint | None
    parameters: Mapping[str, str]
    allowed: tuple[str, ...] = ()


class _Node:
    """The paths that begin with the same parts. A literal part comes before a parameter."""

    __slots__ = ("endpoints", "literals", "parameter", "rest")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.parameter: _Node | None = None
        self.rest: _Node | None = None
        self.endpoints: dict[str, tuple[Endpoint, tuple[str, ...]]] = {}

    def child(self, part: str) -> _Node:
        """The node below for `name`, `{name}`, or `{name:path}`, which is the rest of a path."""
        if not part.startswith("{"):
            return self.literals.setdefault(part, _Node())
        if part.endswith(":path}"):
            self.rest = self.rest or _Node()
            return self.rest
        self.parameter = self.parameter or _Node()
        return self.parameter

    def matching(self, parts: Sequence[str], position: int = 0) -> Iterator[tuple[_Node, tuple[str, ...]]]:
        """The nodes that the parts lead to, each with the values of its parameters."""
        if position == len(parts):
            yield self, ()
            return
        part = parts[position]
        if part in self.literals:
            yield from self.literals[part].matching(parts, position + 1)
        if self.parameter is not None and part:
            for node, values in self.parameter.matching(parts, position + 1):
                yield node, (part, *values)
        if self.rest is not None:
            yield self.rest, ("/".join(parts[position:]),)


class Routes:
    """Endpoints by path and method. HEAD has the endpoints of GET."""

    def __init__(self) -> None:
        self._root = _Node()

    def add(self, methods: Iterable[str], path: str, endpoint: Endpoint) -> None:
        """Add an endpoint. Of two for the same path and method, the first counts."""
        node = self._root
        parts = path.split("/")[1:]
        for part in parts:
            node = node.child(part)
        names = tuple(part.strip("{}").partition(":")[0] for part in parts if part.startswith("{"))
        for method in methods:
            node.endpoints.setdefault(method, (endpoint, names))

    def find(self, method: str, path: str) -> Found | None:
        """The endpoint for a request. None if the path is unknown."""
        method = "GET" if method == "HEAD" else method
        allowed: set[str] = set()
        for node, values in self._root.matching(path.split("/")[1:]):
            if method in node.endpoints:
                endpoint, names = node.endpoints[method]
                return Found(endpoint, dict(zip(names, values, strict=True)))
            allowed.update(node.endpoints)
        if "GET" in allowed:
            allowed.add("HEAD")
        return Found(None, {}, tuple(sorted(allowed))) if allowed else None

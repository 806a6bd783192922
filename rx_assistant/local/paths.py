"""The path prefixes of OpenAI, Azure OpenAI and Azure AI Foundry. The operations are below each of them."""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.types import Scope

PREFIXES = (
    "/v1",
    "/openai/v1",
    "/openai",
    "/api/projects/{project}/openai/v1",
    "/api/projects/{project}/openai",
    "/api/projects/{project}",
)
"""Tried in this order: a longer prefix comes before its own beginning."""

_PREFIX = re.compile("(" + "|".join(re.sub("{.*?}", "[^/]+", prefix) for prefix in PREFIXES) + ")(?=/)")


def split(scope: Scope) -> tuple[str, str]:
    """The prefix of the request's path, empty if it has none, and the path below it.

    A path at which this application is mounted in another is left out.
    """
    path: str = scope["path"]
    root = scope.get("root_path", "")
    if root and (path == root or path.startswith(f"{root}/")):
        path = path[len(root) :]
    found = _PREFIX.match(path)
    prefix = found[0] if found else ""
    return prefix, path[len(prefix) :]


def asked(request: Request) -> str:
    """The request's path below its prefix."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))

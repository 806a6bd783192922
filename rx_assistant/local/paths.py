"""The path prefixes of OpenAI, Azure OpenAI and Azure AI Foundry. The operations are below each of them."""

from __future__ import annotations

from starlette.requests import Request

PREFIXES = (
    "/v1",
    "/openai/v1",
    "/openai",
    "/api/projects/{project}/openai/v1",
    "/api/projects/{project}/openai",
    "/api/projects/{project}",
)
"""Tried in this order: a longer prefix comes before its own beginning."""


def asked(request: Request) -> str:
    """The request's path below its prefix."""
    path: str = request.scope["path"]
    return path.removeprefix(request.scope.get("root_path", ""))


def has_prefix(request: Request) -> bool:
    """Whether the request's path begins with one of the prefixes."""
    scope = request.scope
    return bool(scope.get("root_path", "") != scope.get("app_root_path", scope.get("root_path", "")))

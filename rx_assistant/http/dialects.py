"""Addresses and credentials of OpenAI and compatible servers, Azure OpenAI, and Azure AI Foundry "classic" agents.

A dialect makes the URL, query and header of a request from base URL, path and key. It does not know the operations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable
from urllib.parse import quote


@runtime_checkable
class Dialect(Protocol):
    """The differences between hosts."""

    def path(self, path: str) -> str:
        """The operation's path below the base URL."""
        ...

    def query(self) -> tuple[tuple[str, str], ...]:
        """The query parameters of every request."""
        ...

    def credentials(self, key: str, *, fresh: bool) -> tuple[str, str]:
        """The header with the key. A `fresh` key comes from a token provider."""
        ...


@dataclass(frozen=True, slots=True)
class OpenAI:
    """`{base_url}/threads/…`, bearer key: OpenAI and compatible servers."""

    def path(self, path: str) -> str:
        return path

    def query(self) -> tuple[tuple[str, str], ...]:
        return ()

    def credentials(self, key: str, *, fresh: bool) -> tuple[str, str]:
        return "Authorization", f"Bearer {key}"


@dataclass(frozen=True, slots=True)
class Azure:
    """`https://{resource}.openai.azure.com/openai/threads/…?api-version=…`, `api-key: KEY`.

    A token provider as `api_key` (Entra) goes into `Authorization: Bearer`. With `deployment`, paths begin with
    `/openai/deployments/{deployment}`; otherwise `model` names the deployment.
    """

    api_version: str
    deployment: str | None = None

    def path(self, path: str) -> str:
        if self.deployment is None:
            return f"/openai{path}"
        return f"/openai/deployments/{quote(self.deployment, safe='')}{path}"

    def query(self) -> tuple[tuple[str, str], ...]:
        return (("api-version", self.api_version),)

    def credentials(self, key: str, *, fresh: bool) -> tuple[str, str]:
        return ("Authorization", f"Bearer {key}") if fresh else ("api-key", key)


@dataclass(frozen=True, slots=True)
class Foundry:
    """`https://{resource}.services.ai.azure.com/api/projects/{project}/threads/…?api-version=…`, bearer token.

    The base URL ends with the project; `api_key` is usually a token provider.
    """

    api_version: str = "v1"

    def path(self, path: str) -> str:
        return path

    def query(self) -> tuple[tuple[str, str], ...]:
        return (("api-version", self.api_version),)

    def credentials(self, key: str, *, fresh: bool) -> tuple[str, str]:
        return "Authorization", f"Bearer {key}"

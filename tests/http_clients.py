"""The clients that tests of open bodies run over: each library, our own clients, and httpx over aiohttp.

Each has `Client(…)` or `AsyncClient(…)`, for a `with` block that gives what a session takes as its client.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cache
from typing import Any
from unittest import mock

import aiohttp
import httpx
from loopback import authority

import rx_assistant


@cache
def trusted() -> str:
    """The path of a file with the certificate that signs our servers'."""
    with tempfile.NamedTemporaryFile(suffix=".pem", delete=False) as file:
        file.write(authority().cert_pem.bytes())
    return file.name


@contextmanager
def environment(proxy: str | None = None) -> Iterator[None]:
    """Certificates and proxy in the environment, where our own clients look for them."""
    variables = {"SSL_CERT_FILE": trusted(), "NO_PROXY": "" if proxy else "*"}
    if proxy is not None:
        variables |= {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy}
    with mock.patch.dict(os.environ, variables):
        yield


class Own:
    """No client is given: the session makes its own, by the environment."""

    HTTPError = httpx.HTTPError

    @staticmethod
    @contextmanager
    def Client(*, verify: ssl.SSLContext | None = None, proxy: str | None = None) -> Iterator[None]:
        with environment(proxy):
            yield None

    @staticmethod
    @asynccontextmanager
    async def AsyncClient(*, verify: ssl.SSLContext | None = None, proxy: str | None = None) -> AsyncIterator[None]:
        with environment(proxy):
            yield None


class OverAiohttp:
    """httpx over aiohttp, with the proxy of the environment."""

    HTTPError = (httpx.HTTPError, aiohttp.ClientError)

    @staticmethod
    @asynccontextmanager
    async def AsyncClient(*, verify: ssl.SSLContext, proxy: str | None = None) -> AsyncIterator[Any]:
        with environment(proxy):
            async with rx_assistant.aiohttp_client(verify=verify) as client:
                yield client

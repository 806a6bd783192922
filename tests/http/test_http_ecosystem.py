"""What users of httpx expect of our own clients: mocks, recorders, tracing, proxies, certificates, HTTP/2."""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
import httpx
import httpx2
import pytest
import respx
import vcr
from http_clients import environment, trusted
from loopback import (
    ConnectProxy,
    H2Loopback,
    H2Wire,
    Loopback,
    Received,
    UnixLoopback,
    Wire,
    client_tls,
    ended,
    server_tls,
)
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from rx_assistant import aiohttp_client
from rx_assistant.client import AssistantClient, AsyncAssistantClient
from rx_assistant.errors import APIConnectionError, ConfigurationError

BODY = b'event: thread.created\ndata: {"id": "thread_1"}\n\nevent: done\ndata: [DONE]\n\n'
URL = "http://server.test/v1"
RUNS = f"{URL}/threads/t/runs"


async def whole(request: Received, wire: Wire) -> None:
    await wire.events()
    await wire.chunk(BODY)
    await wire.end()


def on_threads(url: str, http: Any = None, max_retries: int = 0) -> int:
    """How many events a stream has."""
    with (
        AssistantClient(base_url=url, http_client=http, max_retries=max_retries) as client,
        client.threads.runs.stream("t", assistant_id="a") as stream,
    ):
        return sum(1 for _ in stream)


def on_loop(backend: str) -> Callable[..., int]:
    def count(url: str, http: Any = None, max_retries: int = 0) -> int:
        async def main() -> int:
            async with (
                AsyncAssistantClient(base_url=url, http_client=http, max_retries=max_retries) as client,
                client.threads.runs.stream("t", assistant_id="a") as stream,
            ):
                return len([event async for event in stream])

        return anyio.run(main, backend=backend)

    return count


FACES = {"threads": on_threads, "asyncio": on_loop("asyncio"), "trio": on_loop("trio")}


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> Callable[..., int]:
    return FACES[request.param]


@pytest.fixture
def expected() -> int:
    """How many events `BODY` has, whatever counts as one."""
    with Loopback(whole) as server:
        return on_threads(server.url)


def test_respx_answers_a_stream(face: Callable[..., int], expected: int) -> None:
    with respx.mock:
        route = respx.post(RUNS).respond(200, headers={"content-type": "text/event-stream"}, content=BODY)
        assert face(URL) == expected
        assert route.call_count == 1


@pytest.mark.parametrize("name", ["threads", "asyncio"])
def test_vcr_records_a_stream_and_plays_it_again(name: str, expected: int, tmp_path: Path) -> None:
    cassette = tmp_path / "stream.yaml"
    with Loopback(whole) as server:
        with vcr.use_cassette(str(cassette), match_on=["method", "path"]):
            assert FACES[name](server.url) == expected
        assert "[DONE]" in cassette.read_text()
        with vcr.use_cassette(str(cassette), match_on=["method", "path"], record_mode="none"):
            assert FACES[name](server.url) == expected
        assert len(server.requests) == 1


def test_opentelemetry_sees_a_stream_and_its_parent(face: Callable[..., int]) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    HTTPXClientInstrumentor().instrument(tracer_provider=provider)
    try:
        with Loopback(whole) as server, provider.get_tracer("test").start_as_current_span("parent") as parent:
            face(server.url)
    finally:
        HTTPXClientInstrumentor().uninstrument()
    [span] = [span for span in exporter.get_finished_spans() if span.name != "parent"]
    assert span.attributes["http.method"] == "POST"
    assert span.parent.span_id == parent.get_span_context().span_id
    assert "traceparent" in server.requests[0].headers


def test_a_proxy_of_the_environment_tunnels_https(face: Callable[..., int], expected: int) -> None:
    with ConnectProxy() as proxy, Loopback(whole, tls=server_tls()) as server:
        with environment(proxy.url):
            assert face(server.url) == expected
        assert proxy.tunnels == [f"localhost:{server.port}"]


def test_a_proxy_of_the_environment_forwards_http(face: Callable[..., int], expected: int) -> None:
    with Loopback(whole) as proxy:
        address = proxy.url.removesuffix("/v1")
        with environment(address):
            assert face("http://elsewhere.test/v1") == expected
        assert proxy.requests[0].target == "http://elsewhere.test/v1/threads/t/runs"


def test_no_proxy_names_hosts_that_are_reached_directly(face: Callable[..., int], expected: int) -> None:
    with ConnectProxy() as proxy, Loopback(whole, tls=server_tls()) as server:
        with environment(proxy.url), mock.patch.dict(os.environ, {"NO_PROXY": "localhost"}):
            assert face(server.url) == expected
        assert proxy.tunnels == []


def test_an_entry_in_netrc_changes_nothing(face: Callable[..., int], expected: int, tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine localhost login me password secret\nmachine 127.0.0.1 login me password secret\n")
    with Loopback(whole) as server:
        with mock.patch.dict(os.environ, {"NETRC": str(file)}):
            assert face(server.url) == expected
        assert "authorization" not in server.requests[0].headers


def test_a_proxy_that_wants_a_password_is_asked_once(face: Callable[..., int]) -> None:
    async def refuses(request: Received, wire: Wire) -> None:
        await wire.reply(407, headers={"proxy-authenticate": "Basic"})

    with Loopback(refuses) as proxy, environment(proxy.url.removesuffix("/v1").replace("//", "//me:hunter2@")):
        with pytest.raises(APIConnectionError, match="407") as caught:
            face("https://elsewhere.test/v1", max_retries=2)
        assert "hunter2" not in str(caught.value)
        assert len(proxy.requests) == 1


def test_a_proxy_that_httpx_refuses_is_a_configuration_error_without_its_password() -> None:
    with (
        environment("gopher://me:hunter2@proxy.test"),
        pytest.raises(ConfigurationError, match="proxy") as caught,
    ):
        AssistantClient(base_url=URL)
    assert "hunter2" not in str(caught.value)


async def over_aiohttp(url: str) -> None:
    async with AsyncAssistantClient(base_url=url, http_client=aiohttp_client(), max_retries=0) as client:
        await client.assistants.retrieve("asst_1")


@pytest.mark.parametrize("proxy", ["http://me:hunter2@127.0.0.1:99999", "me:hunter2@127.0.0.1:99999"])
@pytest.mark.parametrize("name", [*FACES, "aiohttp"])
def test_a_proxy_with_an_impossible_port_is_a_typed_error_without_its_password(name: str, proxy: str) -> None:
    with environment(proxy), pytest.raises(APIConnectionError) as caught:
        if name == "aiohttp":
            anyio.run(over_aiohttp, "http://elsewhere.test/v1")
        else:
            FACES[name]("http://elsewhere.test/v1")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_certificates_of_the_environment_are_trusted(face: Callable[..., int], expected: int) -> None:
    with Loopback(whole, tls=server_tls()) as server:
        with mock.patch.dict(os.environ, {"SSL_CERT_FILE": trusted()}):
            assert face(server.url) == expected
        with pytest.raises(APIConnectionError, match=r"(?i)certificate"):
            face(server.url)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no unix sockets in asyncio")
def test_a_unix_socket_with_a_given_client(expected: int, tmp_path: Path) -> None:
    with UnixLoopback(whole, tmp_path / "socket") as server:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(server.path))) as http:
            assert on_threads(URL, http) == expected

        async def main() -> int:
            async with httpx.AsyncClient(transport=httpx.AsyncHTTPTransport(uds=str(server.path))) as http:
                client = AsyncAssistantClient(base_url=URL, http_client=http)
                async with client.threads.runs.stream("t", assistant_id="a") as stream:
                    return len([event async for event in stream])

        for backend in ("asyncio", "trio"):
            assert anyio.run(main, backend=backend) == expected


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_http2_with_a_given_client(library: Any, expected: int) -> None:
    async def h2_whole(request: Received, wire: H2Wire) -> None:
        await wire.events()
        await wire.send(BODY)
        await wire.end()

    with H2Loopback(h2_whole) as server, library.Client(verify=client_tls(), http2=True) as http:
        for _ in range(2):
            assert on_threads(server.url, http) == expected
        assert server.opened == 1


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = {*threading.enumerate()}
    yield
    for thread in {*threading.enumerate()} - before:
        if thread.name.startswith("rx"):
            assert ended(thread), thread

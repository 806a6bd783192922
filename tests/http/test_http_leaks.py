"""What must not come out of this package: a key or a password in a message, and an error of another library."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from cases import in_one_test
from loopback import Loopback, Received, Wire

import rx_assistant
from rx_assistant import errors
from rx_assistant.client import AssistantClient, AsyncAssistantClient
from rx_assistant.http.dialects import Azure
from rx_assistant.http.settings import Settings

KEY = "sk-secret-0123456789"
PASSWORD = "hunter2"

Call = Callable[[Any], Any]


def on_threads(call: Call, **options: Any) -> Any:
    with AssistantClient(**options) as client:
        return call(client)


def on_asyncio(call: Call, **options: Any) -> Any:
    async def main() -> Any:
        async with AsyncAssistantClient(**options) as client:
            return await call(client)

    return anyio.run(main)


def over_aiohttp(call: Call, **options: Any) -> Any:
    return on_asyncio(call, **options, http_client=rx_assistant.aiohttp_client())


@pytest.fixture(params=[on_threads, on_asyncio, over_aiohttp])
def face(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return request.param  # type: ignore[no-any-return]


async def ok(request: Received, wire: Wire) -> None:
    await wire.json({"id": "thread_1", "object": "thread"})


async def unauthorized(request: Received, wire: Wire) -> None:
    await wire.json({"error": {"message": "no"}}, status=401)


async def rude(request: Received, wire: Wire) -> None:
    wire.reset()


@pytest.mark.parametrize("key", [f"{KEY} ", f"{KEY}\t", f" {KEY}", f"{KEY}\n", f"{KEY}\r\n"], ids=repr)
def test_blanks_around_a_key_are_not_sent(face: Callable[..., Any], key: str) -> None:
    with Loopback(ok) as server:
        face(lambda client: client.threads.create(), base_url=server.url, api_key=key)
        face(lambda client: client.threads.create(), base_url=server.url, api_key=lambda: key)
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {KEY}"}


@in_one_test("mark", ["\x01", "\x7f", "é", "\u2028", "\ud800"], ids=ascii)
@in_one_test("place", ["api_key", "provider", "azure", "organization", "default_headers"])
def test_a_key_that_cannot_be_sent_is_not_shown(face: Callable[..., Any], mark: str, place: str) -> None:
    bad = f"{KEY}{mark}{KEY}"
    options: dict[str, Any] = {
        "api_key": {"api_key": bad},
        "provider": {"api_key": lambda: bad},
        "azure": {"api_key": bad, "dialect": Azure("v")},
        "organization": {"organization": bad},
        "default_headers": {"default_headers": {"X-Key": bad}},
    }
    with pytest.raises((errors.InvalidArgumentError, errors.ConfigurationError)) as caught:
        face(lambda client: client.threads.create(), base_url="http://localhost:1/v1", **options[place])
    assert KEY not in _all_told(caught.value)
    assert str(caught.value).startswith("api_key must be") == isinstance(options[place].get("api_key"), str)


@pytest.mark.parametrize("script", [unauthorized, rude])
def test_an_error_of_a_request_holds_no_key(face: Callable[..., Any], script: Any) -> None:
    with Loopback(script) as server:
        url = server.url.replace("//", f"//me:{PASSWORD}@")
        with pytest.raises(errors.APIError) as caught:
            face(lambda client: client.threads.create(), base_url=url, api_key=KEY, max_retries=0)
    told = _all_told(caught.value)
    assert KEY not in told
    assert PASSWORD not in told
    request = caught.value.request
    if request is not None:
        assert KEY not in str(request.headers.raw)
        assert PASSWORD not in str(request.url)
        assert KEY.encode() not in pickle.dumps(request)


def _all_told(error: BaseException | None) -> str:
    """What the error and its own causes in this package say."""
    told = ""
    while error is not None and type(error).__module__.startswith("rx_assistant"):
        told += f"{error} {error!r} {vars(error)}"
        error = error.__cause__
    return told


@pytest.mark.parametrize(
    "url",
    [
        "htps://me:hunter2@host/v1",
        "https//me:hunter2@host/v1",
        "me:hunter2@host",
        "http://me:hunter2@",
        "http://me:hun/hunter2@host/v1",
        "http://me:hunter2@ho@st:x/v1",
        "http://me:hunter2",
        "http://[me:hunter2@host/v1",
        "http://me:hunter2@host:99999999/v1",
        "http://me:hunter2@host/v1?x=y",
        "http://host:hunter2/v1",
        "ftp://host/v1?api_key=hunter2",
    ],
)
def test_a_mistyped_address_never_shows_its_password(url: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="base_url") as caught:
        Settings(base_url=url)
    assert PASSWORD not in str(caught.value)


def test_an_address_without_a_secret_is_shown() -> None:
    with pytest.raises(errors.ConfigurationError, match="'localhost:8000'"):
        Settings(base_url="localhost:8000")


@pytest.mark.parametrize("password", ["p@ss", "p:ss", "päss"])
def test_a_password_with_odd_marks_is_hidden_whole(password: str) -> None:
    client = AssistantClient(base_url=f"http://me:{password}@host/v1")
    assert repr(client) == "AssistantClient(base_url='http://[hidden]@host/v1')"
    client.close()


# -- errors of other libraries -----------------------------------------------------------------------------------

ODD: dict[str, Call] = {
    "half a character": lambda client: client.threads.retrieve("thread_\ud800"),
    "nothing": lambda client: client.threads.retrieve(""),
    "dots": lambda client: client.threads.retrieve(".."),
    "a long id": lambda client: client.threads.retrieve("t" * 100_000),
    "a long query": lambda client: client.threads.retrieve("t", extra_query={"q": "x" * 100_000}),
    "not a number": lambda client: client.threads.create(metadata={"a": float("nan")}),
    "a header's name": lambda client: client.threads.create(extra_headers={"a b": "c"}),
    "a header's value": lambda client: client.threads.create(extra_headers={"a": "\x00"}),
    "a closed file": lambda client: client.files.create(file=_closed_file(), purpose="assistants"),
}


def _closed_file() -> Any:
    file = io.BytesIO(b"x")
    file.close()
    return file


def _itself() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["a"] = value
    return value


@pytest.mark.parametrize("what", ODD)
def test_what_cannot_be_sent_is_an_error_of_this_package_and_not_tried_again(
    face: Callable[..., Any], what: str
) -> None:
    with Loopback(ok) as server:
        with pytest.raises(errors.RxAssistantError) as caught:
            face(ODD[what], base_url=server.url)
        assert isinstance(caught.value, ValueError)
        assert server.requests == []


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_a_descriptor_that_was_closed_is_a_connection_error(library: Any) -> None:
    class Broken(library.BaseTransport):  # type: ignore[misc, name-defined]
        def handle_request(self, request: Any) -> Any:
            raise ValueError("file descriptor cannot be a negative integer (-1)")

    with library.Client(transport=Broken()) as http, pytest.raises(errors.APIConnectionError) as caught:
        AssistantClient(base_url="http://x/v1", http_client=http, max_retries=0).threads.create()
    assert isinstance(caught.value.__cause__, ValueError)


# -- replies -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["with a length", "in chunks", "compressed"])
def test_a_reply_that_is_too_long_is_not_read_to_its_end(face: Callable[..., Any], how: str) -> None:
    async def endless(request: Received, wire: Wire) -> None:
        import gzip

        if how == "compressed":
            body = gzip.compress(b" " * 10_000_000)
            await wire.reply(200, body, {"content-type": "application/json", "content-encoding": "gzip"})
        elif how == "with a length":
            await wire.head(200, {"content-type": "application/json", "content-length": "1000000000"})
            while True:
                await wire.send(b" " * 10_000)
        else:
            await wire.head(200, {"content-type": "application/json", "transfer-encoding": "chunked"})
            while True:
                await wire.chunk(b" " * 10_000)

    with Loopback(endless) as server:
        with pytest.raises(errors.APIResponseValidationError, match="max_reply_bytes = 100000"):
            face(lambda client: client.threads.retrieve("t"), base_url=server.url, max_reply_bytes=100_000)
        server.wait_for(lambda: server.open_connections == 0)


def test_an_explanation_that_is_too_long_is_cut(face: Callable[..., Any]) -> None:
    async def rambles(request: Received, wire: Wire) -> None:
        await wire.head(400, {"content-type": "text/plain", "transfer-encoding": "chunked"})
        while True:
            await wire.chunk(b"no " * 1000)

    with Loopback(rambles) as server:
        with pytest.raises(errors.BadRequestError, match="no no no"):
            face(lambda client: client.threads.retrieve("t"), base_url=server.url, max_reply_bytes=10_000)
        server.wait_for(lambda: server.open_connections == 0)


def test_a_file_may_be_of_any_size(face: Callable[..., Any]) -> None:
    async def large(request: Received, wire: Wire) -> None:
        await wire.reply(200, b"x" * 50_000, {"content-type": "application/octet-stream"})

    with Loopback(large) as server:
        content = face(lambda client: client.files.content("f"), base_url=server.url, max_reply_bytes=1000)
        assert len(content.content) == 50_000


@in_one_test(
    "delete",
    [
        lambda client: client.assistants.delete("é/1"),
        lambda client: client.threads.delete("é/1"),
        lambda client: client.files.delete("é/1"),
        lambda client: client.vector_stores.delete("é/1"),
        lambda client: client.threads.messages.delete("é/1", thread_id="t"),
        lambda client: client.vector_stores.files.delete("é/1", vector_store_id="v"),
    ],
)
def test_a_deletion_that_is_answered_with_nothing_is_a_success(face: Callable[..., Any], delete: Call) -> None:
    async def gone(request: Received, wire: Wire) -> None:
        await wire.head(204, {})

    with Loopback(gone) as server:
        deleted = face(delete, base_url=server.url)
    assert (deleted.id, deleted.deleted) == ("é/1", True)
    assert deleted.object.endswith((".deleted", "file"))


# -- timeouts of a given client ----------------------------------------------------------------------------------


@pytest.mark.parametrize("library", [httpx, httpx2])
def test_the_limits_of_a_given_client_are_kept_unless_they_are_the_default_of_httpx(library: Any) -> None:
    def timeout(http: Any, **more: Any) -> rx_assistant.Timeout:
        return AssistantClient(base_url="http://x/v1", http_client=http, **more)._session.settings.timeout

    with library.Client() as plain, library.Client(timeout=None) as patient:
        assert timeout(plain) == rx_assistant.Timeout(connect=5, read=600)
        assert timeout(patient) == rx_assistant.Timeout(connect=None, read=None)
        assert timeout(patient, timeout=7) == rx_assistant.Timeout(connect=7, read=7)
    with library.Client(timeout=library.Timeout(60, connect=3)) as own:
        assert timeout(own) == rx_assistant.Timeout(connect=3, read=60)

"""Sessions over real sockets: what goes out, what comes back, on both faces, with both libraries."""

from __future__ import annotations

import gzip
import io
import logging
import pathlib
from collections.abc import Callable
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from cases import in_one_test
from loopback import Loopback, Received, Wire, client_tls, server_tls

from rx_assistant import errors
from rx_assistant.api import assistants, files, runs, threads
from rx_assistant.api.request import Request
from rx_assistant.http.dialects import Azure, Foundry
from rx_assistant.http.options import CallOptions
from rx_assistant.http.session import AsyncSession, Reply, Session
from rx_assistant.http.settings import Settings
from rx_assistant.http.timeouts import Timeout, as_timeout

KEY = "sk-secret-0123456789"

Exchange = Callable[..., Reply]


async def ok(request: Received, wire: Wire) -> None:
    await wire.json({"id": "x", "status": "queued"}, headers={"x-request-id": "req_1"})


def sync_exchange(settings: Settings, request: Request, options: CallOptions, library: Any = httpx) -> Reply:
    with library.Client(verify=client_tls()) as client:
        return Session(settings, client, sleep=lambda seconds: None).send(request, options)


def async_exchange(settings: Settings, request: Request, options: CallOptions, library: Any = httpx) -> Reply:
    async def no_sleep(seconds: float) -> None:
        await anyio.lowlevel.checkpoint()

    async def main() -> Reply:
        async with library.AsyncClient(verify=client_tls()) as client:
            return await AsyncSession(settings, client, sleep=no_sleep).send(request, options)

    return anyio.run(main)


@pytest.fixture(params=["sync", "async"])
def exchange(request: pytest.FixtureRequest) -> Exchange:
    """Send one request by either face."""
    face = sync_exchange if request.param == "sync" else async_exchange

    def send(server: Loopback | str, request: Request, library: Any = httpx, **parts: Any) -> Reply:
        names = {"extra_headers", "extra_query", "extra_body", "timeout"} & parts.keys()
        options = CallOptions(**{name: parts.pop(name) for name in names})
        url = server if isinstance(server, str) else server.url
        return face(Settings(base_url=url, **parts), request, options, library)

    return send


class TestWhatGoesOut:
    def test_a_post_carries_json_key_beta_and_an_idempotency_key(self, exchange: Exchange) -> None:
        with Loopback(ok) as server:
            reply = exchange(server, assistants.create({"model": "m", "name": "é\ud800"}), api_key=KEY)
        [request] = server.requests
        assert (reply.status, reply.request_id, reply.content) == (200, "req_1", b'{"id": "x", "status": "queued"}')
        assert (request.method, request.path) == ("POST", "/v1/assistants")
        assert request.json == {"model": "m", "name": "é\ud800"}
        assert request.headers["authorization"] == f"Bearer {KEY}"
        assert request.headers["openai-beta"] == "assistants=v2"
        assert request.headers["content-type"] == "application/json"
        assert request.headers["accept"] == "application/json"
        assert request.headers["user-agent"].startswith("rx_assistant")
        assert request.headers["idempotency-key"]

    def test_without_a_key_there_is_no_authorization_header(self, exchange: Exchange) -> None:
        with Loopback(ok) as server:
            exchange(server, threads.retrieve("t"))
        assert not {"authorization", "api-key"} & server.requests[0].headers.keys()

    def test_organization_project_and_default_headers_are_sent(self, exchange: Exchange) -> None:
        with Loopback(ok) as server:
            exchange(
                server, threads.retrieve("t"), organization="org_1", project="proj_1", default_headers={"X-A": "1"}
            )
        headers = server.requests[0].headers
        assert (headers["openai-organization"], headers["openai-project"], headers["x-a"]) == ("org_1", "proj_1", "1")

    def test_the_extras_of_a_call_come_last(self, exchange: Exchange) -> None:
        with Loopback(ok) as server:
            exchange(
                server,
                runs.create("t", {"assistant_id": "a", "model": "m", "include": ["x"]}),
                default_headers={"X-A": "default", "X-B": "default"},
                default_query={"q": "default"},
                extra_headers={"x-a": "call", "X-B": None, "OpenAI-Beta": "assistants=v3", "Idempotency-Key": "mine"},
                extra_query={"q": "call", "n": 1},
                extra_body={"model": "other", "new": True},
            )
        [request] = server.requests
        assert request.headers["x-a"] == "call"
        assert "x-b" not in request.headers
        assert request.headers["openai-beta"] == "assistants=v3"
        assert request.headers["idempotency-key"] == "mine"
        assert request.query == [("q", "call"), ("include[]", "x"), ("n", "1")]
        assert request.json == {"assistant_id": "a", "model": "other", "new": True}

    @pytest.mark.parametrize("header", [{"Authorization": "Basic abc"}, {"authorization": None}])
    def test_the_callers_own_authorization_wins(self, exchange: Exchange, header: dict[str, str | None]) -> None:
        with Loopback(ok) as server:
            exchange(server, threads.retrieve("t"), api_key=KEY, extra_headers=header)
        assert server.requests[0].headers.get("authorization") == next(iter(header.values()))

    def test_streams_ask_for_an_event_stream_uncompressed(self) -> None:
        async def stream(request: Received, wire: Wire) -> None:
            await wire.events()
            await wire.end()

        with Loopback(stream) as server:
            session = Session(Settings(base_url=server.url))
            session.open(runs.create("t", {"assistant_id": "a"}).streamed()).close()
            session.close()
        [request] = server.requests
        assert (request.headers["accept"], request.headers["accept-encoding"]) == ("text/event-stream", "identity")
        assert request.json == {"assistant_id": "a", "stream": True}

    def test_a_cancel_has_no_body(self, exchange: Exchange) -> None:
        with Loopback(ok) as server:
            exchange(server, runs.cancel("r", "t"))
        assert server.requests[0].body == b""
        assert "content-type" not in server.requests[0].headers

    def test_models_and_generators_may_stand_in_a_body(self, exchange: Exchange) -> None:
        from rx_assistant.types import CodeInterpreterTool

        tool = CodeInterpreterTool.model_validate({"type": "code_interpreter"})
        with Loopback(ok) as server:
            exchange(server, assistants.create({"model": "m", "tools": (tool for _ in range(2))}))
        assert server.requests[0].json["tools"] == [{"type": "code_interpreter"}] * 2

    @pytest.mark.parametrize("kind", ["bytes", "path", "file", "pair", "triple"])
    def test_files_of_every_kind_are_uploaded(self, exchange: Exchange, kind: str, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "notes.txt"
        path.write_bytes(b"hello file")
        given: dict[str, Any] = {
            "bytes": b"hello file",
            "path": path,
            "file": io.BytesIO(b"hello file"),
            "pair": ("notes.txt", b"hello file"),
            "triple": ("notes.txt", path, "text/x-notes"),
        }
        expires = {"anchor": "created_at", "seconds": 3600}
        with Loopback(ok) as server:
            exchange(server, files.create(given[kind], {"purpose": "assistants", "expires_after": expires}))
        [request] = server.requests
        assert request.headers["content-type"].startswith("multipart/form-data")
        assert b"hello file" in request.body
        assert b'name="purpose"\r\n\r\nassistants' in request.body
        assert b'name="expires_after[seconds]"\r\n\r\n3600' in request.body
        assert (b'filename="notes.txt"' in request.body) is (kind not in {"bytes", "file"})
        assert (b"text/x-notes" in request.body) is (kind == "triple")

    def test_a_retried_upload_sends_the_whole_file_again(self, exchange: Exchange) -> None:
        async def fail_once(request: Received, wire: Wire) -> None:
            await wire.json({"id": "f"}, status=503 if len(server.requests) == 1 else 200)

        with Loopback(fail_once) as server:
            exchange(server, files.create(io.BytesIO(b"the content"), {"purpose": "assistants"}))
        assert [b"the content" in request.body for request in server.requests] == [True, True]

    def test_a_missing_file_is_its_own_error(self, exchange: Exchange, tmp_path: pathlib.Path) -> None:
        with pytest.raises(FileNotFoundError):
            exchange("http://localhost:1/v1", files.create(tmp_path / "none", {"purpose": "assistants"}))

    def test_a_text_is_no_file(self) -> None:
        with pytest.raises(TypeError, match=r"pathlib\.Path"):
            files.create("notes.txt", {"purpose": "assistants"})  # type: ignore[arg-type]


class TestHosts:
    def test_azure_has_its_own_path_query_and_key_header(self, exchange: Exchange) -> None:
        with Loopback(ok) as server:
            origin = server.url.removesuffix("/v1")
            exchange(origin, threads.retrieve("t"), dialect=Azure("2024-05-01-preview"), api_key=KEY)
            exchange(origin, threads.retrieve("t"), dialect=Azure("v", deployment="my gpt"), api_key=lambda: "entra")
        plain, deployed = server.requests
        assert plain.target == "/openai/threads/t?api-version=2024-05-01-preview"
        assert plain.headers["api-key"] == KEY
        assert "authorization" not in plain.headers
        assert deployed.target == "/openai/deployments/my%20gpt/threads/t?api-version=v"
        assert deployed.headers["authorization"] == "Bearer entra"
        assert "api-key" not in deployed.headers

    def test_foundry_has_a_project_path_and_a_fresh_token_for_every_request(self, exchange: Exchange) -> None:
        tokens = iter(["one", "two"])
        with Loopback(ok) as server:
            project = server.url.replace("/v1", "/api/projects/p")
            for _ in range(2):
                exchange(project, threads.retrieve("t"), dialect=Foundry(), api_key=lambda: next(tokens))
        assert {request.target for request in server.requests} == {"/api/projects/p/threads/t?api-version=v1"}
        assert [request.headers["authorization"] for request in server.requests] == ["Bearer one", "Bearer two"]

    def test_an_async_token_provider_is_awaited_by_the_async_face_and_refused_by_the_other(self) -> None:
        async def token() -> str:
            await anyio.lowlevel.checkpoint()
            return "later"

        with Loopback(ok) as server:
            async_exchange(Settings(base_url=server.url, api_key=token), threads.retrieve("t"), CallOptions())
            with pytest.raises(errors.ConfigurationError, match="AsyncAssistantClient"):
                Session(Settings(base_url=server.url, api_key=token))
        assert server.requests[0].headers["authorization"] == "Bearer later"


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
class TestFailures:
    def test_a_refused_connection_is_ours(self, exchange: Exchange, library: Any) -> None:
        with pytest.raises(errors.APIConnectionError) as caught:
            exchange("http://127.0.0.1:1/v1", threads.retrieve("t"), library, max_retries=0)
        assert type(caught.value) is errors.APIConnectionError
        assert isinstance(caught.value.__cause__, library.ConnectError)

    def test_a_silent_server_is_a_read_timeout(self, exchange: Exchange, library: Any) -> None:
        async def silent(request: Received, wire: Wire) -> None:
            await wire.peer_gone()

        with Loopback(silent) as server:
            with pytest.raises(errors.ReadTimeoutError) as caught:
                exchange(server, threads.retrieve("t"), library, max_retries=0, timeout=Timeout(read=0.05))
            assert isinstance(caught.value, TimeoutError)
            assert isinstance(caught.value.__cause__, library.ReadTimeout)
            server.wait_for(lambda: server.open_connections == 0)

    def test_total_limits_a_call_below_its_read_timeout(self, exchange: Exchange, library: Any) -> None:
        async def silent(request: Received, wire: Wire) -> None:
            await wire.peer_gone()

        with Loopback(silent) as server, pytest.raises(errors.TotalTimeoutError):
            exchange(server, threads.retrieve("t"), library, timeout=Timeout(read=60, total=0.05), max_retries=9)

    @pytest.mark.parametrize("how", ["reset", "hang_up"])
    def test_a_connection_that_dies_before_the_head_is_ours(self, exchange: Exchange, library: Any, how: str) -> None:
        async def die(request: Received, wire: Wire) -> None:
            getattr(wire, how)()

        with Loopback(die) as server:
            with pytest.raises(errors.APIConnectionError) as caught:
                exchange(server, threads.create({}), library, max_retries=2)
            assert isinstance(caught.value.__cause__, library.HTTPError)
        assert len(server.requests) == 3
        assert len({request.headers["idempotency-key"] for request in server.requests}) == 1

    def test_a_reply_that_breaks_off_is_tried_again(self, exchange: Exchange, library: Any) -> None:
        async def break_once(request: Received, wire: Wire) -> None:
            if len(server.requests) == 1:
                await wire.head(200, {"content-length": "100"})
                await wire.send(b"{")
                wire.hang_up()
            else:
                await ok(request, wire)

        with Loopback(break_once) as server:
            assert exchange(server, threads.create({}), library).status == 200

    @pytest.mark.parametrize(
        ("body", "kind", "said"),
        [
            (
                b'{"error": {"message": "No run.", "code": "x", "param": "p", "type": "t"}}',
                "application/json",
                "No run.",
            ),
            (b"<html><h1>Not here</h1></html>", "text/html", "<html><h1>Not here"),
            (b"", "text/plain", "Gone"),
            (b"\xff\xfe", "text/plain", "404"),
            (b'["odd"]', "application/json", "odd"),
            (b'{"error": "just a text"}', "application/json", "just a text"),
        ],
        ids=["json", "html", "empty", "binary", "array", "text error"],
    )
    def test_a_status_error_says_what_came(
        self, exchange: Exchange, library: Any, body: bytes, kind: str, said: str
    ) -> None:
        async def fail(request: Received, wire: Wire) -> None:
            headers = {"content-type": kind, "content-length": str(len(body)), "x-request-id": "req_9"}
            await wire.head(404, headers, reason="Gone")
            await wire.send(body)

        with Loopback(fail) as server, pytest.raises(errors.NotFoundError) as caught:
            exchange(server, threads.retrieve("t"), library)
        error = caught.value
        assert said in str(error)
        assert (error.status_code, error.request_id) == (404, "req_9")
        assert error.response.content == body
        if said == "No run.":
            assert (error.code, error.param, error.type) == ("x", "p", "t")
            assert error.body == {"message": "No run.", "code": "x", "param": "p", "type": "t"}

    def test_gzip_is_understood(self, exchange: Exchange, library: Any) -> None:
        async def zipped(request: Received, wire: Wire) -> None:
            await wire.reply(200, gzip.compress(b'{"id": "x"}'), {"content-encoding": "gzip"})

        with Loopback(zipped) as server:
            assert exchange(server, threads.retrieve("t"), library).content == b'{"id": "x"}'


class TestSecurity:
    def test_a_redirect_on_the_same_origin_is_followed_with_everything(self, exchange: Exchange) -> None:
        async def slash(request: Received, wire: Wire) -> None:
            if request.path.endswith("/"):
                await ok(request, wire)
            else:
                await wire.reply(307, headers={"location": f"{request.path}/"})

        with Loopback(slash) as server:
            exchange(server, threads.create({"metadata": {"a": "b"}}), api_key=KEY)
        first, second = server.requests
        assert (second.method, second.path, second.json) == ("POST", "/v1/threads/", {"metadata": {"a": "b"}})
        assert second.headers["authorization"] == f"Bearer {KEY}"
        assert first.headers["idempotency-key"] == second.headers["idempotency-key"]

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
    def test_another_origin_gets_no_credentials(self, exchange: Exchange, status: int, library: Any) -> None:
        async def away(request: Received, wire: Wire) -> None:
            await wire.reply(status, headers={"location": f"{elsewhere.url}/blob"})

        with Loopback(ok) as elsewhere, Loopback(away) as server:
            exchange(
                server,
                files.content("f"),
                library,
                api_key=KEY,
                organization="org",
                default_headers={"X-Token": "mine", "Cookie": "a=b"},
            )
        [request] = elsewhere.requests
        assert request.headers.keys() <= {"host", "accept", "accept-encoding", "user-agent", "connection"}

    def test_what_a_given_client_adds_to_every_request_stays_here_too(self) -> None:
        async def away(request: Received, wire: Wire) -> None:
            await wire.reply(307, headers={"location": f"{elsewhere.url}/blob"})

        with Loopback(ok) as elsewhere, Loopback(away) as server:
            http = httpx.Client(
                headers={"Authorization": "Bearer clients"}, auth=("user", "password"), cookies={"c": "d"}
            )
            with http:
                Session(Settings(base_url=server.url), http).send(files.content("f"))
        assert "authorization" in server.requests[0].headers
        assert not {"authorization", "cookie"} & elsewhere.requests[0].headers.keys()

    def test_nothing_is_posted_to_another_origin(self, exchange: Exchange) -> None:
        async def away(request: Received, wire: Wire) -> None:
            await wire.reply(307, headers={"location": f"{elsewhere.url}/threads"})

        with Loopback(ok) as elsewhere, Loopback(away) as server:
            with pytest.raises(errors.APIStatusError, match="set base_url to it") as caught:
                exchange(server, threads.create({}), api_key=KEY)
            assert caught.value.status_code == 307
        assert elsewhere.requests == []

    def test_redirects_in_a_circle_end(self, exchange: Exchange) -> None:
        async def circle(request: Received, wire: Wire) -> None:
            await wire.reply(308, headers={"location": request.path})

        with Loopback(circle) as server, pytest.raises(errors.APIStatusError):
            exchange(server, threads.retrieve("t"))
        assert len(server.requests) == 5

    @in_one_test("value", ["a\r\nX-Evil: 1", "a\nb", "a\rb", "a\0b"], ids=repr)
    @in_one_test("where", ["api_key", "organization", "default_headers", "extra_headers", "name"])
    def test_line_breaks_in_headers_are_refused_without_repeating_them(
        self, exchange: Exchange, value: str, where: str
    ) -> None:
        given: dict[str, Any] = {
            "api_key": {"api_key": value},
            "organization": {"organization": value},
            "default_headers": {"default_headers": {"X-A": value}},
            "extra_headers": {"extra_headers": {"X-A": value}},
            "name": {"extra_headers": {value: "x"}},
        }
        with pytest.raises((ValueError, errors.ConfigurationError), match="line break") as caught:
            exchange("http://localhost:1/v1", threads.retrieve("t"), **given[where])
        assert where == "name" or value not in str(caught.value)

    def test_keys_are_in_no_message_no_log_and_no_repr(
        self, exchange: Exchange, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def echo(request: Received, wire: Wire) -> None:
            said = f"Incorrect API key provided: {request.headers['authorization']}"
            await wire.json({"error": {"message": said, "detail": [said]}}, status=401)

        caplog.set_level(logging.DEBUG, logger="rx_assistant")
        with Loopback(echo) as server, pytest.raises(errors.AuthenticationError) as caught:
            exchange(server, threads.create({"metadata": {"k": KEY}}), api_key=KEY, log="content")
        settings = Settings(base_url=server.url, api_key=KEY, default_headers={"X": KEY})
        told = [str(caught.value), repr(caught.value), str(caught.value.body), caplog.text, repr(settings)]
        assert "Incorrect API key provided" in told[0]
        assert "/v1/threads" in caplog.text
        assert not any(KEY in text for text in told)

    @pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
    def test_keys_in_an_address_are_in_no_log_and_no_error(
        self, exchange: Exchange, caplog: pytest.LogCaptureFixture, library: Any
    ) -> None:
        """Both libraries log addresses at INFO."""

        async def refuse(request: Received, wire: Wire) -> None:
            await wire.json({"error": {"message": f"nothing is at {request.target}"}}, status=404)

        caplog.set_level(logging.DEBUG)
        given = {"max_retries": 0, "default_query": {"api_key": KEY, "code": KEY, "v": "1"}, "log": "content"}
        with Loopback(refuse) as server:
            for url in (server.url.replace("://", f"://me:{KEY}@"), f"http://me:{KEY}@localhost:1/v1"):
                with pytest.raises(errors.APIError) as caught:
                    exchange(url, threads.retrieve("t"), library, **given)
                told = [str(caught.value), repr(caught.value), repr(caught.value.request), str(caught.value.body)]
                assert not [text for text in told if KEY in text]
                assert str(caught.value.request.url).endswith("/v1/threads/t?v=1")
        assert server.requests[0].query[0] == ("api_key", KEY)
        assert "HTTP Request: GET http://[hidden]@localhost" in caplog.text
        assert KEY not in caplog.text

    def test_headers_with_the_name_of_a_key_are_hidden_in_the_log(
        self, exchange: Exchange, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG, logger="rx_assistant")
        names = ["X-My-Token", "Ocp-Apim-Subscription-Key", "X-Auth", "Client-Secret", "X-Signature"]
        with Loopback(ok) as server:
            given = {"log": "content", "default_headers": {name: f"{KEY}-{name}" for name in names} | {"X-Trace": "t7"}}
            exchange(server, threads.create({}), **given)
        assert KEY not in caplog.text
        assert "t7" in caplog.text
        assert server.requests[0].headers["idempotency-key"] in caplog.text

    @pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
    @pytest.mark.parametrize("length", ["1", "9999"])
    def test_errors_of_the_library_below_httpx_become_ours(self, exchange: Exchange, library: Any, length: str) -> None:
        """h11 counts the body, and httpcore lets its error through."""
        with Loopback(ok) as server, pytest.raises(errors.APIConnectionError, match="data for declared") as caught:
            exchange(server, threads.create({}), library, default_headers={"Content-Length": length})
        assert type(caught.value.__cause__).__module__.startswith("h11")

    def test_content_is_logged_only_when_asked_for(self, exchange: Exchange, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.DEBUG, logger="rx_assistant")
        with Loopback(ok) as server:
            exchange(server, threads.create({"metadata": {"note": "private"}}))
            assert "private" not in caplog.text
            exchange(server, threads.create({"metadata": {"note": "private"}}), log="content")
            assert "private" in caplog.text

    @pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
    def test_tls_is_verified(self, library: Any) -> None:
        with Loopback(ok, tls=server_tls()) as server:
            session = Session(Settings(base_url=server.url, max_retries=0))
            with pytest.raises(errors.APIConnectionError, match=r"(?i)certificate"):
                session.send(threads.retrieve("t"))
            session.close()
            with library.Client(verify=client_tls()) as http:
                assert Session(Settings(base_url=server.url), http).send(threads.retrieve("t")).status == 200

    def test_openais_own_404_says_that_the_endpoints_are_gone(self) -> None:
        def gone(request: httpx.Request) -> httpx.Response:
            return httpx.Response(404, json={"error": {"message": "Invalid URL"}})

        def error(url: str, request: Request) -> errors.NotFoundError:
            with (
                httpx.Client(transport=httpx.MockTransport(gone)) as http,
                pytest.raises(errors.NotFoundError) as caught,
            ):
                Session(Settings(base_url=url), http).send(request)
            return caught.value

        assert "2026-08-26" in str(error("https://api.openai.com/v1", threads.create({})))
        assert "base_url" in str(error("https://api.openai.com/v1", assistants.retrieve("a")))
        assert "2026-08-26" not in str(error("https://api.openai.com/v1", files.retrieve("f")))
        assert "2026-08-26" not in str(error("https://openai.com.example/v1", threads.create({})))


class TestSettings:
    @pytest.mark.parametrize("url", ["localhost:8000", "ftp://x/v1", "http://", "https://x/v1?api-version=1"])
    def test_a_base_url_that_cannot_be_one_is_refused(self, url: str) -> None:
        with pytest.raises(errors.ConfigurationError, match="base_url"):
            Settings(base_url=url)

    def test_limits_are_positive(self) -> None:
        with pytest.raises(errors.ConfigurationError, match="idle"):
            Timeout(idle=0)
        with pytest.raises(errors.ConfigurationError, match="max_retries"):
            Settings(base_url="http://x", max_retries=-1)

    def test_timeouts_are_given_as_sdk_users_give_them(self) -> None:
        assert as_timeout(7) == Timeout(connect=7, read=7)
        assert as_timeout(None) == Timeout(connect=None, read=None)
        assert as_timeout(httpx.Timeout(60, connect=3)) == Timeout(connect=3, read=60)
        assert as_timeout(httpx2.Timeout(60, connect=3)) == Timeout(connect=3, read=60)

    @pytest.mark.parametrize("wrong", [httpx.AsyncClient, httpx2.AsyncClient, object])
    def test_a_client_of_the_wrong_colour_is_refused(self, wrong: type) -> None:
        with pytest.raises(errors.ConfigurationError, match="AsyncAssistantClient"):
            Session(Settings(base_url="http://x"), wrong())

    def test_a_given_client_stays_open_and_our_own_is_closed(self) -> None:
        with Loopback(ok) as server, httpx.Client() as http:
            given, own = Session(Settings(base_url=server.url), http), Session(Settings(base_url=server.url))
            borrowed = own.with_settings(own.settings)
            given.close()
            borrowed.close()
            assert given.send(threads.retrieve("t")).status == 200
            assert own.send(threads.retrieve("t")).status == 200
            own.close()
            with pytest.raises(errors.APIConnectionError, match="closed"):
                own.send(threads.retrieve("t"))
            server.wait_for(lambda: len(server.endings) == 1)

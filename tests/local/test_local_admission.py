"""Who may use a server: keys, hosts, pages of other origins, content types; and what is remembered of requests."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest

import rx_assistant.local
from rx_assistant.cli import run
from rx_assistant.errors import ConfigurationError

pytestmark = pytest.mark.unjudged  # the published document knows no 403

PAGE = "http://localhost:3000"


def ask(api, method: str = "GET", path: str = "/assistants", **headers: str) -> httpx.Response:
    """A request with these headers; `_` stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return api.http.request(method, path, headers=named)


def code(response: httpx.Response) -> str | None:
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"].startswith("req_")
    return error["code"]


@pytest.mark.parametrize("key", ["", " ", "\t\n"])
def test_an_empty_key_protects_nothing(key):
    with pytest.raises(ConfigurationError, match="set an API key"):
        rx_assistant.local.serve(host="0.0.0.0", api_key=key)
    with pytest.raises(ConfigurationError, match="set an API key"):
        rx_assistant.local.run(host="0.0.0.0", port=0, api_key=key)
    assert run(["serve", "--host", "0.0.0.0", "--port", "0", "--api-key", key]) == 2


@pytest.mark.parametrize("key", ["\u200b", "\ufeff", "k\nx", "\0", "clé", "k\ud800", b"", b"key", 0])
def test_a_key_that_no_client_can_send_is_refused_without_its_value(key):
    for start in (rx_assistant.local.serve, rx_assistant.local.app):
        with pytest.raises(ConfigurationError, match="api_key must be") as caught:
            start(api_key=key)
        assert repr(key) not in str(caught.value)


def test_an_empty_key_is_none_on_this_machine(connect):
    api = connect(api_key="")
    assert ask(api).status_code == 200
    assert code(ask(api, host="evil.example")) == "host_not_allowed"


def test_blanks_around_a_key_do_not_lock_its_owner_out(connect):
    api = connect(api_key=" secret\n")
    assert ask(api, authorization="Bearer secret").status_code == 200
    for wrong in ("Bearer", "Basic secret", "secret"):
        assert ask(api, authorization=wrong).status_code == 401


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:1", "localhost", "LOCALHOST:8000", "127.9.9.9", "[::1]:8000", "[::1]"]
)
def test_loopback_names_are_answered(api, host):
    assert ask(api, host=host).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "0.0.0.0",
        "192.168.1.7",
        "[fe80::1]",
        "localhost@evil.example",
        "",
        "web",
    ],
)
def test_other_names_are_refused_without_a_key(api, host):
    response = ask(api, host=host)
    assert (response.status_code, code(response)) == (403, "host_not_allowed")
    assert ask(api, path="/nothing", host=host).status_code == 403


def test_a_key_makes_the_name_of_the_host_unimportant(connect):
    api = connect(api_key="secret")
    assert ask(api, host="evil.example").status_code == 401
    assert ask(api, host="evil.example", authorization="Bearer secret").status_code == 200


def test_names_can_be_allowed(connect):
    api = connect(allow_hosts=["Web", "assistants.internal"])
    for host in ("web", "web:8000", "WEB", "assistants.internal"):
        assert ask(api, host=host).status_code == 200
    assert code(ask(api, host="web.evil.example")) == "host_not_allowed"


@pytest.mark.parametrize("name", ["", " ", "*", "web:8000", "http://web", "a b"])
def test_names_that_are_none_are_refused_at_the_start(name):
    with pytest.raises(ConfigurationError, match="allow_hosts must hold host names"):
        rx_assistant.local.serve(allow_hosts=[name])


@pytest.mark.parametrize("origin", ["", "*", "null", "localhost:3000", "http://", "http://a/b", "http://*.a.example"])
def test_origins_that_are_none_are_refused_at_the_start(origin):
    with pytest.raises(ConfigurationError, match="allow_origins must hold origins"):
        rx_assistant.local.app(allow_origins=[origin])


@pytest.mark.parametrize(
    "origin", [PAGE, "http://evil.example", "null", "", "https://127.0.0.1", "file://", "http://["]
)
def test_pages_of_other_origins_are_refused_with_and_without_a_key(connect, origin):
    for api, headers in ((connect(), {}), (connect(api_key="secret"), {"authorization": "Bearer secret"})):
        for method in ("GET", "POST", "DELETE", "OPTIONS"):
            response = ask(api, method, "/threads", origin=origin, **headers)
            assert (response.status_code, code(response)) == (403, "origin_not_allowed")
            assert "access-control-allow-origin" not in response.headers
        assert ask(api, sec_fetch_site="cross-site", **headers).status_code == 403


@pytest.mark.parametrize("other", ["http://evil.example", "null", ""])
def test_every_origin_of_a_request_must_be_known(connect, other):
    for api in (connect(), connect(allow_origins=[PAGE])):
        own = api.server.base_url.removesuffix("/v1")
        for first in (own, PAGE):
            response = api.http.get("/assistants", headers=[("origin", first), ("origin", other)])
            assert (response.status_code, code(response)) == (403, "origin_not_allowed")


def test_programs_and_address_bars_are_let_in(api):
    own = api.server.base_url.removesuffix("/v1")
    assert ask(api, "POST", "/threads", origin=own).status_code == 200
    for site in ("none", "same-origin", "same-site"):
        assert ask(api, sec_fetch_site=site).status_code == 200


def test_preflights_are_refused_unless_an_origin_is_allowed(api):
    response = ask(api, "OPTIONS", origin=PAGE, access_control_request_method="POST")
    assert response.status_code == 403


def test_allowed_pages_get_cors_replies(connect):
    api = connect(allow_origins=[PAGE], api_key="secret")
    preflight = ask(
        api,
        "OPTIONS",
        origin=PAGE,
        sec_fetch_site="cross-site",
        access_control_request_method="DELETE",
        access_control_request_headers="authorization, content-type, openai-beta",
    )
    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-origin"] == PAGE
    assert preflight.headers["access-control-allow-methods"] == "GET, POST, DELETE"
    assert preflight.headers["access-control-allow-headers"] == "authorization, content-type, openai-beta"
    assert preflight.headers["vary"] == "Origin"
    for authorization, status in (("Bearer secret", 200), ("Bearer wrong", 401)):
        response = ask(api, origin=PAGE, sec_fetch_site="cross-site", authorization=authorization)
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == PAGE
        assert "x-request-id" in response.headers["access-control-expose-headers"]
    assert code(ask(api, origin="http://localhost:3001", authorization="Bearer secret")) == "origin_not_allowed"
    assert "access-control-allow-origin" not in ask(api, authorization="Bearer secret").headers


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "", None])
def test_a_body_wants_its_content_type(api, kind):
    headers = {} if kind is None else {"content-type": kind}
    response = api.http.post("/assistants", content=b'{"model": "any"}', headers=headers)
    assert (response.status_code, code(response)) == (400, "invalid_content_type")
    assert api("GET", "/assistants")["data"] == []


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"])
def test_a_body_in_json_is_read(api, kind):
    response = api.http.post("/assistants", content=b'{"model": "any"}', headers={"content-type": kind})
    assert response.status_code == 200
    assert api.http.post("/threads").status_code == 200


def test_in_process_transports_are_exempt():
    async def use() -> list[int]:
        app = rx_assistant.local.app()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://anything.example/v1") as http:
            got = await http.get("/assistants", headers={"origin": PAGE, "sec-fetch-site": "cross-site"})
            made = await http.post("/assistants", content=b'{"model": "any"}')
        async with app.router.lifespan_context(app):
            return [got.status_code, made.status_code]

    assert asyncio.run(use()) == [200, 200]


def test_the_command_line_takes_hosts_and_origins(monkeypatch):
    seen = {}
    monkeypatch.setattr("rx_assistant.local.run", lambda **options: seen.update(options))
    assert run(["serve", "--allow-host", "web", "--allow-host", "db", "--allow-origin", PAGE]) == 0
    assert (seen["allow_hosts"], seen["allow_origins"]) == (("web", "db"), (PAGE,))


# What is remembered


def test_recorded_requests_hold_no_keys(connect):
    api = connect(api_key="secret-1234567890")
    ask(api, authorization="Bearer secret-1234567890", cookie="session=secret-1234567890")
    ask(api, api_key="secret-1234567890")
    ask(api, path="/assistants?api-key=secret-1234567890&limit=1", x_my_token="secret-1234567890")
    assert len(api.server.requests) == 3
    assert api.server.requests[-1].query == "api-key=[hidden]&limit=1"
    assert "secret" not in repr(api.server.requests)
    assert api.server.requests[0].headers["authorization"] == "***"


def test_recorded_requests_have_a_largest_size(api):
    for number in range(300):
        body = {"model": "any", "metadata": {"n": str(number)}, "instructions": "x" * 200_000}
        api("POST", "/assistants", body)
    kept = api.server.requests
    assert 100 < len(kept) < 300
    assert sum(len(request.body) for request in kept) <= 16 * 2**20
    assert b'"299"' in kept[-1].body


def test_what_is_recorded_is_what_was_sent(api):
    api("POST", "/assistants", {"model": "any"})
    request = api.server.requests[-1]
    assert (request.method, request.path, json.loads(request.body)) == ("POST", "/v1/assistants", {"model": "any"})

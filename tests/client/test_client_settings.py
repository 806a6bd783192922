"""Clients: their settings, changes of them, and errors that name a wrong argument at once."""

from __future__ import annotations

import inspect
import json
from dataclasses import fields
from typing import Any

import anyio
import httpx
import pytest
from cases import in_one_test
from loopback import Loopback, Received, Wire

from rx_assistant import errors
from rx_assistant.api.request import OMIT
from rx_assistant.client import AssistantClient, AsyncAssistantClient
from rx_assistant.http import Azure, Foundry
from rx_assistant.http.settings import Settings
from rx_assistant.http.timeouts import Timeout

KEY = "sk-secret-0123456789"
CLIENTS = pytest.mark.parametrize("kind", [AssistantClient, AsyncAssistantClient])


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID"):
        monkeypatch.delenv(name, raising=False)


async def ok(request: Received, wire: Wire) -> None:
    await wire.json({"id": "thread_1", "object": "thread"})


@CLIENTS
def test_without_a_server_the_error_says_what_to_do(kind: type[AssistantClient]) -> None:
    with pytest.raises(errors.ConfigurationError) as caught:
        kind()
    assert "base_url" in str(caught.value)
    assert "OPENAI_BASE_URL" in str(caught.value)
    assert "rx_assistant.local.serve()" in str(caught.value)


def test_address_and_key_come_from_the_environment_unless_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with Loopback(ok) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_ORG_ID", "org_e")
        monkeypatch.setenv("OPENAI_PROJECT_ID", "proj_e")
        with AssistantClient() as client, AssistantClient(api_key="", organization="org_g") as keyless:
            client.threads.create()
            keyless.threads.create()
    first, second = server.requests
    assert first.headers["authorization"] == f"Bearer {KEY}"
    assert (first.headers["openai-organization"], first.headers["openai-project"]) == ("org_e", "proj_e")
    assert "authorization" not in second.headers
    assert second.headers["openai-organization"] == "org_g"


@CLIENTS
def test_a_client_shows_its_address_and_not_its_key(kind: type[AssistantClient]) -> None:
    client = kind(base_url="http://x/v1", api_key=KEY)
    assert repr(client) == f"{kind.__name__}(base_url='http://x/v1')"
    assert KEY not in repr(vars(client))


@CLIENTS
def test_a_password_in_the_address_is_not_shown(kind: type[AssistantClient]) -> None:
    assert "hunter2" not in repr(kind(base_url="http://user:hunter2@x/v1"))


WRONG: list[dict[str, Any]] = [
    {"api_key": 5},
    {"api_key": KEY.encode()},
    {"api_key": [KEY]},
    {"default_headers": 5},
    {"default_headers": "x"},
    {"default_headers": [("a", "b")]},
    {"default_query": "x"},
    {"dialect": "azure"},
    {"log": "everything"},
    {"max_reply_bytes": None},
    {"max_retries": "2"},
    {"max_retries": None},
    {"timeout": "5"},
    {"timeout": (1, 2)},
    {"timeout": {"read": 5}},
]


@CLIENTS
@in_one_test("wrong", WRONG, ids=range(len(WRONG)))
def test_a_setting_of_a_wrong_type_is_named_at_once(kind: type[AssistantClient], wrong: dict[str, Any]) -> None:
    """Without the value: it may be a key."""
    [name] = wrong
    for make in (
        lambda: kind(base_url="http://x/v1", **wrong),
        lambda: kind(base_url="http://x").with_options(**wrong),
    ):
        with pytest.raises(errors.ConfigurationError, match=f"^{name} must be .*, got ") as caught:
            make()
        assert KEY not in str(caught.value)


@CLIENTS
def test_an_unknown_setting_is_named_with_a_similar_one(kind: type[AssistantClient]) -> None:
    wrong: dict[str, Any] = {"max_retrys": 3}
    for make in (
        lambda: kind(base_url="http://x/v1", **wrong),
        lambda: kind(base_url="http://x/v1").with_options(**wrong),
    ):
        with pytest.raises(TypeError, match="unexpected keyword argument 'max_retrys'; did you mean 'max_retries'"):
            make()


@CLIENTS
def test_a_setting_that_is_none_has_its_default(kind: type[AssistantClient]) -> None:
    client = kind(base_url="http://x/v1", default_headers={"X-A": "1"}, default_query={"a": "1"})
    changed = client.with_options(default_headers=None, default_query=None, dialect=None)
    assert changed._session.settings == kind(base_url="http://x/v1")._session.settings


@CLIENTS
def test_help_shows_each_setting(kind: type[AssistantClient]) -> None:
    names = {field.name for field in fields(Settings)} | {"http_client"}
    assert set(inspect.signature(kind).parameters) == names


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"extra_headers": 5}, "extra_headers must be a mapping, got int"),
        ({"extra_headers": {5: "x"}}, "the name of a header must be a text, got int"),
        ({"extra_headers": {"X-A": b"x"}}, "header 'x-a' must be a text, got bytes"),
        ({"extra_query": "a=b"}, "extra_query must be a mapping, got str"),
        ({"extra_body": ["x"]}, "extra_body must be a mapping, got list"),
    ],
    ids=str,
)
def test_an_option_of_a_wrong_type_is_named(wrong: dict[str, Any], said: str) -> None:
    client = AssistantClient(base_url="http://localhost:1")
    with client, pytest.raises(errors.InvalidArgumentError) as caught:
        client.threads.retrieve("t", **wrong)
    assert str(caught.value) == said


def test_tool_outputs_with_odd_ids_are_the_servers_to_refuse() -> None:
    async def refuse(request: Received, wire: Wire) -> None:
        await wire.json({"error": {"message": "no"}}, status=400)

    outputs: Any = [{"tool_call_id": ["c"], "output": "x"}]
    with (
        Loopback(refuse) as server,
        AssistantClient(base_url=server.url) as client,
        pytest.raises(errors.BadRequestError),
    ):
        client.threads.runs.submit_tool_outputs("r", thread_id="t", tool_outputs=outputs)


def test_hosts_of_microsoft_are_a_setting() -> None:
    tokens = iter(["first", "second"])
    with Loopback(ok) as server:
        origin = server.url.removesuffix("/v1")
        azure = AssistantClient(base_url=origin, api_key=KEY, dialect=Azure("2024-05-01-preview"))
        foundry = AssistantClient(base_url=f"{origin}/api/projects/p", api_key=lambda: next(tokens), dialect=Foundry())
        with azure, foundry:
            azure.threads.create()
            foundry.threads.retrieve("thread_1")
            foundry.threads.retrieve("thread_1")
    first, second, third = server.requests
    assert (first.target, first.headers["api-key"]) == ("/openai/threads?api-version=2024-05-01-preview", KEY)
    assert second.target == "/api/projects/p/threads/thread_1?api-version=v1"
    assert [request.headers["authorization"] for request in (second, third)] == ["Bearer first", "Bearer second"]


def test_with_options_changes_a_copy_and_shares_the_connections() -> None:
    with Loopback(ok) as server, AssistantClient(base_url=server.url, max_retries=0) as client:
        client.threads.create()
        changed = client.with_options(default_headers={"X-A": "1"}, timeout=3)
        with changed:
            changed.threads.create()
        client.threads.create()
        assert ["x-a" in request.headers for request in server.requests] == [False, True, False]
        assert server.opened == 1
        assert changed._session.settings.timeout == Timeout(connect=3, read=3)


def test_async_with_options_and_closing() -> None:
    async def main(url: str) -> None:
        async with AsyncAssistantClient(base_url=url, max_retries=0) as client:
            async with client.with_options(organization="org") as copy:
                await copy.threads.create()
            await client.threads.create()
        with pytest.raises(errors.APIConnectionError, match="closed"):
            await client.threads.create()

    with Loopback(ok) as server:
        anyio.run(main, server.url)
        server.wait_for(lambda: server.open_connections == 0)
    assert ["openai-organization" in request.headers for request in server.requests] == [True, False]


def test_a_given_http_client_stays_open() -> None:
    with Loopback(ok) as server, httpx.Client() as http:
        with AssistantClient(base_url=server.url, http_client=http) as client:
            client.threads.create()
        assert not http.is_closed


@CLIENTS
class TestAWrongCall:
    """Fails where it is written, before anything is sent."""

    def test_a_misspelt_parameter_is_named_with_the_right_one(self, kind: type[AssistantClient]) -> None:
        with pytest.raises(TypeError, match=r"'assistent_id'.*'assistant_id'"):
            begin(kind(base_url="http://x").threads.runs.create("t", assistent_id="a"))  # type: ignore[call-overload]

    def test_an_unknown_parameter_points_at_extra_body(self, kind: type[AssistantClient]) -> None:
        with pytest.raises(TypeError, match="extra_body"):
            begin(kind(base_url="http://x").assistants.create(model="m", zzz=1))  # type: ignore[call-arg]

    def test_a_missing_parameter_is_named(self, kind: type[AssistantClient]) -> None:
        with pytest.raises(TypeError, match="'assistant_id'"):
            begin(kind(base_url="http://x").threads.create_and_run())  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="'tool_outputs'"):
            kind(base_url="http://x").threads.runs.submit_tool_outputs_stream("r", "t")  # type: ignore[call-overload]

    def test_an_empty_id_is_a_value_error_also_for_streams(self, kind: type[AssistantClient]) -> None:
        client = kind(base_url="http://x")
        with pytest.raises(ValueError, match="thread_id"):
            client.threads.runs.stream("", assistant_id="a")
        with pytest.raises(ValueError, match="run_id"):
            begin(client.threads.runs.retrieve("", thread_id="t"))

    def test_a_wrong_policy_is_a_value_error(self, kind: type[AssistantClient]) -> None:
        with pytest.raises(ValueError, match="on_idle"):
            kind(base_url="http://x").threads.runs.stream("t", assistant_id="a", on_idle="explode")  # type: ignore[call-overload]


def begin(result: Any) -> None:
    """An async method only begins to run when it is awaited."""
    if hasattr(result, "send"):
        try:
            result.send(None)
        finally:
            result.close()


def test_omitted_values_stay_out_of_the_request() -> None:
    with Loopback(ok) as server, AssistantClient(base_url=server.url) as client:
        client.assistants.create(model="m", name=OMIT, description=None)  # type: ignore[arg-type]
    assert server.requests[0].json == {"model": "m", "description": None}


def test_html_where_an_object_was_expected_is_told() -> None:
    async def html(request: Received, wire: Wire) -> None:
        await wire.reply(200, b"<html>Sign in</html>", {"content-type": "text/html", "x-request-id": "req_1"})

    with Loopback(html) as server, AssistantClient(base_url=server.url) as client:
        with pytest.raises(errors.APIResponseValidationError, match="text/html") as caught:
            client.threads.retrieve("t")
        assert (caught.value.content_type, caught.value.request_id) == ("text/html", "req_1")


def test_a_files_content_is_bytes_in_every_form(tmp_path: Any) -> None:
    async def content(request: Received, wire: Wire) -> None:
        await wire.reply(200, b'{"a": 1}', {"content-type": "application/octet-stream"})

    with Loopback(content) as server, AssistantClient(base_url=server.url) as client:
        file = client.files.content("file_1")
        assert file.content == file.read() == b'{"a": 1}' == b"".join(file.iter_bytes(3))
        assert (file.text, file.json()) == ('{"a": 1}', {"a": 1})
        file.write_to_file(tmp_path / "x")
        assert json.loads((tmp_path / "x").read_bytes()) == {"a": 1}
        assert client.files.retrieve_content("file_1") == '{"a": 1}'

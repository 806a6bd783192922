"""A model server behind the local server: how it is chosen and checked, what is passed on to it, and ids that stay."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import httpx
import openai
import pytest
from guard import GUARD, attempts
from loopback import Loopback, Received, Wire

import rx_assistant.local
from local.upstreams import says
from rx_assistant.errors import ConfigurationError
from rx_assistant.local import machine
from rx_assistant.local.machine import Place

pytestmark = pytest.mark.unjudged

KEY = "sk-upstream-0123456789"
QWEN = {"id": "qwen3:8b", "object": "model", "owned_by": "library"}


def listing(*models: dict) -> dict:
    return {"object": "list", "data": list(models)}


def lists(*models: dict, path: str = "/v1/models") -> Callable[[Received, Wire], Awaitable[None]]:
    """A server that lists these models and says "Hello" to everything else."""

    async def handle(request: Received, wire: Wire) -> None:
        if request.path == path:
            await wire.json(listing(*models))
        elif request.method == "POST":
            await wire.events()
            await wire.chunk(says("Hello"))
            await wire.end()
        else:
            await wire.reply(404, b"404 page not found", {"content-type": "text/plain"})

    return handle


def answers(status: int, body: object, headers: dict[str, str] | None = None):
    async def handle(_: Received, wire: Wire) -> None:
        await wire.json(body, status, headers)

    return handle


@pytest.fixture
def upstream():
    """Starts a model server with this handler."""
    with ExitStack() as stack:
        yield lambda handler: stack.enter_context(Loopback(handler))


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch):
    """Has the look-up ask these servers, in this order, and one port where nothing listens."""
    with Loopback(lists()) as gone:
        unused = gone.port

    monkeypatch.setattr(machine, "PATIENCE", GUARD)

    def set_up(*servers: Loopback) -> tuple[Place, ...]:
        named = [Place(server.port, f"Server {number}", "start it") for number, server in enumerate(servers, 1)]
        found = (*named, Place(unused, "Ollama", "ollama serve"))
        monkeypatch.setattr(machine, "PLACES", found)
        return found

    return set_up


def ran(api, assistant: str, thread: str) -> dict:
    return api.wait(api.start(assistant, thread))


def text_of(api, thread: str) -> str:
    return api.messages(thread)[-1]["content"][0]["text"]["value"]


# Choosing


def test_the_first_server_that_has_the_model_answers(upstream, places, connect) -> None:
    first, second = upstream(lists({"id": "other"})), upstream(lists(QWEN))
    places(first, second)
    api = connect(model="qwen3:8b")
    run = ran(api, api.assistant(), api.thread("hi"))
    assert (run["status"], run["model"], text_of(api, run["thread_id"])) == ("completed", "any", "Hello")
    assert second.requests[-1].json["model"] == "qwen3:8b"
    assert [request.path for request in first.requests] == ["/v1/models"]
    assert "authorization" not in first.requests[0].headers


def test_a_name_without_a_tag_is_the_latest_one(upstream, places, connect) -> None:
    server = upstream(lists({"id": "llama3:latest"}))
    places(server)
    api = connect(model="llama3")
    assert ran(api, api.assistant(), api.thread("hi"))["status"] == "completed"


def test_a_map_chooses_without_a_model(upstream, places, connect) -> None:
    server = upstream(lists(QWEN))
    places(server)
    api = connect(model_map={"gpt-4o": "qwen3:8b"})
    run = ran(api, api.assistant(model="gpt-4o"), api.thread("hi"))
    assert (run["model"], server.requests[-1].json["model"]) == ("gpt-4o", "qwen3:8b")
    assert ran(api, api.assistant(model="gpt-5"), api.thread("hi"))["status"] == "completed"
    assert server.requests[-1].json["model"] == "gpt-5"


def test_the_library_never_takes_itself(upstream, places) -> None:
    with rx_assistant.local.serve(upstream=upstream(lists(QWEN)).url) as own:
        port = int(own.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
        own_place = Place(port, "vLLM", "vllm serve MODEL")
        assert machine.ask_all([own_place])[0].own
        places()
        machine.PLACES = (own_place, *machine.PLACES)
        with pytest.raises(ConfigurationError, match="no server on this machine") as refused:
            rx_assistant.local.serve(model="qwen3:8b")
        assert refused.value.__notes__[0] == f"port {port}: this library's own server"


def test_without_a_server_each_port_is_told_with_the_nearest_names(upstream, places) -> None:
    listed, keyed = upstream(lists(QWEN, {"id": "llama3"})), upstream(answers(401, {}))
    mute, empty = upstream(answers(200, {"error": "Unexpected endpoint"})), upstream(answers(200, listing()))
    found = places(listed, keyed, mute, empty)
    with pytest.raises(ConfigurationError) as refused:
        rx_assistant.local.serve(model="qwen3")
    assert str(refused.value) == "no server on this machine has the model 'qwen3'; nearest: qwen3:8b"
    assert refused.value.__notes__ == [
        f"port {found[0].port}: Server 1 has qwen3:8b, llama3",
        f"port {found[1].port}: a server that asks for a key (401); to start Server 2: start it",
        f"port {found[2].port}: a server without a list of models (200); to start Server 3: start it",
        f"port {found[3].port}: Server 4 has no models; start it",
        f"port {found[4].port}: nothing listens; to start Ollama: ollama serve",
    ]


def test_a_server_that_is_silent_does_not_hold_the_others_up(upstream, places, monkeypatch) -> None:
    async def silent(_: Received, wire: Wire) -> None:
        await wire.peer_gone()

    places(upstream(silent), upstream(lists(QWEN)))
    for attempt in attempts():
        with attempt as patience:
            monkeypatch.setattr(machine, "PATIENCE", patience)
            first, second, _ = machine.ask_all()
            assert (first.problem, second.has("qwen3:8b")) == ("no answer in time", True)


@pytest.mark.parametrize(
    ("item", "server", "context"),
    [
        ({"id": "m", "owned_by": "vllm", "max_model_len": 32768}, "vLLM", 32768),
        ({"id": "m", "owned_by": "llamacpp", "meta": {"n_ctx_train": 8192, "n_ctx": 4096}}, "llama.cpp", 4096),
        ({"id": "m", "owned_by": "sglang", "max_model_len": None}, "SGLang", None),
        ({"id": "m", "context_length": True}, "Server 1", None),
    ],
    ids=["vllm", "llama.cpp", "sglang", "nonsense"],
)
def test_server_and_context_are_read_where_they_are_told(item, server, context, upstream, places) -> None:
    places(upstream(lists(item)))
    found = machine.ask_all()[0]
    assert (found.server, found.models[0].context) == (server, context)


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ({"object": "list", "data": None}, []),
        ([{"id": "a"}, {"name": "b"}, 3], ["a"]),
        ({"data": "none"}, None),
        ("text", None),
        (None, None),
    ],
)
def test_a_list_of_models_is_trusted_by_its_content(body, names) -> None:
    found = machine.models_in(json.dumps(body).encode())
    assert (None if found is None else [model.name for model in found]) == names
    assert machine.models_in(b"<html>") is None


# The check at the start


def test_the_check_is_one_request_to_models_with_the_key(upstream, monkeypatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    server = upstream(lists(QWEN))
    with rx_assistant.local.serve(upstream=server.url, model="qwen3:8b", upstream_key_env="MY_KEY"):
        (request,) = server.requests
    assert (request.path, request.headers["authorization"]) == ("/v1/models", f"Bearer {KEY}")


def refusal(monkeypatch, **options) -> str:
    """What a server with these options says instead of starting."""
    monkeypatch.setenv("MY_KEY", KEY)
    server = rx_assistant.local.serve(**options)
    with pytest.raises(ConfigurationError) as refused:
        server.start()
    assert KEY not in f"{refused.value} {refused.value.__cause__!r} {server!r} {server._state.settings!r}"
    return str(refused.value)


def test_an_unknown_model_is_told_with_the_nearest_names(upstream, monkeypatch) -> None:
    server = upstream(lists(QWEN, {"id": "openai/gpt-4o-mini"}))
    told = refusal(monkeypatch, upstream=server.url, model="qwen3:8")
    assert told == f"upstream {server.url} has no model 'qwen3:8'; nearest: qwen3:8b"
    assert "nearest: openai/gpt-4o-mini" in refusal(monkeypatch, upstream=server.url, model="GPT-4o-mini")
    assert "has no model 'x'" in refusal(monkeypatch, upstream=server.url, model_map={"gpt-4o": "x"})


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_told_with_its_variable(status, upstream, monkeypatch) -> None:
    server = upstream(answers(status, {"error": {"message": f"Incorrect API key provided: {KEY}"}}))
    assert "the key in MY_KEY is wrong" in refusal(monkeypatch, upstream=server.url, upstream_key_env="MY_KEY")
    assert "needs a key" in refusal(monkeypatch, upstream=server.url)


@pytest.mark.parametrize("wrong", ["", "/v1/chat/completions", "/v1/models", "/v1/v1", "/api"])
def test_a_wrong_path_is_told_with_the_right_one(wrong, upstream, monkeypatch) -> None:
    server = upstream(lists(QWEN))
    root = server.url.removesuffix("/v1")
    told = refusal(monkeypatch, upstream=root + wrong, model="qwen3:8b")
    assert told == f"upstream must be {server.url!r}, got {root + wrong!r}"


def test_an_address_where_nothing_listens_is_told(places, monkeypatch) -> None:
    (gone,) = places()
    assert "cannot be reached" in refusal(monkeypatch, upstream=gone.base_url)


def test_a_redirect_gets_no_key(upstream, monkeypatch) -> None:
    other = upstream(lists(QWEN))
    server = upstream(answers(307, {}, {"location": f"{other.url}/models"}))
    told = refusal(monkeypatch, upstream=server.url, upstream_key_env="MY_KEY")
    assert f"redirects to '{other.url}/models'" in told
    assert other.requests == []


@pytest.mark.parametrize("handler", [answers(404, {}), answers(200, {}), answers(503, {}), answers(405, {})])
def test_a_server_without_a_list_of_models_is_accepted_with_a_note(handler, upstream, caplog) -> None:
    server = upstream(handler)
    with rx_assistant.local.serve(upstream=server.url, model="any"):
        (note,) = [record.getMessage() for record in caplog.records]
    assert note.startswith(f"upstream {server.url} has no list of models")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"upstream": "localhost:11434/v1"}, "must be an address such as"),
        ({"upstream": "http://user:secret-word@host/v1"}, "must not hold credentials"),
        ({"upstream": "http://host/v1?key=secret-word"}, "must be an address such as"),
        ({"upstream": "http://host/v1", "upstream_key_env": "NOT_THERE"}, "NOT_THERE must hold the upstream's key"),
        ({"upstream_key_env": "NOT_THERE"}, "needs upstream"),
        ({"upstream": "http://host/v1", "thinking": "loud"}, "must be 'reasoning' or 'text', got 'loud'"),
        ({"upstream": "http://host/v1", "upstream_timeout": 0}, "must be more than 0 seconds"),
        ({"upstream": "http://host/v1", "engine": "builtin"}, "only one of upstream, engine and script"),
        ({"engine": "responses"}, "needs an upstream"),
    ],
)
def test_options_that_cannot_work_are_refused(options, told) -> None:
    with pytest.raises(ConfigurationError, match=told) as refused:
        rx_assistant.local.serve(**options)
    assert "secret-word" not in str(refused.value)
    with pytest.raises(TypeError, match="unknown option: nonsense"):
        rx_assistant.local.app(nonsense=1)


# What is passed on


@pytest.fixture
def passing(upstream, monkeypatch):
    """Starts a server with a key of its own before this upstream with another."""
    monkeypatch.setenv("MY_KEY", KEY)
    with ExitStack() as stack:

        def start(handler) -> tuple[openai.OpenAI, Loopback, rx_assistant.local.Server]:
            server = upstream(lists(QWEN))
            options = {"upstream": server.url, "upstream_key_env": "MY_KEY", "api_key": "own-key"}
            own = stack.enter_context(rx_assistant.local.serve(**options))
            server.requests.clear()
            server._handler = handler
            sdk = stack.enter_context(openai.OpenAI(base_url=own.base_url, api_key="own-key", max_retries=0))
            return sdk, server, own

        yield start


def test_the_sdk_streams_chat_completions_as_the_upstream_writes_them(passing) -> None:
    go_on = threading.Event()

    async def handle(request: Received, wire: Wire) -> None:
        first, _, rest = says("Hel", "lo").partition(b"\n\n")
        await wire.events({"x-request-id": "req_of_upstream", "set-cookie": "a=b"})
        await wire.chunk(first + b"\n\n")
        await asyncio.to_thread(go_on.wait, GUARD)
        await wire.chunk(rest)
        await wire.end()

    sdk, server, _ = passing(handle)
    with sdk.chat.completions.create(model="qwen3:8b", messages=[], stream=True) as stream:
        texts = [next(stream).choices[0].delta.content]
        go_on.set()
        texts += [chunk.choices[0].delta.content for chunk in stream if chunk.choices]
    assert texts[:2] == ["Hel", "lo"]
    assert stream.response.headers["x-request-id"] == "req_of_upstream"
    assert "set-cookie" not in stream.response.headers
    (request,) = server.requests
    assert (request.path, request.json["model"]) == ("/v1/chat/completions", "qwen3:8b")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["host"] == f"localhost:{server.port}"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/models"),
        ("GET", "/models/meta%2Fllama"),
        ("POST", "/responses"),
        ("GET", "/responses/resp_1/input_items?limit=2&after=a%26b"),
        ("POST", "/embeddings"),
        ("POST", "/completions"),
        ("POST", "/audio/transcriptions"),
        ("POST", "/images/generations"),
        ("POST", "/moderations"),
        ("DELETE", "/chat/completions/chatcmpl_1"),
    ],
)
@pytest.mark.parametrize("prefix", ["/v1", "/openai/v1"])
def test_other_paths_go_to_the_upstream_as_they_are(prefix, method, path, passing) -> None:
    _, server, own = passing(answers(201, {"ok": True}))
    headers = {"authorization": "Bearer own-key", "cookie": "a=b", "x-own": "1", "content-type": "text/odd"}
    body = b'{"a":  1}' if method == "POST" else b""
    url = own.base_url.removesuffix("/v1") + prefix + path
    reply = httpx.request(method, url, headers=headers, content=body or None)
    assert (reply.status_code, reply.json()) == (201, {"ok": True})
    (request,) = server.requests
    assert (request.method, request.target, request.body) == (method, f"/v1{path}", body)
    assert request.headers["x-own"] == "1"
    assert "cookie" not in request.headers
    assert "own-key" not in str(request.headers)


def test_an_upload_is_passed_on(passing) -> None:
    sdk, server, _ = passing(answers(200, {"text": "spoken words"}))
    assert sdk.audio.transcriptions.create(model="m", file=("a.wav", b"\0" * 300_000)).text == "spoken words"
    assert len(server.requests[0].body) > 300_000


def test_what_is_passed_on_needs_the_key_of_this_server(passing) -> None:
    _, server, own = passing(lists(QWEN))
    assert httpx.post(f"{own.base_url}/chat/completions", json={}).status_code == 401
    assert httpx.get(f"{own.base_url}/models", headers={"authorization": f"Bearer {KEY}"}).status_code == 401
    assert server.requests == []


def test_a_path_cannot_leave_the_upstreams_base(passing) -> None:
    _, server, own = passing(lists(QWEN))
    headers = {"authorization": "Bearer own-key"}
    assert httpx.get(f"{own.base_url}/models/%2e%2e/%2e%2e/admin", headers=headers).status_code == 404
    assert server.requests == []


def test_an_error_of_the_upstream_comes_back_without_its_key(passing) -> None:
    sdk, _, _ = passing(answers(429, {"error": {"message": f"slow down, {KEY}", "code": "rate"}}, {"retry-after": "7"}))
    with pytest.raises(openai.RateLimitError, match="slow down") as refused:
        sdk.embeddings.create(model="m", input="text", encoding_format="float")
    assert refused.value.response.headers["retry-after"] == "7"
    assert KEY not in refused.value.response.text


def test_a_redirect_of_the_upstream_is_not_followed_with_the_key(passing, upstream) -> None:
    other = upstream(lists(QWEN))
    _, _, own = passing(answers(307, {}, {"location": f"{other.url}/embeddings"}))
    reply = httpx.post(f"{own.base_url}/embeddings", json={}, headers={"authorization": "Bearer own-key"})
    assert reply.status_code == 307
    assert other.requests == []


def test_an_upstream_that_is_gone_is_a_502(passing) -> None:
    async def vanish(_: Received, wire: Wire) -> None:
        wire.hang_up()

    sdk, _, _ = passing(vanish)
    with pytest.raises(openai.InternalServerError, match="cannot be reached") as refused:
        sdk.moderations.create(input="text")
    assert refused.value.status_code == 502


def test_a_reply_that_breaks_off_breaks_off_for_the_client(passing) -> None:
    async def cut(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(b"data: {}\n\n")
        wire.reset()

    _, _, own = passing(cut)
    with (
        pytest.raises(httpx.RemoteProtocolError),
        httpx.stream("POST", f"{own.base_url}/responses", headers={"authorization": "Bearer own-key"}) as reply,
    ):
        reply.read()


@pytest.mark.parametrize("begun", [True, False], ids=["while it streams", "before its head"])
def test_a_client_that_leaves_ends_the_upstreams_work(begun, passing) -> None:
    asked, left = threading.Event(), threading.Event()

    async def work(request: Received, wire: Wire) -> None:
        if begun:
            await wire.events()
            await wire.chunk(b"data: {}\n\n")
        asked.set()
        await wire.peer_gone()
        left.set()

    _, _, own = passing(work)
    url = httpx.URL(f"{own.base_url}/responses")
    head = f"POST {url.path} HTTP/1.1\r\nhost: {url.host}:{url.port}\r\nauthorization: Bearer own-key\r\n"
    with socket.create_connection((url.host, url.port)) as client:
        client.sendall(f"{head}content-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}".encode())
        assert asked.wait(GUARD)
        if begun:
            assert client.recv(1)
    assert left.wait(GUARD)


def test_without_an_upstream_these_paths_are_404(api) -> None:
    assert "Invalid URL" in api.refused("POST", "/chat/completions", {}, 404)["message"]
    assert api("GET", "/models")["data"][0]["id"] == "local"


# Ids that stay


def test_adopted_ids_are_created_empty_and_warned_of_once(connect, caplog) -> None:
    caplog.set_level(logging.WARNING, "rx_assistant.local")
    api = connect(adopt=True)
    api("POST", "/threads/thread_old/messages", {"role": "user", "content": "Hello"})
    run = ran(api, "asst_old", "thread_old")
    assert (run["status"], run["assistant_id"], run["thread_id"]) == ("completed", "asst_old", "thread_old")
    ran(api, "asst_old", "thread_old")
    other = api.start("asst_old", "thread_other", additional_messages=[{"role": "user", "content": "Hi"}])
    assert api.wait(other)["status"] == "completed"
    message = [{"role": "user", "content": "Hi"}]
    new = api("POST", "/threads/runs", {"assistant_id": "asst_2", "model": "gpt", "thread": {"messages": message}})
    assert (api.wait(new)["status"], api("GET", "/assistants/asst_2")["model"]) == ("completed", "gpt")
    warned = [record.getMessage().partition(" was not known")[0] for record in caplog.records]
    assert warned == ["thread thread_old", "assistant asst_old", "thread thread_other", "assistant asst_2"]


def test_only_runs_and_messages_adopt_and_no_deleted_thread_comes_back(connect) -> None:
    api = connect(adopt=True)
    api.refused("GET", "/threads/thread_old", expect=404)
    api.refused("GET", "/threads/thread_old/messages", expect=404)
    thread = api.thread("hi")
    api("DELETE", f"/threads/{thread}")
    api.refused("POST", f"/threads/{thread}/messages", {"role": "user", "content": "Hello"}, 404)


def test_without_adopt_unknown_ids_are_404(api) -> None:
    api.refused("POST", "/threads/thread_old/messages", {"role": "user", "content": "Hello"}, 404)
    api.refused("POST", f"/threads/{api.thread('hi')}/runs", {"assistant_id": "asst_old"}, 404)


def test_an_assistant_of_a_file_has_its_id_instructions_and_tools(connect, tmp_path) -> None:
    saved = {
        "id": "asst_1",
        "object": "assistant",
        "created_at": 1,
        "name": None,
        "instructions": "Be brief.",
        "tools": [{"type": "function", "function": {"name": "weather"}}],
        "tool_resources": {"file_search": {"vector_store_ids": ["vs_of_elsewhere"]}},
    }
    file = tmp_path / "saved.json"
    file.write_text(json.dumps(saved), "utf-8")
    api = connect(assistants={"asst_1": file, "asst_2": {"model": "gpt-4o"}})
    found = api("GET", "/assistants/asst_1")
    assert (found["instructions"], found["tools"][0]["function"]["name"]) == ("Be brief.", "weather")
    assert (found["tool_resources"], found["model"]) == ({}, "local")
    assert api("GET", "/assistants/asst_2")["model"] == "gpt-4o"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("no JSON", "must be JSON"),
        ("[]", "must hold a JSON object, got list"),
        ('{"instruction": ""}', "Unknown parameter: 'instruction'"),
        (None, "cannot read"),
    ],
)
def test_a_file_that_describes_no_assistant_is_refused(content, told, tmp_path) -> None:
    file = tmp_path / "saved.json"
    if content is not None:
        file.write_text(content, "utf-8")
    with pytest.raises(ConfigurationError, match=told):
        rx_assistant.local.serve(assistants={"asst_1": file})

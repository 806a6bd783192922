"""The paths of other services and of older clients, and what clients ask besides the 44 operations."""

from __future__ import annotations

import httpx
import pytest

import rx_assistant
import rx_assistant.local

PREFIXES = [
    "/v1",
    "/openai",
    "/openai/v1",
    "/api/projects/my-project",
    "/api/projects/my-project/openai",
    "/api/projects/my-project/openai/v1",
]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_the_operations_are_below_the_prefixes_of_openai_azure_and_foundry(connect, prefix):
    api = connect(script={"runs": [{"turns": [[{"text": "Good day!"}]]}]})
    root = api.server.base_url.removesuffix("/v1") + prefix
    with rx_assistant.AssistantClient(base_url=root, default_query={"api-version": "2025-05-15-preview"}) as client:
        assistant = client.assistants.create(model="any")
        thread = client.threads.create(messages=[{"role": "user", "content": "hi"}])
        with client.threads.runs.stream(thread.id, assistant_id=assistant.id) as stream:
            assert "".join(stream.text_deltas) == "Good day!"
        assert client.threads.retrieve(thread.id).id == thread.id
        with pytest.raises(rx_assistant.NotFoundError, match="Invalid URL"):
            client.threads.retrieve(f"{thread.id}/nothing")
    assert api.server.requests[0].path == f"{prefix}/assistants"


@pytest.mark.parametrize("prefix", PREFIXES)
def test_faults_are_below_every_prefix(connect, prefix):
    api = connect(script={"faults": [{"request": "GET /assistants", "status": 429, "message": "Slow down."}]})
    root = api.server.base_url.removesuffix("/v1")
    assert httpx.get(f"{root}{prefix}/assistants").status_code == 429
    assert httpx.get(f"{root}{prefix}/files").status_code == 200


@pytest.mark.parametrize("path", ["/assistants", "/v2/assistants", "/api/projects/assistants", "/v1"])
def test_a_path_without_a_prefix_is_told_where_paths_begin(connect, path):
    root = connect().server.base_url.removesuffix("/v1")
    response = httpx.get(root + path)
    assert response.status_code == 404
    assert response.json()["error"]["message"].endswith("let the client's base URL end with it.")


def test_the_models_are_those_that_assistants_name_and_any_other(api):
    for model in ("gpt-4o", "some/model", "gpt-4o"):
        api.assistant(model=model)
    listed = api("GET", "/models")
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["local", "gpt-4o", "some/model"]
    assert api("GET", "/models/some/model")["id"] == "some/model"


def test_the_models_suit_the_official_client(sdk):
    assert [model.id for model in sdk.models.list()] == ["local"]
    assert sdk.models.retrieve("gpt-4o").object == "model"


def test_threads_are_listed_as_foundry_does(api):
    threads = [api.thread(str(number)) for number in range(3)]
    page = api("GET", "/threads", params={"limit": 2})
    assert [thread["id"] for thread in page["data"]] == threads[:0:-1]
    assert page["has_more"]
    page = api("GET", "/threads", params={"order": "asc", "after": threads[0], "limit": 1})
    assert [thread["id"] for thread in page["data"]] == [threads[1]]
    assert api.refused("GET", "/threads", params={"limit": 0})["param"] == "limit"


@pytest.mark.parametrize("value", ["assistants=v1", "assistants=v1, realtime=v1"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/assistants"), ("POST", "/threads"), ("GET", "/assistants/a/files"), ("GET", "/files")],
)
def test_requests_for_version_1_are_told_that_it_is_gone(api, method, path, value):
    response = api.http.request(method, path, headers={"openai-beta": value})
    error = response.json()["error"]
    assert response.status_code == (404 if path == "/assistants/a/files" else 400)
    assert "Version 1 of the Assistants API is gone" in error["message"]
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("value", ["assistants=v2", "assistants=v1,assistants=v2", "realtime=v1", ""])
def test_requests_for_version_2_are_answered(api, value):
    assert api.http.get("/assistants", headers={"openai-beta": value}).status_code == 200


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/assistants", {"model": "any", "file_ids": ["file-1"]}),
        ("/assistants", {"model": "any", "tools": [{"type": "retrieval"}]}),
        ("/threads", {"messages": [{"role": "user", "content": "hi", "file_ids": ["file-1"]}]}),
    ],
)
def test_bodies_of_version_1_are_told_that_it_is_gone(api, path, body):
    assert "Version 1 of the Assistants API is gone" in api.refused("POST", path, body)["message"]


def test_other_unknown_parameters_say_nothing_of_version_1(api):
    assert "Version 1" not in api.refused("POST", "/assistants", {"model": "any", "surplus": 1})["message"]

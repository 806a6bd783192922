"""The recorded exchanges of real clients, held again by ours, on both faces, over a real connection.

The server answers each request as the recording did. What our client sends has to be what was recorded, and what it
makes of the reply has to hold all of it.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import anyio
import pytest
from client_operations import CALLS, operation_of
from loopback import Loopback, Received, Wire
from reference import SHARED

from rx_assistant import errors
from rx_assistant.client import AssistantClient, AsyncAssistantClient
from rx_assistant.client.content import FileBytes

DOCUMENT = SHARED / "wire" / "openapi-assistants.yaml"
FOLDER = SHARED / "wire" / "json"

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the recordings are not beside this checkout")

_STATUS = {400: errors.BadRequestError, 401: errors.AuthenticationError, 404: errors.NotFoundError}


class Exchange(NamedTuple):
    """One recorded request that is an operation of the document, and its reply."""

    source: str
    operation: str
    ids: Mapping[str, str]
    request: Mapping[str, Any]
    response: Mapping[str, Any]


@cache
def exchanges() -> list[Exchange]:
    found = []
    for file in sorted(FOLDER.glob("*.json")):
        for exchange in json.loads(file.read_text())["exchanges"]:
            request = exchange["request"]
            operation = operation_of(DOCUMENT, request["method"], request["path"].removeprefix("/v1"))
            if operation is not None:
                found.append(Exchange(file.name, *operation, request, exchange["response"]))
    return found


def parameters(exchange: Exchange) -> dict[str, Any]:
    """What a user would write for that request. Parameters of the first version of the API go in as extras."""
    body = exchange.request["body"] if isinstance(exchange.request["body"], dict) else {}
    query = dict(parse_qsl(exchange.request["query"]))
    if exchange.operation == "createFile":
        return {"file": ("a.txt", b"content"), "purpose": "assistants"}
    if exchange.operation == "submitToolOuputsToRun":
        return {"tool_outputs": body.get("tool_outputs", []), "extra_query": query}
    required = {"createAssistant": ["model"], "createRun": ["assistant_id"], "createMessage": ["role", "content"]}
    required |= {"createThreadAndRun": ["assistant_id"], "createVectorStoreFile": ["file_id"]}
    named = {name: body[name] for name in required.get(exchange.operation, []) if name in body}
    missing = {name: "x" for name in required.get(exchange.operation, []) if name not in body}
    rest = {name: value for name, value in body.items() if name not in named}
    return {**missing, **named, "extra_body": rest, "extra_query": query}


def plain(value: Any) -> Any:
    """What a client's result holds, as JSON."""
    if isinstance(value, FileBytes):
        return value.json()
    return value.model_dump(mode="json", by_alias=True, exclude_unset=True)


class Player:
    """Answers a request for the n-th exchange."""

    async def __call__(self, request: Received, wire: Wire) -> None:
        response = exchanges()[int(request.headers["x-exchange"])].response
        body = json.dumps(response["body"]).encode()
        await wire.reply(response["status"], body, {"content-type": "application/json", "x-should-retry": "false"})


def check(number: int, result: Any, error: errors.APIError | None) -> None:
    exchange = exchanges()[number]
    status, body = exchange.response["status"], exchange.response["body"]
    where = f"{exchange.source} {exchange.operation}"
    if status >= 400:
        assert type(error) is _STATUS.get(status, errors.InternalServerError), where
        assert error.body == body["error"], where
        assert (error.code, error.param, error.type) == tuple(body["error"].get(n) for n in ("code", "param", "type"))
        assert body["error"]["message"] in str(error), where
    else:
        assert error is None, (where, error)
        assert plain(result) == body, where


def check_request(number: int, request: Received) -> None:
    exchange = exchanges()[number]
    recorded = exchange.request
    where = f"{exchange.source} {exchange.operation}"
    assert (request.method, request.path) == (recorded["method"], recorded["path"]), where
    assert request.query == parse_qsl(recorded["query"]), where
    if isinstance(recorded["body"], dict) and exchange.operation != "createFile":
        missing = request.json.keys() - recorded["body"].keys()
        assert {name: value for name, value in request.json.items() if name not in missing} == recorded["body"], where
        assert missing <= {"assistant_id", "model", "role", "content", "file_id", "tool_outputs"}, where


@cache
def playable() -> list[int]:
    """All but streamed ones, which are recorded as streams elsewhere."""
    return [
        number
        for number, exchange in enumerate(exchanges())
        if not (isinstance(exchange.request["body"], dict) and exchange.request["body"].get("stream"))
    ]


@cache
def distinct() -> list[int]:
    """Those among them that differ in more than their values, for the other faces."""
    seen: dict[object, int] = {}
    for number in playable():
        exchange = exchanges()[number]
        request, response = exchange.request["body"], exchange.response["body"]
        shape = exchange.operation, exchange.response["status"], _names(request), _names(response)
        seen.setdefault(shape, number)
    return sorted(seen.values())


def _names(body: Any) -> tuple[str, ...]:
    return tuple(sorted(name for name, value in body.items() if value is not None)) if isinstance(body, dict) else ()


def test_the_recordings_cover_nearly_every_operation() -> None:
    covered = {exchanges()[number].operation for number in playable()}
    assert len(playable()) > 800
    assert len(distinct()) > 100
    assert CALLS.keys() - covered == {
        "searchVectorStore",
        "updateVectorStoreFileAttributes",
        "retrieveVectorStoreFileContent",
    }


def test_the_sync_client_holds_every_recorded_exchange() -> None:
    with Loopback(Player()) as server, AssistantClient(base_url=server.url) as client:
        for number in playable():
            exchange = exchanges()[number]
            given = parameters(exchange) | {"extra_headers": {"X-Exchange": str(number)}}
            result, error = None, None
            try:
                result = CALLS[exchange.operation](client, exchange.ids, given)
            except errors.APIError as caught:
                error = caught
            check(number, result, error)
            check_request(number, server.requests[-1])


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_async_client_holds_every_kind_of_recorded_exchange(backend: str) -> None:
    async def main(server: Loopback) -> None:
        async with AsyncAssistantClient(base_url=server.url) as client:
            for number in distinct():
                exchange = exchanges()[number]
                given = parameters(exchange) | {"extra_headers": {"X-Exchange": str(number)}}
                result, error = None, None
                try:
                    result = CALLS[exchange.operation](client, exchange.ids, given)
                    result = await result if inspect.isawaitable(result) else result
                except errors.APIError as caught:
                    error = caught
                check(number, result, error)
                check_request(number, server.requests[-1])

    with Loopback(Player()) as server:
        anyio.run(main, server, backend=backend)

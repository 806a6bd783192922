"""Every error survives pickle, copy and deepcopy with its fields, and takes neither a stream nor a key along."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import httpx
import httpx2
import pytest
from cases import in_one_test

import rx_assistant
from rx_assistant import AssistantClient, errors
from rx_assistant.errors import RxAssistantError
from rx_assistant.events import ThreadRunCreated
from rx_assistant.handlers.binding import NotAttachedError
from rx_assistant.snapshots import RunSnapshot, fold
from rx_assistant.types import ErrorObject, Run

KEY = "sk-very-secret-key"
SNAPSHOT = fold(RunSnapshot(), ThreadRunCreated(b'{"id":"run_1","status":"failed"}'))
RUN = Run(id="run_1", status="failed")


def request_of(library: Any = httpx) -> Any:
    headers = {"Authorization": f"Bearer {KEY}", "api-key": KEY, "Cookie": f"a={KEY}", "X-Trace": "t1"}
    return library.Request("POST", f"https://me:{KEY}@host/v1/x?token={KEY}&limit=2", headers=headers, json={"a": 1})


def response_of(library: Any = httpx) -> Any:
    earlier = library.Response(307, request=request_of(library))
    response = library.Response(404, headers={"x-request-id": "req_1"}, json={"error": {}}, request=request_of(library))
    response.history = [earlier]
    return response


FIELDS: dict[str, Any] = {
    "message": "what happened",
    "limit": 7,
    "event": ThreadRunCreated(b"[]"),
    "arguments": "{",
    "snapshot": SNAPSHOT,
    "request_id": "req_1",
    "capacity": 3,
    "pending": 2,
    "error": ErrorObject(message="busy", code="server_error"),
    "content_type": "text/html",
    "head": b"<html>",
    "run": RUN,
    "value": RUN,
    "last": RUN,
    "body": {"code": "c", "param": "p", "type": "t"},
    "handler": object(),
    "rounds": 3,
    "call_id": "call_1",
    "name": "weather",
    "key": "run-1",
    "oldest": "7-1",
    "remaining": b"event: done\ndata: [DONE]\n\n",
}


def made(kind: type[Any], library: Any = httpx) -> Exception:
    """An error of this class with something in each of its fields."""
    given = {**FIELDS, "request": request_of(library), "response": response_of(library)}
    own = any(inspect.isfunction(vars(base).get("__init__")) for base in kind.__mro__)
    parameters = list(inspect.signature(kind).parameters.values()) if own else []
    positional = [given[each.name] for each in parameters if each.kind is not each.KEYWORD_ONLY]
    error = kind(
        *(positional or ["what happened"]), **{e.name: given[e.name] for e in parameters if e.kind is e.KEYWORD_ONLY}
    )
    error.__notes__ = ["a note"]
    if isinstance(error, RxAssistantError):
        error.carry(lambda: SNAPSHOT, "req_1")
    return error  # type: ignore[no-any-return]


KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
WAYS: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda error: pickle.loads(pickle.dumps(error)),
    "old pickle": lambda error: pickle.loads(pickle.dumps(error, protocol=2)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@in_one_test("way", WAYS)
@in_one_test("kind", [*KINDS, NotAttachedError], ids=lambda kind: str(kind.__name__))
def test_a_copy_has_the_class_the_words_and_the_fields(kind: type[Exception], way: str) -> None:
    error = made(kind)
    twin = WAYS[way](error)
    assert type(twin) is kind
    assert (str(twin), repr(twin), twin.args) == (str(error), repr(error), error.args)
    assert twin.__notes__ == ["a note"]
    for name, value in vars(error).items():
        if name in ("request", "response"):
            assert type(getattr(twin, name)) is type(value)
        elif name != "_arrived":
            assert getattr(twin, name) == value, name
    if isinstance(error, RxAssistantError):
        assert (twin.snapshot, twin.request_id) == (SNAPSHOT, "req_1")
        assert not callable(twin._arrived)


@pytest.mark.parametrize("library", [httpx, httpx2], ids=["httpx", "httpx2"])
def test_a_copy_holds_the_request_and_the_reply_without_the_key(library: Any) -> None:
    error: Any = made(errors.NotFoundError, library)
    assert KEY in str(error.request.headers.multi_items())
    dumped = pickle.dumps(error)
    assert KEY.encode() not in dumped
    for twin in (pickle.loads(dumped), copy.copy(error), copy.deepcopy(error)):
        assert KEY not in str(twin.request.headers.multi_items()) + str(twin.response.request.url)
        assert twin.request.headers["x-trace"] == "t1"
        assert str(twin.request.url) == "https://host/v1/x?limit=2"
        assert (twin.request.method, twin.request.content) == ("POST", error.request.content)
        assert (twin.response.status_code, twin.response.json()) == (404, {"error": {}})
    assert error.request.headers["authorization"] == f"Bearer {KEY}"


def test_an_error_of_a_stream_takes_the_snapshot_along_and_no_stream() -> None:
    body = b'event: thread.run.created\ndata: {"id":"run_1","status":"queued"}\n\n'
    with pytest.raises(errors.StreamTruncatedError) as caught:
        rx_assistant.replay(body).until_done()
    twin = pickle.loads(pickle.dumps(caught.value))
    assert twin.snapshot.run.id == "run_1"
    assert twin.snapshot == caught.value.snapshot
    assert fold(twin.snapshot, ThreadRunCreated(b'{"id":"run_1","status":"failed"}')).status == "failed"


def ask_in_a_child(base_url: str) -> None:
    AssistantClient(base_url=base_url, api_key=KEY, max_retries=0).threads.retrieve("thread_lost")


def test_a_404_in_a_process_pool_is_a_404() -> None:
    with (
        rx_assistant.local.serve() as server,
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool,
        pytest.raises(errors.NotFoundError) as caught,
    ):
        pool.submit(ask_in_a_child, server.base_url).result()
    assert caught.value.status_code == 404
    assert caught.value.response.json()["error"]["message"]

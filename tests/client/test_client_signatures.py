"""What `help()`, notebooks and completion show of the methods: no `**params`, and a line for each parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cases import in_one_test

from rx_assistant import AssistantClient, AsyncAssistantClient
from rx_assistant.client.params import RunStream, TurnStream
from rx_assistant.client.resource import AsyncResource, Resource

URL = "http://127.0.0.1:9/v1"
CLIENTS = [AssistantClient(base_url=URL), AsyncAssistantClient(base_url=URL)]


def methods(of: Any, path: str = "client") -> Iterator[tuple[str, Callable[..., Any]]]:
    for name in dir(of):
        value = None if name.startswith("_") or name == "beta" else getattr(of, name)
        if isinstance(value, Resource | AsyncResource):
            yield from methods(value, f"{path}.{name}")
        elif inspect.ismethod(value) and path != "client":
            yield f"{path}.{name}", value


METHODS = [(f"{type(client).__name__}: {path}", method) for client in CLIENTS for path, method in methods(client)]
ASKING = [getattr(client.conversation("a"), name) for client in CLIENTS for name in ("ask", "edit", "regenerate")]


def test_all_resources_are_found() -> None:
    assert len(METHODS) > 120
    assert {path.partition(" ")[2].split(".")[1] for path, _ in METHODS} >= {"assistants", "files", "threads", "chat"}


@in_one_test("method", [method for _, method in METHODS], ids=[path for path, _ in METHODS])
def test_each_parameter_is_spelled_out_and_documented(method: Callable[..., Any]) -> None:
    parameters = inspect.signature(method).parameters.values()
    assert not [each for each in parameters if each.kind is each.VAR_KEYWORD]
    doc = inspect.getdoc(method) or ""
    keywords = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    assert [name for name in keywords if f"    {name}: " not in doc] == []


@pytest.mark.parametrize("method", ASKING, ids=lambda method: method.__qualname__)
def test_the_parameters_of_a_question_are_spelled_out_and_documented(method: Callable[..., Any]) -> None:
    parameters = inspect.signature(method).parameters
    assert parameters.keys() >= TurnStream.__annotations__.keys()
    assert not [each for each in parameters.values() if each.kind is each.VAR_KEYWORD]
    assert [name for name in TurnStream.__annotations__ if f"    {name}: " not in (method.__doc__ or "")] == []


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: type(client).__name__)
def test_a_method_with_overloads_has_the_parameters_of_all(client: Any) -> None:
    for method in (client.threads.runs.create, client.threads.runs.stream):
        parameters = inspect.signature(method).parameters
        assert parameters.keys() >= {"thread_id", "event_handler", *RunStream.__annotations__}
        assert parameters["assistant_id"].default is inspect.Parameter.empty
        assert next(iter(parameters)) == "thread_id"
        assert repr(parameters["model"].default) == "OMIT"

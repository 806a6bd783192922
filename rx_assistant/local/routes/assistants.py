"""/assistants"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.exchange import CheckedRequest, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.replies import Encoded
from rx_assistant.local.resources import modified_resources, new_resources


async def create(request: CheckedRequest) -> JsonObject:
    """A new assistant."""
    assistant = objects.assistant(request.body, await new_resources(request.state, request.body.get("tool_resources")))
    request.state.store.put("assistant", assistant)
    return assistant


async def retrieve(request: CheckedRequest) -> JsonObject:
    """The assistant."""
    return request.state.find("assistant", request.ids["assistant_id"])


async def modify(request: CheckedRequest) -> JsonObject:
    """The assistant with the given fields replaced."""
    assistant = await retrieve(request)
    for name, value in request.body.items():
        assistant[name] = await _replacement(request, name, value, assistant)
    request.state.store.put("assistant", assistant)
    return assistant


async def _replacement(request: CheckedRequest, name: str, value: object, assistant: JsonObject) -> object:
    body = request.body
    match name:
        case "tools":
            return objects.tools(body["tools"])
        case "tool_resources":
            return await modified_resources(request.state, body["tool_resources"], assistant["tool_resources"])
        case "metadata":
            return value or {}
        case "temperature" | "top_p":
            return objects.decimal(body[name], 1.0)
        case "response_format":
            return objects.response_format(body["response_format"])
    return value


async def delete(request: CheckedRequest) -> JsonObject:
    """Delete the assistant. Its runs remain."""
    await retrieve(request)
    request.state.store.delete("assistant", request.ids["assistant_id"])
    return objects.deleted(request.ids["assistant_id"], "assistant.deleted")


async def index(request: CheckedRequest) -> Encoded:
    """A page of assistants."""
    return objects.stored_listing(*request.state.store.stored_page("assistant", "", objects.page_of(request.query)))


OPERATIONS = (
    Operation("GET", "/assistants", index, query=bodies.LIST),
    Operation("POST", "/assistants", create, bodies.CREATE_ASSISTANT),
    Operation("GET", "/assistants/{assistant_id}", retrieve),
    Operation("POST", "/assistants/{assistant_id}", modify, bodies.MODIFY_ASSISTANT),
    Operation("DELETE", "/assistants/{assistant_id}", delete),
)

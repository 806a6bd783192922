"""/assistants"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.exchange import Call, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.resources import modified_resources, new_resources


async def create(call: Call) -> JsonObject:
    """A new assistant."""
    assistant = objects.assistant(call.body, await new_resources(call.state, call.body.get("tool_resources")))
    call.state.store.put("assistant", assistant)
    return assistant


async def retrieve(call: Call) -> JsonObject:
    """The assistant."""
    return call.state.find("assistant", call.ids["assistant_id"])


async def modify(call: Call) -> JsonObject:
    """The assistant with the given fields replaced."""
    assistant = await retrieve(call)
    for name, value in call.body.items():
        assistant[name] = await _replacement(call, name, value, assistant)
    call.state.store.put("assistant", assistant)
    return assistant


async def _replacement(call: Call, name: str, value: object, assistant: JsonObject) -> object:
    body = call.body
    match name:
        case "tools":
            return objects.tools(body["tools"])
        case "tool_resources":
            return await modified_resources(call.state, body["tool_resources"], assistant["tool_resources"])
        case "metadata":
            return value or {}
        case "temperature" | "top_p":
            return objects.decimal(body[name], 1.0)
        case "response_format":
            return objects.response_format(body["response_format"])
    return value


async def delete(call: Call) -> JsonObject:
    """The assistant is gone; its runs remain."""
    await retrieve(call)
    call.state.store.delete("assistant", call.ids["assistant_id"])
    return objects.deleted(call.ids["assistant_id"], "assistant.deleted")


async def index(call: Call) -> JsonObject:
    """A page of assistants."""
    return objects.listing(*call.state.store.page("assistant", "", objects.page_of(call.query)))


OPERATIONS = (
    Operation("GET", "/assistants", index, query=bodies.LIST),
    Operation("POST", "/assistants", create, bodies.CREATE_ASSISTANT),
    Operation("GET", "/assistants/{assistant_id}", retrieve),
    Operation("POST", "/assistants/{assistant_id}", modify, bodies.MODIFY_ASSISTANT),
    Operation("DELETE", "/assistants/{assistant_id}", delete),
)

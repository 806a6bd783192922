"""/threads"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.conversation import add_thread
from rx_assistant.local.exchange import Call, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.resources import modified_resources


async def create(call: Call) -> JsonObject:
    """A new thread."""
    return await add_thread(call.state, call.body)


async def retrieve(call: Call) -> JsonObject:
    """The thread."""
    return call.state.find("thread", call.ids["thread_id"])


async def modify(call: Call) -> JsonObject:
    """The thread with other metadata or resources."""
    thread = await retrieve(call)
    if "metadata" in call.body:
        thread["metadata"] = call.body["metadata"] or {}
    if "tool_resources" in call.body:
        old = thread["tool_resources"]
        thread["tool_resources"] = await modified_resources(call.state, call.body["tool_resources"], old)
    call.state.store.put("thread", thread)
    return thread


async def delete(call: Call) -> JsonObject:
    """The thread is gone, with its messages, runs and steps; an active run stops."""
    thread_id = call.ids["thread_id"]
    await retrieve(call)
    call.state.forget_thread(thread_id)
    store = call.state.store
    store.delete("thread", thread_id)
    for run_id in store.ids("run", thread_id):
        call.state.spawn(store.sweep("step", run_id))
    for kind in ("run", "message"):
        call.state.spawn(store.sweep(kind, thread_id))
    return objects.deleted(thread_id, "thread.deleted")


async def index(call: Call) -> JsonObject:
    """A page of threads, which Azure AI Foundry lists and OpenAI does not."""
    return objects.listing(*call.state.store.page("thread", "", objects.page_of(call.query)))


FOUNDRY_OPERATIONS = (Operation("GET", "/threads", index, query=bodies.LIST),)
OPERATIONS = (
    Operation("POST", "/threads", create, bodies.CREATE_THREAD),
    Operation("GET", "/threads/{thread_id}", retrieve),
    Operation("POST", "/threads/{thread_id}", modify, bodies.MODIFY_THREAD),
    Operation("DELETE", "/threads/{thread_id}", delete),
)

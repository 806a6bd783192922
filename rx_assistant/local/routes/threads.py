"""/threads"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.conversation import add_thread
from rx_assistant.local.exchange import CheckedRequest, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.replies import Encoded
from rx_assistant.local.resources import modified_resources


async def create(request: CheckedRequest) -> JsonObject:
    """A new thread."""
    return await add_thread(request.state, request.body)


async def retrieve(request: CheckedRequest) -> JsonObject:
    """The thread."""
    return request.state.find("thread", request.ids["thread_id"])


async def modify(request: CheckedRequest) -> JsonObject:
    """Change the thread's metadata or resources."""
    thread = await retrieve(request)
    if "metadata" in request.body:
        thread["metadata"] = request.body["metadata"] or {}
    if "tool_resources" in request.body:
        old = thread["tool_resources"]
        thread["tool_resources"] = await modified_resources(request.state, request.body["tool_resources"], old)
    request.state.store.put("thread", thread)
    return thread


async def delete(request: CheckedRequest) -> JsonObject:
    """Delete the thread with its messages, runs and steps. An active run is stopped."""
    thread_id = request.ids["thread_id"]
    await retrieve(request)
    request.state.forget_thread(thread_id)
    store = request.state.store
    store.delete("thread", thread_id)
    for run_id in store.ids("run", thread_id):
        request.state.spawn(store.sweep("step", run_id))
    for kind in ("run", "message"):
        request.state.spawn(store.sweep(kind, thread_id))
    return objects.deleted(thread_id, "thread.deleted")


async def index(request: CheckedRequest) -> Encoded:
    """A page of threads. Azure AI Foundry lists threads, OpenAI does not."""
    return objects.stored_listing(*request.state.store.stored_page("thread", "", objects.page_of(request.query)))


FOUNDRY_OPERATIONS = (Operation("GET", "/threads", index, query=bodies.LIST),)
OPERATIONS = (
    Operation("POST", "/threads", create, bodies.CREATE_THREAD),
    Operation("GET", "/threads/{thread_id}", retrieve),
    Operation("POST", "/threads/{thread_id}", modify, bodies.MODIFY_THREAD),
    Operation("DELETE", "/threads/{thread_id}", delete),
)

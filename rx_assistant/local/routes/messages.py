"""/threads/{thread_id}/messages"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.adoption import thread_for
from rx_assistant.local.conversation import add_message, check_files
from rx_assistant.local.errors import bad_request
from rx_assistant.local.exchange import CheckedRequest, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.replies import Encoded


async def create(request: CheckedRequest) -> JsonObject:
    """A new message; refused while a run is active."""
    thread_id = request.ids["thread_id"]
    thread = thread_for(request.state, thread_id)
    request.state.refuse_while_active(thread_id, "add messages to")
    check_files(request.state, [request.body])
    return await add_message(request.state, thread, request.body)


async def retrieve(request: CheckedRequest) -> JsonObject:
    """The message, with the text so far."""
    thread_id = request.ids["thread_id"]
    request.state.require("thread", thread_id)
    request.state.flush(thread_id)
    return request.state.find("message", request.ids["message_id"], thread_id)


async def modify(request: CheckedRequest) -> JsonObject:
    """Change the message's metadata."""
    message = await retrieve(request)
    if message.get("status") == "in_progress":
        raise bad_request("Cannot update message with status 'in_progress'.")
    if "metadata" in request.body:
        message["metadata"] = request.body["metadata"] or {}
    request.state.store.put("message", message, message["thread_id"])
    return message


async def delete(request: CheckedRequest) -> JsonObject:
    """Delete the message."""
    message = await retrieve(request)
    if message.get("status") == "in_progress":
        raise bad_request("Cannot delete message with status 'in_progress'.")
    request.state.store.delete("message", message["id"], message["thread_id"])
    return objects.deleted(message["id"], "thread.message.deleted")


async def index(request: CheckedRequest) -> Encoded:
    """A page of the thread's messages, or of one run's messages."""
    thread_id = request.ids["thread_id"]
    request.state.require("thread", thread_id)
    request.state.flush(thread_id)
    run_id = request.query.get("run_id")
    where = {"run_id": str(run_id)} if run_id else {}
    page = objects.page_of(request.query, where)
    return objects.stored_listing(*request.state.store.stored_page("message", thread_id, page))


_ONE = "/threads/{thread_id}/messages/{message_id}"

OPERATIONS = (
    Operation("GET", "/threads/{thread_id}/messages", index, query=bodies.LIST_MESSAGES),
    Operation("POST", "/threads/{thread_id}/messages", create, bodies.CREATE_MESSAGE),
    Operation("GET", _ONE, retrieve),
    Operation("POST", _ONE, modify, bodies.MODIFY_METADATA),
    Operation("DELETE", _ONE, delete),
)

"""/threads/{thread_id}/messages"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.adoption import thread_for
from rx_assistant.local.conversation import add_message, check_files
from rx_assistant.local.errors import bad_request
from rx_assistant.local.exchange import Call, Operation
from rx_assistant.local.json_text import JsonObject


async def create(call: Call) -> JsonObject:
    """A new message; refused while a run is active."""
    thread_id = call.ids["thread_id"]
    thread = thread_for(call.state, thread_id)
    call.state.refuse_while_active(thread_id, "add messages to")
    check_files(call.state, [call.body])
    return await add_message(call.state, thread, call.body)


async def retrieve(call: Call) -> JsonObject:
    """The message, as far as it is written."""
    thread_id = call.ids["thread_id"]
    call.state.find("thread", thread_id)
    call.state.flush(thread_id)
    return call.state.find("message", call.ids["message_id"], thread_id)


async def modify(call: Call) -> JsonObject:
    """The message with other metadata."""
    message = await retrieve(call)
    if message.get("status") == "in_progress":
        raise bad_request("Cannot update message with status 'in_progress'.")
    if "metadata" in call.body:
        message["metadata"] = call.body["metadata"] or {}
    call.state.store.put("message", message, message["thread_id"])
    return message


async def delete(call: Call) -> JsonObject:
    """The message is gone."""
    message = await retrieve(call)
    if message.get("status") == "in_progress":
        raise bad_request("Cannot delete message with status 'in_progress'.")
    call.state.store.delete("message", message["id"], message["thread_id"])
    return objects.deleted(message["id"], "thread.message.deleted")


async def index(call: Call) -> JsonObject:
    """A page of the thread's messages, or of those that one run wrote."""
    thread_id = call.ids["thread_id"]
    call.state.find("thread", thread_id)
    call.state.flush(thread_id)
    run_id = call.query.get("run_id")
    where = {"run_id": str(run_id)} if run_id else {}
    return objects.listing(*call.state.store.page("message", thread_id, objects.page_of(call.query, where)))


_ONE = "/threads/{thread_id}/messages/{message_id}"

OPERATIONS = (
    Operation("GET", "/threads/{thread_id}/messages", index, query=bodies.LIST_MESSAGES),
    Operation("POST", "/threads/{thread_id}/messages", create, bodies.CREATE_MESSAGE),
    Operation("GET", _ONE, retrieve),
    Operation("POST", _ONE, modify, bodies.MODIFY_METADATA),
    Operation("DELETE", _ONE, delete),
)

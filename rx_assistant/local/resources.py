"""`tool_resources`: which files and vector stores the tools of an assistant, thread or run may use."""

from __future__ import annotations

from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.state import State

_THREAD_STORE_EXPIRY = {"anchor": "last_active_at", "days": 7}


async def new_resources(state: State, given: JsonObject | None) -> JsonObject:
    """The resources of a new assistant or thread, with the vector stores that `vector_stores` describes."""
    return await modified_resources(state, given, {})


async def modified_resources(state: State, given: JsonObject | None, old: JsonObject) -> JsonObject:
    """The resources after a modification. It replaces the whole entry of a tool; null removes all entries."""
    if given is None:
        return {}
    resources = dict(old)
    for tool, what in given.items():
        if tool == "code_interpreter":
            resources[tool] = {"file_ids": [state.files.find(id, _FILES)["id"] for id in what.get("file_ids", ())]}
        elif tool == "file_search":
            resources[tool] = {"vector_store_ids": await _store_ids(state, what)}
        else:
            resources[tool] = what
    return resources


_FILES = "tool_resources.code_interpreter.file_ids"
_STORES = "tool_resources.file_search.vector_store_ids"


async def _store_ids(state: State, given: JsonObject) -> list[str]:
    found = [str(state.stores.find(id, _STORES)["id"]) for id in given.get("vector_store_ids") or ()]
    for wanted in given.get("vector_stores") or ():
        made = await state.stores.create(
            wanted.get("file_ids") or (), chunking=wanted.get("chunking_strategy"), metadata=wanted.get("metadata")
        )
        found.append(made["id"])
    return found


async def attach(state: State, thread: JsonObject, message: JsonObject) -> None:
    """Add the attached files of a new message to the thread's tools."""
    for attachment in message["attachments"]:
        file_id = state.files.find(attachment["file_id"], "attachments")["id"]
        for tool in attachment["tools"]:
            if tool["type"] == "file_search":
                await _attach_for_search(state, thread, file_id)
            else:
                _attach_for_code(thread, file_id)
    if message["attachments"]:
        state.store.put("thread", thread)


async def _attach_for_search(state: State, thread: JsonObject, file_id: str) -> None:
    """Add the file to the thread's vector store. A new store expires seven days after its last use."""
    store_ids = thread["tool_resources"].setdefault("file_search", {}).setdefault("vector_store_ids", [])
    if store_ids:
        state.stores.add_file(store_ids[0], file_id, None, None)
    else:
        made = await state.stores.create([file_id], expires_after=_THREAD_STORE_EXPIRY)
        store_ids.append(made["id"])


def _attach_for_code(thread: JsonObject, file_id: str) -> None:
    file_ids = thread["tool_resources"].setdefault("code_interpreter", {}).setdefault("file_ids", [])
    if file_id not in file_ids:
        file_ids.append(file_id)

"""Threads and the messages of clients. Referenced objects are looked up before anything changes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from rx_assistant.local import objects
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.resources import attach, new_resources
from rx_assistant.local.state import State


async def add_thread(state: State, body: JsonObject) -> JsonObject:
    """Store a new thread with its first messages."""
    messages = body.get("messages") or []
    check_files(state, messages)
    thread = objects.thread(body, await new_resources(state, body.get("tool_resources")))
    state.store.put("thread", thread)
    await add_messages(state, thread, messages)
    return thread


async def add_messages(state: State, thread: JsonObject, bodies: Iterable[JsonObject]) -> None:
    """Store messages that a client wrote. Other requests can run in between."""
    for number, body in enumerate(bodies):
        await add_message(state, thread, body)
        if number % 20 == 19:
            await asyncio.sleep(0)


async def add_message(state: State, thread: JsonObject, body: JsonObject) -> JsonObject:
    """Store a message that a client wrote."""
    message = objects.given_message(thread["id"], body)
    await attach(state, thread, message)
    state.store.put("message", message, thread["id"])
    return message


def check_files(state: State, messages: Iterable[JsonObject]) -> None:
    """Raise 404 for a missing file, 400 for a file that file search does not support."""
    for message in messages:
        for attachment in message.get("attachments") or ():
            searched = any(tool["type"] == "file_search" for tool in attachment["tools"])
            find = state.files.find_searchable if searched else state.files.find
            find(attachment["file_id"], "attachments")
        parts = message["content"] if isinstance(message["content"], list) else []
        for part in parts:
            if part["type"] == "image_file":
                state.files.find(part["image_file"]["file_id"], "content")

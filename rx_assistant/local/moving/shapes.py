"""One record into the object that the store keeps, with its kind and parent. Pure.

A field that is missing, or null where the server needs a value, gets the server's default; other fields stay as they
are, in their order. Shapes of older versions of the API and of the SDK's `model_dump()` are completed. `Unfit` for a
record that cannot become an object.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from rx_assistant.dialects.halves import whole
from rx_assistant.lifecycle import MESSAGE, RUN, STEP, VECTOR_STORE_FILE
from rx_assistant.local import json_text, objects
from rx_assistant.local.json_text import JsonObject

OURS = "rx_assistant"
"""The field of an exported object for its notes, and for a parent that the object does not name."""
HEADER = "rx_assistant.export"
VERSION = 1
NOT_IMPORTED = {
    "code": "server_error",
    "message": "The bytes of this file were not imported. Import the file together with its bytes.",
}

_SAFE = re.compile(r"[A-Za-z0-9_-]{1,255}")
_NO_TIME = "created_at is missing: the object is placed after the one before it"
_LATEST = 253_402_300_799  # the year 9999
_MILLISECONDS = 10**11
_MOST_BYTES = 2**53
_TEXTS = (
    *("status", "run_id", "purpose", "assistant_id", "name", "description", "instructions", "model"),
    "reasoning_effort",
)


class Unfit(Exception):
    """The record cannot become an object, for the reason in the message."""


class Item(NamedTuple):
    """An object for the store."""

    kind: str
    parent: str
    value: JsonObject
    notes: JsonObject
    created: int
    is_flat: bool = False
    remarks: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """The object's id."""
        return str(self.value["id"])


class _Kind(NamedTuple):
    kind: str
    parent: str | None
    defaults: Mapping[str, object]
    completed: Callable[[JsonObject], tuple[str, ...]] | None = None


def item(record: JsonObject, latest: int) -> Item:
    """The object that the record describes. Without a time of its own it gets the time `latest`."""
    if "object" not in record and "thread_id" in record:
        return _message_of_flat(record, latest)
    name = record.get("object")
    if not isinstance(name, str):
        raise Unfit("the field object is missing")
    known = _KINDS.get(name)
    if known is None:
        raise Unfit(f"objects of the kind {name[:60]!r} are not kept by this server")
    ours = record.get(OURS)
    value = {field: content for field, content in record.items() if field != OURS}
    ours = ours if isinstance(ours, dict) else {}
    created, remarks = _created(value, latest)
    value["created_at"] = created
    _complete(value, known.defaults)
    remarks += known.completed(value) if known.completed else ()
    kind, parent = known.kind, "" if known.parent is None else _id(value, known.parent)
    if "batch" in ours and kind == "vector_store.file":
        kind, parent = "batch_member", _id(ours, "batch")
    _id(value, "id")
    _measured(value)
    return Item(kind, parent, value, _notes(ours.get("notes")), created, False, remarks)


def _notes(given: Any) -> JsonObject:
    match given:
        case None:
            return {}
        case {"engine": list(notes)} if all(isinstance(note, dict) for note in notes):
            return dict(given)
        case {"batch": str(batch)} if _SAFE.fullmatch(batch):
            return dict(given)
        case dict() if not given.keys() & {"engine", "batch"}:
            return dict(given)
    raise Unfit(f"{OURS}.notes must be as an export writes them")


def new_thread(id: str, created: int) -> JsonObject:
    """The thread of messages or runs whose own thread was not imported."""
    return {"id": id, "object": "thread", "created_at": created, **_THREAD}


def new_vector_store(id: str, created: int) -> JsonObject:
    """The vector store of files whose own vector store was not imported."""
    value = {"id": id, "object": "vector_store", "created_at": created, **_VECTOR_STORE}
    value["last_active_at"] = created
    return value


def new_run(id: str, created: int, step: JsonObject) -> JsonObject:
    """The run of steps whose own run was not imported."""
    value: JsonObject = {"id": id, "object": "thread.run", "created_at": created, **_RUN}
    for name in ("assistant_id", "thread_id"):
        value[name] = step[name]
    return {**value, "status": "completed", "completed_at": step.get("completed_at") or created}


def _complete(value: JsonObject, defaults: Mapping[str, object]) -> None:
    for name, default in defaults.items():
        given = value.get(name)
        if name not in value or (given is None and default is not None):
            value[name] = json.loads(json.dumps(default))
        elif default is not None and not _is_like(default, given):
            raise Unfit(f"{name} must be {_NOUNS[type(default)]}, got {_noun(given)}")
    for name in _TEXTS:
        if not isinstance(value.get(name), str | None):
            raise Unfit(f"{name} must be a text, got {_noun(value[name])}")
    used = value.get("usage_bytes") or 0
    if not isinstance(used, int) or not 0 <= used < _MOST_BYTES:
        raise Unfit("usage_bytes must be a number of bytes")


_NOUNS: Mapping[type, str] = {
    str: "a text",
    dict: "an object",
    list: "an array",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _noun(value: object) -> str:
    return _NOUNS.get(type(value), type(value).__name__)


def _is_like(default: object, given: object) -> bool:
    if isinstance(default, bool) or isinstance(given, bool):
        return type(default) is type(given)
    if isinstance(default, int | float):
        return isinstance(given, int | float)
    if default == "auto":  # response_format and tool_choice
        return isinstance(given, str | dict)
    return isinstance(given, type(default))


def _id(value: Mapping[str, object], name: str) -> str:
    id = value.get(name)
    if id is None:
        raise Unfit(f"{name} is missing")
    if not isinstance(id, str) or _SAFE.fullmatch(id) is None:
        raise Unfit(f"{name} must be 1 to 255 letters, digits, - or _")
    return id


def _measured(value: JsonObject) -> None:
    try:
        json_text.measure(json.dumps(value).encode())
    except ValueError as error:
        raise Unfit(f"the object is {error}") from None


def _created(record: JsonObject, latest: int) -> tuple[int, tuple[str, ...]]:
    found = _time(record.get("created_at"))
    return (latest, (_NO_TIME,)) if found is None else (found, ())


def _time(given: object) -> int | None:
    """Seconds since 1970 from seconds, milliseconds, a text with either, or ISO 8601. None if it is not a time."""
    if isinstance(given, str):
        try:
            given = float(given)
        except ValueError:
            try:
                moment = datetime.fromisoformat(str(given).strip())
            except ValueError:
                return None
            given = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        return None
    seconds = int(given / 1000 if given > _MILLISECONDS else given)
    return seconds if 0 <= seconds <= _LATEST else None


# Flat records of export scripts


def _message_of_flat(record: JsonObject, latest: int) -> Item:
    text = next((record[name] for name in ("text", "content") if record.get(name) is not None), None)
    if isinstance(text, list):
        text = "\n\n".join(part for part in text if isinstance(part, str)) or None
    if not isinstance(text, str):
        raise Unfit("text must be a text")
    thread_id = _id(record, "thread_id")
    created, remarks = _created(record, latest)
    if record.get("message_id") is None:
        told = json_text.canonical([thread_id, record.get("role"), text, record.get("created_at")])
        record = {**record, "message_id": f"msg_{hashlib.sha256(told).hexdigest()[:24]}"}
    value: JsonObject = {
        **objects.given_message(thread_id, {"role": record.get("role") or "user", "content": text}),
        "id": _id(record, "message_id"),
        "created_at": created,
    }
    for name in ("assistant_id", "run_id"):
        value[name] = None if record.get(name) in (None, "") else _id(record, name)
    if isinstance(record.get("metadata"), dict):
        value["metadata"] = record["metadata"]
    _complete(value, _MESSAGE)
    _complete_message(value)
    _measured(value)
    return Item("message", thread_id, value, {}, created, True, remarks)


# What each kind needs besides its defaults


def _complete_assistant(value: JsonObject) -> tuple[str, ...]:
    value["tools"] = [_tool(tool) for tool in value["tools"]]
    _complete_resources(value)
    return ()


def _complete_resources(value: JsonObject) -> tuple[str, ...]:
    """`model_dump()` writes null for each tool without resources."""
    resources = value["tool_resources"]
    for name, ids in (("file_search", "vector_store_ids"), ("code_interpreter", "file_ids")):
        if name in resources and resources[name] is None:
            del resources[name]
        if name in resources:
            given = resources[name]
            if isinstance(given, dict) and ids in given and given[ids] is None:
                del given[ids]
            if not isinstance(given, dict) or not _are_texts(given.get(ids, [])):
                raise Unfit(f"tool_resources.{name}.{ids} must be an array of ids")
    return ()


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _tool(tool: Any) -> JsonObject:
    match tool:
        case {"type": "function", "function": {"name": str()} as function}:
            given = {name: item for name, item in function.items() if item is not None or name == "parameters"}
            return {**tool, "function": given}
        case {"type": "file_search" | "retrieval"}:  # version 1 of the API has `retrieval`
            return {**tool, "type": "file_search", "file_search": _search_options(tool.get("file_search"))}
        case {"type": str()} if tool["type"] != "function":
            return dict(tool)
    raise Unfit("each of tools must be an object with a type, and a function must have a name")


def _search_options(given: Any) -> JsonObject:
    options = dict(given) if isinstance(given, dict) else {}
    ranking = options.get("ranking_options")
    ranking = dict(ranking) if isinstance(ranking, dict) else {}
    ranking |= {name: item for name, item in objects.DEFAULT_RANKING.items() if ranking.get(name) is None}
    options["ranking_options"] = ranking
    if options.get("max_num_results", 1) is None:
        del options["max_num_results"]
    if not _is_like(0, ranking["score_threshold"]) or not _is_like(0, options.get("max_num_results", 1)):
        raise Unfit("score_threshold and max_num_results of file_search must be numbers")
    return options


def _complete_message(value: JsonObject) -> tuple[str, ...]:
    if value["role"] not in ("user", "assistant"):
        raise Unfit(f"role must be user or assistant, got {value['role'][:40]!r}")
    if value.get("status") not in (None, *MESSAGE.terminal):
        value["status"] = "incomplete"
        value["incomplete_details"] = {"reason": "run_expired"}
        value["incomplete_at"] = value["created_at"]
    value["content"] = [_part(part) for part in value["content"]]
    for attachment in value["attachments"]:
        match attachment:
            case {"file_id": str()}:
                if attachment.get("tools") is None:
                    attachment["tools"] = []
            case _:
                raise Unfit("each of attachments must be an object with a file_id")
    return ()


def _part(part: Any) -> JsonObject:
    match part:
        case str():
            return objects.text_part(part)
        case {"type": "text", "text": str(text)}:
            return objects.text_part(text)
        case {"type": "text", "text": {"value": str()} as text}:
            annotations = text.get("annotations")
            return {**part, "text": {**text, "annotations": annotations if isinstance(annotations, list) else []}}
        case (
            {"type": "image_file", "image_file": {"file_id": str()}}
            | {"type": "image_url", "image_url": {"url": str()}}
            | {"type": "refusal", "refusal": str()}
        ):
            return dict(part)
        case {"type": str(kind)} if kind not in ("text", "image_file", "image_url", "refusal"):
            return dict(part)
    raise Unfit("each of content must be a part with a type and its content")


def _complete_run(value: JsonObject) -> tuple[str, ...]:
    _complete_assistant(value)
    if value["status"] in RUN.terminal:
        return ()
    ended = f"the run was {value['status']!r}: it is imported as expired"
    value |= {"status": "expired", "required_action": None}
    return (ended,)


def _complete_step(value: JsonObject) -> tuple[str, ...]:
    details = value["step_details"]
    _id(value, "thread_id")
    if value["status"] not in STEP.terminal:
        value["status"] = "expired"
    value["type"] = value["type"] or details.get("type")
    match details:
        case {"type": "message_creation", "message_creation": {"message_id": str()}}:
            pass
        case {"type": "tool_calls", "tool_calls": list(calls)}:
            for call in calls:
                _check_call(call)
        case {"type": str(kind)} if kind not in ("message_creation", "tool_calls"):
            pass
        case _:
            raise Unfit("step_details must be an object with a type and its content")
    if value["type"] != details["type"]:
        raise Unfit("type must be the type of step_details")
    return ()


def _check_call(call: object) -> None:
    match call:
        case {"type": "function", "id": str(), "function": {"name": str(), "arguments": str()} as function}:
            if not isinstance(function.setdefault("output", None), str | None):
                raise Unfit("the output of a function call must be a text")
        case {"type": str(kind)} if kind != "function":
            pass
        case _:
            raise Unfit("each of tool_calls must have a type, and a function its id, name and arguments")


def _complete_expiry(value: JsonObject) -> None:
    if value["expires_at"] is not None:
        seconds = _time(value["expires_at"])
        if seconds is None:
            raise Unfit("expires_at must be a time")
        value["expires_at"] = seconds


def _complete_file(value: JsonObject) -> tuple[str, ...]:
    if value["filename"] == "":
        value["filename"] = value.get("id") or ""
    value["filename"] = whole(value["filename"])
    _complete_expiry(value)
    return ()


def _complete_vector_store(value: JsonObject) -> tuple[str, ...]:
    value["last_active_at"] = _time(value["last_active_at"]) or value["created_at"]
    match value["expires_after"]:
        case None | {"days": int()}:
            pass
        case _:
            raise Unfit("expires_after must be null or have days")
    _complete_expiry(value)
    return ()


def _complete_vector_store_file(value: JsonObject) -> tuple[str, ...]:
    match value["chunking_strategy"]:
        case {"type": "static", "static": {"max_chunk_size_tokens": int(most), "chunk_overlap_tokens": int(shared)}}:
            if not 0 <= shared * 2 <= most or not 100 <= most <= 4096:
                raise Unfit("chunking_strategy.static must have 100 to 4096 tokens, and at most half of them overlap")
        case _:  # `other`: cut before the service had strategies
            value["chunking_strategy"] = _STRATEGY
    if value["status"] not in VECTOR_STORE_FILE.statuses:
        value["status"] = "in_progress"
    match value["last_error"]:
        case None | {"message": str()}:
            pass
        case _:
            raise Unfit("last_error must be null or have a message")
    return ()


def _fields(value: JsonObject, *without: str) -> JsonObject:
    left = {"id", "object", "created_at", *without}
    return {name: item for name, item in value.items() if name not in left}


_STRATEGY = {"type": "static", "static": {"max_chunk_size_tokens": 800, "chunk_overlap_tokens": 400}}
_MADE_ASSISTANT = objects.assistant({"model": "local"}, {})
_MADE_THREAD = objects.thread({}, {})
_THREAD = _fields(_MADE_THREAD)
_MESSAGE = {**_fields(objects.given_message("", {"role": "user", "content": []}), "thread_id")}
_RUN = {
    **_fields(objects.run(_MADE_ASSISTANT, _MADE_THREAD, {}, 0), "thread_id"),
    "status": "expired",
    "assistant_id": None,
    "expires_at": None,
}
_STEP = {
    **_fields(objects.step({**_RUN, "id": "", "thread_id": ""}, {"type": None}), "run_id", "thread_id"),
    "status": "completed",
    "step_details": {},
}
_VECTOR_STORE: JsonObject = {
    "name": None,
    "usage_bytes": 0,
    "file_counts": {},
    "status": "completed",
    "expires_after": None,
    "expires_at": None,
    "last_active_at": None,
    "metadata": {},
}
_KINDS = {
    "assistant": _Kind("assistant", None, _fields(_MADE_ASSISTANT), _complete_assistant),
    "thread": _Kind("thread", None, _THREAD, _complete_resources),
    "thread.message": _Kind("message", "thread_id", _MESSAGE, _complete_message),
    "thread.run": _Kind("run", "thread_id", _RUN, _complete_run),
    "thread.run.step": _Kind("step", "run_id", _STEP, _complete_step),
    "file": _Kind(
        "file",
        None,
        {
            "purpose": "assistants",
            "filename": "",
            "bytes": 0,
            "expires_at": None,
            "status": "processed",
            "status_details": None,
        },
        _complete_file,
    ),
    "vector_store": _Kind("vector_store", None, _VECTOR_STORE, _complete_vector_store),
    "vector_store.file": _Kind(
        "vector_store.file",
        "vector_store_id",
        {
            "usage_bytes": 0,
            "status": "in_progress",
            "last_error": None,
            "chunking_strategy": _STRATEGY,
            "attributes": {},
        },
        _complete_vector_store_file,
    ),
    **dict.fromkeys(
        ("vector_store.file_batch", "vector_store.files_batch"),
        _Kind("vector_store.file_batch", "vector_store_id", {"status": "completed", "file_counts": {}}),
    ),
}

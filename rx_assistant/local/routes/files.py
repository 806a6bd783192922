"""/files"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.errors import bad_request
from rx_assistant.local.exchange import Call, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.replies import FileContent
from rx_assistant.local.schema import missing


async def create(call: Call) -> JsonObject:
    """A new file, which was written to disk while it came."""
    upload = call.upload
    assert upload is not None
    if upload.filename is None:
        raise missing("file")
    lifetime = _lifetime(upload.fields)
    return call.state.files.add(upload.path, upload.filename, upload.fields["purpose"], lifetime)


def _lifetime(fields: JsonObject) -> int | None:
    """How many seconds the file is to live, if it is to expire; a 400 if a field is missing or wrong."""
    expiry = fields.get("expires_after")
    if isinstance(expiry, dict) and "seconds" in expiry:
        expiry["seconds"] = _number(expiry["seconds"])
    bodies.UPLOAD.check(fields, "")
    return None if expiry is None else int(expiry["seconds"])


def _number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        message = "Invalid type for 'expires_after.seconds': expected an integer, but got a string instead."
        raise bad_request(message, "expires_after.seconds", "invalid_type") from None


async def retrieve(call: Call) -> JsonObject:
    """The file's record."""
    return call.state.files.find(call.ids["file_id"])


async def content(call: Call) -> FileContent:
    """The file's bytes."""
    file = await retrieve(call)
    return FileContent(str(call.state.files.path(file["id"])), file["filename"])


async def delete(call: Call) -> JsonObject:
    """The file is gone, from all vector stores too."""
    file = await retrieve(call)
    call.state.stores.forget_file(file["id"])
    call.state.files.delete(file["id"])
    return {"object": "file", "id": file["id"], "deleted": True}


async def index(call: Call) -> JsonObject:
    """A page of files, all of them unless `limit` says otherwise."""
    call.state.files.purge()
    purpose = call.query.get("purpose")
    where = {"purpose": str(purpose)} if purpose else {}
    page = objects.page_of(call.query, where, limit=10_000)
    return objects.listing(*call.state.store.page("file", "", page))


OPERATIONS = (
    Operation("GET", "/files", index, query=bodies.LIST_FILES),
    Operation("POST", "/files", create, upload=True),
    Operation("GET", "/files/{file_id}", retrieve),
    Operation("DELETE", "/files/{file_id}", delete),
    Operation("GET", "/files/{file_id}/content", content),
)

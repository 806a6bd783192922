"""/files"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.errors import ApiError, bad_request
from rx_assistant.local.exchange import CheckedRequest, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.replies import FileContent
from rx_assistant.local.schema import missing


async def create(request: CheckedRequest) -> JsonObject:
    """A new file. Its bytes were written to disk during the upload."""
    upload = request.upload
    assert upload is not None
    if upload.filename is None:
        raise missing("file")
    lifetime = _lifetime(upload.fields)
    return request.state.files.add(upload.path, upload.filename, upload.fields["purpose"], lifetime)


def _lifetime(fields: JsonObject) -> int | None:
    """The lifetime of the file in seconds; None if it does not expire. Raises 400 if a field is missing or wrong."""
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


async def retrieve(request: CheckedRequest) -> JsonObject:
    """The file's record."""
    return request.state.files.find(request.ids["file_id"])


async def content(request: CheckedRequest) -> FileContent:
    """The file's bytes."""
    file = await retrieve(request)
    path = request.state.files.path(file["id"])
    if not path.is_file():
        raise ApiError(404, f"The bytes of file {file['id']} are missing on the server's disk.")
    return FileContent(str(path), file["filename"])


async def delete(request: CheckedRequest) -> JsonObject:
    """Delete the file, and remove it from all vector stores."""
    file = await retrieve(request)
    request.state.stores.forget_file(file["id"])
    request.state.files.delete(file["id"])
    return {"object": "file", "id": file["id"], "deleted": True}


async def index(request: CheckedRequest) -> JsonObject:
    """A page of files. Without `limit`, all files."""
    request.state.files.purge()
    purpose = request.query.get("purpose")
    where = {"purpose": str(purpose)} if purpose else {}
    page = objects.page_of(request.query, where, limit=10_000)
    return objects.listing(*request.state.store.page("file", "", page))


OPERATIONS = (
    Operation("GET", "/files", index, query=bodies.LIST_FILES),
    Operation("POST", "/files", create, upload=True),
    Operation("GET", "/files/{file_id}", retrieve),
    Operation("DELETE", "/files/{file_id}", delete),
    Operation("GET", "/files/{file_id}/content", content),
)

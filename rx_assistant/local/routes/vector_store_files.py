"""/vector_stores/{vector_store_id}/files"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.exchange import CheckedRequest, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.store import Page


def filtered_page(request: CheckedRequest) -> Page:
    """The requested page, with only the files of one status if `filter` is given."""
    status = request.query.get("filter")
    return objects.page_of(request.query, {"status": str(status)} if status else {})


async def create(request: CheckedRequest) -> JsonObject:
    """Add a file to the store."""
    body = request.body
    return request.state.stores.add_file(
        request.ids["vector_store_id"], body["file_id"], body.get("chunking_strategy"), body.get("attributes")
    )


async def retrieve(request: CheckedRequest) -> JsonObject:
    """The file in the store."""
    return request.state.stores.find_file(request.ids["vector_store_id"], request.ids["file_id"])


async def modify(request: CheckedRequest) -> JsonObject:
    """The file with changed attributes."""
    attributes = request.body["attributes"]
    return request.state.stores.set_attributes(request.ids["vector_store_id"], request.ids["file_id"], attributes)


async def delete(request: CheckedRequest) -> JsonObject:
    """Remove the file from the store."""
    request.state.stores.remove_file(request.ids["vector_store_id"], request.ids["file_id"])
    return objects.deleted(request.ids["file_id"], "vector_store.file.deleted")


async def content(request: CheckedRequest) -> JsonObject:
    """The text of the file."""
    text = await request.state.stores.text(request.ids["vector_store_id"], request.ids["file_id"])
    return {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": text}],
        "has_more": False,
        "next_page": None,
    }


async def index(request: CheckedRequest) -> JsonObject:
    """A page of the store's files."""
    return objects.listing(*request.state.stores.file_page(request.ids["vector_store_id"], filtered_page(request)))


_ALL = "/vector_stores/{vector_store_id}/files"
_ONE = _ALL + "/{file_id}"

OPERATIONS = (
    Operation("GET", _ALL, index, query=bodies.LIST_STORE_FILES),
    Operation("POST", _ALL, create, bodies.CREATE_VECTOR_STORE_FILE, polled=True),
    Operation("GET", _ONE, retrieve, polled=True),
    Operation("POST", _ONE, modify, bodies.MODIFY_VECTOR_STORE_FILE),
    Operation("DELETE", _ONE, delete),
    Operation("GET", _ONE + "/content", content),
)

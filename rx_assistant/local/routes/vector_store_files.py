"""/vector_stores/{vector_store_id}/files"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.exchange import Call, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.store import Page


def filtered_page(call: Call) -> Page:
    """The page that is asked for, with only the files of one status if `filter` says so."""
    status = call.query.get("filter")
    return objects.page_of(call.query, {"status": str(status)} if status else {})


async def create(call: Call) -> JsonObject:
    """A file put into the store."""
    body = call.body
    return call.state.stores.add_file(
        call.ids["vector_store_id"], body["file_id"], body.get("chunking_strategy"), body.get("attributes")
    )


async def retrieve(call: Call) -> JsonObject:
    """The file in the store."""
    return call.state.stores.find_file(call.ids["vector_store_id"], call.ids["file_id"])


async def modify(call: Call) -> JsonObject:
    """The file with other attributes."""
    attributes = call.body["attributes"]
    return call.state.stores.set_attributes(call.ids["vector_store_id"], call.ids["file_id"], attributes)


async def delete(call: Call) -> JsonObject:
    """The file is in the store no more."""
    call.state.stores.remove_file(call.ids["vector_store_id"], call.ids["file_id"])
    return objects.deleted(call.ids["file_id"], "vector_store.file.deleted")


async def content(call: Call) -> JsonObject:
    """The text that was read out of the file."""
    text = await call.state.stores.text(call.ids["vector_store_id"], call.ids["file_id"])
    return {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": text}],
        "has_more": False,
        "next_page": None,
    }


async def index(call: Call) -> JsonObject:
    """A page of the store's files."""
    return objects.listing(*call.state.stores.file_page(call.ids["vector_store_id"], filtered_page(call)))


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

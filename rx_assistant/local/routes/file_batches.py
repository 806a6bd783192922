"""/vector_stores/{vector_store_id}/file_batches"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.exchange import Call, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.routes.vector_store_files import filtered_page


async def create(call: Call) -> JsonObject:
    """Files put into the store together."""
    body = call.body
    shared = {name: body[name] for name in ("chunking_strategy", "attributes") if name in body}
    entries = body.get("files") or [{"file_id": file_id, **shared} for file_id in body["file_ids"]]
    return await call.state.stores.add_batch(call.ids["vector_store_id"], entries)


async def retrieve(call: Call) -> JsonObject:
    """The batch."""
    return call.state.stores.find_batch(call.ids["vector_store_id"], call.ids["batch_id"])


async def cancel(call: Call) -> JsonObject:
    """The batch, cancelled as far as it was not done."""
    return await call.state.stores.cancel_batch(call.ids["vector_store_id"], call.ids["batch_id"])


async def files(call: Call) -> JsonObject:
    """A page of the batch's files."""
    ids = call.ids
    page = call.state.stores.batch_page(ids["vector_store_id"], ids["batch_id"], filtered_page(call))
    return objects.listing(*page)


_ALL = "/vector_stores/{vector_store_id}/file_batches"
_ONE = _ALL + "/{batch_id}"

OPERATIONS = (
    Operation("POST", _ALL, create, bodies.CREATE_FILE_BATCH, polled=True),
    Operation("GET", _ONE, retrieve, polled=True),
    Operation("POST", _ONE + "/cancel", cancel, polled=True),
    Operation("GET", _ONE + "/files", files, query=bodies.LIST_STORE_FILES),
)

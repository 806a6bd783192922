"""/vector_stores/{vector_store_id}/file_batches"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.exchange import CheckedRequest, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.routes.vector_store_files import filtered_page


async def create(request: CheckedRequest) -> JsonObject:
    """Add several files to the store."""
    body = request.body
    shared = {name: body[name] for name in ("chunking_strategy", "attributes") if name in body}
    entries = body.get("files") or [{"file_id": file_id, **shared} for file_id in body["file_ids"]]
    return await request.state.stores.add_batch(request.ids["vector_store_id"], entries)


async def retrieve(request: CheckedRequest) -> JsonObject:
    """The batch."""
    return request.state.stores.find_batch(request.ids["vector_store_id"], request.ids["batch_id"])


async def cancel(request: CheckedRequest) -> JsonObject:
    """Cancel the files of the batch that are not ingested yet."""
    return await request.state.stores.cancel_batch(request.ids["vector_store_id"], request.ids["batch_id"])


async def files(request: CheckedRequest) -> JsonObject:
    """A page of the batch's files."""
    ids = request.ids
    page = request.state.stores.batch_page(ids["vector_store_id"], ids["batch_id"], filtered_page(request))
    return objects.listing(*page)


_ALL = "/vector_stores/{vector_store_id}/file_batches"
_ONE = _ALL + "/{batch_id}"

OPERATIONS = (
    Operation("POST", _ALL, create, bodies.CREATE_FILE_BATCH, polled=True),
    Operation("GET", _ONE, retrieve, polled=True),
    Operation("POST", _ONE + "/cancel", cancel, polled=True),
    Operation("GET", _ONE + "/files", files, query=bodies.LIST_STORE_FILES),
)

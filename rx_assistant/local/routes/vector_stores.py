"""/vector_stores, and the search in one"""

from __future__ import annotations

import asyncio

from rx_assistant.local import bodies, objects
from rx_assistant.local.errors import bad_request
from rx_assistant.local.exchange import CheckedRequest, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.retrieval.terms import query_terms


async def create(request: CheckedRequest) -> JsonObject:
    """A new vector store."""
    body = request.body
    return await request.state.stores.create(
        body.get("file_ids") or (),
        name=body.get("name"),
        description=body.get("description"),
        expires_after=body.get("expires_after"),
        chunking=body.get("chunking_strategy"),
        metadata=body.get("metadata"),
    )


async def retrieve(request: CheckedRequest) -> JsonObject:
    """The vector store."""
    return request.state.stores.find(request.ids["vector_store_id"])


async def modify(request: CheckedRequest) -> JsonObject:
    """Change the vector store's name, expiry or metadata."""
    return request.state.stores.modify(request.ids["vector_store_id"], request.body)


async def delete(request: CheckedRequest) -> JsonObject:
    """Delete the vector store."""
    request.state.stores.delete(request.ids["vector_store_id"])
    return objects.deleted(request.ids["vector_store_id"], "vector_store.deleted")


async def index(request: CheckedRequest) -> JsonObject:
    """A page of vector stores."""
    return objects.listing(*request.state.stores.page(objects.page_of(request.query)))


async def search(request: CheckedRequest) -> JsonObject:
    """The best passages for the query."""
    body = request.body
    store = request.state.stores.find(request.ids["vector_store_id"])
    if store["status"] == "expired":
        raise bad_request(f"Vector store {store['id']} has expired.")
    queries = [body["query"]] if isinstance(body["query"], str) else body["query"]
    if body.get("rewrite_query"):
        queries = await asyncio.to_thread(lambda: [" ".join(query_terms(query)) or query for query in queries])
    ranking = body.get("ranking_options") or {}
    found = await request.state.stores.search(
        [store["id"]],
        " ".join(queries),
        body.get("max_num_results", 10),
        ranking.get("score_threshold", 0.0),
        body.get("filters"),
    )
    data = [
        {
            "file_id": file["id"],
            "filename": file["filename"],
            "score": passage.score,
            "attributes": member["attributes"],
            "content": [{"type": "text", "text": passage.text}],
        }
        for file, member, passage in found
    ]
    return {
        "object": "vector_store.search_results.page",
        "search_query": queries,
        "data": data,
        "has_more": False,
        "next_page": None,
    }


_ONE = "/vector_stores/{vector_store_id}"

OPERATIONS = (
    Operation("GET", "/vector_stores", index, query=bodies.LIST),
    Operation("POST", "/vector_stores", create, bodies.CREATE_VECTOR_STORE, polled=True),
    Operation("GET", _ONE, retrieve, polled=True),
    Operation("POST", _ONE, modify, bodies.MODIFY_VECTOR_STORE),
    Operation("DELETE", _ONE, delete),
    Operation("POST", _ONE + "/search", search, bodies.SEARCH),
)

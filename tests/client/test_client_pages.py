"""Lists: page by page, and item by item over all pages."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from loopback import Loopback, Received, Wire

from rx_assistant.client import AssistantClient, AsyncAssistantClient
from rx_assistant.types import Message

IDS = [f"msg_{number}" for number in range(7)]


async def pages(request: Received, wire: Wire) -> None:
    """Seven messages, as many at once as asked for."""
    query = dict(request.query)
    start = IDS.index(query["after"]) + 1 if "after" in query else 0
    part = IDS[start : start + int(query.get("limit", "20"))]
    ends = {"first_id": part[0], "last_id": part[-1]} if part else {"first_id": None, "last_id": None}
    data = [{"id": name, "object": "thread.message"} for name in part]
    await wire.json({"object": "list", "data": data, **ends, "has_more": start + len(part) < len(IDS)})


async def stubborn(request: Received, wire: Wire) -> None:
    """Ignores `after`, and always has more."""
    await wire.json({"object": "list", "data": [{"id": "msg_0"}, {"id": "msg_1"}], "has_more": True})


def test_iterating_goes_on_over_all_pages_with_the_same_parameters() -> None:
    with Loopback(pages) as server, AssistantClient(base_url=server.url) as client:
        page = client.threads.messages.list("t", limit=3, order="asc", extra_headers={"X-A": "1"})
        assert [message.id for message in page] == IDS
        assert all(isinstance(message, Message) for message in page.data)
    assert [request.query for request in server.requests] == [
        [("limit", "3"), ("order", "asc")],
        [("limit", "3"), ("order", "asc"), ("after", "msg_2")],
        [("limit", "3"), ("order", "asc"), ("after", "msg_5")],
    ]
    assert all(request.headers["x-a"] == "1" for request in server.requests)


def test_a_page_is_fetched_only_when_it_is_due() -> None:
    with Loopback(pages) as server, AssistantClient(base_url=server.url) as client:
        items = iter(client.threads.messages.list("t", limit=3))
        assert [next(items).id for _ in range(3)] == IDS[:3]
        assert len(server.requests) == 1
        assert next(items).id == IDS[3]
        assert len(server.requests) == 2


def test_pages_can_be_turned_by_hand() -> None:
    with Loopback(pages) as server, AssistantClient(base_url=server.url) as client:
        page = client.threads.messages.list("t", limit=4)
        assert (len(page), page.has_more, page.first_id, page.last_id) == (4, True, "msg_0", "msg_3")
        assert page.has_next_page()
        last = page.get_next_page()
        assert last is not None
        assert [message.id for message in last.data] == IDS[4:]
        assert not last.has_next_page()
        assert last.get_next_page() is None
        assert [len(page) for page in page.iter_pages()] == [4, 3]
        assert repr(page) == "Page(4 items, and more)"


def test_an_empty_list_is_an_empty_page() -> None:
    async def empty(request: Received, wire: Wire) -> None:
        await wire.json({"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False})

    with Loopback(empty) as server, AssistantClient(base_url=server.url) as client:
        page = client.threads.runs.list("t")
        assert (list(page), page.last_id, page.has_next_page()) == ([], None, False)


def test_a_server_that_ignores_the_cursor_does_not_loop_for_ever() -> None:
    with Loopback(stubborn) as server, AssistantClient(base_url=server.url) as client:
        assert len(list(client.threads.messages.list("t"))) == 4
    assert len(server.requests) == 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_asynchronous_lists_are_awaited_or_iterated(backend: str) -> None:
    async def main(url: str) -> Any:
        async with AsyncAssistantClient(base_url=url) as client:
            everything = [message.id async for message in client.threads.messages.list("t", limit=3)]
            page = await client.threads.messages.list("t", limit=3)
            over_pages = [message.id async for message in page]
            sizes = [len(page) async for page in client.threads.messages.list("t", limit=3).iter_pages()]
            following = await page.get_next_page()
            async for message in client.threads.messages.list("t", limit=2):
                if message.id == "msg_2":
                    break
            assert following is not None
            return everything, over_pages, sizes, following.first_id

    with Loopback(pages) as server:
        assert anyio.run(main, server.url, backend=backend) == (IDS, IDS, [3, 3, 1], "msg_3")


def test_search_results_and_file_contents_are_pages_too() -> None:
    async def answer(request: Received, wire: Wire) -> None:
        if request.path.endswith("/search"):
            found = {"file_id": "f", "filename": "n", "score": 0.5, "content": [{"type": "text", "text": "hi"}]}
            await wire.json({"search_query": ["q"], "data": [found], "has_more": True, "next_page": "p2"})
        else:
            await wire.json({"data": [{"type": "text", "text": "part"}], "has_more": False, "next_page": None})

    async def main(url: str) -> list[str | None]:
        async with AsyncAssistantClient(base_url=url) as client:
            found = [result.file_id async for result in client.vector_stores.search("vs", query="q")]
            return [*found, (await client.vector_stores.files.content("f", "vs")).data[0].text]

    with Loopback(answer) as server, AssistantClient(base_url=server.url) as client:
        results = client.vector_stores.search("vs", query="q")
        assert [result.content[0].text for result in results] == ["hi"]
        assert results.next_page == "p2"
        assert [part.text for part in client.vector_stores.files.content("f", "vs")] == ["part"]
        assert anyio.run(main, server.url) == ["f", "part"]

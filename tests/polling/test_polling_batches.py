"""More ids than a batch takes: several batches, polled as one."""

from __future__ import annotations

import pytest
from loopback import Loopback, Received, Wire
from polling_faces import FACES, body, on
from polling_store import BATCHES, Store, named, upload

from rx_assistant.client.split_batches import SplitBatch
from rx_assistant.errors import APIStatusError


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_more_ids_than_a_batch_takes_become_several_batches_polled_together(face: str) -> None:
    ids = [f"file-{number}" for number in range(4500)]
    with Loopback(Store()) as server:
        call = {"file_ids": ids, "chunking_strategy": {"type": "auto"}}
        batch = on(face, server.url, lambda c: c.vector_stores.file_batches.create_and_poll("vs_1", **call))
    sent = [body(request) for request in server.requests]
    assert [len(each["file_ids"]) for each in sent] == [2000, 2000, 500]
    assert [each["chunking_strategy"] for each in sent] == [{"type": "auto"}] * 3
    assert [file_id for each in sent for file_id in each["file_ids"]] == ids
    assert isinstance(batch, SplitBatch)
    assert (batch.status, batch.file_counts.total) == ("completed", 4500)
    assert [part.file_counts.total for part in batch.parts] == [2000, 2000, 500]


def test_so_do_files_with_settings_of_their_own() -> None:
    entries = [{"file_id": f"file-{number}", "attributes": {"n": number}} for number in range(2001)]

    async def count(request: Received, wire: Wire) -> None:
        await wire.json({"id": "vsfb_1", "status": "completed", "file_counts": {"total": len(body(request)["files"])}})

    with Loopback(count) as server:
        batch = on("sync", server.url, lambda c: c.vector_stores.file_batches.create_and_poll("vs_1", files=entries))
    assert [len(body(request)["files"]) for request in server.requests] == [2000, 1]
    assert batch.file_counts.total == 2001


def test_uploaded_and_given_ids_are_split_together() -> None:
    with Loopback(Store()) as server:
        old = [f"file-old-{number}" for number in range(1999)]
        upload("sync", server, named(3), file_ids=old)
    sent = [body(request)["file_ids"] for request in server.requests if request.path == BATCHES]
    assert sent == [[*old, "file-00"], ["file-01", "file-02"]]


@pytest.mark.parametrize(
    ("statuses", "joined"),
    [
        (["completed", "completed"], "completed"),
        (["completed", "failed"], "failed"),
        (["cancelled", "failed"], "cancelled"),
    ],
)
def test_parts_are_asked_until_all_are_final_and_the_worst_status_counts(statuses: list[str], joined: str) -> None:
    polls = {"vsfb_2000": 0, "vsfb_1": 0}

    async def serve(request: Received, wire: Wire) -> None:
        if request.method == "POST":
            name = f"vsfb_{len(body(request)['file_ids'])}"
            status = "in_progress"
        else:
            name = request.path.rpartition("/")[2]
            polls[name] += 1
            number = list(polls).index(name)
            status = statuses[number] if polls[name] > number else "in_progress"
        await wire.json({"id": name, "status": status, "vector_store_id": "vs_1", "file_counts": {"total": 1}})

    with Loopback(serve) as server:
        call = {"file_ids": [str(number) for number in range(2001)], "poll_interval_ms": 1}
        batch = on("sync", server.url, lambda c: c.vector_stores.file_batches.create_and_poll("vs_1", **call))
    assert batch.status == joined
    assert polls == {"vsfb_2000": 1, "vsfb_1": 2}  # what is final is not asked again


def test_an_error_in_a_later_part_comes_out(face: str) -> None:
    async def serve(request: Received, wire: Wire) -> None:
        few = len(body(request)["file_ids"]) == 1
        await wire.json(
            {"error": {"message": "full"}} if few else {"id": "b", "status": "in_progress"}, 400 if few else 200
        )

    ids = [str(number) for number in range(2001)]
    with Loopback(serve) as server, pytest.raises(APIStatusError, match="full"):
        on(face, server.url, lambda c: c.vector_stores.file_batches.create_and_poll("vs_1", file_ids=ids))

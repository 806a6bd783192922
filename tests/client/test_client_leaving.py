"""Who leaves a stream early leaves no run behind, with `on_idle="cancel"`: on the local server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anyio
import pytest

import rx_assistant
from rx_assistant import AssistantClient, AsyncAssistantClient
from rx_assistant.local import Server

STORY: Any = {"runs": [{"turns": [[{"text": "Once upon a time"}, "hang"]]}]}
OVER = ("cancelling", "cancelled")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with rx_assistant.local.serve(script=STORY) as server:
        yield server


def test_breaking_out_of_a_loop_cancels_the_run(server: Server) -> None:
    with AssistantClient(base_url=server.base_url) as client:
        assistant, thread = client.assistants.create(model="local", instructions="Talk."), client.threads.create()
        with client.threads.runs.stream(thread.id, assistant_id=assistant.id, on_idle="cancel") as stream:
            for _ in stream.text_deltas:
                break
        run = stream.snapshot.run
        assert run is not None
        assert client.threads.runs.retrieve(run.id, thread_id=thread.id).status in OVER


@pytest.mark.anyio
async def test_so_does_a_reader_whose_task_is_cancelled(server: Server, anyio_backend: str) -> None:
    async with AsyncAssistantClient(base_url=server.base_url) as client:
        assistant, thread = (
            await client.assistants.create(model="local", instructions="Talk."),
            await client.threads.create(),
        )
        with anyio.CancelScope() as scope:
            async with client.threads.runs.stream(thread.id, assistant_id=assistant.id, on_idle="cancel") as stream:
                async for _ in stream.text_deltas:
                    scope.cancel()
        run = stream.snapshot.run
        assert run is not None
        assert (await client.threads.runs.retrieve(run.id, thread_id=thread.id)).status in OVER

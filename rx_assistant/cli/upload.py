"""`rx-assistant upload`: files into a vector store; progress bars in a terminal, a line for each step in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from shutil import get_terminal_size

from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn
from rich.table import Column

from rx_assistant.cli.failure import RunFailed
from rx_assistant.cli.watch import bars, last_of
from rx_assistant.client import AssistantClient
from rx_assistant.errors import RxAssistantError
from rx_assistant.gui import printable
from rx_assistant.hot import Stream
from rx_assistant.lifecycle import FILE_BATCH
from rx_assistant.polling import UploadProgress
from rx_assistant.types import FileCounts, VectorStoreFileBatch
from rx_assistant.types._inside import is_model, text_in

_WIDE = 80
"""The columns of a terminal that has room for a bar, the bytes and the time beside the text."""


def upload(
    files: Sequence[Path],
    *,
    vector_store_id: str,
    base_url: str | None,
    api_key: str | None,
    max_concurrency: int,
    timeout: float | None,
) -> None:
    """Upload the files, wait until the store has taken them in, and say which it could not.

    The store is asked for first, so that nothing is uploaded for a store that does not exist.
    """
    with AssistantClient(base_url=base_url, api_key=api_key) as client:
        client.vector_stores.retrieve(vector_store_id)
        progress = client.vector_stores.file_batches.watch_upload(
            vector_store_id, files=files, max_concurrency=max_concurrency, max_wait_seconds=timeout
        )
        last = (_with_bars if sys.stdout.isatty() else _in_lines)(progress)
        batch = last.batch
        assert batch is not None
        refused = [*_refused(client, batch, vector_store_id)]
    if batch.status in FILE_BATCH.failures or refused:
        raise RunFailed(f"not indexed: {'; '.join(refused)}" if refused else f"the batch {batch.status}")


def _in_lines(progress: Stream[UploadProgress]) -> UploadProgress:
    shown = ""

    def show(now: UploadProgress) -> None:
        nonlocal shown
        line, before = _line(now), shown
        if line != before and (now.files_done or now.batch is not None):
            shown = line
            print(line, flush=True)

    return last_of(progress, show)


def _with_bars(progress: Stream[UploadProgress]) -> UploadProgress:
    text, markup = "{task.description}", False
    if get_terminal_size().columns < _WIDE:
        shown = bars(TextColumn(text, markup=markup, table_column=Column()))  # which is wrapped
    else:
        bar, columns = BarColumn(None, table_column=Column(ratio=1)), (DownloadColumn(), TransferSpeedColumn())
        shown = bars(TextColumn(text, markup=markup), bar, *columns, TimeElapsedColumn(), expand=True)
    with shown as screen:
        sent = screen.add_task("uploading")

        def show(now: UploadProgress) -> None:
            screen.update(sent, description=printable(_line(now)), completed=now.bytes_done, total=now.bytes_total)

        return last_of(progress, show)


def _line(now: UploadProgress) -> str:
    if now.batch is None:
        return f"uploaded {now.files_done} of {now.files_total} files"
    counts = _counts(now.batch)
    return f"{now.batch.status}: {counts.completed or 0} of {counts.total or now.files_total} files indexed"


def _refused(client: AssistantClient, batch: VectorStoreFileBatch, vector_store_id: str) -> Iterable[str]:
    """What is wrong with the files that could not be taken in."""
    counts = _counts(batch)
    if not counts.failed:
        return
    for part in getattr(batch, "parts", (batch,)):
        for file in client.vector_stores.file_batches.list_files(part.id, vector_store_id, filter="failed"):
            reason = text_in(file.last_error, "message") or file.last_error or "no reason given"
            yield f"{_name(client, file.id)}: {reason}"


def _name(client: AssistantClient, file_id: str) -> str:
    """The file's name, which a person knows it by, and its id."""
    try:
        name = text_in(client.files.retrieve(file_id), "filename")
    except RxAssistantError:
        name = ""
    return f"{name} ({file_id})" if name else file_id


def _counts(batch: VectorStoreFileBatch) -> FileCounts:
    return batch.file_counts if is_model(batch.file_counts) else FileCounts()

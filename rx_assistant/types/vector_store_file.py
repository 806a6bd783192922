"""Files of vector stores, one by one and in batches."""

from typing import Literal, TypeAlias

from rx_assistant.types._base import ABSENT, Wire, WireModel, Word
from rx_assistant.types.chunking_strategy import FileChunkingStrategy
from rx_assistant.types.shared import Attributes
from rx_assistant.types.vector_store import FileCounts

VectorStoreFileStatus: TypeAlias = Literal["in_progress", "completed", "cancelled", "failed"]
"""The states of a file in a vector store, and of a batch of them."""


class VectorStoreFileLastError(WireModel):
    """Why a file could not be added."""

    code: Word[Literal["server_error", "unsupported_file", "invalid_file"]] = ABSENT
    message: Wire[str] = ABSENT


class VectorStoreFile(WireModel):
    """A file in a vector store, under the id of the file.

    Entries in the list of a batch have no `usage_bytes`, `chunking_strategy` and `attributes`.
    """

    id: Wire[str] = ABSENT
    object: Word[Literal["vector_store.file"]] = "vector_store.file"
    usage_bytes: Wire[int] = ABSENT
    created_at: Wire[int] = ABSENT
    vector_store_id: Wire[str] = ABSENT
    status: Word[VectorStoreFileStatus] = ABSENT
    last_error: VectorStoreFileLastError | None = None
    chunking_strategy: FileChunkingStrategy | None = None
    attributes: Attributes | None = None


class VectorStoreFileDeleted(WireModel):
    """The reply to a request that removes a file from a vector store. The file itself is not deleted."""

    id: Wire[str] = ABSENT
    object: Word[Literal["vector_store.file.deleted"]] = "vector_store.file.deleted"
    deleted: Wire[bool] = ABSENT


class FileContentResponse(WireModel):
    """A passage of a file, cut as for searches."""

    type: str | None = None
    text: str | None = None


class VectorStoreFileBatch(WireModel):
    """Files that were added together. Servers send the `object` with `file_batch`; OpenAI documents `files_batch`."""

    id: Wire[str] = ABSENT
    object: Word[Literal["vector_store.file_batch", "vector_store.files_batch"]] = "vector_store.file_batch"
    created_at: Wire[int] = ABSENT
    status: Word[VectorStoreFileStatus] = ABSENT
    vector_store_id: Wire[str] = ABSENT
    file_counts: Wire[FileCounts] = ABSENT

"""Vector stores: sets of files that can be searched by meaning."""

from typing import Literal, TypeAlias

from rx_assistant.types._base import ABSENT, EMPTY, Array, Wire, WireModel, Word
from rx_assistant.types.shared import Attributes, Metadata

VectorStoreStatus: TypeAlias = Literal["expired", "in_progress", "completed"]


class FileCounts(WireModel):
    """The numbers of files of a vector store or of a batch, by their status."""

    in_progress: Wire[int] = ABSENT
    completed: Wire[int] = ABSENT
    failed: Wire[int] = ABSENT
    cancelled: Wire[int] = ABSENT
    total: Wire[int] = ABSENT


class VectorStoreExpiresAfter(WireModel):
    """A vector store expires after so many `days` without use."""

    anchor: Word[Literal["last_active_at"]] = "last_active_at"
    days: Wire[int] = ABSENT


class VectorStore(WireModel):
    """A set of files that can be searched. `name` is null if the vector store has none."""

    id: Wire[str] = ABSENT
    object: Word[Literal["vector_store"]] = "vector_store"
    created_at: Wire[int] = ABSENT
    name: Wire[str] = ABSENT
    description: str | None = None
    usage_bytes: Wire[int] = ABSENT
    file_counts: Wire[FileCounts] = ABSENT
    status: Word[VectorStoreStatus] = ABSENT
    expires_after: VectorStoreExpiresAfter | None = None
    expires_at: int | None = None
    last_active_at: int | None = None
    metadata: Metadata | None = None


class VectorStoreDeleted(WireModel):
    """The reply to a request that deletes a vector store. Its files are not deleted."""

    id: Wire[str] = ABSENT
    object: Word[Literal["vector_store.deleted"]] = "vector_store.deleted"
    deleted: Wire[bool] = ABSENT


class VectorStoreSearchContent(WireModel):
    """A passage that was found."""

    type: Word[Literal["text"]] = "text"
    text: Wire[str] = ABSENT


class VectorStoreSearchResponse(WireModel):
    """A file with matching passages, and its score (0 to 1)."""

    file_id: Wire[str] = ABSENT
    filename: Wire[str] = ABSENT
    score: Wire[float] = ABSENT
    attributes: Attributes | None = None
    content: Wire[Array[VectorStoreSearchContent]] = EMPTY

"""Requests about files of vector stores, one by one and in batches.

The SDK has two types each named `FileCreateParams` and `FileListParams`. Here those names are for plain files, and
the types for vector stores start with `VectorStoreFile…`.
"""

from collections.abc import Iterable, Sequence
from typing import Required, TypeAlias

from typing_extensions import TypedDict

from rx_assistant.types.chunking_strategy_params import FileChunkingStrategyParam
from rx_assistant.types.shared_params import PageParams
from rx_assistant.types.vector_store_file import VectorStoreFileStatus

AttributesParam: TypeAlias = dict[str, str | float | bool]
"""Up to 16 notes about a file; searches can filter by them."""


class VectorStoreFileCreateParams(TypedDict, total=False):
    """POST /vector_stores/{vector_store_id}/files."""

    file_id: Required[str]
    chunking_strategy: FileChunkingStrategyParam
    attributes: AttributesParam | None


class VectorStoreFileUpdateParams(TypedDict, total=False):
    """POST /vector_stores/{vector_store_id}/files/{file_id}."""

    attributes: Required[AttributesParam | None]


FileUpdateParams: TypeAlias = VectorStoreFileUpdateParams
"""The SDK's name for this type; plain files cannot be changed."""


class VectorStoreFileListParams(PageParams, total=False):
    """GET /vector_stores/{vector_store_id}/files. `filter` selects the files with one status."""

    filter: VectorStoreFileStatus


class FileBatchCreateParams(TypedDict, total=False):
    """POST /vector_stores/{vector_store_id}/file_batches, with 1 to 2 000 `file_ids` or `files`, not both."""

    file_ids: Sequence[str]
    files: Iterable[VectorStoreFileCreateParams]
    chunking_strategy: FileChunkingStrategyParam
    attributes: AttributesParam | None


class FileBatchListFilesParams(PageParams, total=False):
    """GET /vector_stores/{vector_store_id}/file_batches/{batch_id}/files. `filter` selects files with one status."""

    filter: VectorStoreFileStatus

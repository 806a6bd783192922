"""Pages: the server's replies to requests for lists."""

from typing import Generic, Literal, TypeVar

from rx_assistant.types._base import ABSENT, EMPTY, Array, Wire, WireModel, Word
from rx_assistant.types.vector_store import VectorStoreSearchResponse
from rx_assistant.types.vector_store_file import FileContentResponse

T = TypeVar("T")


class ListPage(WireModel, Generic[T]):
    """One page of a list, such as `ListPage[Run]`; `first_id` and `last_id` are null if it is empty."""

    object: Word[Literal["list"]] = "list"
    data: Wire[Array[T]] = EMPTY
    first_id: str | None = None
    last_id: str | None = None
    has_more: Wire[bool] = ABSENT


class VectorStoreSearchPage(WireModel):
    """One page of search results, best first."""

    object: Word[Literal["vector_store.search_results.page"]] = "vector_store.search_results.page"
    search_query: Wire[Array[str]] = EMPTY
    data: Wire[Array[VectorStoreSearchResponse]] = EMPTY
    has_more: Wire[bool] = ABSENT
    next_page: str | None = None


class VectorStoreFileContentPage(WireModel):
    """One page of the passages of a file."""

    object: Word[Literal["vector_store.file_content.page"]] = "vector_store.file_content.page"
    data: Wire[Array[FileContentResponse]] = EMPTY
    has_more: Wire[bool] = ABSENT
    next_page: str | None = None

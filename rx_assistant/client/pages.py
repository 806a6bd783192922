"""Lists of the API, page by page or item by item. Iterating fetches each further page when it is needed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from rx_assistant.api.request import Request

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class PageData(Protocol[T_co]):
    """The common part of all pages."""

    @property
    def data(self) -> Sequence[T_co]: ...
    @property
    def has_more(self) -> bool: ...
    @property
    def _request_id(self) -> str | None: ...
    @property
    def model_dump(self) -> Callable[..., dict[str, Any]]: ...
    @property
    def model_dump_json(self) -> Callable[..., str]: ...
    @property
    def to_dict(self) -> Callable[..., dict[str, Any]]: ...
    @property
    def to_json(self) -> Callable[..., str]: ...


class _PageBase(Generic[T]):
    def __init__(self, page: PageData[T]) -> None:
        self._page = page
        self.data: Sequence[T] = page.data or ()
        """The items of this page."""
        self.has_more: bool = page.has_more is True or str(page.has_more).lower() in ("true", "1")
        """Whether more items follow, according to the server."""

    @property
    def _request_id(self) -> str | None:
        """The `x-request-id` of the reply that held this page."""
        return self._page._request_id

    def model_dump(self, **options: Any) -> dict[str, Any]:
        """This page as a dict; the options are those of pydantic's `model_dump`. The items are under `data`."""
        return self._page.model_dump(**options)

    def model_dump_json(self, **options: Any) -> str:
        """This page as JSON text; the options are those of pydantic's `model_dump_json`."""
        return self._page.model_dump_json(**options)

    def to_dict(self, **options: Any) -> dict[str, Any]:
        """This page as a dict, as it was on the wire; as the `to_dict` of models."""
        return self._page.to_dict(**options)

    def to_json(self, **options: Any) -> str:
        """This page as JSON text, as it was on the wire; as the `to_json` of models."""
        return self._page.to_json(**options)

    @property
    def first_id(self) -> str | None:
        """The id of the first item; None on an empty page."""
        return getattr(self._page, "first_id", None) or _id(self.data[:1])

    @property
    def last_id(self) -> str | None:
        """The id of the last item, after which the next page begins; None on an empty page."""
        return getattr(self._page, "last_id", None) or _id(self.data[-1:])

    @property
    def next_page(self) -> str | None:
        """The server's name for the next page of a search; None if it gives none."""
        return getattr(self._page, "next_page", None)

    def has_next_page(self) -> bool:
        """Whether another page can be fetched after this page."""
        return self._cursor() is not None

    def _cursor(self) -> str | None:
        return self.last_id if self.has_more and self.data else None

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        more = ", and more" if self.has_more else ""
        return f"{type(self).__name__}({len(self.data)} items{more})"


class Page(_PageBase[T]):
    """One page of a list. Iterating gives the items of this page and of all that follow."""

    def __init__(self, page: PageData[T], fetch_next: Callable[[str], Page[T] | None] | None = None) -> None:
        super().__init__(page)
        self._fetch_next = fetch_next

    def get_next_page(self) -> Page[T] | None:
        """The page after this one; None after the last."""
        cursor = self._cursor()
        return None if cursor is None or self._fetch_next is None else self._fetch_next(cursor)

    def iter_pages(self) -> Iterator[Page[T]]:
        """This page and all that follow."""
        page: Page[T] | None = self
        while page is not None:
            yield page
            page = page.get_next_page()

    def __iter__(self) -> Iterator[T]:
        for page in self.iter_pages():
            yield from page.data


class AsyncPage(_PageBase[T]):
    """One page of a list, for `async for`."""

    def __init__(
        self, page: PageData[T], fetch_next: Callable[[str], Awaitable[AsyncPage[T] | None]] | None = None
    ) -> None:
        super().__init__(page)
        self._fetch_next = fetch_next

    async def get_next_page(self) -> AsyncPage[T] | None:
        """The page after this one; None after the last."""
        cursor = self._cursor()
        return None if cursor is None or self._fetch_next is None else await self._fetch_next(cursor)

    def iter_pages(self) -> AsyncPages[T]:
        """This page and all that follow."""
        return AsyncPages(self)

    def __aiter__(self) -> AsyncItems[T]:
        return AsyncItems(AsyncPages(self))


class AsyncPaginator(Generic[T]):
    """A requested list: `await` gives its first page, `async for` gives all its items."""

    def __init__(self, first: Callable[[], Awaitable[AsyncPage[T]]]) -> None:
        self._first = first

    def __await__(self) -> Generator[Any, None, AsyncPage[T]]:
        return self._first().__await__()

    def __aiter__(self) -> AsyncItems[T]:
        return AsyncItems(AsyncPages(None, self._first))

    if not TYPE_CHECKING:  # type checkers refuse these by themselves

        def __iter__(self):
            raise TypeError("this list is asynchronous: write `async for`")

        def __getattr__(self, name):
            if name in ("data", "has_more") or (not name.startswith("_") and hasattr(AsyncPage, name)):
                raise TypeError(f"{name!r} needs the first page of this list: await the list first")
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def iter_pages(self) -> AsyncPages[T]:
        """All pages."""
        return AsyncPages(None, self._first)


class AsyncPages(Generic[T]):
    """Pages as they are fetched. A class, not a generator, so leaving the loop early leaves nothing open."""

    def __init__(self, page: AsyncPage[T] | None, first: Callable[[], Awaitable[AsyncPage[T]]] | None = None) -> None:
        self._next = page
        self._last: AsyncPage[T] | None = None
        self._first = first

    def __aiter__(self) -> AsyncPages[T]:
        return self

    async def __anext__(self) -> AsyncPage[T]:
        page = self._next
        if page is None and self._last is not None:
            page = await self._last.get_next_page()
        elif page is None and self._first is not None:
            page = await self._first()
        if page is None:
            raise StopAsyncIteration
        self._next, self._last = None, page
        return page


class AsyncItems(Generic[T]):
    """The items of pages."""

    def __init__(self, pages: AsyncPages[T]) -> None:
        self._pages = pages
        self._items: Iterator[T] = iter(())

    def __aiter__(self) -> AsyncItems[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            for item in self._items:
                return item
            self._items = iter((await anext(self._pages)).data)


def next_request(request: Request, last: str) -> Request | None:
    """The request for the same list after that item.

    None if the request already asked for it, because the server ignores `after`.
    """
    if ("after", last) in request.query:
        return None
    kept = tuple(pair for pair in request.query if pair[0] != "after")
    return replace(request, query=(*kept, ("after", last)))


def _id(items: Sequence[object]) -> str | None:
    return getattr(items[0], "id", None) if items else None

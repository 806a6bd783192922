"""The common part of all resources: a session, and replies that become models.

One class for threads, one for event loops.
"""

from __future__ import annotations

import json
from typing import TypeVar
from urllib.parse import unquote

from pydantic import ValidationError

from rx_assistant.api.request import Request
from rx_assistant.client.pages import AsyncPage, AsyncPaginator, Page, next_request
from rx_assistant.client.signatures import spell_out
from rx_assistant.errors import APIResponseValidationError
from rx_assistant.events import mended
from rx_assistant.http.options import NO_OPTIONS, CallOptions
from rx_assistant.http.session import AsyncSession, Reply, Session
from rx_assistant.types import ListPage, WireModel
from rx_assistant.types._base import served_as

M = TypeVar("M", bound=WireModel)

_SHOWN = 120


class Resource:
    """Operations on one kind of object, for threads."""

    def __init_subclass__(cls) -> None:
        spell_out(cls)

    def __init__(self, session: Session) -> None:
        self._session = session

    def _fetch(self, model: type[M], request: Request, options: CallOptions = NO_OPTIONS) -> M:
        """The object in the server's reply."""
        return parsed(model, self._session.send(request, options), request)

    def _page(self, item: type[M], request: Request, options: CallOptions) -> Page[M]:
        """The first page of a list. Iterating it fetches the other pages."""
        page = page_of(item, self._session.send(request, options))
        return Page(page, lambda last: self._next(item, request, options, last))

    def _next(self, item: type[M], request: Request, options: CallOptions, last: str) -> Page[M] | None:
        following = next_request(request, last)
        return None if following is None else self._page(item, following, options)


class AsyncResource:
    """Operations on one kind of object, for asyncio and trio."""

    def __init_subclass__(cls) -> None:
        spell_out(cls)

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def _fetch(self, model: type[M], request: Request, options: CallOptions = NO_OPTIONS) -> M:
        """The object in the server's reply."""
        return parsed(model, await self._session.send(request, options), request)

    def _pages(self, item: type[M], request: Request, options: CallOptions) -> AsyncPaginator[M]:
        """A list: `await` gives its first page, `async for` gives all items of all pages."""
        return AsyncPaginator(lambda: self._page(item, request, options))

    async def _page(self, item: type[M], request: Request, options: CallOptions) -> AsyncPage[M]:
        page = page_of(item, await self._session.send(request, options))
        return AsyncPage(page, lambda last: self._next(item, request, options, last))

    async def _next(self, item: type[M], request: Request, options: CallOptions, last: str) -> AsyncPage[M] | None:
        following = next_request(request, last)
        return None if following is None else await self._page(item, following, options)


def parsed(model: type[M], reply: Reply, request: Request | None = None) -> M:
    """The reply as a model with the reply's request id.

    A field keeps its value even if the type differs from the annotation. A success without a body (204) is a complete
    reply to a DELETE: the object with that id is deleted. Raises APIResponseValidationError if the reply is not a JSON
    object; the error shows the beginning of the reply and the reason.
    """
    content = reply.content
    if request is not None and request.method == "DELETE" and not content:
        content = json.dumps({"id": unquote(request.path.rpartition("/")[2]), "deleted": True}).encode()
    try:
        return served_as(_read(model, content), reply.request_id)
    except ValidationError as cause:
        raise _unreadable(model, reply, _reason(cause)) from cause


def page_of(item: type[M], reply: Reply) -> ListPage[M]:
    """The reply as a page of a list. Raises APIResponseValidationError if `data` is not an array."""
    page = parsed(ListPage[item], reply)  # type: ignore[valid-type]  # a type made now
    if not isinstance(page.data, list | None):
        raise _unreadable(type(page), reply, f"data: must be an array, got {type(page.data).__name__}")
    return page


def _read(model: type[M], content: bytes) -> M:
    try:
        return model.model_validate_json(content)
    except ValidationError:
        text = mended(content)
        if text.encode() == content:
            raise
        return model.model_validate_json(text)


def _reason(error: ValidationError) -> str:
    """The place of the first error in the reply, and the expected value."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(step) for step in first["loc"] if step != error.title)
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _unreadable(model: type[WireModel], reply: Reply, reason: str) -> APIResponseValidationError:
    content_type = reply.headers.get("content-type")
    return APIResponseValidationError(
        f"expected a JSON {model.__name__}, got {content_type or 'no content type'}, beginning "
        f"{reply.content[:_SHOWN]!r}: {reason}",
        body=reply.content.decode("utf-8", "replace"),
        content_type=content_type,
        request_id=reply.request_id,
    )

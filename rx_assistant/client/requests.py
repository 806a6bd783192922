"""What a conversation sends: generators of requests and pauses, and the functions that carry them out.

Such a generator yields requests, with or without options of their own, and seconds to pause. A request for an event
stream is opened, any other is sent. The generator receives the open body, the reply, or the APIError. So each sequence
of requests is written once, for threads and for event loops.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import anyio

from rx_assistant.api import messages, runs, threads
from rx_assistant.api.request import Request
from rx_assistant.client.pages import next_request
from rx_assistant.client.polling import Ask
from rx_assistant.client.resource import page_of, parsed
from rx_assistant.errors import (
    APIStatusError,
    BadRequestError,
    ConflictError,
    InvalidArgumentError,
    RxAssistantError,
    StreamClosedError,
)
from rx_assistant.http.connection import Abort
from rx_assistant.http.options import CallOptions
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.lifecycle import RUN
from rx_assistant.polling import poll_after
from rx_assistant.types import Message, Run, Thread
from rx_assistant.types._inside import inside, models_in, text_in

if TYPE_CHECKING:
    from rx_assistant.client.run_events import Resuming

T = TypeVar("T")

Requests: TypeAlias = Generator[Ask | Request | float, Any, T]

PAUSE = 0.25
"""Seconds between two looks at a run that keeps the thread busy, unless the server asks for another pause."""

LAGS = 40
"""How often a refused run is tried again when the server's list of runs shows no active run."""

FIRST = 32
"""How many messages a request for a new thread may hold; further ones are added one by one."""

_NEWEST = {"limit": 1, "order": "desc"}

_log = logging.getLogger("rx_assistant")


def carry_out(requests: Requests[T], session: Session, options: CallOptions, abort: Abort) -> T:
    """Send the requests, one after the other, on this thread. `abort` ends it from any thread."""
    error, result = None, None
    with closing(requests):
        while True:
            try:
                step = requests.send(result) if error is None else requests.throw(error)
            except StopIteration as end:
                done: T = end.value
                return done
            error, result = None, None
            try:
                if isinstance(step, Request | tuple):
                    request, how = step if isinstance(step, tuple) else (step, options)
                    result = (session.open if request.stream else session.send)(request, how, abort)
                else:
                    abort.pause(step)
                    abort.check()
            except RxAssistantError as raised:
                error = raised


async def carry_out_async(requests: Requests[T], session: AsyncSession, options: CallOptions) -> T:
    """The same in a task of asyncio or trio. Cancelling the task ends it."""
    error, result = None, None
    with closing(requests):
        while True:
            try:
                step = requests.send(result) if error is None else requests.throw(error)
            except StopIteration as end:
                done: T = end.value
                return done
            error, result = None, None
            try:
                if isinstance(step, Request | tuple):
                    request, how = step if isinstance(step, tuple) else (step, options)
                    result = await (session.open if request.stream else session.send)(request, how)
                else:
                    await anyio.sleep(step)
            except RxAssistantError as raised:
                error = raised


# -- runs of a thread --------------------------------------------------------------------------------------------------


def active_run(thread_id: str) -> Requests[Run | None]:
    """The run that keeps the thread busy; None without one, or if the server does not list runs."""
    try:
        page = page_of(Run, (yield runs.list(thread_id, _NEWEST)))
    except APIStatusError as error:
        if error.status_code >= 500 or error.status_code in (401, 403, 408, 429):
            raise
        return None
    newest = next(iter(models_in(page.data)), None)
    return newest if newest is not None and newest.status not in RUN.terminal else None


def until_over(run: Run, thread_id: str, is_wanted: Callable[[], bool] = lambda: True) -> Requests[None]:
    """Poll a run until it has ended, or until the result is not needed any more."""
    told, wait = False, PAUSE
    while run.status not in RUN.terminal and is_wanted():
        if run.status == "requires_action" and not told:
            told = True
            _log.warning(
                "a conversation waits for run %s, which requires action: submit its outputs, or cancel the run with "
                "conversation.cancel()",
                run.id,
            )
        yield wait
        reply = yield runs.retrieve(run.id, thread_id)
        run, wait = parsed(Run, reply), poll_after(reply.headers) or PAUSE


def stopped(thread_id: str) -> Requests[Run | None]:
    """Cancel the active run of a thread, even one of another program. Returns the run from before the cancel."""
    run = yield from active_run(thread_id)
    if run is not None and run.status != "cancelling":
        try:
            yield runs.cancel(run.id, thread_id)
        except (BadRequestError, ConflictError) as error:
            _log.debug("run %s could not be cancelled: %s", run.id, error)  # it has ended, or soon will
    return run


def cancelled(thread_id: str) -> Requests[None]:
    """Cancel the active run of a thread, and wait until it has ended."""
    run = yield from stopped(thread_id)
    if run is not None:
        yield from until_over(run, thread_id)


def until_free(thread_id: str, is_wanted: Callable[[], bool]) -> Requests[None]:
    """Wait until no run is active on the thread."""
    run = yield from active_run(thread_id)
    if run is not None:
        yield from until_over(run, thread_id, is_wanted)


def begun(
    resuming: Resuming,
    thread_id: str,
    body: Mapping[str, Any],
    is_wanted: Callable[[], bool],
) -> Requests[Any]:
    """The open stream of a new run. If the thread is still busy, wait and try again while `is_wanted()` is true.

    Raises:
        StreamClosedError: the run is not wanted any more.
    """
    lags = 0
    while True:
        if not is_wanted():
            raise StreamClosedError("the question was withdrawn before it was asked")
        resuming.aim(thread_id, runs.create(thread_id, body))
        try:
            return (yield resuming.request, resuming.options)
        except (BadRequestError, ConflictError) as error:
            run = yield from active_run(thread_id)
            if run is not None:
                yield from until_over(run, thread_id, is_wanted)
            elif lags < LAGS and "active" in error.message:  # the list is newer than the check
                lags += 1
                yield PAUSE
            else:
                raise


# -- messages of a thread ----------------------------------------------------------------------------------------------


def new_thread(params: Mapping[str, Any] | None = None) -> Requests[str]:
    """The id of a new thread."""
    given = dict(params or {})
    first, rest = [*given.get("messages", ())][:FIRST], [*given.get("messages", ())][FIRST:]
    if first:
        given["messages"] = first
    thread_id = parsed(Thread, (yield threads.create(given))).id
    for message in rest:
        yield messages.create(thread_id, message)
    return thread_id


def history(thread_id: str, after: str | None, add: Callable[[list[Message]], object]) -> Requests[None]:
    """Pass on the messages of a thread, page by page and newest first; or those after a message, oldest first."""
    following: Request | None = _list(thread_id, "asc" if after else "desc", after)
    while following is not None:
        found, following = yield from _page(following)
        add(found)


def without_answer(thread_id: str) -> Requests[None]:
    """Delete the messages of the assistant after the last question.

    Raises:
        InvalidArgumentError: the thread holds no question.
    """
    answer: list[str] = []
    following: Request | None = _list(thread_id, "desc")
    while following is not None:
        found, following = yield from _page(following)
        for message in found:
            if message.role == "user":
                for message_id in answer:
                    yield messages.delete(message_id, thread_id)
                return
            answer.append(message.id)
    raise InvalidArgumentError(f"thread {thread_id!r} must hold a question that can be answered again, got none")


def forked(thread_id: str, message_id: str) -> Requests[tuple[str, list[Message], Message]]:
    """Return a new thread with copies of the messages before this one, those messages, and this message.

    Raises:
        InvalidArgumentError: the thread has no such message, or the assistant wrote it.
    """
    before: list[Message] = []
    following: Request | None = _list(thread_id, "asc")
    while following is not None:
        found, following = yield from _page(following)
        for message in found:
            if message.id == message_id:
                if message.role != "user":
                    raise InvalidArgumentError(f"message_id must be a question, got the answer {message_id!r}")
                return (yield from _copied(thread_id, before)), before, message
            before.append(message)
    raise InvalidArgumentError(f"message_id must be a message of thread {thread_id!r}, got {message_id!r}")


def _list(thread_id: str, order: str, after: str | None = None) -> Request:
    query = {"limit": 100, "order": order}
    return messages.list(thread_id, {**query, "after": after} if after else query)


def _page(request: Request) -> Requests[tuple[list[Message], Request | None]]:
    """The messages of a page, and the request for the next page."""
    page = page_of(Message, (yield request))
    found: list[Message] = models_in(page.data)
    return found, next_request(request, found[-1].id) if page.has_more and found else None


def _copied(thread_id: str, history: Iterable[Message]) -> Requests[str]:
    """A new thread with the files, metadata and these messages of a thread."""
    thread = parsed(Thread, (yield threads.retrieve(thread_id)))
    kept = {name: getattr(thread, name) for name in ("metadata", "tool_resources") if getattr(thread, name, None)}
    copies = [copy for message in history if (copy := as_param(message))["content"]]
    return (yield from new_thread({**kept, "messages": copies}))


def as_param(message: Message) -> dict[str, Any]:
    """The parameters that create a copy of a message, without annotations, which only the server can write."""
    param: dict[str, Any] = {"role": message.role, "content": [*_parts(message)]}
    if message.attachments:
        param["attachments"] = [attachment.to_dict() for attachment in message.attachments]
    if message.metadata:
        param["metadata"] = message.metadata
    return param


def _parts(message: Message) -> Iterable[dict[str, Any]]:
    for part in models_in(message.content):
        if part.type in ("image_file", "image_url"):
            yield part.to_dict()
        elif text := text_in(inside(part, "text"), "value") or text_in(part, "refusal"):
            yield {"type": "text", "text": text}

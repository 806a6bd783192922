"""Conversations: one thread, question after question. `talk.py` decides what to send, and the two faces send it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from reactivex import abc
from reactivex.disposable import SingleAssignmentDisposable
from typing_extensions import Unpack

from rx_assistant.api import runs
from rx_assistant.api.request import segment
from rx_assistant.client.ledger import Turn
from rx_assistant.client.params import RunStream, RunStreamWithTools, TurnStream, taken
from rx_assistant.client.requests import Requests, cancelled, carry_out, carry_out_async, stopped
from rx_assistant.client.signatures import spell_out
from rx_assistant.client.streaming import H, async_streamed, streamed, without_policies
from rx_assistant.client.talk import Attachments, Change, Images, Talk
from rx_assistant.client.tool_streams import (
    ToolCallOptions,
    async_streamed_with_tools,
    streamed_with_tools,
    tool_call,
)
from rx_assistant.errors import BadRequestError, ConflictError, RxAssistantError
from rx_assistant.hot import AsyncStream, Stream, Subscriber, start_thread
from rx_assistant.http.connection import Abort
from rx_assistant.http.session import AsyncSession, Session
from rx_assistant.polling import Polled, loop_origin, thread_origin, watch, watch_async
from rx_assistant.schedulers import EventLoop, current_event_loop
from rx_assistant.streams import AssistantStream, AsyncAssistantStream, HandledAsyncStream, HandledStream
from rx_assistant.tools import Options, Tools
from rx_assistant.types import Message

T = TypeVar("T")

LEAVE = 4.0
"""How many seconds leaving a conversation's block waits for the end of the run that it cancels."""

_log = logging.getLogger("rx_assistant")


class _Conversation:
    """The common part of both faces."""

    def __init_subclass__(cls) -> None:
        spell_out(cls)

    def __init__(
        self, assistant_id: str, thread_id: str | None, tools: Tools | None, params: Mapping[str, Any]
    ) -> None:
        segment("assistant_id", assistant_id)
        if thread_id is not None:
            segment("thread_id", thread_id)
        self._params = {"assistant_id": assistant_id, **params, **({} if tools is None else {"tools": tools})}
        self._options = self._call({}).options
        self._talk = Talk(thread_id)
        self._talk.ended = self._read_when_idle
        self._is_reading = False
        self._reads_again = False
        self._mutex = threading.RLock()  # the collector may end a turn while its thread holds it

    @property
    def assistant_id(self) -> str:
        """The assistant that answers."""
        return str(self._params["assistant_id"])

    @property
    def thread_id(self) -> str | None:
        """The thread; None before the first question has created it. `edit()` replaces it with a new thread."""
        return self._talk.thread_id

    def __repr__(self) -> str:
        return f"{type(self).__name__}(assistant={self.assistant_id!r}, thread={self.thread_id!r})"

    def _call(self, params: Mapping[str, Any]) -> ToolCallOptions:
        """The keyword arguments of a turn with those of the conversation, split; without tools, for a plain stream."""
        given = {**self._params, **params}
        if "tools" in given:
            return tool_call(given, RunStreamWithTools)
        own, options = taken(given, RunStream)
        body, policies = without_policies(own)
        return ToolCallOptions(body, options, policies, (), Options())

    def _asking(
        self, text: str, attachments: Attachments, images: Images, params: Mapping[str, Any]
    ) -> tuple[Turn, dict[str, Any]]:
        """The turn of a question, and the parameters that add it to the thread."""
        question = self._talk.question(text, attachments, images)
        before = params.get("additional_messages") or ()
        return Turn(self._talk.shown(question)), {**params, "additional_messages": [*before, question]}

    # -- messages --------------------------------------------------------------------------------------------------

    def _watch_messages(
        self, down: Subscriber[tuple[Message, ...]], _scheduler: abc.SchedulerBase | None
    ) -> abc.DisposableBase:
        is_first = not self._talk.ledger.is_watched
        seat = self._talk.ledger.watch(down)
        if is_first:
            self._read_soon()
        return seat

    def _watch_busy(self, down: Subscriber[bool], _scheduler: abc.SchedulerBase | None) -> abc.DisposableBase:
        return self._talk.busy.subscribe(down)

    def _read_when_idle(self) -> None:
        """A turn has ended: if `messages` has subscribers, read the server's list of its messages."""
        if self._talk.ledger.is_watched and not self._talk.turns:
            self._read_soon()

    def _read_soon(self) -> None:
        """Read the server's list, and read it again if that was requested meanwhile."""
        with self._mutex:
            waits = self._reads_again = self._is_reading
            self._is_reading = True
        if not waits:
            self._start_reading()

    def _start_reading(self) -> None:
        """Carry out `self._reading()` in the background, then call `_was_read` or `_unread`."""
        raise NotImplementedError

    def _reading(self) -> Requests[None]:
        return self._talk.ledger.read(lambda: self.thread_id)

    def _was_read(self) -> None:
        """Read again if that was requested since the reading began."""
        with self._mutex:
            self._is_reading, reads_again = False, self._reads_again
        if reads_again:
            self._read_when_idle()

    def _unread(self, error: Exception) -> None:
        if self._talk.ledger.is_known:
            _log.debug("the messages of a conversation could not be read again: %s", error)
        else:
            self._talk.ledger.end(error)
        self._was_read()


class Conversation(_Conversation):
    """Questions and answers on one thread, for synchronous programs. `client.conversation(assistant_id)` creates it.

    It implements `operators.Answering`, so that `questions.pipe(ax.answers(conversation))` answers a stream of
    questions. All methods may be called from any thread. Leaving its `with` block cancels the active run.
    """

    def __init__(
        self,
        session: Session,
        assistant_id: str,
        thread_id: str | None = None,
        *,
        tools: Tools | None = None,
        **params: Unpack[TurnStream],
    ) -> None:
        super().__init__(assistant_id, thread_id, tools, params)
        self._session = session

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    # -- asking ----------------------------------------------------------------------------------------------------

    @overload
    def ask(
        self,
        text: str,
        *,
        attachments: Attachments = (),
        images: Images = (),
        event_handler: None = None,
        **params: Unpack[TurnStream],
    ) -> AssistantStream: ...
    @overload
    def ask(
        self,
        text: str,
        *,
        attachments: Attachments = (),
        images: Images = (),
        event_handler: H,
        **params: Unpack[TurnStream],
    ) -> HandledStream[H]: ...
    @overload
    def ask(
        self,
        text: str,
        *,
        attachments: Attachments = (),
        images: Images = (),
        event_handler: H | None,
        **params: Unpack[TurnStream],
    ) -> HandledStream[H] | AssistantStream: ...
    def ask(
        self,
        text: str,
        *,
        attachments: Attachments = (),
        images: Images = (),
        event_handler: H | None = None,
        **params: Unpack[TurnStream],
    ) -> HandledStream[H] | AssistantStream:
        """Ask a question, and return the stream of its answer. The stream sends it when it is entered or first read.

        The first question creates the thread. While another run is active on it, even one of another program, opening
        the stream waits until that run has ended. A question that fails before its run is not added to the thread.

        Args:
            text: The question.
            attachments: Ids of files to search, or the `attachments` of a message.
            images: Ids of files, addresses (`https:`, `data:`), or image parts of a message.
            event_handler: `with` returns it instead of the stream.
            params: As for `threads.runs.stream`; they replace those of the conversation.
        """
        turn, added = self._asking(text, attachments, images, params)
        return self._stream(turn, added, handler=event_handler)

    def regenerate(self, **params: Unpack[TurnStream]) -> AssistantStream:
        """Answer the last question again: delete the assistant's messages after it, then start a new run.

        Raises, when the stream is opened:
            InvalidArgumentError: the thread holds no question.
        """
        return self._stream(Turn(None), params, self._talk.regeneration)

    def edit(self, message_id: str, text: str, **params: Unpack[TurnStream]) -> AssistantStream:
        """Ask an earlier question again with another text. Its images and attachments stay.

        The protocol cannot change messages. So the conversation continues in a new thread, with copies of the messages
        before this one, and with the files and the metadata of the old thread. Copies have other ids and no
        annotations. The old thread does not change.

        Raises, when the stream is opened:
            InvalidArgumentError: the thread has no such message, or the assistant wrote it.
        """
        return self._stream(Turn(None), params, partial(self._talk.edition, message_id, text))

    def answer(self, text: str, /) -> AssistantStream:
        """`ask(text)` for `operators.answers`: the first subscription sends the question, the last to leave cancels it.

        The `on_idle` of the conversation overrides this.
        """
        turn, added = self._asking(text, (), (), {})
        added = {"on_idle": "cancel", **self._params, **added, "on_subscribe": "connect"}
        self._talk.offer(turn)
        return self._stream(turn, added, keep=True)

    def _stream(
        self,
        turn: Turn,
        params: Mapping[str, Any],
        change: Change | None = None,
        *,
        handler: H | None = None,
        keep: bool = False,
    ) -> HandledStream[H] | AssistantStream:
        call = self._call(params)
        opening = partial(self._talk.opening, turn, call.body, change)
        request, session = runs.create(self.thread_id or "new", call.body), self._session
        stream = (
            streamed_with_tools(session, request, call, handler, opening=opening)
            if "tools" in self._params
            else streamed(session, request, call.options, handler, call.policies, opening=opening)
        )
        turn.of(stream, keep=keep)
        return stream

    # -- stopping --------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Cancel the active run, and withdraw the questions that wait for the thread.

        Returns when the server has accepted the cancel. The streams continue to the server's ending. A run that another
        program has started on the thread is cancelled too.
        """
        turns = self._talk.withdraw()
        for turn in turns:
            try:
                if turn.stream is not None:
                    turn.stream.cancel()
            except RxAssistantError as error:
                _raise_unless_over(turn, error)
        if not turns and self.thread_id is not None and not self._talk.is_free():
            self._carry_out(stopped(self.thread_id))

    def settle(self) -> Stream[None]:
        """Cancel the active run, and complete when the thread accepts the next question.

        Each subscription starts a thread: `settle().subscribe()` returns at once, `settle().run()` waits.
        """
        return watch(self._settled, until=_at_once)

    def close(self) -> None:
        """Cancel the active run, and wait at most 2 seconds for its end. `messages` and `busy` complete."""
        try:
            if self._talk.withdraw():
                watch(self._settled, until=_at_once, deadline=LEAVE).run()
        except RxAssistantError as error:
            _log.warning("the run of a conversation could not be cancelled: %s", error)
        self._talk.busy.end()
        self._talk.ledger.end()

    def _settled(self) -> Polled[None]:
        for turn in self._talk.withdraw():
            try:
                if turn.stream is not None:
                    turn.stream.cancel_and_wait()
            except RxAssistantError as error:  # only the end of the run matters, not how its stream ended
                _log.debug("the stream of a run that is to be settled: %s", error)
        if self.thread_id is not None and self._talk.is_held():
            self._carry_out(cancelled(self.thread_id))
        return Polled(None)

    # -- observing -------------------------------------------------------------------------------------------------

    @property
    def messages(self) -> Stream[tuple[Message, ...]]:
        """All messages of the thread, oldest first, after every change: a window can show them directly.

        A subscription reads the thread, newest page first, and emits the list so far after each page. Then it emits the
        list again whenever a question is asked and whenever the answer grows; the growing answer is the last message.
        The id of a question begins with `local_` until the server's list is read again, after the answer.
        """
        return Stream(self._watch_messages, thread_origin())

    @property
    def busy(self) -> Stream[bool]:
        """Whether a question is being answered or waits for the thread: the current value, then each change."""
        return Stream(self._watch_busy, thread_origin())

    def _start_reading(self) -> None:
        start_thread(threading.Thread(target=self._read, name="rx-assistant-messages", daemon=True))

    def _read(self) -> None:
        try:
            self._carry_out(self._reading())
        except Exception as error:
            self._unread(error)
        else:
            self._was_read()

    def _carry_out(self, requests: Requests[T]) -> T:
        return carry_out(requests, self._session, self._options, Abort())


class AsyncConversation(_Conversation):
    """The same for asyncio and trio. `AsyncAssistantClient.conversation(assistant_id)` creates it.

    `answer()`, `settle()` and `messages` may be called from any thread after the conversation was created or entered on
    its event loop.
    """

    def __init__(
        self,
        session: AsyncSession,
        assistant_id: str,
        thread_id: str | None = None,
        *,
        tools: Tools | None = None,
        **params: Unpack[TurnStream],
    ) -> None:
        super().__init__(assistant_id, thread_id, tools, params)
        self._session = session
        self._loop: EventLoop | None = None  # the loop that used it last
        self._elsewhere()

    async def __aenter__(self) -> Self:
        self._elsewhere()
        return self

    def _elsewhere(self) -> EventLoop | None:
        """The conversation's event loop, for a caller without a running loop; None for a caller on a loop."""
        try:
            self._loop = current_event_loop()
        except RuntimeError:
            return self._loop
        return None

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    # -- asking ----------------------------------------------------------------------------------------------------

    @overload
    def ask(
        self,
        text: str,
        *,
        attachments: Attachments = (),
        images: Images = (),
        event_handler: None = None,
        **params: Unpack[TurnStream],
    ) -> AsyncAssistantStream: ...
    @overload
    def ask(
        self,
        text: str,
        *,
        attachments: Attachments = (),
        images: Images = (),
        event_handler: H,
        **params: Unpack[TurnStream],
    ) -> HandledAsyncStream[H]: ...
    @overload
    def ask(
        self,
        text: str,
        *,
        attachments: Attachments = (),
        images: Images = (),
        event_handler: H | None,
        **params: Unpack[TurnStream],
    ) -> HandledAsyncStream[H] | AsyncAssistantStream: ...
    def ask(
        self,
        text: str,
        *,
        attachments: Attachments = (),
        images: Images = (),
        event_handler: H | None = None,
        **params: Unpack[TurnStream],
    ) -> HandledAsyncStream[H] | AsyncAssistantStream:
        """Ask a question, and return the stream of its answer. See `Conversation.ask`."""
        turn, added = self._asking(text, attachments, images, params)
        return self._stream(turn, added, handler=event_handler)

    def regenerate(self, **params: Unpack[TurnStream]) -> AsyncAssistantStream:
        """Answer the last question again. See `Conversation.regenerate`."""
        return self._stream(Turn(None), params, self._talk.regeneration)

    def edit(self, message_id: str, text: str, **params: Unpack[TurnStream]) -> AsyncAssistantStream:
        """Ask an earlier question again with another text, in a new thread. See `Conversation.edit`."""
        return self._stream(Turn(None), params, partial(self._talk.edition, message_id, text))

    def answer(self, text: str, /) -> AsyncAssistantStream:
        """`ask(text)` for `operators.answers`: the first subscription sends the question, the last to leave cancels
        it."""
        turn, added = self._asking(text, (), (), {})
        added = {"on_idle": "cancel", **self._params, **added, "on_subscribe": "connect"}
        self._talk.offer(turn)
        stream = self._stream(turn, added, keep=True)
        loop = self._elsewhere()
        if loop is not None:
            stream.driver.live_on(loop)
        return stream

    def _stream(
        self,
        turn: Turn,
        params: Mapping[str, Any],
        change: Change | None = None,
        *,
        handler: H | None = None,
        keep: bool = False,
    ) -> HandledAsyncStream[H] | AsyncAssistantStream:
        call = self._call(params)
        opening = partial(self._talk.opening, turn, call.body, change)
        request, session = runs.create(self.thread_id or "new", call.body), self._session
        stream = (
            async_streamed_with_tools(session, request, call, handler, opening=opening)
            if "tools" in self._params
            else async_streamed(session, request, call.options, handler, call.policies, opening=opening)
        )
        turn.of(stream, keep=keep)
        return stream

    # -- stopping --------------------------------------------------------------------------------------------------

    async def cancel(self) -> None:
        """Cancel the active run, and withdraw the questions that wait for the thread.

        Returns when the server has accepted the cancel. The streams continue to the server's ending. A run that another
        program has started on the thread is cancelled too.
        """
        turns = self._talk.withdraw()
        for turn in turns:
            try:
                if turn.stream is not None:
                    await turn.stream.cancel()
            except RxAssistantError as error:
                _raise_unless_over(turn, error)
        if not turns and self.thread_id is not None and not self._talk.is_free():
            await self._carry_out(stopped(self.thread_id))

    def settle(self) -> AsyncStream[None]:
        """Cancel the active run, and complete when the thread accepts the next question.

        Each subscription starts a task: `settle().subscribe()` returns at once, `await settle()` waits.
        """
        settled = watch_async(self._settled, until=_at_once)

        def link(down: Subscriber[None], scheduler: abc.SchedulerBase | None) -> abc.DisposableBase | None:
            loop = self._elsewhere()
            if loop is None:
                return settled.link(down, scheduler)
            later = SingleAssignmentDisposable()

            def begin() -> None:
                later.disposable = settled.link(down, None)

            loop.call_soon(begin)
            return later

        return AsyncStream(link, settled.origin)

    async def close(self) -> None:
        """`aclose()`."""
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel the active run, and wait at most 2 seconds for its end. `messages` and `busy` complete."""
        try:
            if self._talk.withdraw():
                await watch_async(self._settled, until=_at_once, deadline=LEAVE)
        except RxAssistantError as error:
            _log.warning("the run of a conversation could not be cancelled: %s", error)
        finally:
            self._talk.busy.end()
            self._talk.ledger.end()

    async def _settled(self) -> Polled[None]:
        for turn in self._talk.withdraw():
            try:
                if turn.stream is not None:
                    await turn.stream.cancel_and_wait()
            except RxAssistantError as error:  # only the end of the run matters, not how its stream ended
                _log.debug("the stream of a run that is to be settled: %s", error)
        if self.thread_id is not None and self._talk.is_held():
            await self._carry_out(cancelled(self.thread_id))
        return Polled(None)

    # -- observing -------------------------------------------------------------------------------------------------

    @property
    def messages(self) -> AsyncStream[tuple[Message, ...]]:
        """All messages of the thread, oldest first, after every change. See `Conversation.messages`."""
        return AsyncStream(self._watch_messages, loop_origin())

    @property
    def busy(self) -> AsyncStream[bool]:
        """Whether a question is being answered or waits for the thread: the current value, then each change."""
        return AsyncStream(self._watch_busy, loop_origin())

    def _read_soon(self) -> None:
        """Read on the event loop of this thread, or else on the conversation's loop. For any thread."""
        loop = self._elsewhere()
        if loop is None:
            super()._read_soon()
        else:
            loop.call_soon(super()._read_soon)

    def _start_reading(self) -> None:
        current_event_loop().spawn(self._read)  # now: an action that runs while trio's loop ends may start no task

    async def _read(self) -> None:
        try:
            await self._carry_out(self._reading())
        except Exception as error:
            self._unread(error)
        except BaseException:
            self._is_reading = False
            raise
        else:
            self._was_read()

    async def _carry_out(self, requests: Requests[T]) -> T:
        return await carry_out_async(requests, self._session, self._options)


def _raise_unless_over(turn: Turn, error: RxAssistantError) -> None:
    """Raise the error of a cancel, unless the run or its stream had already ended."""
    stream = turn.stream
    if isinstance(error, BadRequestError | ConflictError) or (stream is not None and error is stream.log.failure):
        _log.debug("a run of a conversation was not cancelled: %s", error)
    else:
        raise error


def _at_once(_value: object) -> bool:
    return True

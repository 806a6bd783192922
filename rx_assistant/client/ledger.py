"""The messages of a conversation, as a window shows them: those that the server has listed, then the turns since."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from reactivex import abc
from reactivex.disposable import Disposable

from rx_assistant.client.current import Current
from rx_assistant.client.requests import Requests, history
from rx_assistant.errors import BadRequestError, NotFoundError
from rx_assistant.events import MessageEvent, StreamEvent, ThreadMessageDelta
from rx_assistant.hot import Subscriber
from rx_assistant.snapshots import RunSnapshot, fold
from rx_assistant.streams import AssistantStream, AsyncAssistantStream
from rx_assistant.types import Message

AnyStream = AssistantStream | AsyncAssistantStream


class Turn:
    """One question and its answer."""

    def __init__(self, question: Message | None) -> None:
        self.question = question
        self.is_wanted = True
        self.is_posted = False
        self.is_over = False  # the run has ended, so that the thread is free
        self.is_ended = False  # the stream has ended
        self.snapshot = RunSnapshot()
        self.following: abc.DisposableBase | None = None
        self._stream: Callable[[], AnyStream | None] = lambda: None
        self._keeps = False
        self._kept: AnyStream | None = None

    def of(self, stream: AnyStream, *, keep: bool) -> None:
        """Set the stream of the answer. With `keep` the turn keeps it alive until it ends."""
        self._stream, self._keeps = weakref.ref(stream), keep

    def begin(self) -> None:
        """The stream is being opened."""
        self._kept = self._stream() if self._keeps else None

    def end(self) -> None:
        """The stream has ended."""
        self.is_ended, self._kept = True, None

    @property
    def stream(self) -> Any:
        """The stream of the answer; None if the program has dropped it."""
        return self._stream()

    @property
    def messages(self) -> tuple[Message, ...]:
        """The messages that the turn has added to the thread so far."""
        return (*([] if self.question is None else [self.question]), *self.snapshot.messages)


class Ledger:
    """Collects the messages, and emits all of them after each change.

    The server's list replaces what the turns have shown, because only the list has the ids of the questions. A list
    that was made during a turn may hold a part of that turn. So the first list leaves that part out, and a later list
    is used only when no turn is active.
    """

    def __init__(self) -> None:
        self._shown: Current[tuple[Message, ...]] = Current()
        self._listed: tuple[Message, ...] = ()
        self._is_read = False
        self._restarts = 0
        self._turns: list[Turn] = []
        self._mutex = threading.RLock()

    # -- subscribers -----------------------------------------------------------------------------------------------

    @property
    def is_watched(self) -> bool:
        """Whether there are subscribers."""
        return self._shown.is_watched

    @property
    def is_known(self) -> bool:
        """Whether the thread was read."""
        return self._is_read

    def watch(self, down: Subscriber[tuple[Message, ...]]) -> abc.DisposableBase:
        """Add a subscriber, and follow the active turns; returns the disposable that removes it."""
        seat = self._shown.subscribe(down)
        with self._mutex:
            live = [turn for turn in self._turns if not turn.is_ended]
        for turn in live:
            self._follow(turn)
        return Disposable(partial(self._leave, seat))

    def _leave(self, seat: abc.DisposableBase) -> None:
        seat.dispose()
        if self.is_watched:
            return
        with self._mutex:
            self._is_read = False  # messages that other programs write from now on are not seen
            turns = [turn for turn in self._turns if turn.following is not None]
            self._turns = [turn for turn in self._turns if not turn.is_ended]
        for turn in turns:
            following, turn.following = turn.following, None
            turn.snapshot = RunSnapshot()
            if following is not None:
                following.dispose()

    def end(self, error: Exception | None = None) -> None:
        """End the subscriptions, because the list could not be read or the conversation was closed."""
        self._shown.end(error)

    # -- turns -----------------------------------------------------------------------------------------------------

    def begin(self, turn: Turn) -> None:
        """Show a turn: its question now, its answer as it grows."""
        with self._mutex:
            self._turns.append(turn)
        if self.is_watched:
            self._follow(turn)
        self._show()

    def withdraw(self, turn: Turn) -> None:
        """Stop showing a turn, because its question was not asked."""
        with self._mutex:
            self._turns = [kept for kept in self._turns if kept is not turn]
        self._show()

    def finish(self, turn: Turn) -> None:
        """A turn has ended. It is shown until the server's list holds it."""
        if not self.is_watched:
            self.withdraw(turn)
            self._is_read = False

    def restart(self, messages: Iterable[Message], turn: Turn) -> None:
        """Show these messages and this turn, because the thread is a new one or its end was deleted."""
        with self._mutex:
            self._listed, self._is_read, self._turns = tuple(messages), False, [turn]
            self._restarts += 1
        self._show()

    def drop_answer(self, turn: Turn) -> None:
        """Replace the assistant's messages after the last question by this turn."""
        with self._mutex:
            kept = [message for message in self._all() if message is not turn.question]
            while kept and kept[-1].role == "assistant":
                kept.pop()
            self.restart(kept, turn)

    def _follow(self, turn: Turn) -> None:
        """Follow the stream of a turn, without making it read."""
        stream = turn.stream
        if stream is None or turn.following is not None:
            return

        def see(event: StreamEvent) -> None:
            turn.snapshot = fold(turn.snapshot, event)
            if isinstance(event, MessageEvent | ThreadMessageDelta):
                self._show()

        turn.following = stream.subscribe(see, _ignore)

    # -- what the server lists -------------------------------------------------------------------------------------

    def read(self, thread_id: Callable[[], str | None]) -> Requests[None]:
        """Use the server's list: the whole thread, shown page by page; or only its new messages.

        A list is read again if the thread was replaced, or its end was deleted, since that list was requested.
        """
        whole = False
        while True:
            with self._mutex:
                known, restarts = self._listed if self._is_read and not whole else (), self._restarts
            try:
                found = yield from self._pages(thread_id(), known, restarts)
            except (BadRequestError, NotFoundError):
                if not known:
                    raise
                whole = True  # another program may have deleted the last message that is known
                continue
            with self._mutex:
                if restarts != self._restarts:
                    continue
                if not known or all(turn.is_ended for turn in self._turns):
                    self._is_read = True
                    self._take((*known, *found), restarts)
                return

    def _pages(self, thread_id: str | None, known: tuple[Message, ...], restarts: int) -> Requests[list[Message]]:
        found: list[Message] = []

        def add(page: list[Message]) -> None:
            if known:
                found.extend(page)
            else:
                found[:0] = page[::-1]
                self._take(tuple(found), restarts)

        if thread_id is not None:
            yield from history(thread_id, known[-1].id if known else None, add)
        return found

    def _take(self, listed: tuple[Message, ...], restarts: int) -> None:
        """Show these messages and the active turns, unless the list was requested before the last restart.

        A part of an active turn at the end of the list is left out.
        """
        with self._mutex:
            if restarts != self._restarts:
                return
            self._turns = [turn for turn in self._turns if not turn.is_ended]
            for turn in reversed(self._turns):
                listed = _without(listed, turn)
            self._listed = listed
        self._show()

    def _show(self) -> None:
        if self.is_watched:
            self._shown.set(self._all())

    def _all(self) -> tuple[Message, ...]:
        with self._mutex:
            return sum((turn.messages for turn in self._turns), self._listed)


def _without(listed: tuple[Message, ...], turn: Turn) -> tuple[Message, ...]:
    """The messages without those that an active turn has added at their end."""
    run = turn.snapshot.run
    while (
        listed
        and listed[-1].role == "assistant"
        and (listed[-1].status == "in_progress" or (run is not None and listed[-1].run_id == run.id))
    ):
        listed = listed[:-1]
    if listed and turn.question is not None and listed[-1].role == "user" and _says_the_same(listed[-1], turn.question):
        listed = listed[:-1]
    return listed


def _says_the_same(one: Message, other: Message) -> bool:
    return [part.to_dict() for part in one.content] == [part.to_dict() for part in other.content]


def _ignore(_error: Exception) -> None:
    """Ignore how a stream ended: its own readers get the error."""

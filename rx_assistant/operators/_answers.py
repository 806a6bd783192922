"""Questions → the items of their answers, one answer at a time.

Theory of operation

`Answering` returns an answer for each question, and can stop the active answer. The operator has one answer at a time,
and three policies for a question that comes during it:

    questions             --a-----b---------|
    answers of a, b          1 2 3 4|   5 6|
    queue                 ---1-2-3-4---5-6|             b waits for the end of a
    switch                ---1-2-c-----5-6|             a is stopped with settle() (c is its last item), then b is asked
    reject                ---1-2-3-4------|             b is dropped

The thread that delivers an answer's items emits them. The next question is asked after the ending of the answer before
it, so the items are serial without a lock around them (C10). The ending of the questions waits for the last answer for
the same reason. One thread at a time asks (`_going`). Other threads store their question as state, and the asking
thread checks this state again, under the mutex, before it stops. So an answer that ends inside `subscribe()` does not
recurse.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar, cast

from reactivex import Observable, abc
from reactivex.disposable import SerialDisposable

from rx_assistant.hot import SUBSCRIBING, AsyncStream, Hooks, Scope, Sink, Stream, operator

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

OnNew: TypeAlias = Literal["queue", "switch", "reject"]
"""The policy for a question that comes during an answer: it waits, replaces the answer, or is dropped."""

OnFailure: TypeAlias = Literal["raise"] | Callable[[Exception], object]
"""The policy for an answer that fails: the stream fails, or a function gets the error and the stream continues."""


class Answering(Protocol[T_co]):
    """Answers questions: a conversation, or another object with these two methods."""

    def answer(self, text: str, /) -> Observable[T_co]:
        """The answer to a question. A subscription asks the question, and its disposal withdraws it.

        `settle()` stops the answer from this call on: if it is called before the subscription, the question is never
        asked.
        """
        ...

    def settle(self) -> Observable[None]:
        """Stop the active answer. A subscription starts this, and it completes when another question can be asked."""
        ...


def answers(
    conversation: Answering[T],
    *,
    on_new: OnNew = "queue",
    on_failure: OnFailure = "raise",
    on_reject: Callable[[str], object] | None = None,
) -> Callable[[Observable[str]], Observable[T]]:
    """Emit the items of the answer to each question. For a conversation, the items are the events of its runs.

        questions       --a-----b---------|
        answers()       ---1-2-3-4---5-6|

    Operators of events can follow it, such as `text_deltas()`, `tool_calls()` and `snapshots()`, whose snapshots hold
    the messages of all answers. The result completes when the questions and the last answer have completed.

    >>> list(questions.pipe(ax.answers(conversation), ax.text_deltas()))
    ['It is', ' 12°C in Paris', '.', 'It is', ' 12°C in Paris', '.']

    Args:
        conversation: Answers the questions, such as `client.conversation(assistant_id)`.
        on_new: The policy for a question that comes during an answer. `"queue"` asks it after the answer. `"switch"`
            stops the answer (a conversation cancels its run on the server and waits until it has ended), then asks the
            newest question; older waiting questions are dropped. The stopped answer still emits its last items.
            `"reject"` drops the question.
        on_failure: `"raise"` ends with the error of the answer that failed. A function gets that error, and the next
            question is asked.
        on_reject: Called with each question that `"reject"` drops.

    Raises:
        TypeError: `conversation` has no `answer()` and `settle()`.
        ValueError: `on_new` or `on_failure` has another value.
    """
    if not (callable(getattr(conversation, "answer", None)) and callable(getattr(conversation, "settle", None))):
        raise TypeError(f"conversation must have answer() and settle(), got {type(conversation).__name__}")
    if on_new not in ("queue", "switch", "reject"):
        raise ValueError(f"on_new must be 'queue', 'switch' or 'reject', got {on_new!r}")
    if on_failure != "raise" and not callable(on_failure):
        raise ValueError(f"on_failure must be 'raise' or a function, got {on_failure!r}")

    def start(down: Sink[T], scope: Scope[str]) -> Hooks:
        scheduler = None if scope.loop is not None else scope.scheduler
        return _Answers(conversation, on_new, on_failure, on_reject, down, scheduler).hooks

    lift = operator(start)

    def answered(source: Observable[str]) -> Observable[T]:
        result, like = lift(source), getattr(conversation, "busy", None)
        if isinstance(source, Stream | AsyncStream) or not isinstance(like, AsyncStream):
            return result
        return AsyncStream(cast("Stream[T]", result).link, like.origin)  # the conversation is asynchronous

    return answered


class _Answers(Generic[T]):
    """One subscription: the active answer, and the questions that wait."""

    def __init__(
        self,
        conversation: Answering[T],
        on_new: OnNew,
        on_failure: OnFailure,
        on_reject: Callable[[str], object] | None,
        down: Sink[T],
        scheduler: abc.SchedulerBase | None,
    ) -> None:
        self._conversation = conversation
        self._on_new = on_new
        self._on_failure = on_failure
        self._on_reject = on_reject
        self._down = down
        self._scheduler = scheduler
        self._mutex = threading.Lock()
        self._waiting: deque[str] = deque()
        self._answering = False
        self._asking = False  # `answer()` has not returned yet, so `settle()` would not stop its answer
        self._settling = False
        self._is_replaced = False  # the active answer; it may end after `settle()` completes, in any way
        self._going = False
        self._ending: tuple[Exception | None] | None = None  # how the questions ended
        self._over = False
        self._answer = SerialDisposable()
        self._settlement = SerialDisposable()

    @property
    def hooks(self) -> Hooks:
        return Hooks(self.ask, self.end, partial(self.end, None), self.dispose)

    def ask(self, question: str) -> None:
        """Ask a question, or store or reject it, as `on_new` says."""
        with self._mutex:
            busy = self._answering or self._settling
            rejected = busy and self._on_new == "reject"
            if self._on_new == "switch":
                self._waiting.clear()
            if not rejected:
                self._waiting.append(question)
            settles = self._is_to_settle()
        if rejected and self._on_reject is not None:
            self._on_reject(question)
        if settles:
            self._settle()
        self._go_on()

    def end(self, error: Exception | None) -> None:
        """Store the ending of the questions, and end when the last answer has ended."""
        self._ending = (error,)
        self._go_on()

    def dispose(self) -> None:
        """Dispose the active answer."""
        with self._mutex:
            self._over = True
            self._waiting.clear()
        self._answer.dispose()
        self._settlement.dispose()

    # -- one step after the other ----------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Ask the next question or end, unless another thread or a caller further up this stack does so."""
        with self._mutex:
            if self._going:
                return
            self._going = True
        while (step := self._next_step()) is not None:
            step()

    def _next_step(self) -> Callable[[], None] | None:
        with self._mutex:
            if not (self._over or self._answering or self._settling):
                if self._waiting:
                    self._answering = self._asking = True
                    self._is_replaced = False
                    return partial(self._begin, self._waiting.popleft())
                if self._ending is not None:
                    self._over = True
                    return partial(self._finish, self._ending[0])
            self._going = False
            return None

    def _begin(self, question: str) -> None:
        try:
            answer = self._conversation.answer(question)
        except Exception as error:
            self._asking = False
            self._fail(error)
            return
        with self._mutex:
            self._asking = False
            settles = self._is_to_settle()
        if settles:
            self._settle()
        owner = SUBSCRIBING.owner
        SUBSCRIBING.owner = None  # no loop reads the answer, so this subscription must connect it
        try:
            subscription = answer.subscribe(self._emit, self._fail, self._answered, scheduler=self._scheduler)
        finally:
            SUBSCRIBING.owner = owner
        self._answer.disposable = subscription

    def _is_to_settle(self) -> bool:
        """Whether the caller must stop the answer for a question that replaces it. Under the mutex."""
        if self._on_new != "switch" or not (self._waiting and self._answering) or self._asking or self._is_replaced:
            return False
        self._settling = self._is_replaced = True
        return True

    def _settle(self) -> None:
        try:
            self._settlement.disposable = self._conversation.settle().subscribe(
                None, self._unsettled, self._settled, scheduler=self._scheduler
            )
        except Exception as error:
            self._unsettled(error)

    def _finish(self, error: Exception | None) -> None:
        if error is None:
            self._down.completed()
        else:
            self._down.error(error)

    # -- results ---------------------------------------------------------------------------------------------------

    def _emit(self, item: T) -> None:
        self._down.next(item)

    def _answered(self) -> None:
        with self._mutex:
            self._answering = False
        self._go_on()

    def _fail(self, error: Exception) -> None:
        """End the answer, which has failed. If it was replaced, its error is ignored: `settle()` reports the errors."""
        with self._mutex:
            self._answering = False
            raises = not (self._over or self._is_replaced)
        if raises:
            self._tell(error)
        self._go_on()

    def _settled(self) -> None:
        with self._mutex:
            self._settling = False
        self._go_on()

    def _unsettled(self, error: Exception) -> None:
        with self._mutex:
            self._settling = False
            raises = not self._over
        if raises:
            self._tell(error)
        self._go_on()

    def _tell(self, error: Exception) -> None:
        if not isinstance(self._on_failure, str):
            self._on_failure(error)
            return
        with self._mutex:
            self._over = True
            self._waiting.clear()
        self._down.error(error)

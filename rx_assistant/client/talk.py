"""The state of a conversation, for both faces: its thread, its turns, and what each turn sends.

    ask ──► thread known? ──► thread free? ──► (edit: new thread · regenerate: answer deleted) ──► run, as a stream
              else made          else waited for

A turn is `posted` when its run may exist on the server. Before that it can be withdrawn, and then sends nothing more;
`posting` and `withdraw` each set their mark before they look at the other's. The thread is known to be free if the last
run that was posted here is over, or if the thread was made here. Otherwise the server is asked.
"""

from __future__ import annotations

import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from rx_assistant.client.current import Current
from rx_assistant.client.ledger import Ledger, Turn
from rx_assistant.client.requests import Requests, as_param, begun, forked, new_thread, until_free, without_answer
from rx_assistant.errors import InvalidArgumentError
from rx_assistant.types import AttachmentParam, Message, MessageContentPartParam
from rx_assistant.types._inside import is_model

if TYPE_CHECKING:
    from rx_assistant.client.run_events import Resuming

Attachments: TypeAlias = Iterable[str | AttachmentParam]
"""Files of a question: ids of files to search, or the `attachments` of a message."""

Images: TypeAlias = Iterable[str | MessageContentPartParam]
"""Images of a question: ids of files, addresses (`https:`, `data:`), or image parts of a message."""

Change: TypeAlias = "Callable[[Turn, dict[str, Any]], Requests[None]]"
"""The requests to send when the thread is free, before the run. They may change the parameters of the run."""

_MOMENT = 0.05  # seconds between two looks at a thread that another turn is creating


class Talk:
    """One conversation, without sending anything."""

    def __init__(self, thread_id: str | None) -> None:
        self.thread_id = thread_id
        self.busy = Current(False)
        self.ledger = Ledger()
        self.turns: list[Turn] = []
        self._offered: weakref.WeakSet[Turn] = weakref.WeakSet()  # turns that `answer()` returned, and that may begin
        self.ended: Callable[[], object] = lambda: None  # called after a turn has ended
        self._last: Turn | None = None
        self._is_fresh = False
        self._is_making = False
        self._mutex = threading.Lock()

    # -- turns -----------------------------------------------------------------------------------------------------

    def opening(self, turn: Turn, body: dict[str, Any], change: Change | None, resuming: Resuming) -> Requests[Any]:
        """Send everything that a turn needs, and return its open stream."""
        self._begin(turn)
        try:
            yield from self._thread()
            if not self.is_free():
                yield from until_free(self._known(), lambda: turn.is_wanted)
            if change is not None and turn.is_wanted:
                yield from change(turn, body)
            thread_id = self._known()
            return (yield from begun(resuming, thread_id, body, partial(self._post, turn)))
        except BaseException:
            turn.is_over = turn.is_over or not turn.is_posted
            self._end(turn)
            self.ledger.withdraw(turn)
            raise

    def is_free(self) -> bool:
        """Whether the thread certainly has no active run."""
        return self._is_fresh if self._last is None else _is_over(self._last)

    def withdraw(self) -> list[Turn]:
        """Withdraw the turns that were not posted yet; returns those that were posted and may still be active."""
        with self._mutex:
            turns = tuple(self.turns)
            for turn in (*turns, *self._offered):
                turn.is_wanted = False
        return [turn for turn in turns if turn.is_posted and not _is_over(turn)]

    def offer(self, turn: Turn) -> None:
        """Register a turn for `withdraw` before it begins."""
        with self._mutex:
            self._offered.add(turn)

    def _begin(self, turn: Turn) -> None:
        with self._mutex:
            self.turns.append(turn)
            self._offered.discard(turn)
        turn.begin()
        self.busy.set(True)
        self.ledger.begin(turn)
        stream = turn.stream
        if stream is not None:
            log = stream.log
            log.listen(lambda: self._end(turn) if log.released else None)

    def _post(self, turn: Turn) -> bool:
        """Whether the run of a turn may be posted now."""
        turn.is_posted = True
        if turn.is_wanted:
            self._last = turn
        return turn.is_wanted

    def is_held(self) -> bool:
        """Whether the thread may have an active run that belongs to no question asked after `withdraw`."""
        return not self.is_free() and not any(turn.is_posted and turn.is_wanted for turn in self.turns)

    def _end(self, turn: Turn) -> None:
        turn.is_over = _is_over(turn)
        with self._mutex:
            if turn.is_ended:
                return
            turn.end()
            self.turns = [kept for kept in self.turns if kept is not turn]
            is_busy = bool(self.turns)
        self.ledger.finish(turn)
        self.busy.set(is_busy)
        self.ended()

    # -- the thread ------------------------------------------------------------------------------------------------

    def _known(self) -> str:
        assert self.thread_id is not None
        return self.thread_id

    def _thread(self) -> Requests[None]:
        """Create the thread if it is missing. Two first questions at the same time create one thread."""
        while self.thread_id is None:
            with self._mutex:
                makes = not self._is_making
                self._is_making = True
            if not makes:
                yield _MOMENT
                continue
            try:
                self.thread_id = yield from new_thread()
                self._is_fresh = True
            finally:
                self._is_making = False

    # -- questions -------------------------------------------------------------------------------------------------

    def question(self, text: str, attachments: Attachments, images: Images) -> dict[str, Any]:
        """The parameters of a question's message.

        Raises:
            InvalidArgumentError: there is neither text nor an image.
        """
        for name, value in (("attachments", attachments), ("images", images)):
            if isinstance(value, str | bytes) or not isinstance(value, Iterable):
                raise InvalidArgumentError(f"{name} must be a list, got {value!r:.80}")
        parts = [*map(_image, images)]
        if not isinstance(text, str) or not (text or parts):
            raise InvalidArgumentError(f"text must be a question, got {text!r}")
        content = [{"type": "text", "text": text}, *parts] if text else parts
        files = [*map(_attachment, attachments)]
        return {"role": "user", "content": content if parts else text, **({"attachments": files} if files else {})}

    def shown(self, question: Mapping[str, Any]) -> Message:
        """A question as a message, with a local id until the server's id is known."""
        content = question["content"]
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        return Message.model_validate(
            {
                **question,
                "id": f"local_{uuid.uuid4().hex}",
                "object": "thread.message",
                "created_at": int(time.time()),
                "thread_id": self.thread_id or "",
                "content": [*map(_written, parts)],
            }
        )

    def regeneration(self, turn: Turn, _body: dict[str, Any]) -> Requests[None]:
        """Delete the last answer."""
        yield from without_answer(self._known())
        self.ledger.drop_answer(turn)

    def edition(self, message_id: str, text: str, turn: Turn, body: dict[str, Any]) -> Requests[None]:
        """Continue in a new thread, with this text in place of a question and of everything after it."""
        thread_id, before, message = yield from forked(self._known(), message_id)
        param = as_param(message)
        images = [part for part in param["content"] if part["type"] != "text"]
        param["content"] = [{"type": "text", "text": text}, *images]
        body["additional_messages"] = [*(body.get("additional_messages") or ()), param]
        self.thread_id = thread_id
        turn.question = self.shown(param)
        self.ledger.restart(before, turn)


def _is_over(turn: Turn) -> bool:
    """Whether the turn has no active run: the run has ended, or was never posted."""
    stream = turn.stream
    return turn.is_over or (stream is not None and stream._ended_run() is not None)


def _image(image: str | MessageContentPartParam) -> Any:
    if not isinstance(image, str):
        return image
    if image.startswith(("http:", "https:", "data:")):
        return {"type": "image_url", "image_url": {"url": image}}
    return {"type": "image_file", "image_file": {"file_id": image}}


def _attachment(attachment: str | AttachmentParam) -> Any:
    return {"file_id": attachment, "tools": [{"type": "file_search"}]} if isinstance(attachment, str) else attachment


def _written(part: Any) -> Any:
    """A part of a message in the form that the server returns."""
    if is_model(part) or part["type"] != "text":
        return part
    return {"type": "text", "text": {"value": part["text"], "annotations": []}}

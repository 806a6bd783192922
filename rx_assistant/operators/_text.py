"""Events → the text that the assistant writes: pieces of text, a substream for each part, or the whole text so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from reactivex import Observable

from rx_assistant.events import Held, ReasoningDelta, ThreadMessageDelta, whole
from rx_assistant.hot import AsyncStream, Scope, Sink, Stream, SubstreamOperator, operator
from rx_assistant.operators._changes import at_done, deltas, views
from rx_assistant.operators._routing import MESSAGES, StateChange
from rx_assistant.operators._select import Event
from rx_assistant.operators._substreams import Substream, substreams
from rx_assistant.snapshots import Fold, PartState, State
from rx_assistant.types._inside import models_in, text_in

if TYPE_CHECKING:
    from rx_assistant.types import Annotation, Text

_Part = StateChange[PartState]
_NEWEST: Final = 1 << 62  # a version after all others


def text_deltas() -> Callable[[Observable[Event]], Observable[str]]:
    """Emit the text of all messages, piece by piece, as it arrives.

        source         message.delta  run.step.delta  message.delta
        text_deltas()  "It is"                        " 12°C"

    This is the fastest way to the text: no model is built, and no other field is read. Empty pieces are left out.
    If a server cuts a character in two, the first half waits for the second.

    >>> "".join(stream.pipe(ax.text_deltas()))
    'It is 12°C in Paris.'

    Raises:
        EventDecodeError: a message delta's payload is not a JSON object; through on_error.
    """
    return operator(_text_deltas)


def _text_deltas(down: Sink[str], scope: Scope[Event]) -> Callable[[Event], object]:
    held: Held = {}

    def on_event(event: Event) -> None:
        if type(event) is ThreadMessageDelta:
            narrow = event.narrow
            if narrow[2] and not held:
                if narrow[1][0][1]:
                    down.next(narrow[1][0][1])
                return
        elif not held:
            return
        for each in whole(event, held):
            for _, text in each.text_fragments if isinstance(each, ThreadMessageDelta) else ():
                if text:
                    down.next(text)

    return on_event


def reasoning_deltas() -> Callable[[Observable[Event]], Observable[str]]:
    """Emit the model's reasoning, piece by piece, as it arrives.

        source              reasoning.delta  message.delta  reasoning.delta
        reasoning_deltas()  "The sky"                       " scatters"

    Only streams of Chat Completions and Responses contain it; Assistants servers do not send it.

    >>> "".join(stream.pipe(ax.reasoning_deltas()))
    ''

    Raises:
        EventDecodeError: a reasoning event's payload is not JSON; through on_error.
    """
    return operator(_reasoning_deltas)


def _reasoning_deltas(down: Sink[str], scope: Scope[Event]) -> Callable[[Event], object]:
    def on_event(event: Event) -> None:
        if type(event) is ReasoningDelta and event.text:
            down.next(event.text)

    return on_event


class TextSnapshot:
    """A text part after one event. It never changes, and its values are computed when they are read."""

    __slots__ = ("_part", "_version")

    def __init__(self, part: PartState, version: int) -> None:
        self._part = part
        self._version = version

    @property
    def message_id(self) -> str:
        """The id of the part's message."""
        return self._part.message_id

    @property
    def index(self) -> int:
        """The part's index in the message's content."""
        return self._part.index

    @property
    def text(self) -> Text:
        """The text as a Text, the model of the API."""
        return self._part.text(self._version)

    @property
    def value(self) -> str:
        """The whole text so far."""
        return text_in(self.text, "value")

    @property
    def annotations(self) -> Sequence[Annotation]:
        """The annotations so far, by their index."""
        return models_in(self.text.annotations)

    def _identity(self) -> tuple[Any, ...]:
        return self.message_id, self.index, self.value, list(self.annotations)

    def __eq__(self, other: object) -> bool:
        return self._identity() == other._identity() if isinstance(other, TextSnapshot) else NotImplemented

    def __hash__(self) -> int:
        return hash((self.message_id, self.index, self.value))

    def _repr_markdown_(self) -> str:
        return self.text._repr_markdown_()

    def __repr__(self) -> str:
        return f"TextSnapshot(message_id={self.message_id!r}, index={self.index}, value={self.value!r})"


def text_snapshots() -> Callable[[Observable[Event]], Observable[TextSnapshot]]:
    """Emit the whole text part so far, each time it grows, and once more when it is finished.

        source            message.delta  message.delta  message.completed
        text_snapshots()  "It is"        "It is 12°C"   "It is 12°C"

    `message_id` and `index` of a TextSnapshot identify the part. `value` and `annotations` are computed when they are
    read.

    >>> [snapshot.value for snapshot in stream.pipe(ax.text_snapshots())]
    ['It is', 'It is 12°C in Paris', 'It is 12°C in Paris.', 'It is 12°C in Paris.']

    Raises:
        EventDecodeError: a message event's payload is not a JSON object; through on_error.
    """
    return operator(_text_snapshots)


def _text_snapshots(down: Sink[TextSnapshot], scope: Scope[Event]) -> Callable[[Event], object]:
    fold = Fold()

    def on_event(event: Event) -> None:
        if type(event) in MESSAGES:
            for version, changes, _ in fold.advance(event):
                touched = dict.fromkeys(
                    state for _, state, _ in changes if isinstance(state, PartState) and _is_text(state)
                )
                for part in touched:
                    down.next(TextSnapshot(part, version))

    return on_event


def texts() -> SubstreamOperator[TextStream, AsyncTextStream]:
    """Emit a substream for each text part of each message, when it first appears.

        source   message.delta  message.delta  message.completed
        texts()  TextStream
                   "It is"        " 12°C"        |

    Message id and content index are the key, so interleaved parts do not mix. If the stream fails, open substreams end
    with the stream's error.

    >>> for text in stream.pipe(ax.texts()):
    ...     print(text.message_id, text.index, list(text.deltas))
    msg_1 0 ['It is', ' 12°C in Paris', '.']

    Raises:
        EventDecodeError: a message event's payload is not a JSON object; through on_error.
    """
    return substreams(MESSAGES, _is_text, TextStream, AsyncTextStream)


def _is_text(state: State) -> TypeGuard[PartState]:
    return isinstance(state, PartState) and state.kind == "text"


class _TextFields:
    """The identity of a text part."""

    _part: PartState

    @property
    def message_id(self) -> str:
        """The id of the part's message."""
        return self._part.message_id

    @property
    def index(self) -> int:
        """The part's index in the message's content."""
        return self._part.index

    def _repr_markdown_(self) -> str:
        """The text so far, without reading on."""
        return self._part.text(_NEWEST)._repr_markdown_()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(message_id={self.message_id!r}, index={self.index})"


class TextStream(_TextFields, Stream[str]):
    """One text part while it is written: a Stream of its pieces, like `deltas`."""

    def __init__(self, substream: Substream[PartState]) -> None:
        self._part = substream.state
        self._changes: Stream[_Part] = Stream(substream.link, substream.origin)
        super().__init__(self.deltas.link, substream.origin)

    @property
    def deltas(self) -> Stream[str]:
        """The pieces of the text, in the order of the wire."""
        return self._changes.pipe(_pieces)

    @property
    def snapshots(self) -> Stream[TextSnapshot]:
        """The whole text so far, each time it grows, and once more when it is finished."""
        return self._changes.pipe(_snapshots)

    @property
    def done(self) -> Stream[Text]:
        """The server's finished Text, once; empty when the stream ends before it."""
        return self._changes.pipe(_done)


class AsyncTextStream(_TextFields, AsyncStream[str]):
    """One text part while it is written: an AsyncStream of its pieces, like `deltas`."""

    def __init__(self, substream: Substream[PartState]) -> None:
        self._part = substream.state
        self._changes: AsyncStream[_Part] = AsyncStream(substream.link, substream.origin)
        super().__init__(self.deltas.link, substream.origin)

    @property
    def deltas(self) -> AsyncStream[str]:
        """The pieces of the text, in the order of the wire."""
        return self._changes.pipe(_pieces)

    @property
    def snapshots(self) -> AsyncStream[TextSnapshot]:
        """The whole text so far, each time it grows, and once more when it is finished."""
        return self._changes.pipe(_snapshots)

    @property
    def done(self) -> AsyncStream[Text]:
        """The server's finished Text, once; empty when the stream ends before it."""
        return self._changes.pipe(_done)


def _piece(change: _Part) -> str:
    event: ThreadMessageDelta = change.event
    narrow = event.narrow
    return narrow[1][0][1] if narrow[2] else text_in(change.state.text_delta(event, change.position), "value")


def _snapshot(change: _Part) -> TextSnapshot:
    return TextSnapshot(change.state, change.version)


def _final(change: _Part) -> Text:
    return change.state.text(change.version).to_model()


_pieces: Final = deltas(_piece)
_snapshots: Final = views(_snapshot)
_done: Final = at_done(_final)

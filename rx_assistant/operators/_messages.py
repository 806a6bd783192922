"""Events → messages: finished ones, or each while it is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from reactivex import Observable

from rx_assistant.events import ThreadMessageCompleted, ThreadMessageIncomplete
from rx_assistant.hot import AsyncStream, Scope, Sink, Stream, SubstreamOperator, operator
from rx_assistant.operators._changes import at_done, deltas, events_of, views
from rx_assistant.operators._routing import MESSAGES, StateChange
from rx_assistant.operators._select import Event
from rx_assistant.operators._substreams import Substream, substreams
from rx_assistant.operators._text import AsyncTextStream, TextStream, text_deltas, texts
from rx_assistant.snapshots import MessageState, State

if TYPE_CHECKING:
    from rx_assistant.types import Message, MessageDelta

_Change = StateChange[MessageState]


def messages() -> Callable[[Observable[Event]], Observable[Message]]:
    """Emit each Message when it is finished, completed or incomplete, as the server sent it.

        source      message.created  message.delta  message.completed
        messages()                                  Message

    >>> [message.content[0].text.value for message in stream.pipe(ax.messages())]
    ['It is 12°C in Paris.']

    Raises:
        EventDecodeError: the payload of a finished message is not a JSON object; through on_error.
    """
    return operator(_messages)


def _messages(down: Sink[Message], scope: Scope[Event]) -> Callable[[Event], object]:
    finished: set[str] = set()

    def on_event(event: Event) -> None:
        if isinstance(event, ThreadMessageCompleted | ThreadMessageIncomplete) and event.data.id not in finished:
            finished.add(event.data.id)
            down.next(event.data)

    return on_event


def message_streams() -> SubstreamOperator[MessageStream, AsyncMessageStream]:
    """Emit a substream for each message, when it first appears.

        source             message.created  message.delta  message.delta  message.completed
        message_streams()  MessageStream
                                              MessageDelta   MessageDelta   |

    The message's id is the key. If the stream fails, open substreams end with the stream's error.

    >>> for message in stream.pipe(ax.message_streams()):
    ...     print(message.id, "".join(message.text_deltas))
    msg_1 It is 12°C in Paris.

    Raises:
        EventDecodeError: a message event's payload is not a JSON object; through on_error.
    """
    return substreams(MESSAGES, _is_message, MessageStream, AsyncMessageStream)


def _is_message(state: State) -> bool:
    return isinstance(state, MessageState)


class _MessageFields:
    """The identity of a message."""

    _message: MessageState

    @property
    def id(self) -> str:
        """The message's id; empty when the server sends none."""
        return self._message.id

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id!r})"


class MessageStream(_MessageFields, Stream["MessageDelta"]):
    """One message while it is written: a Stream of its deltas, like `deltas`."""

    def __init__(self, substream: Substream[MessageState]) -> None:
        self._message = substream.state
        self._changes: Stream[_Change] = Stream(substream.link, substream.origin)
        super().__init__(self.deltas.link, substream.origin)

    @property
    def deltas(self) -> Stream[MessageDelta]:
        """The changes of the message, as they were on the wire."""
        return self._changes.pipe(_deltas)

    @property
    def text_deltas(self) -> Stream[str]:
        """The pieces of all texts of the message, in the order of the wire."""
        return self._changes.pipe(events_of, text_deltas())

    @property
    def texts(self) -> Stream[TextStream]:
        """A substream for each text part of the message."""
        return self._changes.pipe(events_of, texts())

    @property
    def snapshots(self) -> Stream[Message]:
        """The whole message so far, each time it grows, and once more when it is finished."""
        return self._changes.pipe(_snapshots)

    @property
    def done(self) -> Stream[Message]:
        """The server's finished Message, once; empty when the stream ends before it."""
        return self._changes.pipe(_done)


class AsyncMessageStream(_MessageFields, AsyncStream["MessageDelta"]):
    """One message while it is written: an AsyncStream of its deltas, like `deltas`."""

    def __init__(self, substream: Substream[MessageState]) -> None:
        self._message = substream.state
        self._changes: AsyncStream[_Change] = AsyncStream(substream.link, substream.origin)
        super().__init__(self.deltas.link, substream.origin)

    @property
    def deltas(self) -> AsyncStream[MessageDelta]:
        """The changes of the message, as they were on the wire."""
        return self._changes.pipe(_deltas)

    @property
    def text_deltas(self) -> AsyncStream[str]:
        """The pieces of all texts of the message, in the order of the wire."""
        return self._changes.pipe(events_of, text_deltas())

    @property
    def texts(self) -> AsyncStream[AsyncTextStream]:
        """A substream for each text part of the message."""
        return self._changes.pipe(events_of, texts())

    @property
    def snapshots(self) -> AsyncStream[Message]:
        """The whole message so far, each time it grows, and once more when it is finished."""
        return self._changes.pipe(_snapshots)

    @property
    def done(self) -> AsyncStream[Message]:
        """The server's finished Message, once; empty when the stream ends before it."""
        return self._changes.pipe(_done)


def _delta(change: _Change) -> MessageDelta:
    return change.state.delta(change.event)


def _snapshot(change: _Change) -> Message:
    return change.state.view(change.version)


def _final(change: _Change) -> Message:
    return change.state.view(change.version).to_model()


_deltas: Final = deltas(_delta)
_snapshots: Final = views(_snapshot)
_done: Final = at_done(_final)

"""A stream in a notebook: one output that is updated while the stream is read.

from rx_assistant.gui import live

live(client.threads.runs.stream(thread_id=t, assistant_id=a))      # an asynchronous stream: await live(…)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Protocol, overload

from reactivex import Observable, operators as ops

from rx_assistant import operators as ax
from rx_assistant.hot import AsyncStream, Stream
from rx_assistant.snapshots import RunSnapshot
from rx_assistant.streams import AssistantStream, AsyncAssistantStream

if TYPE_CHECKING:
    Text = Stream[str]
    AsyncText = AsyncStream[str]

UPDATES = 0.1
"""Seconds between two updates of the output: a browser draws no faster, and each update is a message to it."""


class _Shown(Protocol):
    def update(self, obj: object) -> None: ...


class _Markdown:
    """Markdown text as IPython displays it."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text

    def _repr_markdown_(self) -> str:
        return self._text


@overload
def live(stream: AssistantStream) -> RunSnapshot: ...
@overload
def live(stream: AsyncAssistantStream) -> Awaitable[RunSnapshot]: ...
@overload
def live(stream: Text) -> str: ...
@overload
def live(stream: AsyncText) -> Awaitable[str]: ...
def live(stream: Any) -> Any:
    """Show a stream in a notebook while it is read, and return its result.

    A run is shown with its status, tool calls and messages, and returns its RunSnapshot; a stream of texts, such as
    `stream.text_deltas`, is shown as Markdown and returns the whole text. The output is updated ten times a second at
    most. The result of an asynchronous stream must be awaited. Outside of a notebook the stream is only read.

    Raises:
        StreamError: the stream ended other than well; what arrived stays in the output.
        TypeError: the argument is not a stream of events or texts.
    """
    if not isinstance(stream, Stream | AsyncStream):
        raise TypeError(f"live() must be given a stream of rx_assistant, got {stream!r}")
    of_a_run = isinstance(stream, AssistantStream | AsyncAssistantStream)
    states: Any = stream.pipe(ax.snapshots() if of_a_run else _so_far, ax.latest(UPDATES))
    last: Any = RunSnapshot() if of_a_run else ""
    shown = _output()
    return _show_async(states, shown, last) if isinstance(states, AsyncStream) else _show(states, shown, last)


def _show(states: Stream[Any], shown: _Shown, last: Any) -> Any:
    for state in states:
        last = state
        shown.update(_displayed(state))
    return last


async def _show_async(states: AsyncStream[Any], shown: _Shown, last: Any) -> Any:
    async for state in states:
        last = state
        shown.update(_displayed(state))
    return last


def _so_far(texts: Observable[Any]) -> Observable[str]:
    return texts.pipe(ops.scan(_longer, ""))


def _longer(text: str, piece: Any) -> str:
    if not isinstance(piece, str):
        raise TypeError(
            f"live() must be given a stream of events or texts, got an item {piece!r}: use stream.text_deltas"
        )
    return text + piece


def _displayed(state: RunSnapshot | str) -> object:
    return _Markdown(state) if isinstance(state, str) else state


def _output() -> _Shown:
    try:
        from IPython.display import display
    except ImportError:  # so this is no notebook
        return _Nowhere()
    make: Callable[..., Any] = display
    shown: _Shown | None = make(_Markdown(""), display_id=True)  # None without a running IPython
    return _Nowhere() if shown is None else shown


class _Nowhere:
    """Stands for the output outside of a running IPython."""

    def update(self, obj: object) -> None:
        """Show nothing."""

"""Events → refusals, images, annotations and code outputs; and text with numbered citations.

This file has no `from __future__ import annotations`, because `annotations` is an operator here.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from reactivex import Observable

from rx_assistant.hot import Hooks, Scope, Sink, operator
from rx_assistant.operators._outputs import each_output
from rx_assistant.operators._routing import MESSAGES, STEPS, ChangePhase, Inlet, Kinds, Router, StateChange
from rx_assistant.operators._select import Event
from rx_assistant.snapshots import CallState, PartState, State
from rx_assistant.types._citations import CitedText, Show, bracketed

if TYPE_CHECKING:
    from rx_assistant.events import StreamEvent
    from rx_assistant.types import (
        Annotation,
        AnnotationDelta,
        CodeInterpreterOutputDelta,
        ImageFile,
        ImageURL,
        RefusalContentBlock,
    )

_Take: TypeAlias = Callable[[StateChange[Any]], object]
"""Takes the changes of one part or call."""


def refusal_deltas() -> Callable[[Observable[Event]], Observable[str]]:
    """Emit the text of refusals, piece by piece, as it arrives.

        source            message.delta  message.delta  message.completed
        refusal_deltas()  "I can"        "not."

    >>> "".join(reply.pipe(ax.refusal_deltas()))
    'I cannot.'

    Raises:
        EventDecodeError: a message event's payload is not a JSON object; through on_error.
    """
    return _of_each(MESSAGES, PartState, _refusal_pieces)


def _refusal_pieces(down: Sink[str]) -> _Take:
    def on_change(change: StateChange[PartState]) -> None:
        if change.phase == "delta" and change.state.kind == "refusal":
            piece = getattr(change.state.delta(change.event, change.position), "refusal", None)
            if piece:
                down.next(piece)

    return on_change


def refusals() -> Callable[[Observable[Event]], Observable["RefusalContentBlock"]]:
    """Emit each refusal when its message is finished, as the server's final message holds it.

        source      message.delta  message.delta  message.completed
        refusals()                                RefusalContentBlock

    >>> [refusal.refusal for refusal in reply.pipe(ax.refusals())]
    ['I cannot.']

    Raises:
        EventDecodeError: a message event's payload is not a JSON object; through on_error.
    """
    return _of_each(MESSAGES, PartState, _finished_refusals)


def _finished_refusals(down: Sink["RefusalContentBlock"]) -> _Take:
    def on_change(change: StateChange[PartState]) -> None:
        if change.phase == "done":
            part: Any = change.state.view(change.version)
            if part.type == "refusal":
                down.next(part.to_model())

    return on_change


def images() -> Callable[[Observable[Event]], Observable["ImageFile | ImageURL"]]:
    """Emit each image of a message when the message is finished: an ImageFile or an ImageURL.

        source    message.delta  message.completed
        images()                 ImageFile

    `code_outputs()` emits the images that code has drawn.

    >>> [image.file_id for image in reply.pipe(ax.images())]
    ['file_7']

    Raises:
        EventDecodeError: a message event's payload is not a JSON object; through on_error.
    """
    return _of_each(MESSAGES, PartState, _finished_images)


def _finished_images(down: Sink["ImageFile | ImageURL"]) -> _Take:
    def on_change(change: StateChange[PartState]) -> None:
        if change.phase == "done":
            part: Any = change.state.view(change.version)
            if part.type in ("image_file", "image_url") and getattr(part, part.type) is not None:
                down.next(getattr(part.to_model(), part.type))

    return on_change


def annotations() -> Callable[[Observable[Event]], Observable["Annotation | AnnotationDelta"]]:
    """Emit each annotation of a text once: from a delta, or from the whole message if no delta had it.

        source         message.delta    message.delta  message.completed
        annotations()  AnnotationDelta                 Annotation

    An annotation's `text` is its mark in the message text.

    >>> [(mark.text, mark.file_citation.file_id) for mark in reply.pipe(ax.annotations())]
    [('【4:0†menu.txt】', 'file_1')]

    Raises:
        EventDecodeError: a message event's payload is not a JSON object; through on_error.
    """
    return _of_each(MESSAGES, PartState, _each_annotation)


def _each_annotation(down: Sink["Annotation | AnnotationDelta"]) -> _Take:
    seen: set[int] = set()

    def on_change(change: StateChange[PartState]) -> None:
        if change.phase == "delta":
            if change.state.kind != "text" or change.event.is_plain:
                return
            for mark in change.state.text_delta(change.event, change.position).annotations or ():
                seen.add(max(seen, default=-1) + 1 if mark.index is None else mark.index)
                down.next(mark)
        elif not change.is_delta and change.state.view(change.version).type == "text":
            for index, whole in enumerate(change.state.text(change.version).annotations or ()):
                if index not in seen:
                    seen.add(index)
                    down.next(whole)

    return on_change


def code_outputs() -> Callable[[Observable[Event]], Observable["CodeInterpreterOutputDelta"]]:
    """Emit the outputs of all code interpreter calls, logs and images, as they arrive.

        source          run.step.delta  run.step.delta              run.step.completed
        code_outputs()                  CodeInterpreterOutputDelta

    >>> [output.logs for output in reply.pipe(ax.code_outputs())]
    ['42']

    Raises:
        EventDecodeError: the payload of a step event, or of a run event that requires action, is not a JSON object;
            through on_error.
    """
    return _of_each(STEPS, CallState, each_output)


def numbered_citations(show: Show = bracketed) -> Callable[[Observable[str]], Observable[str]]:
    """Emit the same text with each mark (【4:0†source】) replaced by a numbered reference, such as [1].

        source                "Soup【4:"  "0†menu.txt】"  " and "  "tea."
        numbered_citations()  "Soup"      "[1]"          " and "  "tea."

    The source is text in pieces, as `text_deltas()` and the substreams of `texts()` emit it. If a piece ends inside a
    mark, the beginning of the mark waits for the next piece, or for the end of the source. Equal marks get the same
    number. `Text.numbered_citations()` does the same with a finished text; `Text.citations()` has the annotation
    for each number.

    >>> "".join(reply.pipe(ax.text_deltas(), ax.numbered_citations()))
    'Soup[1] and tea.'

    Args:
        show: Returns the text that replaces a mark, from its number and the mark; `""` removes the mark.
    """

    def start(down: Sink[str], scope: Scope[str]) -> Hooks:
        cited = CitedText(show)

        def on_piece(piece: str) -> None:
            shown = cited.push(piece)
            if shown:
                down.next(shown)

        def hand_on_rest() -> None:
            rest = cited.rest()
            if rest:
                down.next(rest)

        def on_error(error: Exception) -> None:
            hand_on_rest()
            down.error(error)

        def on_completed() -> None:
            hand_on_rest()
            down.completed()

        return Hooks(on_piece, on_error, on_completed)

    return operator(start)


def _of_each(
    kinds: Kinds, of: type[State], begin: Callable[[Sink[Any]], _Take]
) -> Callable[[Observable[Event]], Observable[Any]]:
    """Return an operator that passes the changes of each part or call to the function that `begin` returns for it."""

    def start(down: Sink[Any], scope: Scope[Event]) -> Callable[[Event], object]:
        def inlet_for(state: State) -> Inlet | None:
            return _Inlet(begin(down)) if isinstance(state, of) else None

        return Router(kinds, inlet_for).take

    return operator(start)


class _Inlet:
    """Passes the changes of one part or call to a callable."""

    def __init__(self, take: _Take) -> None:
        self._take = take

    def announce(self) -> None:
        """Do nothing, because only changes are passed on."""

    def push(self, phase: ChangePhase, state: Any, position: int, version: int, event: "StreamEvent") -> None:
        self._take(StateChange(phase, state, position, version, event))

    def end(self, error: Exception | None = None) -> None:
        """Do nothing, because the end of one part or call does not end the stream."""

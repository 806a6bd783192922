"""The changes that message events make to a store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rx_assistant.events import MessageEvent, NarrowMessage, ThreadMessageDelta
from rx_assistant.events._deltas import index_of, pieces_of
from rx_assistant.snapshots.changes import FINAL, Change, Changes, appended, by_place, close, node_of, word
from rx_assistant.snapshots.pieces import Node
from rx_assistant.snapshots.states import MessageState, PartState
from rx_assistant.snapshots.store import Store
from rx_assistant.types._inside import inside, is_model, models_in, text_in

if TYPE_CHECKING:
    from rx_assistant.types import MessageContent


def message_delta(store: Store, version: int, event: ThreadMessageDelta, narrow: NarrowMessage) -> Changes:
    """Fold a delta: append it directly if it continues a known text, else read it piece by piece."""
    message_id, fragments, plain, mark, role = narrow
    message = store.messages.get(message_id)
    if message is not None and (plain or mark is not None) and (not role or role == message.role.at(version)):
        index, text = fragments[0]
        part = message.parts.by_index.get(index)
        if part is not None and part.kind == "text":
            if message.ended:
                return ()
            part.log.append(version, text)
            if mark is not None:
                part.annotations.append(version, mark, event, (0, 0))
            return store.appended.get(part) or appended(store, part, message)
    return _message_delta(store, version, event)


def open_message(store: Store, version: int, event: ThreadMessageDelta, narrow: NarrowMessage) -> Changes:
    """Fold a delta without content: it only shows that its message exists."""
    changes: list[Change] = []
    _message(store, version, event.message_id, changes)
    return tuple(changes)


def _message_delta(store: Store, version: int, event: ThreadMessageDelta) -> Changes:
    changes: list[Change] = []
    message = _message(store, version, event.message_id, changes)
    if message.ended:
        return ()
    delta = event.payload.get("delta") or {}
    if delta.get("role"):
        message.role.put(version, delta["role"])
    for position, piece in pieces_of(delta, "content"):
        index, kind = index_of(piece, position), word(piece.get("type"))
        part = message.parts.by_index.get(index) or _new_part(message, version, index, kind, changes)
        if part.kind == kind:
            _append(part, version, position, piece, event)
            changes.append(("delta", part, position))
    changes.append(("delta", message, -1))
    return tuple(changes)


def _append(part: PartState, version: int, position: int, piece: Node, event: ThreadMessageDelta) -> None:
    if part.kind == "text":
        text = piece.get("text") or {}
        if text.get("value") is not None:
            part.log.append(version, text["value"])
        for place, annotation in pieces_of(text, "annotations"):
            index = index_of(annotation, part.annotations.next_index())
            part.annotations.append(version, index, event, (position, place))
    elif part.kind == "refusal":
        part.log.append(version, piece.get("refusal") or "")
    else:
        part.pieces.append(version, 0, event, (position, 0))


def message(store: Store, version: int, event: MessageEvent, narrow: None) -> Changes:
    """Fold a whole message: a final message replaces everything, any other message adds only new parts."""
    data = event.data
    changes: list[Change] = []
    message = _message(store, version, data.id, changes)
    content = data.content if isinstance(data.content, list) else ()
    if isinstance(event, FINAL):
        message.whole.put(version, data)
        message.final.put(version, data)
        for place, (known, block) in enumerate(zip(by_place(message.parts.at(version), content), content, strict=True)):
            if is_model(block):
                part = known or _new_part(message, version, message.parts.free_index(place), block.type, changes)
                part.final.put(version, block)
                close(part, changes)
        close(message, changes)
    elif not message.ended:
        message.whole.put(version, data)
        for index, block in enumerate(content):
            if message.parts.by_index.get(index) is None and is_model(block):
                _begin(_new_part(message, version, index, block.type, changes), version, block)
    return tuple(changes)


def _begin(part: PartState, version: int, block: MessageContent) -> None:
    """Fill a new part with the content of a whole object."""
    if block.type == "text":
        part.log.append(version, text_in(block.text, "value"))
        for index, annotation in enumerate(models_in(inside(block.text, "annotations"))):
            part.annotations.append(version, index, node_of(annotation))
    elif block.type == "refusal":
        part.log.append(version, text_in(block, "refusal"))
    else:
        part.pieces.append(version, 0, node_of(block))


def _message(store: Store, version: int, message_id: str, changes: list[Change]) -> MessageState:
    state = store.messages.get(message_id)
    if state is None:
        state = MessageState(message_id, version)
        store.add_message(version, state)
        changes.append(("created", state, -1))
    return state


def _new_part(message: MessageState, version: int, index: int, kind: object, changes: list[Change]) -> PartState:
    part = PartState(message.id, index, word(kind))
    message.parts.add(version, part)
    changes.append(("created", part, -1))
    return part

"""The two protocols of model servers behind one interface: requests, readers, and the notes of a turn."""

from __future__ import annotations

from typing import Literal, Protocol, TypeAlias

from rx_assistant.dialects import chat_request, responses_request
from rx_assistant.dialects.chat import ChatReader, ThinkingPolicy
from rx_assistant.dialects.history import Question
from rx_assistant.dialects.parts import Ending, Part
from rx_assistant.dialects.refusals import CHAT_BENDS, RESPONSES_BENDS, Refusal, bend
from rx_assistant.dialects.responses import ResponsesReader
from rx_assistant.local.ids import new_id
from rx_assistant.local.json_text import JsonObject

ProtocolName: TypeAlias = Literal["chat", "responses"]


class Reader(Protocol):
    """Payloads of one turn → parts, and at the end an `Ending`."""

    @property
    def is_over(self) -> bool:
        """Whether the stream has stated its ending."""
        ...

    def read(self, payload: bytes, name: bytes = b"") -> list[Part]:
        """The parts in a payload."""
        ...

    def end(self) -> tuple[list[Part], Ending]:
        """The parts that were held back, and the ending of the turn."""
        ...


class Turn(Protocol):
    """One request in the form that the server accepts, and the reader of its answer."""

    path: str
    body: JsonObject
    reader: Reader

    @property
    def is_done(self) -> bool:
        """Whether no more payloads will come."""
        ...

    def echo(self, calls: list[int], *, with_text: bool) -> JsonObject:
        """The turn in the server's own form, with only these calls (by number), for a note."""
        ...


class Memory:
    """The request form that one model of one server accepts in one protocol, learned from its refusals."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.chat = chat_request.Form()
        self.responses = responses_request.ResponsesForm()

    def bend(self, protocol: ProtocolName, body: JsonObject, refusal: Refusal) -> str | None:
        """The refused member, which is left out from now on; None if the refusal names none."""
        if protocol == "chat":
            found = bend(CHAT_BENDS, self.chat, body, refusal, self.taken)
            if found is None:
                return None
            name, self.chat = found
        else:
            other = bend(RESPONSES_BENDS, self.responses, body, refusal, self.taken)
            if other is None:
                return None
            name, self.responses = other
        self.taken.append(name)
        return name


def memory_of(upstream: str, protocol: ProtocolName, model: str) -> Memory:
    """The form of this model. It is kept as long as the process lives, so that each refusal happens once."""
    return _MEMORIES.setdefault((upstream, protocol, model), Memory())


def bends_of(upstream: str, protocol: ProtocolName) -> dict[str, tuple[str, ...]]:
    """The members that this server has refused so far, by the name of the model."""
    kept = [*_MEMORIES.items()]  # other servers of this process may add entries meanwhile
    own = {key[2]: memory.taken for key, memory in kept if key[:2] == (upstream, protocol)}
    return {model: tuple(taken) for model, taken in own.items() if taken}


_MEMORIES: dict[tuple[str, ProtocolName, str], Memory] = {}


def new_turn(
    protocol: ProtocolName, question: Question, memory: Memory, upstream: str, thinking: ThinkingPolicy
) -> Turn:
    """The request for a question."""
    if protocol == "chat":
        return ChatTurn(question, memory, upstream, thinking)
    return ResponsesTurn(question, memory, upstream)


class ChatTurn:
    """A request of Chat Completions."""

    path = "/chat/completions"

    def __init__(self, question: Question, memory: Memory, upstream: str, thinking: ThinkingPolicy) -> None:
        self.body: JsonObject = chat_request.chat_body(question, memory.chat, upstream=upstream)
        self._chat = ChatReader(new_id, thinking=thinking)
        self.reader: Reader = self._chat

    @property
    def is_done(self) -> bool:
        return self._chat.is_done

    def echo(self, calls: list[int], *, with_text: bool) -> JsonObject:
        told = self._chat.turn()
        kept = [call for number, call in enumerate(told.get("tool_calls", ())) if number in calls]
        content = told["content"] if with_text else ""
        return {chat_request.ECHO: {**told, "content": content, "tool_calls": kept}}


class ResponsesTurn:
    """A request of Responses, stateless."""

    path = "/responses"

    def __init__(self, question: Question, memory: Memory, upstream: str) -> None:
        self.body: JsonObject = responses_request.responses_body(question, memory.responses, upstream=upstream)
        self._responses = ResponsesReader(new_id)
        self.reader: Reader = self._responses

    @property
    def is_done(self) -> bool:
        return self._responses.is_over

    def echo(self, calls: list[int], *, with_text: bool) -> JsonObject:
        return {responses_request.ECHO: [*_only(self._responses.output, calls)]}


def _only(items: list[JsonObject], calls: list[int]) -> list[JsonObject]:
    """The items of a response without the function calls that are not among `calls`."""
    kept: list[JsonObject] = []
    number = 0
    for item in items:
        is_call = item.get("type") == "function_call"
        if not is_call or number in calls:
            kept.append(dict(item))
        number += is_call
    return kept

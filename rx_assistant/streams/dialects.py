"""Streams in other protocols: bytes → the events of an Assistants run. Ids and times are created here."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from rx_assistant.dialects.chat import ChatReader, ThinkingPolicy
from rx_assistant.dialects.frames import ChatFrames, Payload, is_value
from rx_assistant.dialects.responses import ResponsesReader, tells_the_end
from rx_assistant.dialects.translator import Translator
from rx_assistant.dialects.writer import RunWriter
from rx_assistant.errors import EventTooLargeError
from rx_assistant.events import DoneEvent
from rx_assistant.streams.decoding import Decoded

if TYPE_CHECKING:
    from rx_assistant.dialects.translator import Reader
    from rx_assistant.dialects.writer import Pair

StreamDialect: TypeAlias = Literal["assistants", "chat", "responses"]
"""The protocol of a stream: the Assistants API, Chat Completions, or Responses."""

NewId: TypeAlias = Callable[[str], str]
Now: TypeAlias = Callable[[], int]


def fresh_id(prefix: str) -> str:
    """Return a unique id."""
    return f"{prefix}{uuid.uuid4().hex[:24]}"


def seconds() -> int:
    """Return the time, in seconds since 1970."""
    return int(time.time())


class _Translating:
    """The base of both protocols. When the stream has shown its ending, the last event of the run and `done` follow."""

    def __init__(
        self, reader: Reader, run: Mapping[str, Any], max_event_bytes: int, *, new_id: NewId, now: Now
    ) -> None:
        known = {"thread_id": new_id("thread_"), **run}
        self._translator = Translator(reader, RunWriter(known, new_id=new_id, now=now))
        self._max_event_bytes = max_event_bytes
        self._frames = ChatFrames(max_event_bytes=max_event_bytes)
        self._half = b""  # a last line that was cut
        self._closed = False

    def push(self, chunk: bytes) -> Decoded:
        try:
            frames = self._frames.push(chunk)
        except EventTooLargeError as error:
            return [], [], error.with_traceback(None)  # the traceback would keep the stream alive
        return _decoded(self._translated(frames))

    def end(self) -> Decoded:
        pairs = self._translated(self._last())
        if self._closed:
            return _decoded(pairs)
        return _decoded([*pairs, *(self._closing() if self._translator.is_over else self._translator.cut_pairs())])

    @property
    def is_ending(self) -> bool:
        return self._closed or self._translator.is_over

    @property
    def unread(self) -> bytes:
        return self._translator.unread or self._half

    @property
    def rest(self) -> bytes:
        """Empty, because the recording already holds all events of the run."""
        return b""

    def _last(self) -> list[Payload]:
        """The payloads that only the end of the body completes. An incomplete line is not one of them."""
        payloads = self._frames.end()
        whole = [payload for payload in payloads if _is_whole(*payload)]
        self._half = b"" if len(whole) == len(payloads) else payloads[-1][1]
        return whole

    def _translated(self, frames: list[Payload]) -> list[Pair]:
        pairs: list[Pair] = []
        for name, payload in frames:
            if self._closed:
                break
            pairs += self._translator.feed_pairs(payload, name)
            if self._translator.is_done:
                pairs += self._closing()
        return pairs

    def _closing(self) -> list[Pair]:
        self._closed = True
        return [*self._translator.end_pairs(), (DoneEvent, DoneEvent().raw)]


class ChatDecoding(_Translating):
    """A Chat Completions stream. `run` has the known fields of the run; `choice` is the index of the choice to use.

    `thinking="text"` leaves `<think>…</think>` in the text. Raises ValueError for another value than "reasoning".
    """

    def __init__(
        self,
        max_event_bytes: int,
        *,
        choice: int = 0,
        thinking: ThinkingPolicy = "reasoning",
        run: Mapping[str, Any] | None = None,
        new_id: NewId = fresh_id,
        now: Now = seconds,
    ) -> None:
        if thinking not in ("reasoning", "text"):
            raise ValueError(f"thinking must be 'reasoning' or 'text', got {thinking!r}")
        reader = ChatReader(new_id, choice=choice, thinking=thinking)
        super().__init__(reader, run or {}, max_event_bytes, new_id=new_id, now=now)

    def restart(self) -> None:
        """Never called: a completion cannot be resumed."""


class ResponsesDecoding(_Translating):
    """A Responses stream. Another body may continue it after `sequence_number`."""

    def __init__(
        self,
        max_event_bytes: int,
        *,
        run: Mapping[str, Any] | None = None,
        new_id: NewId = fresh_id,
        now: Now = seconds,
    ) -> None:
        self._reader = ResponsesReader(new_id)
        super().__init__(self._reader, run or {}, max_event_bytes, new_id=new_id, now=now)
        self._final: list[Payload] = []

    @property
    def sequence_number(self) -> int | None:
        """The number of the last event; None if the server sends no numbers."""
        return self._reader.sequence_number

    @property
    def is_ending(self) -> bool:
        last = [*self._frames.pending, *self._final]
        return super().is_ending or any(tells_the_end(payload, name) for name, payload in last)

    def close_with(self, response: bytes) -> None:
        """Give the final response, which another request has fetched. It is used if the body ends without it."""
        self._final = [(b"", response)]

    def restart(self) -> None:
        self._frames = ChatFrames(max_event_bytes=self._max_event_bytes)
        self._reader.resume()

    def _last(self) -> list[Payload]:
        return [*super()._last(), *self._final]


def _is_whole(name: bytes, payload: bytes) -> bool:
    return name == b"error" or payload == b"[DONE]" or (payload[:1] in (b"{", b"[") and is_value(payload))


def _decoded(pairs: list[Pair]) -> Decoded:
    return [kind for kind, _ in pairs], [payload for _, payload in pairs], None

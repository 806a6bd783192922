"""A Responses stream, read as the events of an Assistants run.

| Responses | Assistants |
|---|---|
| response.created, .queued, .in_progress | the run begins |
| a message with its output_text, refusal, file_citation and file_path | a message and a step of its own |
| output_item.added, .done of a function_call | one call; all calls of a turn share one step |
| output_item.added, .done of a code_interpreter_call or file_search_call | a step of its own, with its outputs |
| reasoning_text, reasoning_summary_text | reasoning |
| response.completed with function calls / without / .incomplete / .failed, error | requires_action / completed / … |
| response.cancelled | cancelling, cancelled |
| everything else: web search, MCP, images, shells, url_citation … | an unknown event under its own name |

The key of an item is its `output_index`, because some servers change an item's id between its events; without an index
(llama.cpp) it is the `item_id`. Text that the deltas left out is taken from the `done` events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_core import from_json

from rx_assistant.dialects.errors import error_text
from rx_assistant.dialects.halves import Halves
from rx_assistant.dialects.parts import (
    Annotation,
    Arguments,
    Call,
    Ending,
    HostedCall,
    HostedDone,
    HostedInput,
    LateText,
    MessageDone,
    Part,
    Reasoning,
    Refusal,
    Text,
    Unknown,
    Usage,
)
from rx_assistant.dialects.reading import (
    Broken,
    Json,
    count_in,
    json_text,
    list_in,
    object_in,
    text_in,
    whole_number_in,
    word_in,
)
from rx_assistant.dialects.translator import Translator
from rx_assistant.dialects.writer import RunWriter

_HOSTED: Final[Mapping[str, Any]] = {
    "code_interpreter_call": "code_interpreter",
    "file_search_call": "file_search",
}
_TERMINAL: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled", "response.done"}
)
_OPEN: Final = frozenset({"queued", "in_progress"})
_CODES: Final = frozenset({"server_error", "rate_limit_exceeded", "invalid_prompt"})
_SILENT: Final = frozenset(
    {
        "keepalive",
        "ping",
        "response.code_interpreter_call.completed",
        "response.code_interpreter_call.in_progress",
        "response.code_interpreter_call.interpreting",
        "response.content_part.added",
        "response.content_part.done",
        "response.created",
        "response.file_search_call.completed",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.in_progress",
        "response.queued",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.reasoning_summary_text.done",
        "response.reasoning_text.done",
    }
)


class ResponsesTranslator(Translator):
    """Payloads of a Responses stream → events of one run: `feed(payload)` for each, then `end()` once.

    `run` holds the known members of the run (`thread_id`, `assistant_id`, `model` …). `new_id("msg_")` returns a new id
    with that prefix, `now()` returns seconds since 1970.
    """

    def __init__(
        self, run: Mapping[str, Any] | None = None, *, new_id: Callable[[str], str], now: Callable[[], int]
    ) -> None:
        self.reader = ResponsesReader(new_id)
        super().__init__(self.reader, RunWriter(run or {}, new_id=new_id, now=now))


class _Item:
    """An item of the output: its type, and what was already emitted for it."""

    __slots__ = ("begun", "call", "done", "halves", "id", "key", "texts", "type")

    def __init__(self, key: str, type: str) -> None:
        self.key = key
        self.type = type
        self.call: int | None = None  # the number of a function call
        self.begun = False  # whether a call of a hosted tool was emitted
        self.id = ""  # and under which id
        self.texts: dict[tuple[str, int], str] = {}  # the emitted text, by kind and part
        self.halves: dict[tuple[str, int], Halves] = {}
        self.done = False


class ResponsesReader:
    """Payloads of one response → parts, and at the end an `Ending`."""

    def __init__(self, new_id: Callable[[str], str]) -> None:
        self.model = ""
        self.response_id = ""
        self.sequence_number: int | None = None
        """The last sequence number of the server. A background response is resumed after it."""
        self.output: list[Json] = []
        """The finished items, in the form that the same server expects as input."""
        self._told = -1  # the last number of an earlier body of this response
        self._new_id = new_id
        self._items: dict[str, _Item] = {}
        self._ids: set[str] = set()
        self._calls = 0
        self._said = False
        self._status = ""
        self._reason = ""
        self._error: Any = None
        self._usage: Usage | None = None
        self._broken = Broken()

    @property
    def is_over(self) -> bool:
        """Whether the stream has stated its ending: by a terminal event or an error."""
        return bool(self._status) or self._error is not None

    @property
    def is_done(self) -> bool:
        """Whether nothing more will come: a terminal event or an error is the last."""
        return self.is_over

    @property
    def run_id(self) -> str:
        """The response's id."""
        return self.response_id

    @property
    def unread(self) -> bytes:
        """The beginning of the payloads that were not JSON."""
        return self._broken.unread

    def resume(self) -> None:
        """Read another body of the same response. Events whose number was seen before are left out."""
        self._told = -1 if self.sequence_number is None else self.sequence_number

    def read(self, payload: bytes, name: bytes = b"") -> list[Part]:
        """The parts in a payload. `name` is the event's name in its frame, for payloads without `type`."""
        if payload.strip() == b"[DONE]":
            return []
        try:
            event = from_json(payload)
        except ValueError:
            event = self._broken.read(payload)
        parts: list[Part] = []
        if type(event) is dict:
            self._event(event, name.decode("utf-8", "replace"), parts)
        elif name == b"error":
            self._error = event if event is not None else payload.decode("utf-8", "replace")
        return parts

    def end(self) -> tuple[list[Part], Ending]:
        """The parts that were held back, and the ending of the response."""
        parts: list[Part] = []
        for item in self._items.values():
            for (kind, part), halves in item.halves.items():
                self._put(item, kind, part, halves.end(), parts)
        return parts, self._ending()

    # -- events --------------------------------------------------------------------------------------------------

    def _event(self, event: Json, name: str, parts: list[Part]) -> None:
        kind = text_in(event.get("type")) or name
        number = event.get("sequence_number")
        if type(number) is int:
            if number <= self._told:
                return
            self.sequence_number = number
        read = _READERS.get(kind)
        if read is not None:
            read(self, event, parts)
        elif kind in _TERMINAL or event.get("object") == "response":
            response = object_in(event.get("response")) or event
            is_final = not kind and text_in(response.get("status")) not in _OPEN
            self._response(response, parts, ends=kind in _TERMINAL or is_final)
        elif kind == "error" or (not kind and event.get("error")):
            self._error = event.get("error") or event
        elif kind in _SILENT:
            self._response(object_in(event.get("response")), parts, ends=False)
        else:
            parts.append(Unknown(str(kind or "message")))

    def _response(self, response: Json, parts: list[Part], *, ends: bool) -> None:
        if isinstance(response.get("model"), str):
            self.model = self.model or word_in(response["model"])
        if isinstance(response.get("id"), str):
            self.response_id = word_in(response["id"])
        if not ends:
            return
        for index, item in enumerate(list_in(response.get("output"))):
            if type(item) is dict and not self._is_told(item, index):
                self._item_done({"item": item, "output_index": index}, parts)
        self._status = word_in(response.get("status")) or "completed"
        self._reason = word_in(object_in(response.get("incomplete_details")).get("reason"))
        if response.get("error"):
            self._error = response["error"]
        if object_in(response.get("usage")):
            self._usage = _usage(response["usage"])

    def _is_told(self, item: Json, index: int) -> bool:
        """Whether an item of the finished response was an item of the stream."""
        known = self._items.get(f"#{index}") or self._items.get(str(item.get("id")))
        return known is not None and known.done

    def _item(self, event: Json, type: str = "message") -> _Item:
        index, told = event.get("output_index"), object_in(event.get("item"))
        number = whole_number_in(index)
        key = f"#{number}" if number is not None else word_in(event.get("item_id") or told.get("id"))
        item = self._items.get(key)
        if item is None:
            item = self._items[key] = _Item(key, text_in(told.get("type")) or type)
        return item

    def _item_added(self, event: Json, parts: list[Part]) -> None:
        told = object_in(event.get("item"))
        item = self._item(event)
        match item.type:
            case "function_call":
                self._begin_call(item, told, parts)
            case "code_interpreter_call" | "file_search_call" if not self._calls:
                self._begin_hosted(item, told, parts)
            case "message" | "reasoning":
                pass
            case _:
                parts.append(Unknown("response.output_item.added"))

    def _begin_hosted(self, item: _Item, told: Json, parts: list[Part]) -> None:
        item.id = word_in(told.get("id")) or item.id or self._new_id("call_")
        if not item.begun:
            item.begun = True
            parts.append(HostedCall(item.key, item.id, _HOSTED[item.type]))
        self._put(item, "input", 0, text_in(told.get("code")), parts)

    def _begin_call(self, item: _Item, told: Json, parts: list[Part]) -> None:
        if item.call is not None:
            return
        given_id = word_in(told.get("call_id") or told.get("id"))
        call_id = given_id if given_id and given_id not in self._ids else self._new_id("call_")
        self._ids.add(call_id)
        item.call, self._calls = self._calls, self._calls + 1
        parts.append(Call(item.call, call_id, given_id, word_in(told.get("name"))))
        self._put(item, "arguments", 0, _arguments_in(told), parts)

    def _item_done(self, event: Json, parts: list[Part]) -> None:
        told = object_in(event.get("item"))
        self.output.append(told)
        key_known = len(self._items)
        item = self._item(event)
        if len(self._items) > key_known and item.type != "message":
            self._item_added(event, parts)
        if item.done:
            return
        item.done = True
        match item.type:
            case "message":
                self._message_done(item, told, parts)
            case "function_call":
                self._begin_call(item, told, parts)
                self._fill(item, "arguments", 0, _arguments_in(told), parts)
            case "code_interpreter_call" | "file_search_call" if not self._calls:
                self._begin_hosted(item, told if not item.begun else {}, parts)
                failed = text_in(told.get("status")) in {"failed", "incomplete"}
                parts.append(HostedDone(item.key, _hosted(told, item), failed))
            case "reasoning":
                if not any(kind == "reasoning" for kind, _ in item.texts):
                    for piece in [*list_in(told.get("summary")), *list_in(told.get("content"))]:
                        self._put(item, "reasoning", 0, text_in(object_in(piece).get("text")), parts)
            case _:
                parts.append(Unknown("response.output_item.done"))

    def _message_done(self, item: _Item, told: Json, parts: list[Part]) -> None:
        for part, piece in enumerate(list_in(told.get("content"))):
            if type(piece) is dict:
                self._fill(item, "text", part, piece.get("text"), parts)
                self._fill(item, "refusal", part, piece.get("refusal"), parts)
        if told.get("status") != "incomplete":
            parts.append(MessageDone(item.key))

    # -- texts ---------------------------------------------------------------------------------------------------

    def _text_delta(self, event: Json, parts: list[Part]) -> None:
        self._put(
            self._item(event),
            "text",
            (whole_number_in(event.get("content_index")) or 0),
            text_in(event.get("delta")),
            parts,
        )

    def _text_done(self, event: Json, parts: list[Part]) -> None:
        self._fill(
            self._item(event), "text", (whole_number_in(event.get("content_index")) or 0), event.get("text"), parts
        )

    def _refusal_delta(self, event: Json, parts: list[Part]) -> None:
        self._put(
            self._item(event),
            "refusal",
            (whole_number_in(event.get("content_index")) or 0),
            text_in(event.get("delta")),
            parts,
        )

    def _refusal_done(self, event: Json, parts: list[Part]) -> None:
        self._fill(
            self._item(event),
            "refusal",
            (whole_number_in(event.get("content_index")) or 0),
            event.get("refusal"),
            parts,
        )

    def _reasoning_delta(self, event: Json, parts: list[Part]) -> None:
        self._put(self._item(event, "reasoning"), "reasoning", 0, text_in(event.get("delta")), parts)

    def _arguments_delta(self, event: Json, parts: list[Part]) -> None:
        self._put(self._call_of(event, parts), "arguments", 0, text_in(event.get("delta")), parts)

    def _arguments_done(self, event: Json, parts: list[Part]) -> None:
        self._fill(self._call_of(event, parts), "arguments", 0, _arguments_in(event), parts)

    def _code_delta(self, event: Json, parts: list[Part]) -> None:
        self._put(self._code_of(event, parts), "input", 0, text_in(event.get("delta")), parts)

    def _code_done(self, event: Json, parts: list[Part]) -> None:
        self._fill(self._code_of(event, parts), "input", 0, event.get("code"), parts)

    def _annotation(self, event: Json, parts: list[Part]) -> None:
        mark = _citation(object_in(event.get("annotation")))
        if mark is None or self._calls:
            parts.append(Unknown("response.output_text.annotation.added"))
        else:
            parts.append(Annotation(mark, self._item(event).key, (whole_number_in(event.get("content_index")) or 0)))

    def _call_of(self, event: Json, parts: list[Part]) -> _Item:
        item = self._item(event, "function_call")
        self._begin_call(item, {**event, "arguments": None}, parts)
        return item

    def _code_of(self, event: Json, parts: list[Part]) -> _Item:
        item = self._item(event, "code_interpreter_call")
        if item.type in _HOSTED and not item.begun and not self._calls:
            self._begin_hosted(item, {}, parts)
        return item

    def _fill(self, item: _Item, kind: str, part: int, whole: Any, parts: list[Part]) -> None:
        """Emit the end of a text that the deltas left out; the whole text is known now."""
        told = item.texts.get((kind, part), "")
        if isinstance(whole, str) and len(whole) > len(told) and whole.startswith(told):
            self._put(item, kind, part, whole[len(told) :], parts)

    def _put(self, item: _Item, kind: str, part: int, value: str, parts: list[Part]) -> None:
        key = (kind, part)
        if key in item.halves or not value.isascii():
            halves = item.halves.get(key)
            if halves is None:
                halves = item.halves[key] = Halves()
            value = halves.push(value)
        if not value:
            return
        item.texts[key] = item.texts.get(key, "") + value
        match kind:
            case "text" | "refusal" if self._calls:
                parts.append(LateText(value))
            case "text":
                self._said = True
                parts.append(Text(value, item.key, part))
            case "refusal":
                self._said = True
                parts.append(Refusal(value, item.key, part))
            case "reasoning":
                parts.append(Reasoning(value))
            case "arguments" if item.call is not None:
                parts.append(Arguments(item.call, value))
            case "input" if item.begun and not self._calls:
                parts.append(HostedInput(item.key, value))

    # -- endings -------------------------------------------------------------------------------------------------

    def _ending(self) -> Ending:
        usage, error = self._usage, self._error
        if error is None and self._status == "cancelled":
            return Ending("cancelled", "run_cancelled", usage=usage)
        if error is not None or self._status == "failed":
            code = str(object_in(error).get("code") or "")
            why = error_text(error) if error is not None else f"the model's server ended the response as {self._status}"
            return Ending("failed", "run_failed", code if code in _CODES else "server_error", why, usage)
        if self._status == "incomplete":
            if self._reason == "content_filter":
                why = "the model's server stopped the answer: content_filter"
                return Ending("failed", "content_filter", message=why, usage=usage)
            return Ending("incomplete", "max_tokens", usage=usage)
        if not self._items:
            said = self._broken.said()
            why = f"the model gave no answer: {said}" if said else "the model gave no answer"
            return Ending("failed", "run_failed", message=why, usage=usage)
        if not self._status:
            why = "the model's answer broke off: the stream ended without a final response event"
            return Ending("failed", "run_failed", message=why, usage=usage)
        return Ending("requires_action" if self._calls else "completed", usage=usage)


_READERS: Final[Mapping[str, Callable[[ResponsesReader, Json, list[Part]], None]]] = {
    "response.output_item.added": ResponsesReader._item_added,
    "response.output_item.done": ResponsesReader._item_done,
    "response.output_text.delta": ResponsesReader._text_delta,
    "response.output_text.done": ResponsesReader._text_done,
    "response.output_text.annotation.added": ResponsesReader._annotation,
    "response.refusal.delta": ResponsesReader._refusal_delta,
    "response.refusal.done": ResponsesReader._refusal_done,
    "response.reasoning_text.delta": ResponsesReader._reasoning_delta,
    "response.reasoning_summary_text.delta": ResponsesReader._reasoning_delta,
    "response.function_call_arguments.delta": ResponsesReader._arguments_delta,
    "response.function_call_arguments.done": ResponsesReader._arguments_done,
    "response.code_interpreter_call_code.delta": ResponsesReader._code_delta,
    "response.code_interpreter_call_code.done": ResponsesReader._code_done,
}


def tells_the_end(payload: bytes, name: bytes = b"") -> bool:
    """Whether a payload is complete, and the last one."""
    reader = ResponsesReader(lambda prefix: prefix)
    reader.read(payload, name)
    return reader.is_over


def _citation(annotation: Json) -> Json | None:
    """The annotation in the members of the Assistants API; None if that API has no such kind."""
    kind, file_id = annotation.get("type"), annotation.get("file_id")
    if kind not in ("file_citation", "file_path") or not isinstance(file_id, str):
        return None
    at = whole_number_in(annotation.get("index")) or 0
    return {"type": kind, "text": "", "start_index": at, "end_index": at, kind: {"file_id": file_id}}


def _arguments_in(told: Json) -> str:
    """A call's arguments as text. Some servers send them as an object."""
    arguments = told.get("arguments")
    return arguments if isinstance(arguments, str) else "" if arguments is None else json_text(arguments)


def _hosted(told: Json, item: _Item) -> Json:
    """A finished item of a hosted tool, as a tool call of an Assistants step."""
    if item.type == "code_interpreter_call":
        outputs = [
            {"type": "logs", "logs": text_in(output.get("logs"))}
            for output in list_in(told.get("outputs"))
            if type(output) is dict and output.get("type") == "logs"
        ]
        inside: Json = {"input": text_in(told.get("code")) or item.texts.get(("input", 0), ""), "outputs": outputs}
        return {"id": item.id, "type": "code_interpreter", "code_interpreter": inside}
    results = [_result(result) for result in list_in(told.get("results")) if type(result) is dict]
    return {"id": item.id, "type": "file_search", "file_search": {"results": results}}


def _result(result: Json) -> Json:
    return {
        "file_id": result.get("file_id"),
        "file_name": result.get("filename"),
        "score": result.get("score"),
        "attributes": result.get("attributes") or {},
        "content": [{"type": "text", "text": result.get("text") or ""}],
    }


def _usage(told: Json) -> Usage:
    prompt, completion = count_in(told.get("input_tokens")), count_in(told.get("output_tokens"))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": count_in(told.get("total_tokens")) or prompt + completion,
        "prompt_token_details": {
            "cached_tokens": count_in(object_in(told.get("input_tokens_details")).get("cached_tokens"))
        },
        "completion_tokens_details": {
            "reasoning_tokens": count_in(object_in(told.get("output_tokens_details")).get("reasoning_tokens"))
        },
    }

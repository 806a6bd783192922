"""A Chat Completions stream, read as the events of an Assistants run.

Servers of this protocol differ in many details. So only the content of a field counts: null, missing and `""` mean the
same for role, id, name, type, content, delta, choices and usage. The rules, with the servers that need them:

| what comes | what it means |
|---|---|
| `tool_calls` or `content` as one object (TGI) | a list of one |
| name and arguments beside the call's id, without `function` | as if they stood in `function` |
| `function_call` beside `tool_calls` (llama-cpp-python) | is ignored; alone, it is a call |
| an index seen before, same or no id | the call continues |
| the same index, another id (vLLM, LiteLLM) | a new call |
| no index (Gemini, Mistral) | the call with that id; without an id the last call continues, unless a new name comes |
| an index never seen, no id, no name (Nebius, Cerebras) | the last call continues |
| id and name in every fragment (SGLang) | the first that is not empty counts |
| arguments before the name (SGLang) | they are held until the name is there |
| arguments as an object (TGI), null, missing (Databricks, Writer) | serialised; nothing; `""` |
| no id, or an id that another call has | a fresh one |
| finish_reason `stop` with calls (Ollama, Gemini) | requires_action: the calls decide, not the word |
| finish_reason in capitals, `MAX_TOKENS`, `model_length` (Mistral), `SAFETY` | `length`, `content_filter` |
| a second finish_reason, content after it (OpenRouter, Cerebras) | the last word counts, content counts |
| usage in every chunk, in `x_groq`, twice | the last one counts |
| `reasoning_content`, `reasoning`, `reasoning_details`, parts `thinking` (Mistral), a leading `<think>` | reasoning |
| a `<think>` that never closes | text |
| `{"error": …}`, `{"object": "error", …}`, `[{"error": …}]` at status 200 | failed, unless `length` came before |
| `{"detail": …}`, `{"message": …}` and no proper ending | failed, with these words |
| bytes that are not UTF-8, numbers of any length | only that member is lost |
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

from pydantic_core import from_json

from rx_assistant.dialects.chat_text import only_text
from rx_assistant.dialects.errors import error_text
from rx_assistant.dialects.halves import Halves
from rx_assistant.dialects.parts import (
    Arguments,
    Call,
    Ending,
    LateText,
    Part,
    Reasoning,
    Refusal,
    Text,
    Unknown,
    Usage,
)
from rx_assistant.dialects.reading import SHOWN, Broken, count_in, json_text, object_in, whole_number_in, word_in
from rx_assistant.dialects.thinking import Thinking
from rx_assistant.dialects.translator import Translator
from rx_assistant.dialects.writer import RunWriter

ThinkingPolicy: TypeAlias = Literal["reasoning", "text"]
"""Where a leading `<think>…</think>` in the text goes."""

_DONE: Final = b"[DONE]"
_PLAIN_CHUNK: Final = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "service_tier", "provider"}
    | {"x_groq", "obfuscation", "type", "p"}
)
_PLAIN_DELTA: Final = frozenset(
    ["role", "content", "refusal", "reasoning", "reasoning_content", "reasoning_details", "tool_calls", "function_call"]
)


class ChatTranslator(Translator):
    """Payloads of a Chat Completions stream → events of one run: `feed(payload)` for each, then `end()` once.

    `run` holds the known members of the run (`thread_id`, `assistant_id`, `model` …). `new_id("msg_")` returns a new id
    with that prefix, `now()` returns seconds since 1970. `choice` selects one of several choices; the chunks of the
    others become unknown events. `thinking="text"` leaves `<think>…</think>` in the text.
    """

    def __init__(
        self,
        run: Mapping[str, Any] | None = None,
        *,
        new_id: Callable[[str], str],
        now: Callable[[], int],
        choice: int = 0,
        thinking: ThinkingPolicy = "reasoning",
    ) -> None:
        reader = ChatReader(new_id, choice=choice, thinking=thinking)
        super().__init__(reader, RunWriter(run or {}, new_id=new_id, now=now))


class _OpenCall:
    """A call that is still being streamed: its place in the turn, and its fragments so far."""

    __slots__ = ("extra", "fragments", "given_id", "halves", "id", "index", "name", "told")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.given_id = ""
        self.name = ""
        self.told = False
        self.fragments: list[str] = []
        self.halves = Halves()
        self.extra: dict[str, Any] = {}

    @property
    def arguments(self) -> str:
        return "".join(self.fragments)

    @property
    def is_whole(self) -> bool:
        """Whether the arguments are a complete JSON value."""
        try:
            from_json(self.arguments)
        except ValueError:
            return False
        return True


class ChatReader:
    """Payloads of one turn → parts, and at the end an `Ending`; for one choice of the stream."""

    def __init__(
        self, new_id: Callable[[str], str], *, choice: int = 0, thinking: ThinkingPolicy = "reasoning"
    ) -> None:
        self.model = ""
        self.run_id = ""  # chunks have ids, but no request takes them
        self._new_id = new_id
        self._choice = choice
        self._thinking = Thinking() if thinking == "reasoning" else None
        self._calls: list[_OpenCall] = []
        self._by_index: dict[int, _OpenCall] = {}
        self._ids: set[str] = set()
        self._texts: list[str] = []
        self._late: list[str] = []
        self._reasoning: list[str] = []
        self._reasoning_field = ""
        self._details: list[dict[str, Any]] = []
        self._refused = False
        self._modern_calls = False
        self._finish = ""
        self._done = False
        self._error: dict[str, Any] | None = None
        self._usage: Usage | None = None
        self._broken = Broken()
        self._stray = ""  # the message of a payload that is not a chunk
        self._odd = False  # whether a payload held escapes that are not Unicode: texts may hold halves of pairs
        self._halves = {kind: Halves() for kind in (Text, Reasoning, Refusal)}

    # -- state, for the caller -----------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        """Whether the stream has stated its ending: by a finish_reason, `[DONE]` or an error."""
        return self._done or bool(self._finish) or self._error is not None

    @property
    def is_done(self) -> bool:
        """Whether nothing more will come: `[DONE]` or an error was read."""
        return self._done or self._error is not None

    @property
    def unread(self) -> bytes:
        """The beginning of the payloads that were not JSON."""
        return self._broken.unread

    def turn(self) -> dict[str, Any]:
        """The turn as an assistant message of this protocol, for the next request to the same server.

        It holds the server's own ids of the calls, its reasoning, and the extra members that it expects to get back.
        """
        message: dict[str, Any] = {"role": "assistant", "content": "".join([*self._texts, *self._late])}
        if self._calls:
            message["tool_calls"] = [_echoed(call) for call in self._calls]
        if self._reasoning and self._reasoning_field:
            message[self._reasoning_field] = "".join(self._reasoning)
        if self._details:
            message["reasoning_details"] = self._details
        return message

    def read(self, payload: bytes, name: bytes = b"") -> list[Part]:
        """The parts in a payload. `name` is the event's name in its frame; `error` marks any payload as an error."""
        if self._done:
            return []
        if payload[:1] in b"[ " and payload.strip() == _DONE:
            self._done = True
            return []
        parts: list[Part] = []
        text = only_text(payload, self._choice) if self.model and name != b"error" else ""
        if text:
            if self._thinking is None and not (self._odd or self._calls):
                self._texts.append(text)
                return [Text(text)]
            self._take_text(text, parts)
            return parts
        try:
            chunk = from_json(payload)
        except ValueError:
            chunk = self._broken.read(payload) if name != b"error" else payload.decode("utf-8", "replace")
            self._odd = self._broken.found
        if name == b"error":
            self._fail(chunk)
        elif type(chunk) is dict:
            self._chunk(chunk, parts)
        elif type(chunk) is list and chunk and isinstance(chunk[0], dict):
            self._chunk(chunk[0], parts)
        return parts

    def end(self) -> tuple[list[Part], Ending]:
        """The parts that were held back, and the ending of the turn."""
        parts: list[Part] = []
        if self._broken.unread:
            parts.append(Unknown("message"))
        self._think(self._halves[Reasoning].end(), parts)
        self._refuse(self._halves[Refusal].end(), parts)
        self._put_text(self._halves[Text].end(), parts)
        self._flush_thinking(parts)
        for call in self._calls:
            self._put_arguments(call, call.halves.end(), parts)
            if not call.told:
                self._tell(call, parts)
        return parts, self._ending()

    # -- chunks --------------------------------------------------------------------------------------------------

    def _chunk(self, chunk: dict[str, Any], parts: list[Part]) -> None:
        error = chunk.get("error")
        if error or chunk.get("object") == "error":
            self._fail(error or chunk)
        usage = chunk.get("usage") or object_in(chunk.get("x_groq")).get("usage")
        if type(usage) is dict and usage:
            self._usage = _usage(usage)
        if not self.model and isinstance(chunk.get("model"), str):
            self.model = chunk["model"]
        choices = chunk.get("choices")
        kept = False
        for position, choice in enumerate(choices if type(choices) is list else (choices,)):
            if type(choice) is not dict:
                continue
            index = whole_number_in(choice.get("index"))
            if (position if index is None else index) == self._choice:
                kept = self._read_choice(choice, parts) or kept
            else:
                kept = True
        if not parts and (kept or not chunk.keys() <= _PLAIN_CHUNK) and self._error is None:
            if choices is None:
                self._stray = self._stray or error_text(chunk)
            parts.append(Unknown(str(chunk.get("object") or "chat.completion.chunk")))

    def _read_choice(self, choice: dict[str, Any], parts: list[Part]) -> bool:
        """Read one choice. True if it holds something that no part can express."""
        delta = choice.get("delta") or choice.get("message") if not self._began else choice.get("delta")
        kept = False
        if type(delta) is dict:
            self._read_delta(delta, parts)
            kept = not parts and not delta.keys() <= _PLAIN_DELTA
        finish = choice.get("finish_reason")
        if finish:
            self._finish = _FINISHES.get(str(finish).lower(), str(finish))
        if choice.get("error"):
            self._fail(choice["error"])
        return kept or bool(choice.get("logprobs"))

    @property
    def _began(self) -> bool:
        """Whether anything was read. After that, a `message` only repeats the deltas."""
        return bool(self._texts or self._calls or self._refused or self._reasoning)

    def _read_delta(self, delta: dict[str, Any], parts: list[Part]) -> None:
        self._read_reasoning(delta, parts)
        content = delta.get("content")
        if content:
            if type(content) is str:
                self._take_text(content, parts)
            else:
                for piece in content if type(content) is list else (content,):
                    self._read_piece(piece, parts)
        refusal = delta.get("refusal")
        if refusal and type(refusal) is str:
            self._refuse(refusal, parts)
        audio = delta.get("audio")
        if type(audio) is dict and audio.get("transcript"):
            self._take_text(str(audio["transcript"]), parts)
        calls = delta.get("tool_calls")
        if calls:
            self._modern_calls = True
            for call in calls if type(calls) is list else [calls]:
                if type(call) is dict:
                    self._read_call(call, parts)
        elif delta.get("function_call") and not self._modern_calls and type(delta["function_call"]) is dict:
            self._read_call({"index": _LEGACY, "function": delta["function_call"]}, parts)

    def _read_piece(self, piece: Any, parts: list[Part]) -> None:
        """One piece of a content list: text, reasoning or a refusal."""
        if type(piece) is not dict:
            if isinstance(piece, str):
                self._take_text(piece, parts)
            return
        match piece.get("type"):
            case "thinking" | "reasoning":
                self._think(_text_within(piece.get("thinking") or piece.get("reasoning") or piece.get("text")), parts)
            case "refusal":
                self._refuse(word_in(piece.get("refusal")), parts)
            case _:
                self._take_text(_text_within(piece.get("text")), parts)

    def _read_reasoning(self, delta: dict[str, Any], parts: list[Part]) -> None:
        details = delta.get("reasoning_details")
        if details and type(details) is list:
            self._keep_details(details)
        for field in ("reasoning_content", "reasoning"):
            value = delta.get(field)
            if value and type(value) is str:
                self._reasoning_field = self._reasoning_field or field
                self._think(value, parts)
                return
        if details and type(details) is list:
            self._think("".join(_detail_text(item) for item in details), parts)

    def _think(self, value: str, parts: list[Part]) -> None:
        if self._odd:
            value = self._halves[Reasoning].push(value)
        if value:
            self._reasoning.append(value)
            parts.append(Reasoning(value))

    def _refuse(self, value: str, parts: list[Part]) -> None:
        if self._odd:
            value = self._halves[Refusal].push(value)
        if value and self._calls:
            self._put_text(value, parts)
        elif value:
            self._refused = True
            parts.append(Refusal(value))

    def _keep_details(self, details: list[Any]) -> None:
        """Join the fragments of one detail, in the form in which it must be sent back."""
        for item in details:
            if type(item) is not dict:
                continue
            last = self._details[-1] if self._details else None
            if last is None or any(last.get(key) != item.get(key) for key in ("type", "index", "id")):
                self._details.append(dict(item))
                continue
            for key, value in item.items():
                if key in _JOINED_DETAILS and isinstance(value, str) and isinstance(last.get(key), str):
                    last[key] += value
                elif value is not None:
                    last[key] = value

    # -- text ----------------------------------------------------------------------------------------------------

    def _take_text(self, value: str, parts: list[Part]) -> None:
        if self._odd:
            value = self._halves[Text].push(value)
        thinking = self._thinking
        if thinking is not None:
            thought, value = thinking.push(value)
            self._think(thought, parts)
            if thinking.is_over:
                self._thinking = None
        self._put_text(value, parts)

    def _put_text(self, value: str, parts: list[Part]) -> None:
        if not value:
            return
        if not self._calls:
            self._texts.append(value)
            parts.append(Text(value))
        elif value.strip() or self._late:
            self._late.append(value)
            parts.append(LateText(value))

    def _flush_thinking(self, parts: list[Part]) -> None:
        """Emit the held text as text, because its second tag is missing."""
        if self._thinking is not None:
            self._put_text(self._thinking.end(), parts)
            self._thinking = None

    # -- calls ---------------------------------------------------------------------------------------------------

    def _read_call(self, told: dict[str, Any], parts: list[Part]) -> None:
        self._flush_thinking(parts)
        function = object_in(told.get("function")) or told
        name, given_id = word_in(function.get("name")), word_in(told.get("id"))
        call = self._call_for(whole_number_in(told.get("index")), given_id, name)
        if given_id and not call.given_id:
            call.given_id = given_id
        if name and not call.name:
            call.name = name
        for key, value in told.items():
            if key not in _CALL_MEMBERS and value is not None:
                call.extra[key] = value
        arguments = function.get("arguments")
        if arguments is not None and arguments != "":
            text = arguments if isinstance(arguments, str) else json_text(arguments)
            self._put_arguments(call, call.halves.push(text) if self._odd else text, parts)
        if call.name and not call.told:
            self._tell(call, parts)

    def _call_for(self, index: int | None, given_id: str, name: str) -> _OpenCall:
        """The call that a fragment belongs to. A fragment may begin a new call."""
        last = self._calls[-1] if self._calls else None
        if index is not None and index in self._by_index:
            known = self._by_index[index]
            if not given_id or not known.given_id or given_id == known.given_id:
                return known
            return self._new_call(index)
        known_by_id = self._by_id(given_id)
        if known_by_id is not None and (not name or index is None):
            return known_by_id
        if last is not None and not given_id and (not name or (name == last.name and not last.is_whole)):
            return last
        return self._new_call(index)

    def _by_id(self, given_id: str) -> _OpenCall | None:
        if not given_id:
            return None
        return next((call for call in reversed(self._calls) if call.given_id == given_id), None)

    def _new_call(self, index: int | None) -> _OpenCall:
        call = _OpenCall(len(self._calls))
        self._calls.append(call)
        if index is not None:
            self._by_index[index] = call
        return call

    def _put_arguments(self, call: _OpenCall, value: str, parts: list[Part]) -> None:
        if value:
            call.fragments.append(value)
            if call.told:
                parts.append(Arguments(call.index, value))

    def _tell(self, call: _OpenCall, parts: list[Part]) -> None:
        """Begin the call, with the arguments that were held until its name arrived."""
        call.told = True
        call.id = call.given_id if call.given_id and call.given_id not in self._ids else self._new_id("call_")
        self._ids.add(call.id)
        parts.append(Call(call.index, call.id, call.given_id, call.name))
        if call.fragments:
            parts.append(Arguments(call.index, call.arguments))

    # -- endings -------------------------------------------------------------------------------------------------

    def _fail(self, error: Any) -> None:
        if self._finish != "length":
            self._error = error if type(error) is dict else {"message": error_text(error)}

    def _ending(self) -> Ending:
        usage = self._usage
        if self._error is not None:
            return Ending("failed", "run_failed", message=error_text(self._error), usage=usage)
        match self._finish:
            case "length":
                return Ending("incomplete", "max_tokens", usage=usage)
            case "content_filter":
                why = "the model's server stopped the answer: content_filter"
                return Ending("failed", "content_filter", message=why, usage=usage)
            case "error":
                why = "the model's server ended the answer with finish_reason 'error'"
                return Ending("failed", "run_failed", message=why, usage=usage)
        if not self._calls and not self._texts and not self._refused:
            return Ending("failed", "run_failed", message=self._no_answer(), usage=usage)
        if not self.is_over:
            why = "the model's answer broke off: the stream ended without finish_reason and [DONE]"
            return Ending("failed", "run_failed", message=self._with_stray(why), usage=usage)
        return Ending("requires_action" if self._calls else "completed", usage=usage)

    def _no_answer(self) -> str:
        said = self._broken.said()
        return f"the model gave no answer: {said}" if said else self._with_stray("the model gave no answer")

    def _with_stray(self, why: str) -> str:
        return f"{why}: {self._stray[:SHOWN]}" if self._stray else why


_JOINED_DETAILS: Final = frozenset({"text", "summary", "data", "signature"})
_CALL_MEMBERS: Final = frozenset({"index", "id", "type", "function", "name", "arguments"})
_LEGACY: Final = -1  # the index of the call in `function_call`, which no call in `tool_calls` continues
_FINISHES: Final = {
    **dict.fromkeys(("length", "max_tokens", "model_length"), "length"),  # model_length is Mistral's
    **dict.fromkeys(("content_filter", "safety"), "content_filter"),
    "error": "error",
}
"""The deciding words, in upper or lower case, because gateways pass on the words of other protocols."""


def _usage(told: dict[str, Any]) -> Usage:
    """Counts under the names of a run's usage, its misspelt `prompt_token_details` included."""
    prompt, completion = count_in(told.get("prompt_tokens")), count_in(told.get("completion_tokens"))
    before, after = told.get("prompt_tokens_details") or {}, told.get("completion_tokens_details") or {}
    cached = told.get("prompt_cache_hit_tokens") or (before.get("cached_tokens") if type(before) is dict else 0)
    reasoning = after.get("reasoning_tokens") if type(after) is dict else 0
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": count_in(told.get("total_tokens")) or prompt + completion,
        "prompt_token_details": {"cached_tokens": count_in(cached)},
        "completion_tokens_details": {"reasoning_tokens": count_in(reasoning)},
    }


def _text_within(value: Any) -> str:
    """The text of a piece, which may be a list of pieces."""
    if isinstance(value, str):
        return value
    return "".join(_texts(value)) if isinstance(value, list) else ""


def _texts(pieces: list[Any]) -> Iterator[str]:
    for piece in pieces:
        yield _text_within(piece.get("text") if isinstance(piece, dict) else piece)


def _detail_text(item: Any) -> str:
    return word_in(item.get("text") or item.get("summary")) if type(item) is dict else ""


def _echoed(call: _OpenCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": call.arguments or "{}"}
    return {"id": call.given_id or call.id, "type": "function", "function": function, **call.extra}

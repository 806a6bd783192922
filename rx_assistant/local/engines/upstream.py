"""Answers runs through any OpenAI-compatible model server: Chat Completions or Responses.

    context ──asking──► Question ──protocols──► body ──calling──► payloads ──reader──► parts ──saying──► actions

If a server refuses a member of the request, the next form of it is tried (`dialects/refusals.py`), and later requests
begin with that form. A prompt that is too long loses its oldest turns. After 408, 409, 429 and 5xx there are two more
tries. All of this happens before the first byte of an answer; a later failure ends the answer.

Stopping the run closes the generator, and so the connection to the server.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias, cast
from urllib.parse import urlsplit

from rx_assistant.dialects.chat import ThinkingPolicy
from rx_assistant.dialects.history import LATE, CallRound, HistoryMessage, Question, TextPart
from rx_assistant.dialects.parts import Ending
from rx_assistant.dialects.refusals import Refusal, RunErrorCode, masked
from rx_assistant.errors import ConfigurationError, EventTooLargeError
from rx_assistant.http.redaction import redact
from rx_assistant.http.retries import wait_before
from rx_assistant.local.engine import (
    Action,
    EndStep,
    Failure,
    FileSearch,
    Incomplete,
    Note,
    RunContext,
    Usage,
)
from rx_assistant.local.engines import asking
from rx_assistant.local.engines.asking import Passages
from rx_assistant.local.engines.calling import Calls, Reply, UnreachableError
from rx_assistant.local.engines.own_tools import ANSWERED, OwnTools, answered, files_of, history, told_again
from rx_assistant.local.engines.protocols import Memory, ProtocolName, Turn, bends_of, memory_of, new_turn
from rx_assistant.local.engines.saying import Speech

FileSearchPolicy: TypeAlias = Literal["context", "tool"]
"""Whether the attached files are searched before the model is asked, or when the model asks for it."""

_log = logging.getLogger("rx_assistant.local")

_MORE_TRIES: Final = 2
_SHORTENINGS: Final = 3  # so that a prompt that is too long is sent four times at most
_REST_OF_THE_ANSWER: Final = 10.0  # seconds for the usage, once the answer has its finish_reason
_REST_OF_THE_BODY: Final = 0.5  # seconds for the body's end, so that its connection is kept
_NOT_OF_MEMBERS: Final = frozenset({401, 402, 403, 429})
_FOUND: Final = "found"
_NO_IMAGES: Final = re.compile(r"image|vision|multi-?modal|mmproj|valid string|content must be a string")
_NO_FUNCTIONS: Final = re.compile(
    r"(?:not|n't|no)\b.{0,60}\bsupport.{0,60}\b(?:tools?|functions?)\b"
    r"|\b(?:tools?|functions?)\b.{0,60}\b(?:not|n't)\b.{0,20}(?:support|available|enabled|permitted)"
    r"|no endpoints found that support tool"
)


class _EndedError(Exception):
    """The turn ends with an action before the model has said anything."""

    def __init__(self, action: Failure | Incomplete) -> None:
        super().__init__()
        self.action = action


class UpstreamEngine:
    """Answers each run through the model server at `base_url`, which usually ends in `/v1`.

    `model` answers all requests, independent of the application's model name; `model_map` has a model for each name of
    the application. Without either, the application's name is passed on. `api_key` is sent to the origin of `base_url`
    only. `thinking="text"` leaves `<think>…</think>` in the answer. With `file_search="tool"` the model can search the
    attached files; otherwise they are searched once, for the last message of the user. `upstream_timeout` (seconds) is
    how long the server may be silent.

    Raises:
        ConfigurationError: `base_url` is not an http or https URL; an option has an unknown value.
    """

    limits_itself = True

    def __init__(
        self,
        base_url: str,
        *,
        model: str | None = None,
        api_key: str | None = None,
        protocol: ProtocolName = "chat",
        model_map: Mapping[str, str] = {},
        thinking: ThinkingPolicy = "reasoning",
        file_search: FileSearchPolicy = "context",
        upstream_timeout: float = 600.0,
    ) -> None:
        _check("protocol", protocol, ("chat", "responses"))
        _check("thinking", thinking, ("reasoning", "text"))
        _check("file_search", file_search, ("context", "tool"))
        if urlsplit(base_url).scheme not in {"http", "https"} or not urlsplit(base_url).hostname:
            raise ConfigurationError(f"base_url must be an http or https URL, got {redact(base_url)!r}")
        if not upstream_timeout > 0:
            raise ConfigurationError(f"upstream_timeout must be more than 0 seconds, got {upstream_timeout!r}")
        self.base_url = base_url.rstrip("/")
        self._model = model
        self._map = dict(model_map)
        self._protocol: ProtocolName = protocol
        self._thinking: ThinkingPolicy = thinking
        self._file_search: FileSearchPolicy = file_search
        self._secrets = [api_key] if api_key else []
        self._calls = Calls(self.base_url, api_key, upstream_timeout)
        self._warned: set[str] = set()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({redact(self.base_url)!r}, protocol={self._protocol!r})"

    def model_for(self, name: str) -> str:
        """The server's model for the application's name."""
        return self._map.get(name) or self._model or name

    @property
    def bends(self) -> dict[str, tuple[str, ...]]:
        """The members of requests that each model's server has refused so far, by the model's name."""
        return bends_of(self.base_url, self._protocol)

    async def aclose(self) -> None:
        """Closes the connections to the server that belong to the running event loop."""
        await self._calls.aclose()

    async def run(self, context: RunContext) -> AsyncGenerator[Action, None]:
        """One turn: the model's answer or its function calls, after the searches that it needs."""
        try:
            async with aclosing(self._run(context)) as actions:
                async for action in actions:
                    yield action
        except _EndedError as ended:
            yield ended.action

    # -- one turn ------------------------------------------------------------------------------------------------

    async def _run(self, context: RunContext) -> AsyncGenerator[Action, None]:
        if context.max_completion_tokens == 0:
            raise _EndedError(Incomplete())
        self._refuse_code(context)
        passages, found = Passages(), _found_before(context)
        tools = OwnTools.of(context, search=self._file_search == "tool")
        if context.file_search and tools.search is None and context.turn == 0 and context.question.strip():
            results = tuple(await context.search(context.question, asking.PASSAGES))
            found = [*asking.passage_note(results)]
            yield FileSearch(results)
            yield Note({_FOUND: found})
        question = await self._question(context, asking.system_text(context, passages.add(found)), passages, tools)
        files = files_of(_notes_of(context))
        left = context.max_completion_tokens
        for rounds in range(tools.rounds + 1):
            speech = Speech(passages, tools, context.parallel_tool_calls, left, _call_ids(context), files)
            answer = _Answer(question)
            async with aclosing(self._answer(context, answer, speech)) as actions:
                async for action in actions:
                    yield action
            for action in self._notes(answer, speech):
                yield action
            if not speech.own_calls:
                return
            note: dict[str, Any] = {"upstream": self.base_url, ANSWERED: []}
            async with aclosing(answered(context, tools, speech.own_calls, note[ANSWERED])) as actions:
                async for action in actions:
                    yield action
            note |= {} if answer.turn is None else answer.turn.echo([*speech.own_calls], with_text=True)
            yield Note(note)
            if speech.calls:
                return
            yield EndStep()
            files |= files_of([note])
            spoken = [HistoryMessage("assistant", (TextPart(speech.text),), context.run_id)] if speech.text else []
            history = [*answer.question.history, *spoken, told_again(note, context.run_id, passages, tools)]
            offered = answer.question.functions if rounds + 1 < tools.rounds else asking.functions(context)
            question = replace(answer.question, history=history, functions=offered, tool_choice="auto")
            left = speech.left

    async def _answer(self, context: RunContext, answer: _Answer, speech: Speech) -> AsyncGenerator[Action, None]:
        """One reply of the model, without its notes."""
        reply, turn = await self._asked(context, answer)
        answer.turn, reader = turn, turn.reader

        def patience() -> float:
            if turn.is_done:
                return _REST_OF_THE_BODY
            return min(_REST_OF_THE_ANSWER, self._calls.silence) if reader.is_over else self._calls.silence

        why = ""
        try:
            async with aclosing(self._calls.payloads(reply, patience)) as chunks:
                async for payloads in chunks:
                    for name, payload in payloads:
                        for action in speech.hear(reader.read(payload, name)):
                            yield action
                        if speech.is_over:
                            raise _EndedError(Incomplete())
        except TimeoutError:
            why = "" if reader.is_over else f"the model's server was silent for {self._calls.silence:g} s"
        except EventTooLargeError as error:
            why = f"the model's server sent too much at once: {error}"
        rest, ending = reader.end()
        for action in [*speech.hear(rest), *speech.end()]:
            yield action
        if ending.usage is not None:
            self._compare(answer.question, ending.usage)
            yield _usage(ending.usage)
        if why or ending.status == "failed":
            raise _EndedError(self._failure(why or ending.message, ending))
        if ending.status == "incomplete" or speech.is_over:
            raise _EndedError(Incomplete())

    def _notes(self, answer: _Answer, speech: Speech) -> Iterator[Note]:
        """The note that goes back to the server with the calls of this reply."""
        if speech.calls and answer.turn is not None:
            late = {LATE: speech.late} if speech.late.strip() else {}
            echo = answer.turn.echo(speech.calls, with_text=not speech.own_calls)
            yield Note({"upstream": self.base_url, **echo, **late})

    async def _question(self, context: RunContext, system: str, passages: Passages, tools: OwnTools) -> Question:
        told = history(context, passages, tools)
        return Question(
            model=self.model_for(context.model),
            history=told,
            run_id=context.run_id,
            system=system,
            functions=(*asking.functions(context), *tools.functions()),
            tool_choice=_tool_choice(context, tools),
            parallel_tool_calls=context.parallel_tool_calls,
            response_format=context.response_format,
            max_completion_tokens=context.max_completion_tokens,
            temperature=context.temperature,
            top_p=context.top_p,
            reasoning_effort=context.reasoning_effort,
            images=await asking.images(context, told),
        )

    def _refuse_code(self, context: RunContext) -> None:
        if not context.code_interpreter or context.run_code is not None:
            return
        if context.tool_choice == "code_interpreter":
            why = "tool_choice asks for code_interpreter, and this server runs no code: start it with --code"
            raise _EndedError(Failure(why, "invalid_prompt"))
        self._warn("code", "code_interpreter is left out of requests to the model: only a server with --code runs code")

    def _compare(self, question: Question, usage: Mapping[str, Any]) -> None:
        """Warn about a server that silently cuts the prompt, as Ollama does."""
        ours, theirs = asking.size(question), int(usage["prompt_tokens"])
        if 0 < theirs < 0.6 * ours and ours - theirs >= 500:
            self._warn(
                f"cut {question.model}",
                f"the model {question.model!r} has read {theirs} tokens of a prompt of about {ours}: its server cuts"
                " long prompts. Give it a larger context, with OLLAMA_CONTEXT_LENGTH or num_ctx for Ollama",
            )

    def _warn(self, key: str, text: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            _log.warning("%s", redact(text, self._secrets))

    # -- asking --------------------------------------------------------------------------------------------------

    async def _asked(self, context: RunContext, answer: _Answer) -> tuple[Reply, Turn]:
        """The server's reply to the question, in a form and length that it accepts. _EndedError if it accepts none."""
        memory = memory_of(self.base_url, self._protocol, answer.question.model)
        shortened = failed = 0
        while True:
            turn = new_turn(self._protocol, answer.question, memory, self.base_url, self._thinking)
            headers: Mapping[str, str] = {}
            try:
                reply = await self._calls.send(turn.path, turn.body)
                if reply.status_code < 300:
                    return reply, turn
                refusal = await self._calls.refusal(reply)
                headers = reply.headers
            except UnreachableError as error:
                failure, may_pass = Failure(str(error)), error.may_pass
            else:
                if refusal.is_too_long:
                    shortened += 1
                    answer.question = _shortened(context, answer.question, refusal, shortened)
                    continue
                if self._bent(answer.question.model, memory, turn, refusal):
                    continue
                unable = _unable(refusal, turn.body, answer.question)
                may_pass = refusal.may_pass and not unable
                said = f"{unable}{refusal}"
                failure = Failure(redact(said, self._secrets), "invalid_prompt" if unable else refusal.run_code)
            failed += 1
            wait = wait_before(failed, headers, now=time.time(), random=random.random) if may_pass else None
            if wait is None or failed > _MORE_TRIES:
                raise _EndedError(failure)
            await asyncio.sleep(wait)

    def _bent(self, model: str, memory: Memory, turn: Turn, refusal: Refusal) -> bool:
        """Whether the refusal names a member that the next request leaves out."""
        if refusal.status in _NOT_OF_MEMBERS:
            return False
        name = memory.bend(self._protocol, turn.body, refusal)
        if name is None:
            return False
        _log.warning("%s", f"the model {model!r} does not take {name}, so requests do without it from now on")
        return True

    def _failure(self, why: str, ending: Ending) -> Failure:
        reason: Literal["content_filter", "run_failed"] = (
            "content_filter" if ending.message_end == "content_filter" else "run_failed"
        )
        code = ending.code if ending.code in ("rate_limit_exceeded", "invalid_prompt") else "server_error"
        return Failure(redact(masked(why), self._secrets), cast("RunErrorCode", code), reason)


class _Answer:
    """A question, which may get shorter, and the turn that answers it."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.turn: Turn | None = None


def _check(name: str, value: str, known: Sequence[str]) -> None:
    if value not in known:
        raise ConfigurationError(f"{name} must be one of {', '.join(map(repr, known))}, got {value!r}")


def _call_ids(context: RunContext) -> list[str]:
    return [output.call_id for output in context.tool_outputs]


def _notes_of(context: RunContext) -> list[Any]:
    """The notes of this run's earlier turns."""
    rounds = [item for item in context.history if isinstance(item, CallRound) and item.run_id == context.run_id]
    return [note for item in rounds for note in item.notes]


def _found_before(context: RunContext) -> list[dict[str, Any]]:
    """The passages that this run found in an earlier turn."""
    return [passage for note in _notes_of(context) for passage in note.get(_FOUND, ())]


def _tool_choice(context: RunContext, tools: OwnTools) -> str:
    """The tool choice. A forced tool is forced only in the first turn; otherwise the run would never end."""
    choice = context.tool_choice
    if choice == "none" or (choice != "auto" and context.turn > 0):
        return "none" if choice == "none" else "auto"
    if choice in ("file_search", "code_interpreter"):
        return tools.choice(choice) or "auto"
    return choice if choice in {"required", *(function.name for function in context.functions)} else "auto"


def _shortened(context: RunContext, question: Question, refusal: Refusal, tries: int) -> Question:
    """The question without its oldest turns; _EndedError if that is not allowed or did not help."""
    shorter = None
    if context.truncation == "auto" and tries <= _SHORTENINGS:
        shorter = asking.shorter(question, refusal.context, tries, _SHORTENINGS)
    if shorter is None:
        raise _EndedError(Incomplete("max_prompt_tokens"))
    return shorter


def _unable(refusal: Refusal, body: Mapping[str, Any], question: Question) -> str:
    """The unsupported input, if the refusal is about images or functions: these are never left out silently."""
    if refusal.status in _NOT_OF_MEMBERS:
        return ""
    if _has_images(question) and _NO_IMAGES.search(refusal.text):
        return f"the model {question.model!r} does not take images: "
    if body.get("tools") and _NO_FUNCTIONS.search(refusal.text):
        return f"the model {question.model!r} does not take functions: "
    return ""


def _has_images(question: Question) -> bool:
    messages = [item for item in question.history if isinstance(item, HistoryMessage) and item.role == "user"]
    return any(not isinstance(part, TextPart) for message in messages for part in message.parts)


def _usage(told: Mapping[str, Any]) -> Usage:
    return Usage(
        max(told["prompt_tokens"], 0),
        max(told["completion_tokens"], 0),
        max(told["prompt_token_details"]["cached_tokens"], 0),
        max(told["completion_tokens_details"]["reasoning_tokens"], 0),
    )

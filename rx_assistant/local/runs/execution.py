"""One run from queued to its end, whoever watches it or does not.

`_drive` is the task of one turn: it asks the engine and applies what it gives. It ends in a final status, or in
requires_action, from where `submit` starts the next turn. `cancel` and the timer may come at any time: they stop the
task, wait for it, and then write the ending, so that exactly one ending is written. Everything happens on one event
loop; between two awaits nothing else moves.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Protocol

from rx_assistant.local import engine as actions, objects, tokens
from rx_assistant.local.engine import Action, Engine, SearchResult
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.leg import Leg
from rx_assistant.local.runs.context import Prompt, PromptTooLongError, build_prompt
from rx_assistant.local.runs.journal import Journal
from rx_assistant.local.runs.message_writer import MessageWriter
from rx_assistant.local.runs.tools_writer import EngineError, ToolsWriter
from rx_assistant.local.store import Page, Store

_log = logging.getLogger("rx_assistant.local")

_LONG_PROMPT = 100_000  # characters; a longer prompt is counted off the event loop
_LONGEST_PROMPT = 2_000_000


class Surroundings(Protocol):
    """What a run needs of the server around it."""

    store: Store
    engine: Engine
    run_ttl: float

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Runs work in the background; an exception in it is logged."""
        ...

    def ended(self, run: JsonObject) -> None:
        """The run has reached a final status."""
        ...

    async def gate(self, name: str) -> None:
        """Returns once that gate was released."""
        ...

    async def ingested(self, run: JsonObject) -> None:
        """Returns once the vector stores that the run uses have no file in progress, or after a minute."""
        ...

    async def search(self, run: JsonObject, query: str, most: int) -> list[SearchResult]:
        """Passages from the vector stores that the run uses."""
        ...

    async def add_file(self, name: str, content: bytes) -> str:
        """Stores a file that the assistant made; its id."""
        ...


class _StoppedError(Exception):
    """An action has ended the run; the rest of the engine's actions is of no interest."""


class Execution:
    """A run that is not over yet."""

    def __init__(self, around: Surroundings, run: JsonObject, include_content: bool) -> None:
        self.run = run
        self.leg = Leg()
        self._around = around
        self._journal = Journal(around.store, run, self.leg, include_content)
        self._open: MessageWriter | ToolsWriter | None = None
        self._prompt_tokens = 0
        self._completion_left: int | None = run["max_completion_tokens"]
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(around.run_ttl, self.expire)

    def start(self, created_thread: JsonObject | None = None) -> None:
        """Stores the run, announces it and lets it go on in the background."""
        if created_thread is not None:
            self.leg.emit("thread.created", created_thread)
        self._journal.update_run("created")
        self._journal.update_run("queued")
        self._task = self._around.spawn(self._drive())

    def submit(self, outputs: dict[str, str]) -> None:
        """Goes on with what the client answered, by call id, in a leg of its own."""
        self.leg = self._journal.leg = Leg()
        if isinstance(self._open, ToolsWriter):
            self._open.answer(outputs)
        self._open = None
        self._journal.update_run("queued", status="queued", required_action=None)
        self._task = self._around.spawn(self._drive())

    def pending_calls(self) -> list[JsonObject]:
        """The function calls that wait for the client."""
        return self._open.pending() if isinstance(self._open, ToolsWriter) else []

    def flush(self) -> None:
        """Stores what is being written right now, for whoever polls."""
        if self._open is not None:
            self._open.flush()

    def cancel(self) -> None:
        """The run is cancelling, and soon cancelled."""
        self._stopping = True
        self._journal.update_run("cancelling", status="cancelling", required_action=None)
        self._around.spawn(self._stop("cancelled", "run_cancelled"))

    def expire(self) -> None:
        """The run's time is over."""
        if not self._stopping:
            self._stopping = True
            self._around.spawn(self._stop("expired", "run_expired"))

    def abandon(self) -> None:
        """The thread is gone, or the server: nothing more is written anywhere."""
        self._stopping = True
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        if not self.leg.ended:
            self.leg.cut()
            self.leg.end(done=False)

    async def _stop(self, status: str, reason: str) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._open is not None:
            self._open.abort(status, reason)
        self._end(status, cancelled_at=objects.now() if status == "cancelled" else None)

    async def _drive(self) -> None:
        """One turn."""
        try:
            self._check_going_on()
            self._journal.update_run("in_progress", status="in_progress", started_at=objects.now())
            await self._around.ingested(self.run)
            self._check_going_on()
            prompt = await self._prompt()
            self._prompt_tokens = prompt.tokens
            await self._apply_all(self._around.engine.run(prompt.context))
            self._finish()
        except PromptTooLongError:
            self._incomplete("max_prompt_tokens")
        except _StoppedError:
            pass
        except EngineError as error:
            self._fail(actions.Failure(str(error)))
        except Exception as error:
            _log.exception("run %s: the engine failed", self.run["id"])
            self._fail(actions.Failure(f"The engine failed: {type(error).__name__}: {error}"))

    async def _prompt(self) -> Prompt:
        store, run = self._around.store, self.run
        messages, size = await self._newest_messages()
        steps = list(store.each("step", run["id"]))
        used = sum(usage["prompt_tokens"] for usage in self._journal.usages)

        def build() -> Prompt:
            search = self._around.search
            return build_prompt(
                run, messages, steps, used, lambda query, most: search(run, query, most), self._around.add_file
            )

        return build() if size < _LONG_PROMPT else await asyncio.to_thread(build)

    async def _newest_messages(self) -> tuple[list[JsonObject], int]:
        """The thread's messages, oldest first, and about how many characters they have: the newest 2 million."""
        found: list[JsonObject] = []
        size, more = 0, True
        while more and size < _LONGEST_PROMPT:
            after = found[-1]["id"] if found else None
            page, more = self._around.store.page("message", self.run["thread_id"], Page(100, "desc", after))
            found += page
            size += sum(map(_length, page))
            if more:
                await asyncio.sleep(0)
        return found[::-1], size

    async def _apply_all(self, given: AsyncIterator[Action]) -> None:
        async with _closing(given):
            async for action in given:
                self._check_going_on()
                if isinstance(action, actions.Gate):
                    await self._around.gate(action.name)
                else:
                    self._apply(action)
                await asyncio.sleep(0)  # readers see each event on its own
        self._check_going_on()

    def _check_going_on(self) -> None:
        if self._stopping:
            raise _StoppedError

    def _apply(self, action: Action) -> None:
        if isinstance(action, _MESSAGE_ACTIONS):
            self._write(action)
        elif isinstance(action, _TOOL_ACTIONS):
            self._call(action)
        else:
            self._conduct(action)

    def _write(self, action: Action) -> None:
        """Content of a message."""
        writer = self._message()
        match action:
            case actions.Text(value, citations):
                self._spend(writer, value, lambda text: writer.text(text, citations if text == value else ()))
            case actions.Refusal(value):
                self._spend(writer, value, writer.refusal)
            case actions.ImageFile(file_id, detail):
                image = {"file_id": file_id, **({} if detail is None else {"detail": detail})}
                writer.whole_part({"type": "image_file", "image_file": image})
            case actions.ImageUrl(url, detail):
                writer.whole_part({"type": "image_url", "image_url": {"url": url, "detail": detail}})
            case actions.NewPart():
                writer.new_part()

    def _call(self, action: Action) -> None:
        """Tool calls and their fragments."""
        writer = self._tools()
        match action:
            case actions.FunctionCall():
                writer.function(action)
            case actions.CodeCall():
                writer.code(action)
            case actions.Arguments(value, index):
                self._spend(writer, value, lambda text: writer.grow("function", "arguments", index, text))
            case actions.CodeInput(value, index):
                self._spend(writer, value, lambda text: writer.grow("code_interpreter", "input", index, text))
            case actions.CodeLogs(value, index):
                writer.code_output(index, {"type": "logs", "logs": value})
            case actions.CodeImage(file_id, index):
                writer.code_output(index, {"type": "image", "image": {"file_id": file_id}})
            case actions.FileSearch():
                writer.search(action, _ranking(self.run))

    def _conduct(self, action: Action) -> None:
        """What concerns the run as a whole, or the wire."""
        match action:
            case actions.EndStep():
                self._close()
            case actions.Usage(prompt, completion, cached, reasoning):
                if self._open is not None:
                    self._open.usage = objects.usage(prompt, completion, cached, reasoning)
            case actions.Failure():
                self._fail(action)
                raise _StoppedError
            case actions.Incomplete(reason):
                self._incomplete(reason)
                raise _StoppedError
            case actions.Expire():
                self.expire()
                raise _StoppedError
            case actions.ErrorEvent():
                self._fail_on_the_wire(action)
                raise _StoppedError
            case actions.Cut():
                self.leg.cut()
            case actions.RawBytes(value):
                self.leg.append(value)

    def _spend(self, writer: MessageWriter | ToolsWriter, value: str, write: Callable[[str], None]) -> None:
        """Writes as much of the text as `max_completion_tokens` leaves; the run is incomplete when it is not all."""
        cut = tokens.pieces(value)
        if self._completion_left is not None:
            if len(cut) > self._completion_left:
                rest = "".join(cut[: self._completion_left])
                writer.completion_tokens += self._completion_left
                if rest:
                    write(rest)
                self._incomplete("max_completion_tokens")
                raise _StoppedError
            self._completion_left -= len(cut)
        writer.completion_tokens += len(cut)
        write(value)

    def _message(self) -> MessageWriter:
        if not isinstance(self._open, MessageWriter):
            self._close()
            self._open = MessageWriter(self._journal, self._prompt_tokens)
        return self._open

    def _tools(self) -> ToolsWriter:
        if not isinstance(self._open, ToolsWriter):
            self._close()
            self._open = ToolsWriter(self._journal, self._prompt_tokens)
        return self._open

    def _close(self) -> None:
        if isinstance(self._open, ToolsWriter) and self._open.pending():
            raise EngineError("function calls must be the last thing in a turn: the client has to answer them first")
        if self._open is not None:
            self._open.close()
            self._open = None

    def _finish(self) -> None:
        calls = self.pending_calls()
        if calls:
            self.flush()
            required = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
            self._journal.update_run("requires_action", status="requires_action", required_action=required)
            self.leg.end()
            return
        self._close()
        self._end("completed", completed_at=objects.now())

    def _incomplete(self, reason: str) -> None:
        if isinstance(self._open, MessageWriter):
            self._open.abort("completed", "max_tokens")
        elif self._open is not None:
            self._open.abort("cancelled", reason)
        self._end("incomplete", incomplete_details={"reason": reason}, completed_at=objects.now())

    def _fail(self, failure: actions.Failure, done: bool = True) -> None:
        if self._stopping:
            return  # another ending is on its way
        error = {"code": failure.code, "message": failure.message}
        if self._open is not None:
            self._open.abort("failed", failure.reason, _step_error(error))
        self._end("failed", done=done, failed_at=objects.now(), last_error=error)

    def _fail_on_the_wire(self, action: actions.ErrorEvent) -> None:
        """The run fails in the store; whoever watches gets an `error` event and nothing after it."""
        error = {"message": action.message, "type": "server_error", "param": None, "code": action.code}
        self.leg.emit("error", error if action.flat else {"error": error})
        self.leg.end(done=False)
        self._journal.leg = Leg()
        self._fail(actions.Failure(action.message))

    def _end(self, status: str, done: bool = True, **changes: object) -> None:
        self._open = None
        self._timer.cancel()
        usage = objects.total_usage(self._journal.usages)
        self._journal.update_run(status, status=status, expires_at=None, required_action=None, usage=usage, **changes)
        self._around.ended(self.run)
        if not self._journal.leg.ended:
            self._journal.leg.end(done)


@asynccontextmanager
async def _closing(given: AsyncIterator[Action]) -> AsyncIterator[None]:
    """Closes the engine's generator, however it is left."""
    try:
        yield
    finally:
        if isinstance(given, AsyncGenerator):
            await given.aclose()


def _length(message: JsonObject) -> int:
    return sum(len(part["text"]["value"]) for part in message["content"] if part["type"] == "text")


def _ranking(run: JsonObject) -> JsonObject:
    """What a step shows of the ranking, which is less than the tool does."""
    ranking = objects.search_options(run)["ranking_options"]
    return {name: ranking[name] for name in ("ranker", "score_threshold")}


def _step_error(error: JsonObject) -> JsonObject:
    """A step knows fewer codes than a run."""
    code = "rate_limit_exceeded" if error["code"] == "rate_limit_exceeded" else "server_error"
    return {**error, "code": code}


_MESSAGE_ACTIONS = (actions.Text, actions.Refusal, actions.ImageFile, actions.ImageUrl, actions.NewPart)
_TOOL_ACTIONS = (
    actions.FunctionCall,
    actions.Arguments,
    actions.CodeCall,
    actions.CodeInput,
    actions.CodeLogs,
    actions.CodeImage,
    actions.FileSearch,
)

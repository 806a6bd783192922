"""One run from queued to its end, with or without readers.

`_drive` is the task of one turn: it applies the actions of the engine. It ends in a final status or in requires_action;
`submit` then starts the next turn. `cancel` and the timer may come at any time: they stop the task and then write the
ending. Everything runs on one event loop, so nothing else changes between two awaits.

A run always ends, whatever its engine does. An action is checked before it changes anything. Every ending goes through
`_conclude`. It never awaits, writes at most one ending, and uses plain values if the ordinary ones cannot be written.
The wait for the engine's stop has a limit (`foreign.py`), and actions after the ending are dropped.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from typing import NamedTuple, Protocol

from rx_assistant.local import engine as actions, foreign, objects, tokens
from rx_assistant.local.engine import Action, CodeResult, Engine, RunCode, SearchResult
from rx_assistant.local.errors import FULL, is_full
from rx_assistant.local.frame_log import FrameLog
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.runs.actions import EngineError, check_action, check_given
from rx_assistant.local.runs.context import Access, Prompt, PromptTooLongError, build_prompt
from rx_assistant.local.runs.history import Thread
from rx_assistant.local.runs.journal import Journal
from rx_assistant.local.runs.message_writer import MessageWriter
from rx_assistant.local.runs.recovery import reopened
from rx_assistant.local.runs.tools_writer import ToolsWriter
from rx_assistant.local.store import Page, Store

_log = logging.getLogger("rx_assistant.local")
_ENGINE_FAILED = "The engine failed. The server's log says why."
_STOPPED = "The server was stopped while the run was in progress."

_SLICE = 0.002  # seconds that an engine may hold the event loop
_LONG_PROMPT = 100_000  # characters; a longer prompt is counted in a thread
_LONGEST_PROMPT = 2_000_000


class Surroundings(Protocol):
    """What a run needs from the server."""

    store: Store
    engine: Engine
    run_ttl: float

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run work in the background. An exception in it is logged."""
        ...

    def ended(self, run: JsonObject) -> None:
        """Called when the run has reached a final status."""
        ...

    def new_log(self, run_id: str) -> FrameLog:
        """A frame log for the run, with a file for its frames on a durable server."""
        ...

    def save_soon(self) -> None:
        """Sync all writes soon, without waiting."""
        ...

    async def give_way(self) -> None:
        """Wait for the starts of other runs, for a limited time."""
        ...

    async def gate(self, name: str) -> None:
        """Wait until the gate is released."""
        ...

    async def ingested(self, run: JsonObject) -> None:
        """Wait until the run's vector stores have no file in progress, for at most a minute."""
        ...

    async def search(self, run: JsonObject, query: str, most: int) -> list[SearchResult]:
        """Passages from the vector stores of the run."""
        ...

    async def add_file(self, name: str, content: bytes) -> str:
        """Store a file that the assistant made, and return its id."""
        ...

    async def read_file(self, file_id: str) -> bytes:
        """The content of a file."""
        ...

    def code_of(self, run: JsonObject) -> tuple[RunCode | None, tuple[str, ...]]:
        """The function that runs code, None if the server runs none; the names of the files that code can read."""
        ...


class _Abort(NamedTuple):
    """How the open message or step ends: the step's status, the message's reason, the step's error."""

    status: str
    reason: str
    error: JsonObject | None = None


class _StoppedError(Exception):
    """An action has ended the run. Further actions of the engine are ignored."""


class Execution:
    """An active run."""

    def __init__(
        self, around: Surroundings, run: JsonObject, include_content: bool, restored: FrameLog | None = None
    ) -> None:
        self.run = run
        self.frames = restored or around.new_log(run["id"])
        self._around = around
        self._journal = Journal(around.store, run, self.frames, include_content)
        self._open: MessageWriter | ToolsWriter | None = None
        self._prompt_tokens = 0
        limits_itself = getattr(around.engine, "limits_itself", False)
        self._completion_left: int | None = None if limits_itself else run["max_completion_tokens"]
        self._is_spent = False  # the text of an action was cut at the limit
        self._notes: list[JsonObject] = []  # for the next step
        self._made: list[str] = []  # files for the next message
        self._run_code: RunCode | None = None
        self._code_waits = False  # a code call may lack its outputs
        self._stopping = False
        self._over = False
        self._task: asyncio.Task[None] | None = None
        left = around.run_ttl if restored is None else max(0, run["expires_at"] - time.time())
        self._timer = asyncio.get_running_loop().call_later(left, self.expire)

    def start(self, created_thread: JsonObject | None = None) -> None:
        """Store the run, emit its first events and start it in the background."""
        self._journal.begin_run(created_thread)
        self._task = self._around.spawn(self._drive())

    def go_on(self) -> None:
        """Continue after a restart of the server: wait again, or end the run that was interrupted."""
        self._completion_left = self._journal.recall(self._completion_left)
        status = self.run["status"]
        if status != "queued":
            self._open = reopened(self._journal)
        if status == "queued":
            self._task = self._around.spawn(self._drive())
        elif status == "cancelling":
            self._conclude("cancelled", _Abort("cancelled", "run_cancelled"), cancelled_at=objects.now())
        elif status != "requires_action":
            self._fail(actions.Failure(_STOPPED))
        elif not self.pending_calls():
            self._fail(actions.Failure("The calls that the run waited for are lost."))

    def submit(self, outputs: dict[str, str]) -> None:
        """Continue with the client's outputs, by call id. The events go into a new frame log."""
        self.frames = self._journal.frames = self._around.new_log(self.run["id"])
        with self._around.store.atomic():
            if isinstance(self._open, ToolsWriter):
                self._open.answer(outputs)
            self._journal.update_run("queued", status="queued", required_action=None)
        self._open = None
        self._task = self._around.spawn(self._drive())

    def pending_calls(self) -> list[JsonObject]:
        """The function calls that wait for the client."""
        return self._open.pending() if isinstance(self._open, ToolsWriter) else []

    def flush(self) -> None:
        """Store the open message or step, so that GET requests see it."""
        if self._open is not None:
            self._open.flush()

    def cancel(self) -> None:
        """Set the run to cancelling, and soon to cancelled."""
        self._stopping = True
        self._around.spawn(self._stop("cancelled", "run_cancelled"))
        self._journal.update_run("cancelling", status="cancelling", required_action=None)

    def expire(self) -> None:
        """The run's time limit has passed."""
        if not self._stopping:
            self._stopping = True
            self._around.spawn(self._stop("expired", "run_expired"))

    def drop(self) -> None:
        """Cancel the run at once, because its thread is being deleted."""
        self._stopping = True
        if self._task is not None:
            self._around.spawn(foreign.end([self._task]))
        if self.run["status"] != "cancelling":
            self._journal.update_run("cancelling", status="cancelling", required_action=None)
        self._conclude("cancelled", _Abort("cancelled", "run_cancelled"), cancelled_at=objects.now())

    def abandon(self) -> None:
        """The server has stopped: write nothing more."""
        self._stopping = self._over = True
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
        self.frames.abandon()

    async def _stop(self, status: str, reason: str) -> None:
        if self._task is not None:
            await foreign.end([self._task])
        self._conclude(status, _Abort(status, reason), cancelled_at=objects.now() if status == "cancelled" else None)

    async def _drive(self) -> None:
        """One turn. The ending is written before the engine's generator is closed: closing it runs foreign code."""
        given: AsyncIterator[Action] | None = None
        try:
            self._check_going_on()
            self._journal.update_run("in_progress", status="in_progress", started_at=objects.now())
            await self._around.ingested(self.run)
            self._check_going_on()
            prompt = await self._prompt()
            self._prompt_tokens = prompt.tokens
            self._run_code = prompt.context.run_code
            given = self._around.engine.run(prompt.context)
            check_given(given)
            await self._apply_all(given)
            await self._around.give_way()
            self._check_going_on()
            self._finish()
            return
        except PromptTooLongError:
            self._incomplete("max_prompt_tokens")
        except _StoppedError:
            pass
        except EngineError as error:
            self._fail(actions.Failure(str(error)))
        except BaseException as error:
            self._engine_raised(error)
        await self._close_generator(given)

    def _engine_raised(self, error: BaseException) -> None:
        """Fail the run, unless this task was cancelled or closed. KeyboardInterrupt is raised again."""
        if self._stopping:
            if isinstance(error, GeneratorExit):
                raise error
            return
        level = logging.WARNING if isinstance(error, asyncio.CancelledError) else logging.ERROR
        full = is_full(error)
        _log.log(level, "run %s: %s", self.run["id"], FULL if full else "the engine failed", exc_info=error)
        self._fail(actions.Failure(FULL if full else _ENGINE_FAILED))
        if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise error

    async def _close_generator(self, given: object) -> None:
        """Close the engine's generator in this task, because it may hold cancel scopes of this task."""
        close = getattr(given, "aclose", None)
        task = asyncio.current_task()
        if close is None or task is None:
            return
        if not self._stopping:
            self._around.spawn(foreign.end_soon(task))
        try:
            await close()
        except GeneratorExit:
            raise
        except BaseException as error:
            _log.debug("run %s: closing the engine's generator failed", self.run["id"], exc_info=error)

    async def _prompt(self) -> Prompt:
        store, run = self._around.store, self.run
        newest, size = await self._newest_messages()
        messages = [message for _, message in newest]
        order = {message["id"]: place for place, message in newest}
        steps = list(store.grandchildren("step", "run", run["thread_id"], min(order.values(), default=0)))
        thread = Thread(messages, order, steps)
        used = self._journal.usage()
        around = self._around
        run_code, code_files = around.code_of(run)
        access = Access(
            lambda query, most: around.search(run, query, most),
            around.add_file,
            around.read_file,
            None if run_code is None else self._noting_files(run_code),
            code_files,
        )

        def build() -> Prompt:
            return build_prompt(run, thread, used, access)

        return build() if size < _LONG_PROMPT else await asyncio.to_thread(build)

    def _noting_files(self, run_code: RunCode) -> RunCode:
        """The same function. The files that code writes belong to the next message."""

        async def run(code: str) -> CodeResult:
            result = await run_code(code)
            self._made += [file.id for file in result.files]
            return result

        return run

    async def _run_unanswered_code(self) -> None:
        """Run the code of calls to which the engine gave no output."""
        self._code_waits = False
        writer = self._open
        if self._run_code is None or not isinstance(writer, ToolsWriter):
            return
        for place, code in writer.unanswered_code():
            result = await self._run_code(code)
            self._check_going_on()
            writer.code_result(place, result)

    async def _newest_messages(self) -> tuple[list[tuple[int, JsonObject]], int]:
        """The newest messages of the thread, up to 2 million characters, oldest first, each with its position.

        The second value is their approximate size.
        """
        found: list[tuple[int, JsonObject]] = []
        size, more = 0, True
        while more and size < _LONGEST_PROMPT:
            after = found[-1][1]["id"] if found else None
            page, more = self._around.store.stored_page("message", self.run["thread_id"], Page(100, "desc", after))
            placed = [(item.place, item.value) for item in page]
            found += placed
            size += sum(_length(message) for _, message in placed)
            if more:
                await asyncio.sleep(0)
        return found[::-1], size

    async def _apply_all(self, given: AsyncIterator[Action]) -> None:
        """Readers get what an engine says in one go as one piece. One that never waits for anything gives way, too.

        After the first action the run waits for other runs that start, so that all of them soon send their first text.
        """
        busy_until = 0.0
        async for action in given:
            self._check_going_on()
            check_action(action)
            if self._code_waits and not isinstance(action, _CODE_ACTIONS):
                await self._run_unanswered_code()
            if isinstance(action, actions.Gate):
                await self._around.gate(action.name)
            else:
                self._apply(action)
            if time.monotonic() >= busy_until:
                await asyncio.sleep(0)  # the readers take the frames
                await asyncio.sleep(0)  # their connections send them
                if not busy_until:  # these were the run's first events
                    await self._around.give_way()
                busy_until = time.monotonic() + _SLICE
        self._check_going_on()
        if self._code_waits:
            await self._run_unanswered_code()

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
        if self._is_spent:
            self._incomplete("max_completion_tokens")
            raise _StoppedError

    def _write(self, action: Action) -> None:
        """Content of a message."""
        writer = self._message()
        match action:
            case actions.Text(value, citations):
                text = self._spend(writer, value)
                if text or not self._is_spent:
                    writer.text(text, () if self._is_spent else citations)
            case actions.Refusal(value):
                text = self._spend(writer, value)
                if text or not self._is_spent:
                    writer.refusal(text)
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
                self._code_waits = True
            case actions.Arguments(value, index):
                self._grow(writer, "function", "arguments", index, value)
            case actions.CodeInput(value, index):
                self._grow(writer, "code_interpreter", "input", index, value)
            case actions.CodeLogs(value, index):
                writer.code_output(index, {"type": "logs", "logs": value})
            case actions.CodeImage(file_id, index):
                writer.code_output(index, {"type": "image", "image": {"file_id": file_id}})
            case actions.FileSearch():
                writer.search(action, _ranking(self.run))

    def _conduct(self, action: Action) -> None:
        """Actions that concern the whole run, or the wire."""
        match action:
            case actions.EndStep():
                self._close()
            case actions.Usage(prompt, completion, cached, reasoning):
                self._count(objects.usage(prompt, completion, cached, reasoning))
            case actions.Note(value):
                self._note(dict(value))
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
                self.frames.cut()
            case actions.RawBytes(value):
                self.frames.append(value)

    def _count(self, usage: JsonObject) -> None:
        if self._open is not None:
            self._open.usage = usage
        else:
            self._journal.count(usage)

    def _note(self, value: JsonObject) -> None:
        if self._open is not None:
            self._journal.note(self._open.step, value)
        else:
            self._notes.append(value)

    def _begun(self, step: JsonObject) -> None:
        """A step was opened. It gets the waiting notes."""
        for value in self._notes:
            self._journal.note(step, value)
        self._notes.clear()

    def _grow(self, writer: ToolsWriter, kind: str, field: str, index: int, value: str) -> None:
        text = self._spend(writer, value)
        if text or not self._is_spent:
            writer.grow(kind, field, index, text)

    def _spend(self, writer: MessageWriter | ToolsWriter, value: str) -> str:
        """As much of the text as `max_completion_tokens` allows.

        If text is left over, the run becomes incomplete after the action.
        """
        count, left = tokens.count(value), self._completion_left
        if left is not None:
            if count > left:
                self._is_spent = True
                count, value = left, "".join(tokens.pieces(value)[:left])
            else:
                self._completion_left = left - count
        writer.completion_tokens += count
        return value

    def _message(self) -> MessageWriter:
        if not isinstance(self._open, MessageWriter):
            self._close()
            self._open = MessageWriter(self._journal, self._prompt_tokens, self._made)
            self._made = []
            self._begun(self._open.step)
        return self._open

    def _tools(self) -> ToolsWriter:
        if not isinstance(self._open, ToolsWriter):
            self._close()
            self._open = ToolsWriter(self._journal, self._prompt_tokens)
            self._begun(self._open.step)
        return self._open

    def _close(self) -> None:
        if isinstance(self._open, ToolsWriter) and self._open.pending():
            raise EngineError("function calls must be the last thing in a turn: the client has to answer them first")
        if self._open is not None:
            self._open.close()
            self._open = None

    def _finish(self) -> None:
        calls = self.pending_calls()
        if isinstance(self._open, ToolsWriter) and calls:
            self._open.wait()
            required = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
            self._journal.update_run("requires_action", status="requires_action", required_action=required)
            self.frames.end()
            self._around.save_soon()
            return
        self._close()
        self._conclude("completed", None, completed_at=objects.now())

    def _incomplete(self, reason: str) -> None:
        is_message = isinstance(self._open, MessageWriter)
        abort = _Abort("completed", "max_tokens") if is_message else _Abort("cancelled", reason)
        self._conclude("incomplete", abort, incomplete_details={"reason": reason}, completed_at=objects.now())

    def _fail(self, failure: actions.Failure, done: bool = True) -> None:
        if self._stopping:
            return  # another ending follows
        error = {"code": failure.code, "message": failure.message}
        abort = _Abort("failed", failure.reason, _step_error(error))
        self._conclude("failed", abort, done=done, failed_at=objects.now(), last_error=error)

    def _fail_on_the_wire(self, action: actions.ErrorEvent) -> None:
        """Fail the run in the store. Its readers get an `error` event and nothing after it."""
        error = {"message": action.message, "type": "server_error", "param": None, "code": action.code}
        self.frames.emit("error", error if action.flat else {"error": error})
        self.frames.end(done=False)
        self._journal.frames = FrameLog()  # without readers
        self._fail(actions.Failure(action.message))

    def _conclude(self, status: str, abort: _Abort | None, done: bool = True, **changes: object) -> None:
        """End the run. `aborted` says how an open message or step ends."""
        if self._over:
            return
        self._over = True
        self._timer.cancel()
        final = dict(status=status, expires_at=None, required_action=None, **changes)
        try:
            with self._around.store.atomic():
                if self._open is not None and abort is not None:
                    self._open.abort(abort.status, abort.reason, abort.error)
                self._journal.update_run(status, **final, usage=self._journal.usage())
        except Exception:
            _log.exception("run %s: its ending could not be written as it is", self.run["id"])
            self._conclude_plainly(status, final)
        finally:
            self._open = None
            self._around.ended(self.run)
            self._journal.frames.end(done)

    def _conclude_plainly(self, status: str, final: JsonObject) -> None:
        try:
            self.run.update(final)
            writer = self._open
            message = writer.message if isinstance(writer, MessageWriter) else None
            self._journal.end_plainly(message, None if writer is None else writer.step, status)
        except Exception:
            _log.exception("run %s: its ending could not be written at all", self.run["id"])


def _length(message: JsonObject) -> int:
    return sum(len(part["text"]["value"]) for part in message["content"] if part["type"] == "text")


def _ranking(run: JsonObject) -> JsonObject:
    """The ranking options in a step, which are fewer than the tool's."""
    ranking = objects.search_options(run)["ranking_options"]
    return {name: ranking[name] for name in ("ranker", "score_threshold")}


def _step_error(error: JsonObject) -> JsonObject:
    """The error for a step: steps have fewer codes than runs."""
    code = "rate_limit_exceeded" if error["code"] == "rate_limit_exceeded" else "server_error"
    return {**error, "code": code}


_MESSAGE_ACTIONS = (actions.Text, actions.Refusal, actions.ImageFile, actions.ImageUrl, actions.NewPart)
_CODE_ACTIONS = (actions.CodeCall, actions.CodeInput, actions.CodeLogs, actions.CodeImage)
_TOOL_ACTIONS = (
    *_CODE_ACTIONS,
    actions.FunctionCall,
    actions.Arguments,
    actions.FileSearch,
)

"""Where a run writes: every change goes into the store and, as an event, into the frame log that readers follow."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

from rx_assistant.lifecycle import STEP
from rx_assistant.local import json_text, objects
from rx_assistant.local.frame_log import FrameLog, frame
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.runs.steps import shown_step
from rx_assistant.local.store import Store

_log = logging.getLogger("rx_assistant.local")


class Journal:
    """The objects and events of one run. Values inside `run` are replaced, never changed in place."""

    def __init__(self, store: Store, run: JsonObject, frames: FrameLog, include_content: bool) -> None:
        self.store = store
        self.run = run
        self.frames = frames
        self._counted: list[JsonObject] = []
        self._estimated: list[JsonObject] = []
        self._ended: set[str] = set()
        self._notes: list[tuple[JsonObject, JsonObject]] = []  # of steps, not yet stored
        self._desperate = False
        self._include_content = include_content

    def count(self, usage: JsonObject) -> None:
        """Add tokens that the engine counted."""
        self._counted.append(usage)

    def usage(self) -> JsonObject:
        """The run's tokens: the engine's counts, or an estimate if the engine counted nothing."""
        return objects.total_usage(self._counted or self._estimated)

    def begin_run(self, created_thread: JsonObject | None) -> None:
        """Store a new run, with the notes that a restart needs, and emit its first events."""
        data = json_text.encode(self.run)
        notes = {"include_content": self._include_content}
        self.store.put("run", self.run, self.run["thread_id"], notes, data.decode())
        if created_thread is not None:
            self._emit("thread.created", json_text.encode(created_thread))
        self._emit("thread.run.created", data)
        self._emit("thread.run.queued", data)

    def recall(self, completion_left: int | None) -> int | None:
        """Add up the tokens of the run's stored steps, and return the rest of its completion tokens."""
        for step in self.store.each("step", self.run["id"]):
            if step["usage"] is None:
                continue
            self._estimated.append(step["usage"])
            if self.remembered(step).get("counted"):
                self._counted.append(step["usage"])
        if completion_left is None:
            return None
        return max(0, completion_left - int(objects.total_usage(self._estimated)["completion_tokens"]))

    def save_run(self) -> None:
        """Store the run in its current state."""
        self._put("run", self.run, self.run["thread_id"])

    def update_run(self, event: str, **changes: object) -> None:
        """Change fields of the run, store it and emit `thread.run.<event>`."""
        self.run.update(changes)
        self._emit(f"thread.run.{event}", self._put("run", self.run, self.run["thread_id"]))

    def begin_step(self, step: JsonObject) -> None:
        """Store a new step, and emit `created` and `in_progress`."""
        data = self._put("step", step, self.run["id"])
        self._emit_step("created", step, data)
        self._emit_step("in_progress", step, data)

    def end_step(
        self,
        step: JsonObject,
        status: str,
        counted: JsonObject | None,
        estimate: JsonObject,
        error: JsonObject | None = None,
    ) -> None:
        """Close a step with its final status, and with the tokens that the engine counted or an estimate."""
        step["usage"] = counted or estimate
        step["last_error"] = error
        self._finish_step(step, status)
        if counted is not None:
            self._counted.append(counted)
            self.remember(step, counted=True)
        self._estimated.append(estimate)

    def end_message(self, message: JsonObject, status: str) -> None:
        """Close a message as `completed` or `incomplete`."""
        if message["id"] in self._ended:
            return
        message["status"] = status
        message[f"{status}_at"] = objects.now()
        self.message_events(message, status)
        self._ended.add(message["id"])

    def end_plainly(self, message: JsonObject | None, step: JsonObject | None, status: str) -> None:
        """The fallback for an ending that failed: message, step and run end with the fields that JSON can hold.

        Their events are emitted even if the objects cannot be stored, except events that were emitted before.
        """
        self._desperate = True
        if message is not None and message["id"] in self._ended:
            self.save_message(message)
        elif message is not None:
            message |= {**json_text.plain(message), "incomplete_details": {"reason": "run_failed"}}
            self.end_message(message, "incomplete")
        if step is not None and step["id"] in self._ended:
            self.save_step(step)
        elif step is not None:
            step |= json_text.plain(step)
            self._finish_step(step, status if status in STEP.terminal else "failed")
        self.run |= json_text.plain(self.run)
        self.update_run(status)

    def _finish_step(self, step: JsonObject, status: str) -> None:
        step["status"] = status
        if status != "expired":
            step[f"{status}_at"] = objects.now()
        self._emit_step(status, step, self._put("step", step, self.run["id"]))
        self._ended.add(step["id"])

    def step_delta(self, step: JsonObject, call: JsonObject) -> None:
        """Emit a fragment of one tool call."""
        delta = {"step_details": {"type": "tool_calls", "tool_calls": [call]}}
        value = {"id": step["id"], "object": "thread.run.step.delta", "delta": delta}
        self._emit("thread.run.step.delta", json_text.encode(value))

    def note(self, step: JsonObject, value: JsonObject) -> None:
        """Keep a value with the step, only for the engine. It is stored when a step or the run is stored next."""
        self._notes.append((step, json.loads(json.dumps(value))))  # the engine may change its own

    def _store_notes(self) -> None:
        """Store all notes of a step at once: storing each would read and write those before it."""
        noted: dict[str, tuple[JsonObject, list[JsonObject]]] = {}
        for step, value in self._notes:
            noted.setdefault(step["id"], (step, []))[1].append(value)
        self._notes.clear()
        for step, values in noted.values():
            self.remember(step, engine=[*self.remembered(step).get("engine", []), *values])

    def remember(self, step: JsonObject, **notes: object) -> None:
        """Add notes to the step."""
        self.frames.write()
        self.store.put("step", step, self.run["id"], {**self.remembered(step), **notes})

    def remembered(self, step: JsonObject) -> JsonObject:
        """The notes of the step."""
        return self.store.notes("step", step["id"], self.run["id"])

    def took_over(self, ended: str) -> None:
        """Note the id of an object whose final event was already sent."""
        self._ended.add(ended)

    def save_step(self, step: JsonObject) -> None:
        """Store an unfinished step."""
        self._put("step", step, self.run["id"])

    def save_message(self, message: JsonObject) -> None:
        """Store an unfinished message."""
        self._put("message", message, self.run["thread_id"])

    def message_events(self, message: JsonObject, *events: str) -> None:
        """Store the message and emit `thread.message.<event>` for each event."""
        data = self._put("message", message, self.run["thread_id"])
        for event in events:
            self._emit(f"thread.message.{event}", data)

    def message_delta(self, message: JsonObject, part: JsonObject) -> None:
        """Emit a fragment of one content part."""
        self._emit("thread.message.delta", json_text.encode(_message_delta(message, part)))

    def text_delta(self, message: JsonObject, index: int) -> Callable[[str], None]:
        """A function that emits more text of one content part. The frame around the text is made once."""
        part = {"index": index, "type": "text", "text": {"value": "@"}}
        data = json_text.encode(_message_delta(message, part))
        before, _, after = frame("thread.message.delta", data).partition(b'"@"')

        def emit(text: str) -> None:
            self._append(before + json_text.quoted(text) + after)

        return emit

    def _put(self, kind: str, value: JsonObject, parent: str) -> bytes:
        """Store the object. Returns its JSON."""
        self.frames.write()
        data = json_text.encode(value)
        try:
            self.store.put(kind, value, parent, body=data.decode())
            if self._notes and kind != "message":
                self._store_notes()
        except Exception:
            if not self._desperate:
                raise
            self.store.put_anyway(kind, value, parent)
        return data

    def _emit(self, name: str, data: bytes) -> None:
        self._append(frame(name, data))

    def _append(self, frame: bytes) -> None:
        try:
            self.frames.append(frame)
        except OSError:
            if not self._desperate:
                raise

    def _emit_step(self, event: str, step: JsonObject, data: bytes) -> None:
        shown = shown_step(step, self._include_content)
        self._emit(f"thread.run.step.{event}", data if shown is step else json_text.encode(shown))


def _message_delta(message: JsonObject, part: JsonObject) -> JsonObject:
    return {"id": message["id"], "object": "thread.message.delta", "delta": {"content": [part]}}

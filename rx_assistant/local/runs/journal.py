"""Where a run writes: every change goes into the store and, as an event, into the leg that readers follow."""

from __future__ import annotations

from rx_assistant.local import objects
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.leg import Leg
from rx_assistant.local.runs.steps import shown_step
from rx_assistant.local.store import Store


class Journal:
    """One run's objects and events. Values inside `run` are replaced, never changed in place."""

    def __init__(self, store: Store, run: JsonObject, leg: Leg, include_content: bool) -> None:
        self.store = store
        self.run = run
        self.leg = leg
        self.usages: list[JsonObject] = []
        self._include_content = include_content

    def save_run(self) -> None:
        """Stores the run as it is now."""
        self.store.put("run", self.run, self.run["thread_id"])

    def update_run(self, event: str, **changes: object) -> None:
        """Changes fields of the run, stores it and emits `thread.run.<event>`."""
        self.run.update(changes)
        self.save_run()
        self.leg.emit(f"thread.run.{event}", self.run)

    def begin_step(self, step: JsonObject) -> None:
        """Stores a new step; `created` and `in_progress` follow each other at once."""
        self.store.put("step", step, self.run["id"])
        self._emit_step("created", step)
        self._emit_step("in_progress", step)

    def end_step(self, step: JsonObject, status: str, error: JsonObject | None = None) -> None:
        """Closes a step with its final status and adds its usage to the run's."""
        step["status"] = status
        if status != "expired":
            step[f"{status}_at"] = objects.now()
        step["last_error"] = error
        if step["usage"] is not None:
            self.usages.append(step["usage"])
        self.store.put("step", step, self.run["id"])
        self._emit_step(status, step)

    def step_delta(self, step: JsonObject, call: JsonObject) -> None:
        """Emits a fragment of one tool call."""
        delta = {"step_details": {"type": "tool_calls", "tool_calls": [call]}}
        value = {"id": step["id"], "object": "thread.run.step.delta", "delta": delta}
        self.leg.emit("thread.run.step.delta", value)

    def save_step(self, step: JsonObject) -> None:
        """Stores a step that is still going on."""
        self.store.put("step", step, self.run["id"])

    def save_message(self, message: JsonObject) -> None:
        """Stores a message that is still being written."""
        self.store.put("message", message, self.run["thread_id"])

    def message_event(self, event: str, message: JsonObject) -> None:
        """Stores the message and emits `thread.message.<event>`."""
        self.save_message(message)
        self.leg.emit(f"thread.message.{event}", message)

    def message_delta(self, message: JsonObject, part: JsonObject) -> None:
        """Emits a fragment of one content part."""
        value = {"id": message["id"], "object": "thread.message.delta", "delta": {"content": [part]}}
        self.leg.emit("thread.message.delta", value)

    def _emit_step(self, event: str, step: JsonObject) -> None:
        self.leg.emit(f"thread.run.step.{event}", shown_step(step, self._include_content))

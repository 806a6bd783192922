"""A message that a run writes, and its step. Content parts are opened, extended and closed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from rx_assistant.local import engine, objects
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.runs.fragments import Fragments
from rx_assistant.local.runs.journal import Journal


class MessageWriter:
    """One message_creation step; `made` are the ids of files that code has written for it.

    `reopened` is a step that a restart found open, and its message.
    """

    def __init__(
        self,
        journal: Journal,
        prompt_tokens: int,
        made: Sequence[str] = (),
        reopened: tuple[JsonObject, JsonObject] | None = None,
    ) -> None:
        self._journal = journal
        self._prompt_tokens = prompt_tokens
        self.completion_tokens = 0
        self.usage: JsonObject | None = None
        self._fragments = Fragments()
        self._growing: Literal["text", "refusal"] | None = None
        self._more_text: Callable[[str], None]  # of the text part that grows
        if reopened is not None:
            self.step, self.message = reopened
            return
        self.message = objects.answer_message(journal.run, made)
        details = {"type": "message_creation", "message_creation": {"message_id": self.message["id"]}}
        self.step = objects.step(journal.run, details)
        journal.begin_step(self.step)
        journal.message_events(self.message, "created", "in_progress")

    def text(self, value: str, citations: tuple[engine.Citation, ...] = ()) -> None:
        """Append to the open text part, or to a new one."""
        if self._growing == "text" and not citations:
            sent = self._fragments.add(value)
            if sent or not value:
                self._more_text(sent)
            return
        content = self.message["content"]
        if self._growing != "text":
            self._open_part("text", objects.text_part(""))
            self._more_text = self._journal.text_delta(self.message, len(content) - 1)
        part = content[-1]
        before = self._fragments.length
        value = self._fragments.add(value)
        found = [_annotation(value, before, citation) for citation in citations]
        first = len(part["text"]["annotations"])
        part["text"]["annotations"] += found
        told = [_delta_annotation(first + index, item) for index, item in enumerate(found)]
        delta: JsonObject = {"value": value, "annotations": told}
        self._journal.message_delta(self.message, {"index": len(content) - 1, "type": "text", "text": delta})

    def refusal(self, value: str) -> None:
        """Append to the open refusal part, or to a new one."""
        if self._growing != "refusal":
            self._open_part("refusal", {"type": "refusal", "refusal": ""})
        sent = self._fragments.add(value)
        if sent or not value:
            self._refusal_delta(sent)

    def whole_part(self, part: JsonObject) -> None:
        """Add a part that is complete."""
        self._open_part(None, part)
        self._journal.message_delta(self.message, {"index": len(self.message["content"]) - 1, **part})

    def new_part(self) -> None:
        """The next content begins a new part."""
        self._end_part()

    def flush(self) -> None:
        """Store the unfinished message, so that GET requests see it."""
        self._join()
        self._journal.save_message(self.message)

    def close(self) -> None:
        """Complete the message and its step."""
        self._end_part()
        self._journal.end_message(self.message, "completed")
        self._end_step("completed")

    def abort(self, step_status: str, reason: str, error: JsonObject | None = None) -> None:
        """End the message as incomplete, for `reason`, and its step with `step_status`."""
        self._end_part()
        self.message["incomplete_details"] = {"reason": reason}
        self._journal.end_message(self.message, "incomplete")
        self._end_step(step_status, error)

    def _end_step(self, status: str, error: JsonObject | None = None) -> None:
        estimate = objects.usage(self._prompt_tokens, self.completion_tokens)
        self._journal.end_step(self.step, status, self.usage, estimate, error)

    def _open_part(self, growing: Literal["text", "refusal"] | None, part: JsonObject) -> None:
        self._end_part()
        self.message["content"].append(part)
        self._fragments = Fragments()
        self._growing = growing

    def _end_part(self) -> None:
        """Send the rest of the open part, and join its text."""
        rest = self._fragments.end()
        if rest and self._growing == "text":
            self._more_text(rest)
        elif rest:
            self._refusal_delta(rest)
        self._join()
        self._growing = None

    def _refusal_delta(self, value: str) -> None:
        index = len(self.message["content"]) - 1
        self._journal.message_delta(self.message, {"index": index, "type": "refusal", "refusal": value})

    def _join(self) -> None:
        if self._growing is None:
            return
        part = self.message["content"][-1]
        if self._growing == "text":
            part["text"]["value"] = self._fragments.text()
        else:
            part["refusal"] = self._fragments.text()


def _annotation(value: str, before: int, citation: engine.Citation) -> JsonObject:
    """The citation of a fragment, with positions counted from the beginning of its part."""
    start = 0 if citation.start is None else citation.start
    end = len(value) if citation.end is None else citation.end
    return {
        "type": citation.kind,
        "text": value[start:end],
        "start_index": before + start,
        "end_index": before + end,
        citation.kind: {"file_id": citation.file_id},
    }


def _delta_annotation(index: int, annotation: JsonObject) -> JsonObject:
    """The annotation in a delta: with its index, and with a quote that the final message does not have."""
    delta = {"index": index, **annotation}
    if annotation["type"] == "file_citation":
        delta["file_citation"] = {**annotation["file_citation"], "quote": ""}
    return delta

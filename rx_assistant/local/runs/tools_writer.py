"""A step of tool calls that a run makes: calls are opened by index, extended by fragments, and closed together.

An engine's index counts calls of one kind, as model servers count function calls. On the wire, all calls of a step
share one count, so a call whose index is already used gets the next free index.
"""

from __future__ import annotations

from rx_assistant.local import engine, objects
from rx_assistant.local.ids import new_id
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.runs.actions import EngineError
from rx_assistant.local.runs.fragments import Fragments
from rx_assistant.local.runs.journal import Journal


class ToolsWriter:
    """One tool_calls step; `reopened` is one that a restart found open."""

    def __init__(self, journal: Journal, prompt_tokens: int, reopened: JsonObject | None = None) -> None:
        self._journal = journal
        self._prompt_tokens = prompt_tokens
        self.completion_tokens = 0
        self.usage: JsonObject | None = None
        self._calls: dict[int, JsonObject] = {}
        self._fragments: dict[int, Fragments] = {}
        self._places: dict[tuple[str, int], int] = {}
        if reopened is not None:
            self._reopen(reopened)
            return
        self.step = objects.step(journal.run, {"type": "tool_calls", "tool_calls": []})
        journal.begin_step(self.step)

    def _reopen(self, step: JsonObject) -> None:
        self.step = step
        spent = self._journal.remembered(step).get("spent") or {}
        self.usage = spent.get("usage")
        self._prompt_tokens = spent.get("prompt_tokens", 0)
        self.completion_tokens = spent.get("completion_tokens", 0)
        for index, call in enumerate(step["step_details"]["tool_calls"]):
            self._calls[index] = call
            self._fragments[index] = Fragments()
            field = _GROWING.get(call["type"])
            if field is not None:
                self._fragments[index].add(call[call["type"]][field])

    def function(self, call: engine.FunctionCall) -> None:
        """A function call begins."""
        inner = {"name": call.name, "arguments": "", "output": None}
        self._open(call.index, {"id": call.id or new_id("call_"), "type": "function", "function": inner})

    def code(self, call: engine.CodeCall) -> None:
        """A code interpreter call begins."""
        inner: JsonObject = {"input": "", "outputs": []}
        value = {"id": call.id or new_id("call_"), "type": "code_interpreter", "code_interpreter": inner}
        self._open(call.index, value)

    def grow(self, kind: str, field: str, index: int, value: str) -> None:
        """Appends a fragment to a call's arguments or code."""
        place = self._place(kind, index)
        sent = self._fragments[place].add(value)
        if sent or not value:
            self._journal.step_delta(self.step, {"index": place, "type": kind, kind: {field: sent}})

    def code_output(self, index: int, output: JsonObject) -> None:
        """Adds logs or an image to a code interpreter call."""
        self._add_output(self._place("code_interpreter", index), output)

    def _add_output(self, place: int, output: JsonObject) -> None:
        outputs = self._calls[place]["code_interpreter"]["outputs"]
        delta = {"outputs": [{"index": len(outputs), **output}]}
        outputs.append(output)
        self._journal.step_delta(self.step, {"index": place, "type": "code_interpreter", "code_interpreter": delta})

    def unanswered_code(self) -> list[tuple[int, str]]:
        """The code calls without outputs, with their code: (index on the wire, code)."""
        self._join()
        calls = [(place, call["code_interpreter"]) for place, call in self._calls.items() if "code_interpreter" in call]
        return [(place, call["input"]) for place, call in sorted(calls) if call["input"] and not call["outputs"]]

    def code_result(self, place: int, result: engine.CodeResult) -> None:
        """Adds the outputs of a code call, by its index on the wire."""
        self._add_output(place, {"type": "logs", "logs": result.logs})
        for image in result.images:
            self._add_output(place, {"type": "image", "image": {"file_id": image.id}})

    def search(self, found: engine.FileSearch, ranking: JsonObject) -> None:
        """A search. Only the finished step has its results."""
        id = found.id or new_id("call_")
        inner = {"ranking_options": ranking, "results": [_result(item) for item in found.results]}
        place = self._add(found.index, {"id": id, "type": "file_search", "file_search": inner})
        delta = {"id": id, "type": "file_search", "file_search": {"ranking_options": ranking, "results": []}}
        self._journal.step_delta(self.step, {"index": place, **delta})

    def flush(self) -> None:
        """Store the unfinished step, so that GET requests see it."""
        self._join()
        self._journal.save_step(self.step)

    def wait(self) -> None:
        """Store the step with the notes that a restart needs, because the client must now answer the calls."""
        self._join()
        spent = {
            "usage": self.usage,
            "prompt_tokens": self._prompt_tokens,
            "completion_tokens": self.completion_tokens,
        }
        self._journal.remember(self.step, spent=spent)

    def pending(self) -> list[JsonObject]:
        """The function calls that the client must answer, in the form of `required_action`. No fragment may follow."""
        self._end_fragments()
        self._join()
        return [
            {
                "id": call["id"],
                "type": "function",
                "function": {name: call["function"][name] for name in ("name", "arguments")},
            }
            for call in self.step["step_details"]["tool_calls"]
            if call["type"] == "function"
        ]

    def answer(self, outputs: dict[str, str]) -> None:
        """Add the client's outputs, by call id, and close the step."""
        for call in self._calls.values():
            if call["type"] == "function":
                call["function"]["output"] = outputs[call["id"]]
        self.close()

    def close(self) -> None:
        """Complete the step with all its calls."""
        self._end("completed")

    def abort(self, step_status: str, reason: str, error: JsonObject | None = None) -> None:
        """End the step with `step_status` and its unfinished calls."""
        self._end(step_status, error)

    def _end(self, status: str, error: JsonObject | None = None) -> None:
        self._end_fragments()
        self._join()
        estimate = objects.usage(self._prompt_tokens, self.completion_tokens)
        self._journal.end_step(self.step, status, self.usage, estimate, error)

    def _open(self, index: int, call: JsonObject) -> None:
        place = self._add(index, call)
        self._journal.step_delta(self.step, {"index": place, **call})

    def _add(self, index: int, call: JsonObject) -> int:
        """Add a call and return its index on the wire.

        Fragments for an engine's index go to the last call with that index.
        """
        if any(call["id"] == other["id"] for other in self._calls.values()):
            raise EngineError("Two calls in one step have the same id: give each call its own, or none.")
        place = index if index not in self._calls else max(self._calls) + 1
        self._calls[place] = call
        self._fragments[place] = Fragments()
        self._places[call["type"], index] = place
        return place

    def _place(self, kind: str, index: int) -> int:
        place = self._places.get((kind, index))
        if place is None:
            raise EngineError(f"A fragment came for {kind} call {index}, which was never opened.")
        return place

    def _end_fragments(self) -> None:
        for place, fragments in self._fragments.items():
            rest = fragments.end()
            if rest:
                kind = self._calls[place]["type"]
                field = _GROWING[kind]
                self._journal.step_delta(self.step, {"index": place, "type": kind, kind: {field: rest}})

    def _join(self) -> None:
        for index, call in self._calls.items():
            text = self._fragments[index].text()
            if call["type"] == "function":
                call["function"]["arguments"] = text
            elif call["type"] == "code_interpreter":
                call["code_interpreter"]["input"] = text
        calls = [self._calls[index] for index in sorted(self._calls)]
        self.step["step_details"] = {"type": "tool_calls", "tool_calls": calls}


_GROWING = {"function": "arguments", "code_interpreter": "input"}


def _result(found: engine.SearchResult) -> JsonObject:
    return {
        "file_id": found.file_id,
        "file_name": found.file_name,
        "score": found.score,
        "attributes": dict(found.attributes),
        "content": [{"type": "text", "text": found.text}],
    }

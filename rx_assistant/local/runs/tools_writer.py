"""A step of tool calls that a run makes: calls opened by index, grown in fragments, closed together."""

from __future__ import annotations

from rx_assistant.local import engine, objects
from rx_assistant.local.ids import new_id
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.runs.journal import Journal


class EngineError(Exception):
    """The run cannot go on: an action makes no sense where it came, or a resource is of no use any more."""


class ToolsWriter:
    """One tool_calls step."""

    def __init__(self, journal: Journal, prompt_tokens: int) -> None:
        self._journal = journal
        self._prompt_tokens = prompt_tokens
        self.completion_tokens = 0
        self.usage: JsonObject | None = None
        self.step = objects.step(journal.run, {"type": "tool_calls", "tool_calls": []})
        self._calls: dict[int, JsonObject] = {}
        self._fragments: dict[int, list[str]] = {}
        journal.begin_step(self.step)

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
        self._call(kind, index)
        self._fragments[index].append(value)
        self._journal.step_delta(self.step, {"index": index, "type": kind, kind: {field: value}})

    def code_output(self, index: int, output: JsonObject) -> None:
        """Adds logs or an image to a code interpreter call."""
        outputs = self._call("code_interpreter", index)["code_interpreter"]["outputs"]
        delta = {"outputs": [{"index": len(outputs), **output}]}
        outputs.append(output)
        self._journal.step_delta(self.step, {"index": index, "type": "code_interpreter", "code_interpreter": delta})

    def search(self, found: engine.FileSearch, ranking: JsonObject) -> None:
        """A search; its results are in the step's end only."""
        id = found.id or new_id("call_")
        inner = {"ranking_options": ranking, "results": [_result(item) for item in found.results]}
        self._add(found.index, {"id": id, "type": "file_search", "file_search": inner})
        delta = {"id": id, "type": "file_search", "file_search": {"ranking_options": ranking, "results": []}}
        self._journal.step_delta(self.step, {"index": found.index, **delta})

    def flush(self) -> None:
        """Stores the step as it stands, for whoever polls."""
        self._join()
        self._journal.save_step(self.step)

    def pending(self) -> list[JsonObject]:
        """The function calls that the client has to answer, as `required_action` lists them."""
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
        """Puts in what the client answered, by call id, and closes the step."""
        for call in self._calls.values():
            if call["type"] == "function":
                call["function"]["output"] = outputs[call["id"]]
        self.close()

    def close(self) -> None:
        """All calls are done."""
        self._end("completed")

    def abort(self, step_status: str, reason: str, error: JsonObject | None = None) -> None:
        """The step ends with `step_status`, its calls as far as they came."""
        self._end(step_status, error)

    def _end(self, status: str, error: JsonObject | None = None) -> None:
        self._join()
        self.step["usage"] = self.usage or objects.usage(self._prompt_tokens, self.completion_tokens)
        self._journal.end_step(self.step, status, error)

    def _open(self, index: int, call: JsonObject) -> None:
        self._add(index, call)
        self._journal.step_delta(self.step, {"index": index, **call})

    def _add(self, index: int, call: JsonObject) -> None:
        if index in self._calls:
            raise EngineError(f"tool call {index} was opened twice in one step")
        self._calls[index] = call
        self._fragments[index] = []

    def _call(self, kind: str, index: int) -> JsonObject:
        call = self._calls.get(index)
        if call is None or call["type"] != kind:
            raise EngineError(f"a fragment for {kind} call {index}, which was never opened")
        return call

    def _join(self) -> None:
        for index, call in self._calls.items():
            text = "".join(self._fragments[index])
            self._fragments[index] = [text]
            if call["type"] == "function":
                call["function"]["arguments"] = text
            elif call["type"] == "code_interpreter":
                call["code_interpreter"]["input"] = text
        calls = [self._calls[index] for index in sorted(self._calls)]
        self.step["step_details"] = {"type": "tool_calls", "tool_calls": calls}


def _result(found: engine.SearchResult) -> JsonObject:
    return {
        "file_id": found.file_id,
        "file_name": found.file_name,
        "score": found.score,
        "attributes": dict(found.attributes),
        "content": [{"type": "text", "text": found.text}],
    }

"""The docstrings of the operators → docs/operators.md. Run it after a change of one: `python docs/operators.py`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rx_assistant import operators
from rx_assistant.events import BY_NAME, StreamEvent

PAGE = Path(__file__).with_suffix(".md")

ROOMS = {
    "_select": "Selecting events",
    "_text": "Text",
    "_contents": "Refusals, images, citations, code",
    "_messages": "Messages",
    "_tool_calls": "Tool calls",
    "_run_steps": "Run steps",
    "_runs": "Runs",
    "_snapshots": "Snapshots",
    "_answers": "Answers to questions",
    "_verify": "Verifying",
    "_pacing": "Pacing",
}

INTRODUCTION = """\
# Operators

Written from the docstrings by `python docs/operators.py`. Each operator is called with parentheses and goes into
`pipe`. Its result is an `AsyncStream` (`async for`, `await`) if the source is one, else a `Stream` (`for`, `run()`).

```python
from rx_assistant import operators as ax

stream.pipe(ax.text_deltas()).subscribe(print)
```

An operator's state belongs to the subscription, so one operator may be used any number of times. If an observer raises,
only its own subscription ends, and its `on_error` gets the exception. How a `pipe` is typed:
[streams](streams.md#operators-and-type-checkers).
The examples run over this stream, a function call and an answer:

```text
"""

OF_CONTENTS = """\
The examples of refusals, images, citations and code run over `reply`:

```text
"""


def sample() -> Iterator[StreamEvent]:
    """A run that asks for the weather, gets it, and answers."""
    run = '"id": "run_1", "thread_id": "thread_1"'
    calls = '[{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": %s%s}}]'
    asked = calls % (r'"{\"city\": \"Paris\"}"', "")
    answered = calls % (r'"{\"city\": \"Paris\"}"', ', "output": "12"')
    step = '"thread_id": "thread_1", "run_id": "run_1"'
    tools = f'"id": "step_1", {step}, "type": "tool_calls"'
    made = f'"id": "step_2", {step}, "type": "message_creation", "step_details": {{"type": "message_creation"}}'
    call = '{"id": "step_1", "delta": {"step_details": {"type": "tool_calls", "tool_calls": [%s]}}}'
    message = f'"id": "msg_1", {step}, "role": "assistant"'
    text = '{"id": "msg_1", "delta": {"content": [{"index": 0, "type": "text", "text": {"value": "%s"}}]}}'
    for name, payload in (
        ("thread.run.created", f'{{{run}, "status": "queued"}}'),
        ("thread.run.queued", f'{{{run}, "status": "queued"}}'),
        ("thread.run.in_progress", f'{{{run}, "status": "in_progress"}}'),
        ("thread.run.step.created", f'{{{tools}, "status": "in_progress"}}'),
        ("thread.run.step.in_progress", f'{{{tools}, "status": "in_progress"}}'),
        (
            "thread.run.step.delta",
            call % '{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}',
        ),
        (
            "thread.run.step.delta",
            call % r'{"index": 0, "type": "function", "function": {"arguments": "{\"city\": "}}',
        ),
        ("thread.run.step.delta", call % r'{"index": 0, "type": "function", "function": {"arguments": "\"Paris\"}"}}'),
        (
            "thread.run.requires_action",
            f'{{{run}, "status": "requires_action", "required_action": {{"submit_tool_outputs": '
            f'{{"tool_calls": {asked}}}}}}}',
        ),
        ("thread.run.queued", f'{{{run}, "status": "queued"}}'),
        ("thread.run.in_progress", f'{{{run}, "status": "in_progress"}}'),
        (
            "thread.run.step.completed",
            f'{{{tools}, "status": "completed", "step_details": {{"type": "tool_calls", "tool_calls": {answered}}}}}',
        ),
        ("thread.run.step.created", f'{{{made}, "status": "in_progress"}}'),
        ("thread.run.step.in_progress", f'{{{made}, "status": "in_progress"}}'),
        ("thread.message.created", f'{{{message}, "status": "in_progress"}}'),
        ("thread.message.in_progress", f'{{{message}, "status": "in_progress"}}'),
        ("thread.message.delta", text % "It is"),
        ("thread.message.delta", text % " 12°C in Paris"),
        ("thread.message.delta", text % "."),
        (
            "thread.message.completed",
            f'{{{message}, "status": "completed", "content": '
            '[{"type": "text", "text": {"value": "It is 12°C in Paris."}}]}',
        ),
        ("thread.run.step.completed", f'{{{made}, "status": "completed"}}'),
        ("thread.run.completed", f'{{{run}, "status": "completed", "usage": {{"total_tokens": 57}}}}'),
    ):
        yield BY_NAME[name](payload.encode())


def reply() -> Iterator[StreamEvent]:
    """A run whose code prints a number, and whose message holds a citation, an image and a refusal."""
    call = '{"index": 0, "id": "call_1", "type": "code_interpreter", "code_interpreter": %s}'
    details = '{"type": "tool_calls", "tool_calls": [%s]}'
    printed = call % '{"input": "6*7", "outputs": [{"index": 0, "type": "logs", "logs": "42"}]}'
    mark = '{"index": 0, "type": "file_citation", "text": "【4:0†menu.txt】", "file_citation": {"file_id": "file_1"}}'
    image = '"type": "image_file", "image_file": {"file_id": "file_7"}'
    delta = '{"id": "msg_1", "delta": {"content": [%s]}}'
    text = '{"index": 0, "type": "text", "text": {"value": "%s"%s}}'
    refusal = '{"index": 2, "type": "refusal", "refusal": "%s"}'
    value = f'"value": "Soup【4:0†menu.txt】 and tea.", "annotations": [{mark}]'
    whole = f'{{"type": "text", "text": {{{value}}}}}, {{{image}}}, {{"type": "refusal", "refusal": "I cannot."}}'
    for name, payload in (
        ("thread.run.created", '{"id": "run_1", "status": "queued"}'),
        ("thread.run.step.delta", f'{{"id": "step_1", "delta": {{"step_details": {details % printed}}}}}'),
        (
            "thread.run.step.completed",
            f'{{"id": "step_1", "status": "completed", "step_details": {details % printed}}}',
        ),
        ("thread.message.delta", delta % (text % ("Soup【4:", ""))),
        ("thread.message.delta", delta % (text % ("0†menu.txt】", f', "annotations": [{mark}]'))),
        ("thread.message.delta", delta % (text % (" and tea.", ""))),
        ("thread.message.delta", delta % f'{{"index": 1, {image}}}'),
        ("thread.message.delta", delta % (refusal % "I can")),
        ("thread.message.delta", delta % (refusal % "not.")),
        ("thread.message.completed", f'{{"id": "msg_1", "status": "completed", "content": [{whole}]}}'),
        ("thread.run.completed", '{"id": "run_1", "status": "completed"}'),
        ("done", "[DONE]"),
    ):
        yield BY_NAME[name](payload.encode())


def page() -> str:
    """The whole page."""
    parts = [f"{INTRODUCTION}{_frames(sample())}```\n\n{OF_CONTENTS}{_frames(reply())}```\n"]
    for room, title in ROOMS.items():
        parts.append(f"## {title}\n")
        parts += [_entry(name, thing) for name, thing in _things(room)]
    return "\n".join(parts)


def _frames(events: Iterator[StreamEvent]) -> str:
    return "".join(f"{event.event:<27} {event.raw.decode()}\n" for event in events)


def _things(room: str) -> list[tuple[str, Any]]:
    """What a module gives to the public: operators first, then what they emit; the async twins are left out."""
    home = f"rx_assistant.operators.{room}"
    found = [(name, getattr(operators, name)) for name in operators.__all__]
    return sorted(
        ((name, thing) for name, thing in found if thing.__module__ == home and not name.startswith("Async")),
        key=lambda pair: (inspect.isclass(pair[1]), pair[0]),
    )


def _entry(name: str, thing: Any) -> str:
    if not inspect.isclass(thing):
        return f"### `{name}{_parameters(thing)}`\n\n{_prose(inspect.getdoc(thing) or '')}\n"
    twin = f"; on an AsyncStream `Async{name}`, with the same" if hasattr(operators, f"Async{name}") else ""
    lines = [f"### `{name}`\n", _prose(inspect.getdoc(thing) or ""), "", f"Attributes{twin}:", ""]
    for attribute in dir(thing):
        member = inspect.getattr_static(thing, attribute)
        ours = str(getattr(getattr(member, "fget", member), "__module__", "")).startswith(operators.__name__)
        if ours and not attribute.startswith("_"):
            first = (inspect.getdoc(member) or "").split("\n\n")[0].replace("\n", " ")
            lines.append(f"- `{attribute}{_parameters(member) if callable(member) else ''}` — {first}")
    return "\n".join(lines) + "\n"


def _parameters(function: Any) -> str:
    """Parameters without annotations, which the prose explains."""
    shown = [_parameter(each) for each in inspect.signature(function).parameters.values() if each.name != "self"]
    return str(inspect.Signature(shown))


def _parameter(parameter: inspect.Parameter) -> inspect.Parameter:
    default: Any = parameter.default
    if inspect.isfunction(default):
        default = _Shown(default.__name__)
    elif isinstance(default, float):
        default = _Shown(f"{default:.3g}")
    return parameter.replace(annotation=inspect.Parameter.empty, default=default)


class _Shown(str):
    """A default whose repr is for readers."""

    __slots__ = ()
    __repr__ = str.__str__


def _prose(doc: str) -> str:
    """A docstring as Markdown: examples are fenced, sections become lists."""
    doc = re.sub(r"^>>> (?:.+\n?)+", lambda match: f"```pycon\n{match[0].rstrip()}\n```\n", doc, flags=re.MULTILINE)
    return re.sub(r"^(Raises|Args):\n((?: {4}.+\n?)+)", _section, doc, flags=re.MULTILINE)


def _section(match: re.Match[str]) -> str:
    entries = re.sub(r"\n {8}", " ", match[2].rstrip())
    items = re.sub(r"^ {4}(\w+): ", r"- `\1` — ", entries, flags=re.MULTILINE)
    return f"{match[1]}:\n\n{items}\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

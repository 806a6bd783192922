"""What type checkers make of events and snapshots: names narrow, matching is exhaustive, nothing can be assigned."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mypy import api

from rx_assistant.events import BY_NAME

ROOT = Path(__file__).resolve().parents[2]

HEAD = """
from typing import assert_never, assert_type
from rx_assistant import events as ev, types as t
from rx_assistant.snapshots import RunSnapshot, advance, fold


def families(event: ev.AssistantStreamEvent, snapshot: RunSnapshot) -> RunSnapshot:
    if isinstance(event, ev.RunEvent):
        assert_type(event.data, t.Run)
    elif isinstance(event, ev.MessageEvent):
        assert_type(event.data, t.Message)
    assert_type(ev.ThreadRunCreated.from_data(t.Run(id="run_1")), ev.ThreadRunCreated)
    base: ev.StreamEvent = event
    name: str = base.event
    print(name, base.raw, fold(snapshot, base).status)
    for message in snapshot.messages:
        for part in message.content:
            if part.type == "text":
                assert_type(part.text.value, str)
    call = snapshot.tool_calls[-1]
    if call.type == "function":
        assert_type(call.function.arguments, str)
    text: t.Text | None = snapshot.text_part("msg_1", 0)
    assert_type(snapshot.run, t.Run | None)
    assert_type(snapshot.usage, t.Usage | None)
    after, changes = advance(snapshot, event)
    print([phase for phase, _, _ in changes], text)
    return after
"""

WRONG = {
    "a name that no event has": 'def f(e: ev.AssistantStreamEvent) -> bool: return e.event == "thread.lost"',
    "data that nobody narrowed": "def f(e: ev.AssistantStreamEvent) -> None: e.data.status",
    "an event that is changed": 'def f(e: ev.ThreadRunCreated) -> None: e.event = "thread.run.created"',
    "a payload that is changed": "def f(e: ev.ThreadRunCreated) -> None: e.data = e.data",
    "a snapshot that is changed": "def f(s: RunSnapshot) -> None: s.run = None",
    "a list that is changed": "def f(s: RunSnapshot) -> None: s.messages[0] = s.messages[1]",
}


def programs() -> Iterator[str]:
    """Comparing each name, and matching each class, to the end of the union."""
    yield HEAD
    yield "\n\ndef names(event: ev.AssistantStreamEvent) -> None:"
    for number, (name, kind) in enumerate(BY_NAME.items()):
        yield f'    {"el" if number else ""}if event.event == "{name}":'
        yield f"        assert_type(event, ev.{kind.__name__})"
        model = type(kind(b"{}").data).__name__
        yield f"        assert_type(event.data, {model if model == 'str' else 't.' + model})"
    yield "    else:\n        assert_type(event, ev.UnknownEvent)\n        assert_type(event.data, object)"
    yield "\n\ndef classes(event: ev.AssistantStreamEvent) -> object:\n    match event:"
    for kind in BY_NAME.values():
        yield f"        case ev.{kind.__name__}(data):\n            return data"
    yield "        case ev.UnknownEvent(data):\n            return data"
    yield "        case never:\n            assert_never(never)\n"


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("events") / "right_events.py"
    path.write_text("\n".join(programs()), "utf-8")
    return path


def mypy(*paths: Path) -> str:
    """What mypy says in strict mode."""
    options = ["--strict", "--no-error-summary", "--config-file", str(ROOT / "pyproject.toml")]
    report, complaint, _ = api.run([*options, *map(str, paths)])
    return report + complaint


def test_mypy_sees_every_name_and_class_narrow(right: Path) -> None:
    assert mypy(right) == ""


def test_mypy_refuses_each_wrong_program(tmp_path: Path) -> None:
    head = "from rx_assistant import events as ev\nfrom rx_assistant.snapshots import RunSnapshot\n\n"
    paths = [tmp_path / f"wrong_event_{number}.py" for number in range(len(WRONG))]
    for path, program in zip(paths, WRONG.values(), strict=True):
        path.write_text(f"{head}{program}\n", "utf-8")
    report = mypy(*paths)
    assert [wrong for path, wrong in zip(paths, WRONG, strict=True) if path.name not in report] == []


def test_basedpyright_sees_the_same(right: Path, tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("basedpyright")
    if not command.exists():
        pytest.skip("basedpyright is not installed")
    settings = tmp_path / "pyrightconfig.json"
    settings.write_text(
        json.dumps({"include": [str(right)], "extraPaths": [str(ROOT)], "typeCheckingMode": "standard"})
    )
    found = subprocess.run(
        [str(command), "--outputjson", "-p", str(settings)], capture_output=True, text=True, check=False
    )
    assert [each["message"] for each in json.loads(found.stdout)["generalDiagnostics"]] == []

"""What type checkers make of the operators: each narrows, on both faces, also behind other operators."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("operators_typing_program.py")

HEAD = "from rx_assistant import AssistantStream, operators as ax\n\n\ndef f(stream: AssistantStream) -> None:\n"
WRONG = {
    "a name where a class is wanted": 'ax.of_type("thread.run.created")',
    "a mode that does not exist": 'ax.verify("loose")',
    "a model that is no model": "[call.partial_arguments(int) for call in stream.pipe(ax.tool_calls())]",
    "a misspelt attribute": "stream.pipe(ax.texts()).run().delta",
    "a text of what is none": "stream.pipe(ax.tool_calls()).run().message_id",
}


def test_mypy_sees_what_each_operator_gives(tmp_path: Path) -> None:
    wrong = []
    for number, line in enumerate(WRONG.values()):
        wrong.append(tmp_path / f"wrong_{number}.py")
        wrong[-1].write_text(f"{HEAD}    {line}\n", "utf-8")
    options = ["--strict", "--no-error-summary", "--config-file", str(ROOT / "pyproject.toml")]
    report, complaint, _ = api.run([*options, str(PROGRAM), *map(str, wrong)])
    assert complaint == ""
    assert [line for line in report.splitlines() if "wrong_" not in line] == []
    assert [path.name for path in wrong if path.name not in report] == []


def test_basedpyright_sees_the_same(tmp_path: Path) -> None:
    command = Path(sys.executable).with_name("basedpyright")
    if not command.exists():
        pytest.skip("basedpyright is not installed")
    settings = tmp_path / "pyrightconfig.json"
    paths = {"include": [str(PROGRAM)], "extraPaths": [str(ROOT)], "typeCheckingMode": "standard"}
    settings.write_text(json.dumps(paths), "utf-8")
    options = ["--outputjson", "--pythonpath", sys.executable, "-p", str(settings)]
    found = subprocess.run([str(command), *options], capture_output=True, text=True, check=False)
    report = json.loads(found.stdout)
    assert report["summary"]["filesAnalyzed"] == 1
    assert [entry["message"] for entry in report["generalDiagnostics"] if entry["severity"] == "error"] == []

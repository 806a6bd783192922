"""What the clients' methods give and refuse, as two type checkers see it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mypy import api

PROGRAM = Path(__file__).with_name("client_typing_program.py")
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(300)
def test_mypy_agrees_with_every_claim_of_the_program() -> None:
    report, complaint, code = api.run(["--strict", "--config-file", str(ROOT / "pyproject.toml"), str(PROGRAM)])
    assert code == 0, report + complaint


@pytest.mark.timeout(300)
def test_basedpyright_agrees_too() -> None:
    beside = Path(sys.executable).with_name("basedpyright")
    command = str(beside) if beside.exists() else shutil.which("basedpyright")
    if command is None:
        pytest.skip("basedpyright is not installed")
    done = subprocess.run(
        [command, "--pythonpath", sys.executable, "--level", "error", str(PROGRAM)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout

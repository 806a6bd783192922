"""Qt windows that are collected, closed, hidden and shown again: each program in its own process, on both bindings."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("qt_programs.py")
PROGRAMS = re.findall(r"@program\ndef (\w+)", FILE.read_text())


def test_the_programs_are_found() -> None:
    assert len(PROGRAMS) > 15


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("binding", ["PySide6", "PyQt6"])
def test_windows(binding: str) -> None:
    if importlib.util.find_spec(binding) is None:
        pytest.skip(f"{binding} is not installed")
    command = [sys.executable, "-X", "faulthandler", str(FILE), binding, *PROGRAMS]
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=90)
    said = [line for line in ran.stderr.splitlines() if not line.startswith("This plugin does not support")]
    assert (ran.stdout.splitlines(), said) == ([f"{name} 0" for name in PROGRAMS], [])

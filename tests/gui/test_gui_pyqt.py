"""The tests of the Qt host once more, with PyQt6: in a process of their own, since only one binding fits into one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.skipif(importlib.util.find_spec("PyQt6") is None, reason="PyQt6 is not installed")
def test_the_qt_host_passes_the_same_tests_on_pyqt6() -> None:
    plugins = ["-p", "pytest_timeout", "-p", "no:cacheprovider", "--confcutdir", str(HERE)]  # no others: they take long
    command = [sys.executable, "-m", "pytest", *plugins, "-k", "[qt]", str(HERE / "test_gui_hosts.py")]
    environment = {**os.environ, "QT_API": "pyqt6", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    ran = subprocess.run(command, env=environment, cwd=HERE.parents[1], capture_output=True, text=True, timeout=100)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ".........." in ran.stdout

"""A display for the toolkits that need one, and the toolkits themselves."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
from collections.abc import Iterator

import pytest
from gui_toolkits import TOOLKITS, Toolkit

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")


@pytest.fixture(scope="session")
def display() -> Iterator[None]:
    """An X display: the one that is there, or an Xvfb of our own."""
    if os.environ.get("DISPLAY"):
        yield
        return
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("there is no display, and no Xvfb to make one")
    command = [program, "-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        os.environ["DISPLAY"] = f":{server.stdout.readline().decode().strip()}"
        try:
            yield
        finally:
            del os.environ["DISPLAY"]
            server.terminate()


@pytest.fixture(params=sorted(TOOLKITS))
def toolkit(request: pytest.FixtureRequest) -> Iterator[Toolkit]:
    """Each toolkit that is installed, with its real event loop."""
    kind = TOOLKITS[request.param]
    if kind.needs_display:
        request.getfixturevalue("display")
    kind.require()
    toolkit = kind()
    yield toolkit
    toolkit.forget_widgets()
    if "tkinter" in kind.packages:
        gc.collect()  # a Tcl interpreter must not be collected on another thread later

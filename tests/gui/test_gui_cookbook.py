"""The recipes for windows: the page is one program, and its windows are closed when their answers are complete."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from house.pages import DOCS, program

CLOSING = """
import tkinter

from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication, QPlainTextEdit

END = "everything else I can only repeat."  # of each answer of the built-in assistant
plain_mainloop, plain_exec = tkinter.Tk.mainloop, QApplication.exec


def papers(widget):
    if isinstance(widget, tkinter.Text):
        yield widget
    for child in widget.winfo_children():
        yield from papers(child)


def mainloop(root, n=0):
    def look():
        texts = [paper.get("1.0", "end") for paper in papers(root)]
        if all(END in text for text in texts):
            print("Tk:", len(texts), *(text.split("\\n")[1] for text in texts))
            root.destroy()
        else:
            root.after(10, look)

    look()
    plain_mainloop(root, n)


def run(app):
    def look():
        shown = [widget for widget in app.topLevelWidgets() if isinstance(widget, QPlainTextEdit)]
        texts = [widget.toPlainText() for widget in shown if widget.isVisible()]
        if texts and all(END in text for text in texts):
            print("Qt:", *sorted(text.split("\\n")[0] for text in texts))
            app.quit()

    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(10)
    return plain_exec()


tkinter.Tk.mainloop, QApplication.exec = mainloop, run
"""


@pytest.mark.usefixtures("display")
def test_the_recipes_for_windows_run(tmp_path: Path) -> None:
    for package in ("tkinter", "PySide6"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    (tmp_path / "page.py").write_text(CLOSING + program(DOCS / "cookbook-windows.md"), "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "page.py"],
        cwd=tmp_path,
        env=os.environ | {"QT_QPA_PLATFORM": "offscreen"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "Tk: 2 > Good morning! > Good evening!",
        "Qt: You said: Good morning!",
        "Qt: You said: Good evening!",
    ]

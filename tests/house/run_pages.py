"""The programs of pages, one after the other, each in a process of its own: `python run_pages.py FOLDER…`.

Runs `page.py` in each folder; its output is in `out` there, its errors in `err`. Prints each exit code. The processes
share what they would all import first.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
from functools import partial
from pathlib import Path
from types import ModuleType

sys.path.append(str(Path(__file__).resolve().parents[1]))
from children import exit_codes  # beside the rooms

SHARED = ("rx_assistant.client", "rx_assistant.local.serving", "rx_assistant.types", "httpcore", "h11", "uvicorn.main")


def run(folder: str) -> None:
    os.chdir(folder)
    for stream, name in ((sys.stdout, "out"), (sys.stderr, "err")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT), stream.fileno())
    sys.argv = ["page.py"]
    sys.path[:] = [folder, *sys.path[1:-1]]
    runpy.run_path("page.py", run_name="__main__")


if __name__ == "__main__":
    for name in SHARED:
        importlib.import_module(name)
    types: ModuleType = sys.modules["rx_assistant.types"]
    for name in types.__all__:
        getattr(types, name)
    for code in exit_codes({folder: partial(run, folder) for folder in sys.argv[1:]}).values():
        print(code)

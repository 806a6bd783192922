"""What works without any extra: the names, and the pages of pydoc; and that the lower bounds say what is tested."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from itertools import chain
from pathlib import Path
from zipfile import PyZipFile

import pytest

TESTED = ("local", "cli", "documents", "embeddings", "textual", "redis", "web", "ag-ui")
ROOT = Path(__file__).resolve().parents[2]
EXTRAS = (
    *("starlette", "uvicorn", "python_multipart", "yaml", "click", "rich", "textual", "trio", "PySide6", "PyQt6"),
    *("pypdf", "docx", "pptx", "openpyxl", "lxml", "ag_ui", "redis", "IPython"),
)
WITHOUT = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: None if name in {EXTRAS!r} else found(name, package)
"""


def run(code: str) -> str:
    """What the program prints in an installation without extras."""
    command = [sys.executable, "-c", WITHOUT + code]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_name_can_be_imported_without_extras() -> None:
    code = "from rx_assistant import *; import rx_assistant; print(len(rx_assistant.__all__), local, gui)"
    assert "rx_assistant.local" in run(code)
    assert run("import rx_assistant\nprint(all(hasattr(rx_assistant, name) for name in dir(rx_assistant)))") == "True\n"


def test_every_name_can_be_imported_from_a_zip_file_without_sources(tmp_path: Path) -> None:
    with PyZipFile(str(tmp_path / "package.zip"), "w") as archive:
        archive.writepy(str(ROOT / "rx_assistant"))
        assert not [name for name in archive.namelist() if name.endswith(".py")]
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path / "package.zip")!r})
import rx_assistant
assert "package.zip" in rx_assistant.__file__
from rx_assistant import *
from rx_assistant.types import *
print(AssistantClient.__name__, TextDelta.__name__, len(rx_assistant.types.__all__) > 200)
"""
    assert run(code) == "AssistantClient TextDelta True\n"


@pytest.mark.parametrize(
    "name",
    ["rx_assistant", "rx_assistant.local", "rx_assistant.gui", "rx_assistant.local.engine", "rx_assistant.web"],
)
def test_pydoc_shows_the_packages_without_extras(name: str) -> None:
    page = run(f"import pydoc; print(pydoc.render_doc({name!r}, renderer=pydoc.plaintext))")
    assert f"NAME\n    {name}" in page


def test_what_needs_the_extra_names_it() -> None:
    code = """
import rx_assistant
for touch in (lambda: rx_assistant.local.serve, lambda: __import__("rx_assistant.local", fromlist=["app"]).app):
    try:
        touch()
    except ImportError as error:
        print(error)
print(rx_assistant.local.RunContext.__name__, hasattr(rx_assistant.local, "nothing"))
"""
    message = "the local server needs more packages: pip install 'rx_assistant[local]'\n"
    assert run(code) == message * 2 + "RunContext False\n"


def test_a_relay_in_memory_needs_no_extra_and_one_in_redis_names_it() -> None:
    code = """
from rx_assistant import relay
print(relay.MemoryRelay().state("k"))
try:
    relay.RedisRelay
except ImportError as error:
    print(error)
"""
    assert run(code) == "None\nRedisRelay needs the extra: pip install 'rx_assistant[redis]'\n"


def test_a_live_display_only_reads_without_ipython() -> None:
    code = r"""
import rx_assistant
from rx_assistant.gui import live
print(live(rx_assistant.replay(b'event: thread.run.created\ndata: {"id": "run_1", "status": "completed"}\n\n')).status)
"""
    assert run(code) == "completed\n"


def test_a_response_and_ag_ui_name_their_extras() -> None:
    code = """
import rx_assistant
for name in ("EventStreamResponse", "ag_ui"):
    try:
        getattr(rx_assistant.web, name)
    except ImportError as error:
        print(error)
print(rx_assistant.web.EventStream.__name__, hasattr(rx_assistant.web, "nothing"))
"""
    assert run(code).splitlines() == [
        "EventStreamResponse needs another package: pip install 'rx_assistant[web]'",
        "AG-UI needs another package: pip install 'rx_assistant[ag-ui]'",
        "EventStream False",
    ]


def test_the_lower_bounds_are_those_that_are_tested() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [
        *project["dependencies"],
        *chain.from_iterable(project["optional-dependencies"][extra] for extra in TESTED),
        "trio>=0.26",
    ]
    floors = {match[1]: match[2] for each in declared if (match := re.match(r"([\w-]+)(?:\[\w+\])?>=([\d.]+)", each))}
    tested = dict(re.findall(r"^([\w-]+)==([\d.]+)$", (ROOT / ".ci/lowest.txt").read_text(), re.MULTILINE))
    numbers = {name: [int(part) for part in version.split(".")] for name, version in tested.items()}
    assert set(tested) == set(floors) - {"h11", "httpcore"}
    for name, floor in floors.items():
        if name in numbers:
            wanted = [int(part) for part in floor.split(".")]
            assert numbers[name][: len(wanted)] == wanted, (name, floor, tested[name])
            assert not any(numbers[name][len(wanted) :]), (name, floor, tested[name])

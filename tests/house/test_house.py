"""The state of the house: style, layers, and the list of public names. Each is one command for people, too."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import rx_assistant

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [folder for folder in ("rx_assistant", "tests", "examples", "benchmarks", "docs") if (ROOT / folder).is_dir()]


def run(module: str, *arguments: str) -> None:
    execute(sys.executable, "-m", module, *arguments)


def execute(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"


def test_the_code_passes_ruff() -> None:
    run("ruff", "check", "--quiet", *SOURCES)


def test_the_code_is_formatted() -> None:
    run("ruff", "format", "--check", "--quiet", *SOURCES)


def test_imports_point_down_the_map() -> None:
    execute(str(Path(sys.executable).with_name("lint-imports")))


def imported(source: Path) -> set[str]:
    """The modules that a file imports anywhere, under TYPE_CHECKING too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.mark.parametrize("room", ["hot", "operators", "streams"])
def test_no_circle_is_left_inside_a_room_even_for_types(room: str) -> None:
    files = {f"rx_assistant.{room}.{file.stem}": file for file in (ROOT / "rx_assistant" / room).glob("*.py")}
    files[f"rx_assistant.{room}"] = files.pop(f"rx_assistant.{room}.__init__")
    graph = {name: (imported(file) & files.keys()) - {name} for name, file in files.items()}
    assert any(graph.values())
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the modules


def submodules() -> list[str]:
    found = pkgutil.walk_packages(rx_assistant.__path__, "rx_assistant.")
    return [module.name for module in found if not module.name.endswith("__main__")]


def test_importing_a_module_replaces_no_public_name() -> None:
    before = {name: getattr(rx_assistant, name) for name in rx_assistant.__all__}
    refused: dict[str, str] = {}
    for name in submodules():
        try:
            importlib.import_module(name)
        except ImportError as error:
            refused[name] = str(error)
    assert all("pip install" in message for message in refused.values()), f"these do not say what they need: {refused}"
    after = {name: getattr(rx_assistant, name) for name in rx_assistant.__all__}
    assert all(after[name] is before[name] for name in before)


def test_the_public_names_are_sorted_and_all_there() -> None:
    assert rx_assistant.__all__ == sorted(rx_assistant.__all__, key=lambda name: (not name.isupper(), name))
    assert set(rx_assistant.__all__) <= set(dir(rx_assistant))


def test_every_public_name_is_documented() -> None:
    undocumented = [
        name
        for name in rx_assistant.__all__
        if callable(value := getattr(rx_assistant, name)) and not (value.__doc__ or "").strip()
    ]
    assert undocumented == []


def test_importing_the_package_loads_no_leaf() -> None:
    leaves = ("gui", "local", "web", "client", "cli", "loops", "handlers", "polling", "streams")
    code = (
        "import sys, rx_assistant\n"
        f"loaded = [name for name in {leaves!r} if 'rx_assistant.' + name in sys.modules]\n"
        "assert not loaded, loaded\n"
        "assert 'reactivex' not in sys.modules and 'httpx' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_importing_what_most_programs_import_loads_no_models_no_http_library_and_no_metadata() -> None:
    code = (
        "import sys\n"
        "from rx_assistant import AssistantClient, AssistantEventHandler, operators\n"
        "heavy = {'pydantic', 'httpx', 'httpx2', 'trio', 'starlette', 'importlib.metadata'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)

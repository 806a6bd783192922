"""What two type checkers say of the package, each room's programs, the examples and the pages: one run of each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typed_programs import Programs

from house import pages

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(str(path) for path in (ROOT / "examples").glob("*.py"))
ROOMS = ("client", "events", "handlers", "operators", "types")

sys.path.extend(str(ROOT / "tests" / room) for room in ROOMS)  # as pytest does for the tests of a room
PROGRAMS: dict[str, Programs] = {room: import_module(f"{room}_programs").PROGRAMS for room in ROOMS}
PAGE: str = import_module("handlers_programs").of_the_page()
PAGES = pages.programs()
LAMBDAS: dict[str, str] = import_module("operators_lambdas").PROGRAMS
WRONG = [(room, number, claim) for room in ROOMS for number, claim in enumerate(PROGRAMS[room].wrong)]

pytestmark = pytest.mark.timeout(600)


def written(folder: Path) -> list[str]:
    """The paths of all the programs for the first checker."""
    programs = {f"{room}_right": each.right for room, each in PROGRAMS.items()}
    for room, number, claim in WRONG:
        programs[f"{room}_wrong_{number}"] = PROGRAMS[room].head + PROGRAMS[room].wrong[claim]
    if PAGE:
        programs["page_right"] = PAGE
    programs |= PAGES | {f"lambdas_{face}": program for face, program in LAMBDAS.items()}
    return [_write(folder / f"{name}.py", program) for name, program in programs.items()]


def _write(path: Path, program: str) -> str:
    path.write_text(f"{program}\n", "utf-8")
    return str(path)


@pytest.fixture(scope="module")
def mypy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[int, str]]]:
    """Where mypy finds mistakes: in which file, at which line, and what it says."""
    paths = written(tmp_path_factory.mktemp("mypy"))
    options = ["--no-error-summary", "--show-absolute-path", "--output", "json", "rx_assistant"]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *EXAMPLES, *paths],
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": str(ROOT / "examples")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    found: dict[str, list[tuple[int, str]]] = {}
    for line in done.stdout.splitlines():
        said = json.loads(line)
        if said["severity"] == "error":
            found.setdefault(Path(said["file"]).name, []).append((said["line"], said["message"]))
    return found


@pytest.fixture(scope="module")
def basedpyright(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, int, str]]:
    """The mistakes that basedpyright finds: in the package by its standard rules, in what is right by its strict ones.

    Its strict rules are those of pyright.
    """
    command = Path(sys.executable).with_name("basedpyright")
    if not command.exists():
        pytest.skip("basedpyright is not installed")
    folder = tmp_path_factory.mktemp("basedpyright")
    programs = {f"{room}_right": each.right + each.second for room, each in PROGRAMS.items()}
    programs |= PAGES | {f"lambdas_{face}": program for face, program in LAMBDAS.items()}
    paths = [*EXAMPLES, *(_write(folder / f"{name}.py", program) for name, program in programs.items())]
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["basedpyright"]
    package = [str(ROOT / each) for each in settings["include"]]
    settings |= {"include": [*package, *paths], "strict": paths, "extraPaths": [str(ROOT), str(ROOT / "examples")]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), "utf-8")
    done = subprocess.run(
        [command, "--outputjson", "--pythonpath", sys.executable, "-p", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(done.stdout)
    sources = [each for ending in ("py", "pyi") for each in (ROOT / "rx_assistant").rglob(f"*.{ending}")]
    assert report["summary"]["filesAnalyzed"] == len(paths) + len(sources)
    return [*_mistakes(report)]


def _mistakes(report: dict[str, list[dict[str, object]]]) -> Iterator[tuple[str, int, str]]:
    for each in report["generalDiagnostics"]:
        if each["severity"] == "error":
            yield str(each["file"]), each["range"]["start"]["line"] + 1, str(each["message"])  # type: ignore[index]


def test_the_package_is_typed_strictly(mypy: dict[str, list[tuple[int, str]]]) -> None:
    programs = {f"{room}_right.py" for room in ROOMS} | {f"{room}_wrong_{number}.py" for room, number, _ in WRONG}
    programs |= {"page_right.py"} | {f"{page}.py" for page in PAGES} | {f"lambdas_{face}.py" for face in LAMBDAS}
    programs |= {Path(example).name for example in EXAMPLES}
    assert {file: said for file, said in mypy.items() if file not in programs} == {}


@pytest.mark.parametrize("example", [Path(example).name for example in EXAMPLES])
def test_mypy_accepts_an_example(mypy: dict[str, list[tuple[int, str]]], example: str) -> None:
    assert mypy.get(example, []) == []


@pytest.mark.parametrize("page", PAGES)
def test_mypy_accepts_the_program_of_a_page(mypy: dict[str, list[tuple[int, str]]], page: str) -> None:
    assert mypy.get(f"{page}.py", []) == []


@pytest.mark.parametrize("face", ["Stream", "AsyncStream"])
def test_mypy_infers_a_lambda_in_pipe_where_it_does_for_reactivex(
    mypy: dict[str, list[tuple[int, str]]], face: str
) -> None:
    missed, stock = (_lines(mypy[f"lambdas_{each}.py"]) for each in (face, "Observable"))
    assert missed <= stock


def _lines(said: list[tuple[int, str]]) -> set[int]:
    """The lines where a checker found no type, without what follows from that."""
    return {line for line, message in said if not message.startswith("Expression is of type")}


@pytest.mark.parametrize("room", ROOMS)
def test_mypy_agrees_with_every_claim_of_a_program(mypy: dict[str, list[tuple[int, str]]], room: str) -> None:
    assert mypy.get(f"{room}_right.py", []) == []


@pytest.mark.parametrize(("room", "number"), [each[:2] for each in WRONG], ids=[each[2] for each in WRONG])
def test_mypy_refuses_what_is_wrong_and_nothing_before_it(
    mypy: dict[str, list[tuple[int, str]]], room: str, number: int
) -> None:
    lines = [line for line, _ in mypy[f"{room}_wrong_{number}.py"]]
    assert min(lines) > PROGRAMS[room].head.count("\n")


@pytest.mark.usefixtures("shared")
def test_mypy_accepts_the_pages_handler(mypy: dict[str, list[tuple[int, str]]]) -> None:
    assert "@override" in PAGE
    assert mypy.get("page_right.py", []) == []


def test_a_second_checker_agrees_with_the_package_and_strictly_with_every_program_example_and_page(
    basedpyright: list[tuple[str, int, str]],
) -> None:
    assert basedpyright == []

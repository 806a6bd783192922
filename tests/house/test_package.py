"""What is uploaded: the wheel and the source archive, built once, checked by the index's own tools, and tried."""

from __future__ import annotations

import email
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Sequence
from email.message import Message
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

pytestmark = pytest.mark.timeout(900)


def run(command: Sequence[str | Path], folder: Path, **environment: str) -> str:
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both archives; the wheel is made from the source archive, as an installer does."""
    folder = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT], folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> ZipFile:
    (path,) = built.glob("*.whl")
    return ZipFile(path)


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the source archive."""
    (path,) = built.glob("*.tar.gz")
    target = tmp_path_factory.mktemp("sdist")
    with tarfile.open(path) as archive:
        archive.extractall(target, filter="data")
    (folder,) = target.iterdir()
    return folder


def metadata(wheel: ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_the_index_accepts_both_archives(built: Path) -> None:
    told = run([sys.executable, "-m", "twine", "check", "--strict", *built.iterdir()], built, NO_COLOR="1")
    assert told.count("PASSED") == 2


def test_the_wheel_holds_what_it_should(built: Path, wheel: ZipFile) -> None:
    checker = Path(sys.executable).with_name("check-wheel-contents")
    run([checker, *built.glob("*.whl")], built)
    sources = {path for ending in ("py", "pyi", "typed") for path in (ROOT / "rx_assistant").rglob(f"*.{ending}")}
    assert {path.relative_to(ROOT).as_posix() for path in sources} == {
        name for name in wheel.namelist() if ".dist-info/" not in name
    }
    assert "rx_assistant/py.typed" in wheel.namelist()


def test_the_metadata_is_complete(wheel: ZipFile) -> None:
    said = metadata(wheel)
    assert said["Name"] == "rx_assistant"
    assert said["Version"] == PROJECT["version"]
    assert said["License-Expression"] == "MIT"
    assert said["Requires-Python"] == ">=3.11"
    assert said["Description-Content-Type"] == "text/markdown"
    assert "hot Observable" in said["Summary"]
    assert said.get_all("Project-URL")
    assert set(PROJECT["optional-dependencies"]) == {
        extra.replace("_", "-") for extra in said.get_all("Provides-Extra") or ()
    }
    versions = re.findall(r":: (3\.\d+)\n", "\n".join(said.get_all("Classifier") or ()))
    assert versions == ["3.11", "3.12", "3.13"]


def test_the_version_is_in_one_place() -> None:
    texts = {path: path.read_text("utf-8") for path in (ROOT / "rx_assistant").rglob("*.py")}
    pinned = re.compile(rf"""["']{re.escape(PROJECT["version"])}["']""")
    assert [path for path, text in texts.items() if pinned.search(text)] == []


def test_every_extra_that_the_pages_name_exists() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").glob("*.py")]
    named = {
        extra
        for page in pages
        for extras in re.findall(r"(?:rx_assistant|\.)\[([a-z,-]+)\]'", page.read_text("utf-8"))
        for extra in extras.split(",")
    }
    assert {"cli", "local", "test"} <= named
    assert named <= set(PROJECT["optional-dependencies"])


def test_an_installed_wheel_runs(built: Path, tmp_path: Path) -> None:
    target = tmp_path / "installed"
    installing = ["-m", "pip", "install", "--no-deps", "--no-index", "--disable-pip-version-check", "--target", target]
    run([sys.executable, *installing, *built.glob("*.whl")], tmp_path)
    code = (
        "import rx_assistant; print(rx_assistant.__file__, rx_assistant.__version__, rx_assistant.local.serve.__name__)"
    )
    told = run([sys.executable, "-c", code], tmp_path, PYTHONPATH=str(target))
    assert str(target) in told
    assert told.split()[1:] == [PROJECT["version"], "serve"]


def test_the_source_archive_has_all_that_its_tests_read(unpacked: Path) -> None:
    for folder in (".ci", "benchmarks", "docs", "examples", "rx_assistant", "tests"):
        sources = {path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.*") if _is_source(path)}
        assert sources
        assert [path for path in sorted(sources) if not (unpacked / path).exists()] == []
    assert {"README.md", "CHANGELOG.md", "LICENSE", "zensical.toml"} <= {path.name for path in unpacked.iterdir()}


def _is_source(path: Path) -> bool:
    is_made = {"node_modules", "__pycache__", ".pytest_cache", ".mypy_cache"} & set(path.parts)
    return path.is_file() and not is_made and path.name != "package-lock.json"


def test_the_tests_of_the_source_archive_run_there(unpacked: Path) -> None:
    where = "import sys; sys.path.insert(0, ''); import rx_assistant; print(rx_assistant.__file__)"
    assert str(unpacked) in run([sys.executable, "-c", where], unpacked)
    rooms = ["tests/sse/test_sse_encode.py", "tests/house/test_readme.py"]
    told = run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *rooms], unpacked)
    assert "passed" in told or "[100%]" in told


def test_each_version_has_its_chapter_in_the_changelog() -> None:
    titles = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    assert titles[0] == "Unreleased"
    assert all(re.fullmatch(r"\d+\.\d+\.\d+ — \d{4}-\d\d-\d\d", title) for title in titles[1:])

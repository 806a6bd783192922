"""What the pages in docs/ promise: each is a program from its first block to its last, and their links are real.

A block with tests in it is run by pytest. `operators.md` is tested beside the operators, `any-model.md` beside the
command line; `gui.md` and `cookbook-windows.md` need a screen.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cases import in_one_test
from house.pages import DOCS, blocks, is_test, program

RUN_PAGES = Path(__file__).with_name("run_pages.py")
PAGES = sorted(page.name for page in DOCS.glob("*.md"))
ELSEWHERE = ("any-model.md", "cookbook-windows.md", "gui.md", "operators.md")
PROGRAMS = [page for page in PAGES if page not in ELSEWHERE and program(DOCS / page)]
pytestmark = pytest.mark.timeout(400)  # the first test waits for all programs
TESTS = [page for page in PAGES if any(map(is_test, blocks(DOCS / page)))]


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},  # a page's tests name the plugins that they need
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Error" not in done.stderr, done.stderr
    return done.stdout


def test_the_pages_are_found() -> None:
    assert {"local.md", "sdk.md", "streams.md"} <= set(PROGRAMS)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, str, str]]:
    """The exit code, the output and the errors of each page's program."""
    folders = {page: tmp_path_factory.mktemp(Path(page).stem) for page in PROGRAMS}
    for page, folder in folders.items():
        (folder / "page.py").write_text(program(DOCS / page), "utf-8")
    codes = run(DOCS, str(RUN_PAGES), *map(str, folders.values())).splitlines()
    return {
        page: (code, (folder / "out").read_text("utf-8"), (folder / "err").read_text("utf-8"))
        for (page, folder), code in zip(folders.items(), codes, strict=True)
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("page", PROGRAMS)
def test_a_page_runs_from_its_first_block_to_its_last(page: str, ran: dict[str, tuple[str, str, str]]) -> None:
    code, out, err = ran[page]
    assert code == "0", out + err
    assert "Error" not in err
    assert out


@pytest.mark.parametrize("page", TESTS)
def test_the_tests_of_a_page_pass(page: str, tmp_path: Path) -> None:
    tests = [*filter(is_test, blocks(DOCS / page))]
    for number, block in enumerate(tests):
        (tmp_path / f"test_page_{number}.py").write_text(block, "utf-8")
    told = run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", ".")
    assert f"{sum(block.count('def test_') for block in tests)} passed" in told


@in_one_test("page", PAGES)
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    links = re.findall(r"\]\(([^)]+)\)", (DOCS / page).read_text("utf-8"))
    made = re.compile(r"reference/[\w-]+\.md")  # tests/house/test_site.py has these
    missing = [
        link
        for link in links
        if "://" not in link and not made.match(link) and not (DOCS / link.partition("#")[0]).exists()
    ]
    assert missing == []

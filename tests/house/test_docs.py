"""What the pages in docs/ promise: each is a program from its first block to its last, and their links are real.

A block with tests in it is run by pytest. `operators.md` is tested beside the operators, `any-model.md` beside the
command line; `gui.md` and `cookbook-windows.md` need a screen.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from cases import in_one_test
from house.pages import DOCS, blocks, is_test, program

PAGES = sorted(page.name for page in DOCS.glob("*.md"))
ELSEWHERE = ("any-model.md", "cookbook-windows.md", "gui.md", "operators.md")
PROGRAMS = [page for page in PAGES if page not in ELSEWHERE and program(DOCS / page)]
TESTS = [page for page in PAGES if any(map(is_test, blocks(DOCS / page)))]


def run(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Error" not in done.stderr, done.stderr
    return done.stdout


def test_the_pages_are_found() -> None:
    assert {"local.md", "sdk.md", "streams.md"} <= set(PROGRAMS)


@pytest.mark.parametrize("page", PROGRAMS)
def test_a_page_runs_from_its_first_block_to_its_last(page: str, tmp_path: Path) -> None:
    (tmp_path / "page.py").write_text(program(DOCS / page), "utf-8")
    assert run(tmp_path, "page.py")


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

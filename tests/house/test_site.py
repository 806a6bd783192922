"""The documentation site: it is built strictly, its links are real, and what is made from the code is complete."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from house.pages import DOCS, blocks

from rx_assistant import operators as ax

ROOT = DOCS.parent
OPERATORS = [name for name in ax.__all__ if name.islower()]

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module", autouse=True)
def scripts() -> Iterator[None]:
    """The scripts in docs/ import each other as programs beside each other."""
    sys.path.insert(0, str(DOCS))
    yield
    sys.path.remove(str(DOCS))


def script(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `python docs/make.py` builds it."""
    target = tmp_path_factory.mktemp("site") / "site"
    command = [sys.executable, str(DOCS / "make.py"), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def test_every_page_is_in_the_site_and_in_its_navigation(site: Path) -> None:
    pages = {page.stem for page in DOCS.glob("*.md")}
    assert pages <= {page.stem for page in site.glob("*.html")}
    listed = set(re.findall(r'"([\w-]+)\.md"', (ROOT / "zensical.toml").read_text("utf-8")))
    assert pages <= listed, "zensical.toml has the navigation"


def test_the_pages_that_are_made_are_in_the_navigation(site: Path) -> None:
    text = (ROOT / "zensical.toml").read_text("utf-8")
    made = {f"reference/{page.stem}.md" for page in (site / "reference").glob("*.html")}
    assert made == set(re.findall(r'"(reference/[\w-]+\.md)"', text))
    assert {page.stem for page in (ROOT / "examples").glob("chat_*.py")} <= {
        page.stem for page in (site / "examples").glob("*.html")
    }


def test_a_warning_stops_the_build(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Start\n\n[nothing](missing.md)\n", "utf-8")
    (tmp_path / "zensical.toml").write_text('[project]\nsite_name = "a site"\n', "utf-8")
    with pytest.raises(SystemExit, match="page does not exist"):
        script("make").zensical(tmp_path)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="other.html#there">', None),
        ('<a href="#here">', None),
        ('<a href="https://example.org/anything">', None),
        ('<a href="missing.html">', "missing.html does not exist"),
        ('<a href="other.html#gone">', "other.html#gone does not exist"),
        ('<a href="#gone">', "#gone does not exist"),
        ('<img src="missing.png">', "missing.png does not exist"),
        ('<script src="https://example.org/a.js"></script>', "https://example.org/a.js needs a network"),
        ('<link rel="stylesheet" href="https://example.org/a.css">', "https://example.org/a.css needs a network"),
    ],
)
def test_a_broken_link_is_found(tmp_path: Path, body: str, problem: str | None) -> None:
    (tmp_path / "page.html").write_text(f'<p id="here">{body}', "utf-8")
    (tmp_path / "other.html").write_text('<p id="there">', "utf-8")
    assert [*script("make").broken_links(tmp_path)] == ([f"page.html: {problem}"] if problem else [])


def test_every_operator_is_drawn(site: Path) -> None:
    page = (site / "operators.html").read_text("utf-8")
    drawn = re.findall(r'class="marbles">.*?<text class="name"[^>]*>(?:source|questions)</text>.*?</svg>', page)
    assert len(drawn) == len(OPERATORS)
    names = {name.partition("(")[0] for each in drawn for name in re.findall(r'class="name"[^>]*>([^<]+)<', each)}
    assert names - {"source", "questions"} == set(OPERATORS)


def test_a_drawing_has_each_item_at_its_place_and_each_ending() -> None:
    block = '    source   a.b  c  |\n    texts()  Text\n               "x"     |\n    fails()  a.b  X Error\n'
    source, texts, inner, fails = script("marbles").parsed(block)
    assert [(mark.kind, mark.column, mark.text) for mark in source.marks] == [
        ("item", 9, "a.b"),
        ("item", 14, "c"),
        ("end", 17, ""),
    ]
    assert [mark.text for mark in texts.marks] == ["Text"]
    assert (inner.name, [mark.kind for mark in inner.marks]) == ("", ["item", "end"])
    assert [(mark.kind, mark.text) for mark in fails.marks] == [("item", "a.b"), ("error", "Error")]


def test_a_timeline_is_drawn_by_its_dashes() -> None:
    (line,) = script("marbles").parsed("    coalesce()  --a-(bc)-|   joined\n")
    assert [(mark.kind, mark.text) for mark in line.marks] == [("item", "a"), ("item", "bc"), ("end", "")]
    columns = [mark.column for mark in line.marks]
    assert columns == sorted(set(columns))
    assert line.note == "joined"


def test_every_operator_is_in_the_table_of_decisions() -> None:
    table = (DOCS / "choosing.md").read_text("utf-8")
    named = set(re.findall(r"\[`(\w+)\(", table))
    assert set(OPERATORS) <= named, "docs/choosing.md says which operator is for what"


def test_every_parameter_of_every_method_has_a_meaning() -> None:
    pages: dict[str, str] = script("catalogue").pages()
    rows = [(name, row) for name, page in pages.items() for row in re.findall(r"^\| `\w+` \|.*\|$", page, re.MULTILINE)]
    assert len(rows) > 500
    methods = [(name, row) for name, row in rows if name not in ("reference/types.md", "reference/events.md")]
    assert len(methods) > 300
    assert [(name, row) for name, row in methods if row.endswith("|  |")] == []


def test_the_reference_shows_types_as_people_write_them() -> None:
    pages: dict[str, str] = script("catalogue").pages()
    shown = re.compile(r"ForwardRef|object at 0x|NoneType|Required\[|typing\.|\bOMIT\b|rx_assistant\.types\.")
    rows = [row for page in pages.values() for row in page.splitlines() if row.startswith("| `")]
    assert [row for row in rows if shown.search(row)] == []


def test_every_method_of_the_client_is_in_the_reference() -> None:
    from rx_assistant import AsyncAssistantClient

    catalogue: Any = script("catalogue")
    pages: dict[str, str] = catalogue.pages()
    client = AsyncAssistantClient(base_url="http://127.0.0.1/v1")
    for path in catalogue.RESOURCES:
        resource: Any = client
        for name in path.split("."):
            resource = getattr(resource, name)
        page = pages[f"reference/{path.replace('.', '-')}.md"]
        public = [
            name for name in dir(type(resource)) if not name.startswith("_") and callable(getattr(resource, name))
        ]
        assert [name for name in public if f"`client.{path}.{name}(…)`" not in page] == []


def test_every_command_is_in_the_reference() -> None:
    from rx_assistant.cli.app import cli

    page: str = script("catalogue").pages()["reference/cli.md"]
    for name, command in cli.commands.items():
        assert f"## `rx-assistant {name}`" in page
        for parameter in command.params:
            assert all(option in page for option in parameter.opts if option.startswith("--"))


def test_the_map_is_current() -> None:
    drawing: Any = script("map")
    assert drawing.PICTURE.read_text("utf-8") == drawing.picture(), "run `python docs/map.py`"


def test_the_map_has_every_room_and_lines_down_only() -> None:
    drawing: Any = script("map")
    found: dict[str, set[str]] = drawing.imports()
    folder = ROOT / "rx_assistant"
    rooms = {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert set(found) == rooms - {"__init__", *drawing.DOORS}
    rows: list[list[str]] = drawing.levels(found)
    level = {room: number for number, row in enumerate(rows) for room in row}
    assert all(level[room] < level[below] for room in found for below in found[room])
    assert "streams" in found["client"]


def test_there_are_at_least_25_recipes() -> None:
    titles = [
        title
        for page in DOCS.glob("cookbook-*.md")
        for title in re.findall(r"^## (.+)$", page.read_text("utf-8"), re.MULTILINE)
    ]
    assert len(set(titles)) >= 25
    assert sum(len(blocks(page)) for page in DOCS.glob("cookbook-*.md")) >= 25


def test_the_search_finds_a_word_without_a_network(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("chromium") is None:
        pytest.skip("chromium is not installed")
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    pytest.importorskip("fcntl", reason="the browser is controlled over pipes")
    browser: Any = importlib.import_module("screenshots").Browser()
    roots = "[...document.querySelectorAll('*')].map(each => each.shadowRoot).filter(Boolean)"
    with browser, browser.open((site / "index.html").as_uri(), 1200, 900) as page:
        wait(page, "document.querySelector('button.md-search__button')")
        page.run("document.querySelector('button.md-search__button').click()")
        wait(page, f"{roots}.some(root => root.querySelector('input'))")
        page.run(f"{roots}.map(root => root.querySelector('input')).find(Boolean).focus()")
        browser.call("Input.insertText", page._session, text="coalesce")
        wait(page, f"{roots}.some(root => root.textContent.includes('results'))")
        assert page.run(f"{roots}.map(root => root.textContent).join().includes('At most so many updates')")


def wait(page: Any, condition: str) -> None:
    """Return when a JavaScript expression is true. The time limit of the test is the only one."""
    while not page.run(f"Boolean({condition})"):
        time.sleep(0.05)

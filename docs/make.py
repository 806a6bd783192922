"""Build the documentation site: `pip install -e '.[docs]'`, then `python docs/make.py site`.

The pages of docs/ are copied, the generated ones are written beside them, and Zensical builds all of it. A warning is
an error, and so is a link, image or heading that does not exist. The site needs no network: open site/index.html.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlsplit

import catalogue
import marbles

import rx_assistant

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
COPIED = {
    "benchmarks/README.md": "measured.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
"""Pages of the repository outside docs/, and their names in the site."""

OBJECTS = {
    "streams": ("Streams", "AssistantStream AsyncAssistantStream replay replay_async from_events from_response"),
    "handlers": ("Handlers", "AssistantEventHandler AsyncAssistantEventHandler"),
    "snapshots": ("Snapshots", "RunSnapshot fold"),
    "polling": ("Polling", "watch watch_async Polled Backoff UploadProgress Timeout"),
    "tools": ("Tools", "ToolSet Tool ToolContext Approval Decision PendingCall tools.Options"),
    "windows": ("Windows", "gui.observe_on_ui gui.live gui.printable gui.UiScheduler gui.UiHost background"),
    "local": ("The local server", "local.serve local.run local.app local.transport local.Server"),
}
"""Pages of the reference that mkdocstrings makes: their names, titles and objects of `rx_assistant`."""

SHIM = "https://unpkg.com/iframe-worker/shim"

OF_STREAMS = """
    options:
      filters: ["!^_", "!^scheduler$"]
      inherited_members: [%s]
      merge_init_into_class: false
"""
"""Streams are made by clients, so their constructors are left out; these members come from their base class."""

SHARED = (
    "current_event snapshot current_run current_message_snapshot current_run_step_snapshot request_id record attach"
)


def build(target: Path) -> None:
    """Write the site into a folder, which is replaced."""
    with TemporaryDirectory() as folder:
        place = Path(folder)
        write_pages(place / "docs")
        (place / "zensical.toml").write_text(configuration(place / "docs"), "utf-8")
        zensical(place)
        search_without_network(place / "site")
        if broken := [*broken_links(place / "site")]:
            raise SystemExit("\n".join(broken))
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(place / "site", target)


def zensical(place: Path) -> None:
    """Build the site of a folder; its warnings are errors."""
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    done = subprocess.run(
        command, cwd=place, env=os.environ | {"NO_COLOR": "1"}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}{done.stderr}")


def write_pages(folder: Path) -> None:
    """All pages of the site: those of docs/, those of the repository, and those that are made."""
    shutil.copytree(DOCS, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    made = catalogue.pages() | dict(examples()) | dict(objects())
    made |= {name: (ROOT / path).read_text("utf-8") for path, name in COPIED.items()}
    for name, text in made.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    for page in folder.rglob("*.md"):
        text = page.read_text("utf-8")
        if page.name == "operators.md":
            text = marbles.drawn(text)
        page.write_text(inside(text), "utf-8")


def configuration(folder: Path) -> str:
    """zensical.toml with the examples in its navigation."""
    text = (ROOT / "zensical.toml").read_text("utf-8")
    pages = sorted(f"examples/{page.name}" for page in (folder / "examples").glob("*.md"))
    return text.replace('"examples/*"', ", ".join(f'"{page}"' for page in pages))


def inside(text: str) -> str:
    """The text with links that stay in the site."""
    for path, name in COPIED.items():
        text = text.replace(f"](../{path}", f"]({name}").replace(f"]({path}", f"]({name}")
    text = re.sub(r"\]\(\.\./examples/(\w+)\.\w+\)", r"](examples/\1.md)", text)
    text = text.replace("](../examples)", "](examples/index.md)").replace("](docs/", "](")
    return text.replace("](../README.md)", "](index.md)")


def examples() -> Iterator[tuple[str, str]]:
    """A page for each example: what it does, and its code."""
    told: list[str] = []
    for path in sorted((ROOT / "examples").glob("*.*")):
        if path.suffix == ".py":
            text = path.read_text("utf-8")
            first = text.removeprefix('"""').partition("\n")[0].removesuffix('"""')
            page = f"# {path.name}\n\n{first}\n\n````python\n{text}````\n"
        elif path.suffix == ".ipynb":
            page = f"# {path.name}\n\n{notebook(path)}"
            first = "A notebook."
        else:
            continue
        told.append(f"| [{path.name}]({path.stem}.md) | {first} |")
        yield f"examples/{path.stem}.md", page
    yield "examples/index.md", "# Examples\n\n| program | |\n|---|---|\n" + "\n".join(told) + "\n"


def notebook(path: Path) -> str:
    """The cells of a notebook as Markdown."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    texts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in texts) + "\n"


def objects() -> Iterator[tuple[str, str]]:
    """The pages that mkdocstrings makes from the docstrings."""
    for name, (title, members) in OBJECTS.items():
        lines = [f"# {title}"]
        for member in members.split():
            thing = attrgetter(member)(rx_assistant)
            options = OF_STREAMS % ", ".join(SHARED.split()) if member.endswith("AssistantStream") else ""
            lines.append(f"::: {thing.__module__}.{thing.__qualname__}{options}")
        yield f"reference/{name}.md", "\n\n".join(lines) + "\n"


def search_without_network(site: Path) -> None:
    """Let the pages take the script that searches in files, which has no Worker, from the site."""
    for path in site.rglob("*.html"):
        text = path.read_text("utf-8")
        up = "../" * (len(path.relative_to(site).parts) - 1)
        path.write_text(text.replace(SHIM, f"{up}shim.js"), "utf-8")


class _Page(HTMLParser):
    """The ids and the links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.foreign: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {given.get("id") or "", given.get("name") or ""}
        link = given.get("href") if tag in ("a", "link") else given.get("src")
        if link:
            self.links.append(link)
        if link and "://" in link and (tag in ("script", "img", "iframe") or given.get("rel") == "stylesheet"):
            self.foreign.append(link)


def broken_links(site: Path) -> Iterator[str]:
    """Links, images and scripts of the site that lead nowhere, or that need a network."""
    pages = {path.resolve(): _Page(path.read_text("utf-8")) for path in site.rglob("*.html")}
    for path, page in pages.items():
        yield from (f"{path.relative_to(site.resolve())}: {link} needs a network" for link in page.foreign)
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or link == "/" or path.name == "404.html":
                continue
            aim = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            fragment = unquote(parts.fragment)
            if not aim.exists() or (fragment and aim in pages and fragment not in pages[aim].ids):
                yield f"{path.relative_to(site.resolve())}: {link} does not exist"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Build the documentation site")
    parser.add_argument("target", type=Path, nargs="?", default=ROOT / "site")
    build(parser.parse_args().target)

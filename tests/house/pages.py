"""The programs of the README and of docs/: each page is one, from its first block to its last."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
AGAIN = "# pyright: reportDuplicateImport=false\n"  # a block may repeat an import of a block before it
BEFORE = {
    "any-model": "# pyright: reportDeprecated=false\n",  # what the official SDK says of these endpoints
    "gui": "thread_id = assistant_id = ''\n",
    "operators": "from rx_assistant import replay\n\nstream = replay('run.sse')\n",
}
"""What comes before a page's program: names that it takes for granted, and what checkers may not say."""


def blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def is_test(block: str) -> bool:
    return "\ndef test_" in block


def program(page: Path) -> str:
    """The blocks of a page, except for its tests."""
    return "\n".join(block for block in blocks(page) if not is_test(block))


def programs() -> dict[str, str]:
    """Each page's program, and each block of tests, by a name for a file."""
    found: dict[str, str] = {}
    for page in (ROOT / "README.md", *sorted(DOCS.glob("*.md"))):
        name = page.stem.replace("-", "_")
        if text := program(page):
            found[f"page_{name}"] = AGAIN + BEFORE.get(page.stem, "") + text
        for number, block in enumerate(filter(is_test, blocks(page))):
            found[f"page_{name}_test_{number}"] = block
    return found

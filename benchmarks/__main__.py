"""`python -m benchmarks [TABLE …]`: every table, beside the peers."""

from __future__ import annotations

import importlib
import platform
import sys
import time

from rich.console import Console
from rich.table import Table

from benchmarks import _peers
from benchmarks._measure import Row

TABLES = (
    "decoding",
    "handling",
    "fold",
    "loopback",
    "close",
    "fanout",
    "concurrent",
    "polling",
    "relay",
    "memory",
    "arguments",
    "imports",
    "local_server",
    "retrieval",
    "stalls",
    "upstream",
    "gui",
)


def show(title: str, rows: list[Row], console: Console) -> None:
    """Print one table."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in ("work", "ours", "beside", "result", "target", ""):
        table.add_column(column)
    for row in rows:
        mark = {True: "[green]✓", False: "[red]missed", None: ""}[row.met]
        table.add_row(row.work, row.ours, row.other, row.result, row.target, mark)
    console.print(table)


def main(names: list[str]) -> int:
    """Run the tables named, or all; exit code 1 when a name is unknown."""
    unknown = set(names) - set(TABLES)
    console = Console(width=None if sys.stdout.isatty() else 160)
    if unknown:
        console.print(f"there is no table {', '.join(sorted(unknown))}; there are {', '.join(TABLES)}")
        return 1
    machine = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}"
    console.print(f"{machine}; " + ", ".join(f"{name} {version}" for name, version in _peers.versions().items()))
    begun = time.perf_counter()
    for name in names or TABLES:
        started = time.perf_counter()
        module = importlib.import_module(f"benchmarks.{name}")
        rows = module.rows()
        show(f"{name} ({time.perf_counter() - started:.0f} s): {module.__doc__.strip()}", rows, console)
    console.print(f"{time.perf_counter() - begun:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

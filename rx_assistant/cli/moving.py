"""`rx-assistant import` and `rx-assistant export`: a progress bar in a terminal, and a summary, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress as Bars, TaskProgressColumn, TextColumn, TimeElapsedColumn

from rx_assistant.cli.failure import RunFailed
from rx_assistant.gui import printable
from rx_assistant.local.moving import Progress, Report, Tally, export, import_files


def move_in(files: Sequence[Path], data: Path) -> None:
    """Import the files, and print a report. RunFailed if something was skipped."""
    report = _with_bar(lambda progress: import_files(data, files, progress))
    _say("imported", report)
    skipped = sum(tally.count for tally in report.skipped.values())
    if skipped:
        raise RunFailed(f"{skipped} skipped, everything else is imported")


def move_out(out: Path | None, data: Path) -> None:
    """Export the data directory to `out` or stdout, and print a report."""
    if out is None:
        _say("exported", export(data, sys.stdout.buffer))
    else:
        _say("exported", _with_bar(lambda progress: export(data, out, progress)))


def _with_bar(work: Callable[[Progress | None], Report]) -> Report:
    if not sys.stderr.isatty():
        return work(None)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as screen:
        bar = screen.add_task("")
        return work(lambda what, done, total: screen.update(bar, description=what, completed=done, total=total))


def _say(moved: str, report: Report) -> None:
    counts = ", ".join(f"{count} {_noun(kind, count)}" for kind, count in sorted(report.moved.items()))
    _line(f"{moved}: {counts or 'nothing'}")
    _tell("kept", report.kept)
    _tell("note", report.remarks)
    _tell("skipped", report.skipped)


def _tell(what: str, tallies: Mapping[str, Tally]) -> None:
    for reason, tally in tallies.items():
        more = ", …" if tally.count > len(tally.examples) else ""
        _line(f"{what}: {tally.count} × {reason}: {', '.join(tally.examples)}{more}")


def _noun(kind: str, count: int) -> str:
    name = _NAMES.get(kind, kind)
    return name if count == 1 else f"{name}es" if name.endswith("ch") else f"{name}s"


_NAMES = {
    "vector_store": "vector store",
    "vector_store.file": "vector store file",
    "vector_store.file_batch": "file batch",
    "batch_member": "batch file",
}


def _line(text: str) -> None:
    print(printable(text) if sys.stderr.isatty() else text, file=sys.stderr)

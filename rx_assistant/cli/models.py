"""`rx-assistant models`: the model servers on this machine, and their models."""

from __future__ import annotations

import sys

import click

from rx_assistant.cli.failure import RunFailed
from rx_assistant.gui import printable
from rx_assistant.local import machine


def models(*, verbose: bool) -> None:
    """Print one model a line: server, name and context; with `verbose` each port that gave none, too, and what
    the upstream of a running `rx-assistant serve` has refused."""
    answers = machine.ask_all()
    rows = [
        (found.server, model.name, "" if model.context is None else f"{model.context} tokens", found.place.base_url)
        for found in answers
        if not found.own
        for model in found.models
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        columns = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        _print("  ".join(columns if verbose else columns[:3]).rstrip())
    silent = [found for found in answers if found.own or not found.models]
    if verbose or not rows:
        for found in silent:
            _print(str(found))
            for model, names in machine.bends_of(found).items() if found.own else ():
                _print(f"  {model} is asked without what its server refused: {', '.join(names)}")
    if not rows:
        raise RunFailed("no model server answers on this machine")


def _print(line: str) -> None:
    click.echo(printable(line) if sys.stdout.isatty() else line)

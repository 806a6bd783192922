"""Moves objects into a data directory and out of it, as JSON Lines in the API's own shapes.

    import_files("data", ["assistants.json", "messages.jsonl"])
    export("data", "all.jsonl")

`reading` finds the objects in the files, `shapes` completes and checks each, `importing` stores them in order,
`exporting` writes them.
"""

from __future__ import annotations

from rx_assistant.local.moving.exporting import export
from rx_assistant.local.moving.importing import import_files
from rx_assistant.local.moving.report import Progress, Report, Tally

__all__ = ["Progress", "Report", "Tally", "export", "import_files"]

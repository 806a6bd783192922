"""The classes of the package `ag-ui-protocol`, as `core`. No other module imports it."""

from __future__ import annotations

from pydantic import TypeAdapter

try:
    from ag_ui import core as core
except ImportError as error:
    raise ImportError("AG-UI needs another package: pip install 'rx_assistant[ag-ui]'", name=error.name) from error

EVENT: TypeAdapter[core.Event] = TypeAdapter(core.Event)
"""Reads any event."""

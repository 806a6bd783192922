"""AG-UI, the Agent User Interaction Protocol 1.0, in both directions.

    EventStreamResponse(stream, protocol="ag_ui")            events of a run → AG-UI
    decode(response).pipe(verify(), compact())               AG-UI → a Stream of its events

The events are the classes of the package `ag-ui-protocol` (the `ag-ui` extra).
"""

from __future__ import annotations

from rx_assistant.web.ag_ui.compacting import compact
from rx_assistant.web.ag_ui.decoding import decode
from rx_assistant.web.ag_ui.encoding import AgUiEncoder
from rx_assistant.web.ag_ui.verifying import verify

__all__ = ["AgUiEncoder", "compact", "decode", "verify"]

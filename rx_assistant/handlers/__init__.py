"""Event handlers: a stream's events as callbacks, under the names of the official SDK.

A handler is bound to one stream. Its binding folds the events itself, so that inside a callback `current_…` is what
that callback is about, whatever the stream's other readers do. The order of callbacks within one event:

1. `on_event`; 2. what the event shows for the first time: `on_message_created`, `on_run_step_created`,
`on_text_created`, `on_tool_call_created`; 3. for each fragment its delta callback, then `on_annotation` or
`on_code_output` for what it brings, and at last `on_message_delta` or `on_run_step_delta`; 4. what the event ends:
parts and calls first, then their message or step; 5. `on_run_status` and `on_requires_action`.

`created` and `delta` callbacks get views, which are as good as the models and cost next to nothing; `done` callbacks
get the server's final objects. Each happens once for each message, part, call and step (law L5). A function call that
has its output when it is first seen was answered before this stream began, as in the stream of
`submit_tool_outputs_stream`: its step shows it, and no `on_tool_call_…` tells of it.

An exception in a callback goes to `on_exception`, `on_end` follows, and the handler gets no further callbacks. With
`event_handler=` the loop or wait that reads the stream then raises it; for an attached handler it is logged. The stream
goes on for its other readers.
"""

from __future__ import annotations

from rx_assistant.handlers._async import AsyncAssistantEventHandler
from rx_assistant.handlers._sync import AssistantEventHandler

__all__ = ["AssistantEventHandler", "AsyncAssistantEventHandler"]

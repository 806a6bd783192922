"""Event handlers: a stream's events as callbacks, under the names of the official SDK.

A handler is bound to one stream. Its binding folds the events itself. So inside a callback, `current_…` belongs to the
callback's event, whatever the stream's other readers do. The callbacks of one event are called in this order:

1. `on_event`;
2. for new objects `on_message_created`, `on_run_step_created`, `on_text_created`, `on_tool_call_created`;
3. for each fragment its delta callback, then `on_annotation` or `on_code_output` for its content, and after all
   fragments `on_message_delta` or `on_run_step_delta`;
4. for objects that have ended their `…_done` callback, parts and calls first, then their message or step;
5. `on_run_status` and `on_requires_action`.

`created` and `delta` callbacks get views, which behave like the models and cost almost nothing; `done` callbacks get
the server's final objects. Each is called once for each message, part, call and step. A function call that already has
its output when it first appears was answered before this stream began, as in the stream of
`submit_tool_outputs_stream`. Its step shows it, but no `on_tool_call_…` callback is called for it.

If a callback raises, `on_exception` gets the exception, then `on_end` is called, and the handler gets no further
callbacks. With `event_handler=`, the loop or wait that reads the stream also raises the exception; for an attached
handler it is logged. The stream continues for its other readers.
"""

from __future__ import annotations

from rx_assistant.handlers.async_handler import AsyncAssistantEventHandler
from rx_assistant.handlers.handler import AssistantEventHandler

__all__ = ["AssistantEventHandler", "AsyncAssistantEventHandler"]

"""Grace periods, in seconds: how long one part of a stream or a call waits for another. Limits of calls are elsewhere.

`hot/threads.py` has the one interval that is not a grace period: HEARTBEAT, after which a sleeping thread looks again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FINISH_SECONDS: Final = 0.5
"""For the rest of a body whose stream has ended well. Then its connection is closed, and not used again."""

CLOSE_SECONDS: Final = 2.0
"""For a response or connection to close on an event loop, also while the task is being cancelled."""

KEPT_SECONDS: Final = 15.0
"""For an idle connection: how long it stays open for the next call."""

UNREAD_SECONDS: Final = 1.0
"""For a subscriber without a reader: how long until the log warns."""

THREAD_SECONDS: Final = 1.0
"""For a thread of the stream, or a running callback, when the stream is closed."""

HANDLER_SECONDS: Final = 5.0
"""For async handlers to process a cancellation or a close."""

POST_SECONDS: Final = 2.0
"""For posting the cancel of an abandoned run, while its block is left."""

CANCEL_WAIT: Final = 2.0
"""Until the cancelled run has ended, while its block is left; `cancel_wait` sets another limit."""

POLL_PAUSE: Final = 0.25
"""Between two looks at a cancelled run whose stream has broken."""

LOOP_SECONDS: Final = 2.0
"""For cancelled tasks, while a background event loop ends."""

IDLE_SECONDS: Final[Mapping[str, float]] = {"detach": 0.0, "close": 0.0, "cancel": 1.0}
"""From the last reader's leaving until `on_idle` acts; `idle_grace` sets another limit."""

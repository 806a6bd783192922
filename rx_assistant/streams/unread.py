"""Whether a stream is being read, and the warning for subscribers that wait for a reader."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rx_assistant.grace import UNREAD_SECONDS

if TYPE_CHECKING:
    from rx_assistant.hot import HotLog

_log = logging.getLogger("rx_assistant")


class Unread:
    """Warns once when a subscriber has waited a second and nothing has read its stream.

    It refers to the log weakly, so its timer keeps no stream alive.
    """

    def __init__(self, log: HotLog[Any], call_later: Callable[[float, Callable[[], None]], Callable[[], None]]) -> None:
        self.was_read = False
        self._log = weakref.ref(log)
        self._call_later = call_later
        self._begun = False
        self._cancel: Callable[[], None] | None = None

    def wait(self) -> None:
        """Start the timer for the first subscriber."""
        log = self._log()
        if not (self.was_read or self._begun or log is None or log.ended):
            self._begun = True
            self._cancel = self._call_later(UNREAD_SECONDS, self._warn)

    def read(self) -> None:
        """Stop the timer, because the stream is being read."""
        self.was_read = True
        self.stop()

    def stop(self) -> None:
        """Stop the timer for good."""
        self._begun = True
        cancel, self._cancel = self._cancel, None
        if cancel is not None:
            cancel()

    def _warn(self) -> None:
        self._cancel = None
        log = self._log()
        if log is not None and log.holders and not (self.was_read or log.ended):
            _log.warning(
                "a subscriber has waited for a second and nothing reads its stream: iterate the stream, wait for it "
                "(until_done(), get_final_run(), run(), await), or read it in the background with connect() or "
                "background().start(stream)"
            )

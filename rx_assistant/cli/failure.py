"""The error of a command whose run did not complete."""

from __future__ import annotations


class RunFailed(Exception):
    """A run has not completed; the message has the reason."""

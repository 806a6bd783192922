"""What a command raises when everything worked but the run."""

from __future__ import annotations


class RunFailed(Exception):
    """A run that ended other than well; the message says how."""

"""The time limit of waits in tests: generous, because a loaded machine may stop a process for seconds."""

GUARD = 30.0
"""Seconds after which a test gives up on something that happens within milliseconds."""

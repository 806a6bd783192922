"""What each room has type checkers read: programs that they accept, and ones that they refuse."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Programs:
    """The programs of one room."""

    right: str
    """A program that both checkers accept."""

    second: str = ""
    """What comes after it for the second checker, because the first does not see it."""

    head: str = ""
    """The correct beginning of each wrong program."""

    wrong: dict[str, str] = field(default_factory=dict)
    """Lines that the first checker refuses, under what is wrong with them."""

"""The result of an import or export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the current work, the finished amount, and the whole amount."""

_EXAMPLES = 3


@dataclass(slots=True)
class Tally:
    """How often something happened, and its first examples."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        """Count one more."""
        self.count += 1
        if len(self.examples) < _EXAMPLES:
            self.examples.append(example)


@dataclass(slots=True)
class Report:
    """The number of moved objects of each kind, and by reason: skipped objects, and remarks about moved ones.

    `kept` counts the objects that the directory already had. They are unchanged.
    """

    moved: Counter[str] = field(default_factory=Counter)
    kept: dict[str, Tally] = field(default_factory=dict)
    skipped: dict[str, Tally] = field(default_factory=dict)
    remarks: dict[str, Tally] = field(default_factory=dict)

    def keep(self, reason: str, example: str) -> None:
        """Count an object that the directory already had."""
        self.kept.setdefault(reason, Tally()).add(example)

    def skip(self, reason: str, example: str) -> None:
        """Count an object that was not moved."""
        self.skipped.setdefault(reason, Tally()).add(example)

    def remark(self, remark: str, example: str) -> None:
        """Count an object that was moved with a change."""
        self.remarks.setdefault(remark, Tally()).add(example)

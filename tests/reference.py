"""Where the reference data lies: recordings and documents that tests read when they are there, and skip when not."""

from __future__ import annotations

from pathlib import Path

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Nothing of it is copied into the project."""

RECORDINGS = sorted((SHARED / "wire" / "recordings").glob("*.sse")) + sorted((SHARED / "wire" / "peers").glob("*.sse"))
"""Streams of real servers, and of two compatible ones."""

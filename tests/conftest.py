"""Where the reference data lies, and the backends that asynchronous tests run on."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"
"""Recordings and documents that tests read when they are there and skip when not; nothing of them is copied."""

RECORDINGS = sorted((SHARED / "wire" / "recordings").glob("*.sse")) + sorted((SHARED / "wire" / "peers").glob("*.sse"))
"""Streams of real servers, and of two compatible ones."""


@pytest.fixture
def shared() -> Path:
    """The folder of reference data."""
    if not SHARED.is_dir():
        pytest.skip("the reference data is not beside this checkout")
    return SHARED


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Both event loops, for every asynchronous test."""
    return str(request.param)

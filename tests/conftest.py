"""The reference data, and the backends that asynchronous tests run on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from reference import SHARED

settings.register_profile("steady", deadline=None)  # machines are noisy: how long an example takes is no claim
settings.load_profile("steady")


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

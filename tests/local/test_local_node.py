"""The official JavaScript SDK, unmodified, against the local server.

Needs node and the packages of `node/package.json`: in `node/node_modules`, or in the directory that the environment
variable RX_ASSISTANT_NODE_MODULES names.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "node"
MODULES = Path(os.environ.get("RX_ASSISTANT_NODE_MODULES") or HERE / "node_modules")
CLAIMS = re.findall(r'async "(.+?)"\(\)', (HERE / "surface.cjs").read_text(encoding="utf-8"))

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (MODULES / "openai").is_dir(),
        reason="the npm package openai is missing: run `npm install` in tests/local/node",
    ),
]


@pytest.fixture
def results(server) -> dict[str, str | None]:
    """What each claim came to: None, or the error."""
    environment = {**os.environ, "NODE_PATH": str(MODULES)}
    finished = subprocess.run(
        ["node", str(HERE / "surface.cjs"), server.base_url],
        capture_output=True,
        text=True,
        timeout=90,
        env=environment,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return {line["claim"]: line["error"] for line in map(json.loads, finished.stdout.splitlines())}


def test_the_javascript_sdk_runs_the_whole_surface(results):
    assert len(CLAIMS) == 10
    assert results == dict.fromkeys(CLAIMS)

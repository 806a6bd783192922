"""Import and export of 100 000 messages: time, and the most memory that the process had.

`python -m benchmarks.moving` writes about 80 MB of JSON Lines into a temporary directory, in 1000 threads.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path

from rx_assistant.local.moving import Report, export, import_files

_TEXT = "hello " * 100
_THREADS = 1000


def main() -> None:
    """Print one line for each step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    messages = parser.parse_args().messages
    with tempfile.TemporaryDirectory() as directory:
        saved, data, out = (Path(directory) / name for name in ("saved.jsonl", "data", "out.jsonl"))
        with saved.open("w", encoding="utf-8") as target:
            for number in range(messages):
                target.write(json.dumps(_message(number)) + "\n")
        print(f"{messages} messages, {saved.stat().st_size / 1e6:.0f} MB")
        for what in ("import", "import again"):
            started = time.perf_counter()
            _print(what, started, import_files(data, [saved]))
        started = time.perf_counter()
        _print("export", started, export(data, out))


def _message(number: int) -> dict[str, object]:
    return {
        "id": f"msg_{number}",
        "object": "thread.message",
        "created_at": 1_700_000_000 + number // 3,
        "thread_id": f"thread_{number % _THREADS}",
        "role": "user",
        "content": [{"type": "text", "text": {"value": _TEXT, "annotations": []}}],
        "metadata": {},
    }


def _print(what: str, started: float, report: Report) -> None:
    seconds = time.perf_counter() - started
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{what:12} {seconds:6.1f} s, {sum(report.moved.values()):6} objects moved, at most {most:.0f} MiB")


if __name__ == "__main__":
    main()

"""Reading under stress: broken bytes, many threads at first use, and the short way in for hot paths."""

from __future__ import annotations

import json
import random
import subprocess
import sys

import pytest
from pydantic import ValidationError
from reference import SHARED

from rx_assistant import types as t

TEXT_DELTA = b'{"id":"msg_1","delta":{"content":[{"index":0,"type":"text","text":{"value":"x"}}]}}'

MODELS: dict[str, type[t.WireModel]] = {
    "thread": t.Thread,
    "thread.run": t.Run,
    "thread.run.step": t.RunStep,
    "thread.run.step.delta": t.RunStepDeltaEvent,
    "thread.message": t.Message,
    "thread.message.delta": t.MessageDeltaEvent,
}

HOSTILE = [
    b'"',
    b"{",
    b"]",
    b"null",
    b"1e999",
    b"-",
    b"\\ud800",
    b"\xff",
    b"[" * 300,
    b'{"a":' * 300,
    b"9" * 5000,
    b"\x00",
]


def mutated(frame: bytes, chance: random.Random) -> bytes:
    """The frame with one piece cut out, replaced, or put in."""
    start = chance.randrange(len(frame))
    end = start + chance.choice([0, 1, 1, 7])
    return frame[:start] + chance.choice([b"", *HOSTILE]) + frame[end:]


def test_broken_payloads_give_validation_errors_and_nothing_else() -> None:
    if not SHARED.is_dir():
        pytest.skip("the recordings are not beside this checkout")
    chance = random.Random(13)
    frames = [
        line[6:].encode()
        for path in sorted((SHARED / "wire" / "recordings").glob("*.sse"))
        for line in path.read_text("utf-8").splitlines()
        if line.startswith("data: {") and '"object"' in line
    ]
    broken = 0
    for frame in chance.choices(frames, k=4_000):
        model = MODELS[json.loads(frame)["object"]]
        try:
            model.model_validate_json(mutated(frame, chance))
        except ValidationError:
            broken += 1
    assert broken > 2_000


def test_many_threads_may_be_the_first_to_read() -> None:
    program = """
import sys, threading
import rx_assistant.types as t

sys.setswitchinterval(1e-6)
start, failures = threading.Barrier(6), []

def read():
    start.wait()
    try:
        for model in (t.Run, t.Message, t.RunStepDeltaEvent, t.ListPage[t.RunStep]):
            assert model.model_validate_json('{"id":"x","data":[]}').model_dump()["id"] == "x"
    except BaseException as failure:
        failures.append(failure)

threads = [threading.Thread(target=read) for _ in range(6)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(failures)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_printed_model_says_what_it_is() -> None:
    assert str(t.Run(id="run_1")).startswith("Run(id='run_1', object='thread.run'")

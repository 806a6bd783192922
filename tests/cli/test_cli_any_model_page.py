"""What docs/any-model.md promises: every command and every program in it, against a model server on loopback."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from local.upstreams import says
from loopback import Loopback, Received, Wire

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "any-model.md").read_text("utf-8")
OLLAMA = "http://127.0.0.1:11434/v1"
GUARD = 60
COMMAND = """
import sys
from rx_assistant.cli import run
from rx_assistant.local import machine
machine.PLACES = (machine.Place(int(sys.argv[1]), "Ollama", "ollama serve"),)
machine.PATIENCE = 30
sys.exit(run(sys.argv[2:]))
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("rx-assistant ")]
OTHERS = [line for block in blocks("sh") for line in block.splitlines() if not line.startswith("rx-assistant ")]


@pytest.fixture
def ollama() -> Iterator[Loopback]:
    async def answer(request: Received, wire: Wire) -> None:
        if request.path == "/v1/models":
            await wire.json({"object": "list", "data": [{"id": "qwen3:8b"}]})
        else:
            await wire.events()
            await wire.chunk(says("Because of Rayleigh."))
            await wire.end()

    with Loopback(answer) as server:
        yield server


def test_each_block_of_the_page_is_run() -> None:
    languages = re.findall(r"^```(\w+)$", PAGE, re.MULTILINE)
    assert set(languages) == {"sh", "python", "json"}
    assert len(COMMANDS) == 5
    assert all(re.fullmatch(r"export [A-Z_]+=\S+", line) for line in OTHERS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_page_works(command: str, ollama: Loopback, tmp_path: Path) -> None:
    (tmp_path / "support.json").write_text(blocks("json")[0], "utf-8")
    exported = dict(line.removeprefix("export ").split("=", 1) for line in OTHERS)
    environment = {**os.environ, "MODEL_KEY": exported["MODEL_KEY"]}
    environment.pop("OPENAI_BASE_URL", None)
    arguments = shlex.split(command.replace(OLLAMA, ollama.url))[1:]
    serves = arguments[0] == "serve"
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, str(ollama.port), *arguments, *(["--port", "0"] if serves else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
    ) as process:
        try:
            assert process.stderr is not None
            log = ""
            while serves and "listens on" not in log:
                line = process.stderr.readline()
                assert line, log
                log += line
            if serves:
                process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=GUARD)
        finally:
            process.kill()
    if serves:
        assert "Error" not in log + err
    else:
        assert process.returncode == 0, err
        assert "qwen3:8b" in out or "Rayleigh" in out


def test_the_programs_of_the_page_run(ollama: Loopback, tmp_path: Path) -> None:
    program = "\n".join(blocks("python")).replace(OLLAMA, ollama.url)
    (tmp_path / "page.py").write_text(program, "utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "page.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=GUARD,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Because of Rayleigh.") == 2


def test_the_assistant_of_the_page_is_json() -> None:
    assert json.loads(blocks("json")[0])["instructions"]

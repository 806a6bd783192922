"""What the README promises: its example runs, its commands and links are real."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from rx_assistant import operators
from rx_assistant.cli.app import cli

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_example_prints_statuses_the_text_and_the_tokens() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", blocks("python")[0]],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "[queued]" in done.stdout
    assert "[completed]" in done.stdout
    assert "sky" in done.stdout
    assert re.search(r"\n\d+ tokens\n$", done.stdout)


def test_there_are_two_set_up_commands_and_each_begins_on_a_bare_machine() -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines() if "pip install" in line]
    assert len(commands) == 2
    assert all(command.startswith("python3 -m venv .venv && .venv/bin/python -m pip install") for command in commands)
    assert commands[0].endswith('.venv/bin/rx-assistant ask "What time is it?"')
    assert commands[1].endswith(".venv/bin/python -m pytest -n auto --dist loadfile")


def test_the_commands_that_it_names_exist() -> None:
    named = set(re.findall(r"rx-assistant (\w+)", README))
    assert named
    for command in named:
        assert CliRunner().invoke(cli, [command, "--help"]).exit_code == 0, command


def test_the_operators_that_it_names_exist() -> None:
    named = set(re.findall(r"ax\.(\w+)\(", README))
    assert named
    assert named <= set(dir(operators))


def test_its_links_lead_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if not link.startswith("http")]
    assert links
    missing = [link for link in links if not (ROOT / link.partition("#")[0]).exists()]
    assert missing == []

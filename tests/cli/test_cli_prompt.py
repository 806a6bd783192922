"""The prompt of `rx-assistant chat`: which blocks of Markdown are finished, and drawing from another thread."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import DummyInput
from prompt_toolkit.output import DummyOutput
from rich.cells import cell_len

from rx_assistant.cli.prompt import Live, Prompt, finished

FENCES = {
    "backticks": "```python\nx = 1\n\ny = 2\n```",
    "tildes": "~~~python\nx = 1\n\ny = 2\n~~~",
    "four around three": "````md\n```python\nx\n\ny\n```\n\nz\n````",
    "tildes around backticks": "~~~\n```\n\n~~~",
    "in a list": "- one\n\n  ```\n  x\n\n  y\n  ```",
    "a mark with words does not end it": "```\n```python\n\nx\n```",
}


@pytest.mark.parametrize("fence", FENCES)
def test_a_fence_of_code_is_one_block(fence: str) -> None:
    text = FENCES[fence]
    for end in range(len(text)):
        assert finished(text[:end])[0] == ""
    assert finished(f"{text}\n\nMore") == (f"{text}\n\n", "More")


@pytest.mark.parametrize("text", ["Words with ``` in them", "```code``` at the start of a line"])
def test_marks_in_a_line_begin_no_fence(text: str) -> None:
    assert finished(f"{text}\n\nMore") == (f"{text}\n\n", "More")


def test_what_is_indented_belongs_to_the_list_before_it() -> None:
    item = "1. one\n\n    a second paragraph\n\n   - a list in it\n\n"
    assert finished(item) == ("", item)
    assert finished(f"{item}2. two") == (item, "2. two")


def test_the_growing_block_fits_the_columns_of_the_terminal() -> None:
    live = Live(lambda: None)
    live.text("日本語 word " * 10 + "\n" + "x" * 50 + "\n\n    indented\n")
    lines = live.last_lines(20)
    assert max(map(cell_len, lines)) <= 20
    assert "".join(lines[:-2]).replace(" ", "") == "日本語word" * 10 + "x" * 50
    assert lines[-2:] == ["", "    indented"]
    live.text("日" * 1000)
    assert live.last_lines(20) == ["日" * 10] * 12


class EndingLoop(asyncio.SelectorEventLoop):
    """A loop whose prompt ends whenever another thread calls something in it."""

    def __init__(self, prompt: Any) -> None:
        super().__init__()
        self.prompt = prompt
        self.calls = 0

    def call_soon_threadsafe(self, *_arguments: Any, **_options: Any) -> Any:
        self.calls += 1
        self.prompt._session.app.loop = None


def test_text_that_arrives_while_the_prompt_ends_is_not_lost() -> None:
    with create_app_session(input=DummyInput(), output=DummyOutput()):
        prompt = Prompt(lambda _output: cast("Any", None))
        app = prompt._session.app
        app.loop = loop = EndingLoop(prompt)
        app._is_running = True
        try:
            prompt._output.text("Some text")
        finally:
            app._is_running = False
            loop.close()
    assert (loop.calls, prompt._output.tail) == (1, "Some text")

"""Streams in a notebook: what is displayed, live and afterwards; and the example, executed by a kernel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from rx_assistant import AssistantStream, StreamTruncatedError, operators as ax, replay, replay_async
from rx_assistant.gui import live
from rx_assistant.types import Message, Run, Text

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "notebook.ipynb"
BODY = b"""\
event: thread.run.created
data: {"id": "run_1", "status": "queued"}

event: thread.message.delta
data: {"id": "msg_1", "delta": {"content": [{"index": 0, "type": "text", "text": {"value": "Soup "}}]}}

event: thread.message.delta
data: {"id": "msg_1", "delta": {"content": [{"index": 0, "type": "text", "text": {"value": "and *tea*."}}]}}

"""
ENDED = BODY + b'event: thread.run.completed\ndata: {"id": "run_1", "status": "completed"}\n\n'


class TestMarkdown:
    def test_a_message_shows_its_parts_with_numbers_for_citations(self) -> None:
        mark = "【4:0†menu.txt】"
        citation = {"type": "file_citation", "text": mark, "file_citation": {"file_id": "file_1"}}
        message = Message.model_validate(
            {
                "id": "msg_1",
                "incomplete_details": {"reason": "max_tokens"},
                "content": [
                    {"type": "text", "text": {"value": f"Soup{mark}", "annotations": [citation]}},
                    {"type": "image_url", "image_url": {"url": "https://x.example/1.png"}},
                    {"type": "refusal", "refusal": "No."},
                    {"type": "hologram", "hologram": 1},
                ],
            }
        )
        assert message._repr_markdown_().split("\n\n") == [
            "Soup[1]",
            "- [1] file citation `file_1`",
            "▣ image url `https://x.example/1.png`",
            "> **refused:** No.",
            "▣ `hologram`",
            "*incomplete:* `max_tokens`",
        ]

    def test_a_run_shows_its_status_tokens_error_and_the_calls_that_it_waits_for(self) -> None:
        run = Run.model_validate(
            {"id": "run_1", "status": "failed", "last_error": {"code": "x", "message": "No *tea*."}}
        )
        assert run._repr_markdown_() == "**failed** · `run_1`\n\n`No *tea*.`"
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": "`b`"}'}}
        waiting = {"id": "run_1", "status": "requires_action", "usage": {"total_tokens": 7}}
        waiting["required_action"] = {"submit_tool_outputs": {"tool_calls": [call]}}
        assert Run.model_validate(waiting)._repr_markdown_() == (
            '**requires_action** · `run_1` · 7 tokens\n\n⚙ `` f({"a": "`b`"}) ``'
        )

    @pytest.mark.parametrize("value", [5, None, ["x"], {"value": 5, "annotations": ["x"]}])
    def test_objects_with_odd_fields_are_shown_all_the_same(self, value: Any) -> None:
        message = Message.model_validate({"content": [{"type": "text", "text": value}], "incomplete_details": value})
        assert isinstance(message._repr_markdown_(), str)
        run = Run.model_validate({"id": value, "status": value, "usage": value, "last_error": value})
        assert isinstance(run._repr_markdown_(), str)
        assert isinstance(Text.model_validate({"value": value, "annotations": value})._repr_markdown_(), str)

    @pytest.mark.parametrize("make", [replay, replay_async], ids=["sync", "async"])
    def test_an_unread_stream_is_shown_without_reading_it(self, make: Any) -> None:
        stream = make(ENDED)
        for shown in (stream, stream.text_deltas):
            assert "Soup" not in shown._repr_markdown_()
        assert stream._repr_markdown_() == f"`{type(stream).__name__}(run=None, events=0, not sent)`"
        assert repr(stream.text_deltas) == f"text_deltas of {stream!r}"
        assert stream.text_deltas._repr_markdown_() == f"`{stream.text_deltas!r}`"  # as HTML it would not be seen

    def test_a_stream_shows_what_has_arrived(self) -> None:
        stream = replay(ENDED)
        texts = list(stream.pipe(ax.texts()))
        assert stream._repr_markdown_() == "**completed** · `run_1`\n\nSoup and *tea*."
        assert stream.text_deltas._repr_markdown_() == "Soup and *tea*."  # type: ignore[attr-defined]
        assert texts[0]._repr_markdown_() == "Soup and *tea*."
        assert stream.pipe(ax.text_snapshots()).run()._repr_markdown_() == "Soup and *tea*."


class TestLive:
    def test_without_a_notebook_it_returns_what_the_stream_adds_up_to(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert live(replay(ENDED)).text == "Soup and *tea*."
        assert live(replay(ENDED).text_deltas) == "Soup and *tea*."
        assert live(replay(ENDED).pipe(ax.refusal_deltas())) == ""

    def test_a_stream_that_breaks_raises_its_error(self) -> None:
        with pytest.raises(StreamTruncatedError):
            live(replay(BODY))

    @pytest.mark.parametrize("wrong", [None, "text", [], iter(())])
    def test_what_is_no_stream_is_refused(self, wrong: Any) -> None:
        with pytest.raises(TypeError, match="live\\(\\) must be given a stream"):
            live(wrong)

    def test_a_stream_of_other_items_is_refused(self) -> None:
        runs: Any = replay(ENDED).pipe(ax.runs())
        with pytest.raises(TypeError, match=r"use stream\.text_deltas"):
            live(runs)


EXECUTE = """
import sys
import nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=100, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


@pytest.fixture(scope="module")
def executed(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The example after each of its cells has run in a kernel. In a process of its own: the client leaves sockets."""
    target = tmp_path_factory.mktemp("notebook") / "executed.ipynb"
    command = [sys.executable, "-c", EXECUTE, str(EXAMPLE), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    assert done.returncode == 0, done.stderr
    return nbformat.read(target, as_version=4)


def shown(notebook: Any, source: str) -> list[str]:
    """The Markdown that the cells with this text in their source show at the end."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code" and source in cell.source]
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    return [output.data["text/markdown"] for output in outputs if "text/markdown" in output.get("data", {})]


@pytest.mark.timeout(180)
def test_the_example_shows_runs_texts_and_failures(executed: Any) -> None:
    (first,) = shown(executed, "snapshot = live(stream)")
    assert "**completed**" in first
    assert "```python\nprint(6 * 7)\n```\n\n```text\n42\n```" in first
    assert first.endswith("The answer is **42**, not `41`.")
    assert shown(executed, "snapshot.run")[0].startswith("**completed** · `run_")
    assert shown(executed, "snapshot.messages[-1]") == ["The answer is **42**, not `41`."]
    assert shown(executed, "stream.text_deltas")[0] == "The answer is **42**, not `41`."
    assert shown(executed, "await live")[-1].endswith("Asked again, *asynchronously*.")
    assert "`The model is out of tea.`" in shown(executed, "live(failed)")[-1]


def test_a_shell_completes_parameters_and_formats_objects() -> None:
    shell = InteractiveShell()
    shell.user_ns["client"] = __import__("rx_assistant").AssistantClient(base_url="http://127.0.0.1:9/v1")
    shell.user_ns["stream"] = replay(ENDED)
    typed = "client.threads.runs.stream(add"
    with provisionalcompleter():
        found = {each.text for each in shell.Completer.completions(typed, len(typed))}
    assert {"additional_instructions=", "additional_messages="} <= found
    formatted, _ = shell.display_formatter.format(shell.user_ns["stream"])
    assert formatted["text/markdown"].startswith("`AssistantStream(")
    assert isinstance(shell.user_ns["stream"], AssistantStream)

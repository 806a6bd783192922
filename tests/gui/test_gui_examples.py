"""The examples, used as a person would use them: questions, tools, stopping, errors, closing in mid-stream."""

from __future__ import annotations

import gc
import io
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from functools import partialmethod
from pathlib import Path
from typing import Any

import pytest
from gui_examples import CHATS, Chat, conversation_with
from loopback import ended

from rx_assistant import AssistantClient
from rx_assistant.local import RunContext, Server, serve
from rx_assistant.local.engine import Action, Arguments, Failure, FunctionCall, Gate, Text

EXAMPLES = Path(__file__).parents[2] / "examples"

Steps = Generator[Callable[[], object], None, None]


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The examples import each other as programs beside each other."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in [name for name, module in sys.modules.items() if str(EXAMPLES) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A local server that the test can look into, named in the environment as another would be."""
    from concierge import Concierge

    with serve(engine=Concierge(0.004)) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        yield running


def made(request: pytest.FixtureRequest) -> Iterator[Chat]:
    """The chat of a fixture's parameter, if its toolkit is installed."""
    kind = CHATS[request.param]
    if kind.needs_display:
        request.getfixturevalue("display")
    for package in kind.packages:
        pytest.importorskip(package, reason=f"{package} is not installed")
    chat = kind()
    yield chat
    chat.__dict__.clear()
    gc.collect()  # neither a Tcl interpreter nor a widget of Qt may be collected on another thread later


@pytest.fixture(params=sorted(CHATS))
def chat(request: pytest.FixtureRequest) -> Iterator[Chat]:
    """Each chat example."""
    yield from made(request)


@pytest.fixture(params=["qt", "tk"])
def window(request: pytest.FixtureRequest) -> Iterator[Chat]:
    """Each chat in a window."""
    yield from made(request)


def talk_in(chat: Chat, script: Callable[[Chat], Steps]) -> None:
    from concierge import conversation

    before = set(threading.enumerate())
    with conversation() as talk:
        chat.run(talk, script)
    late = [thread for thread in set(threading.enumerate()) - before if thread.name.startswith("rx-")]
    assert [thread.name for thread in late if not ended(thread)] == []


def requests_of(server: Server, ending: str) -> int:
    return sum(request.method == "POST" and request.path.endswith(ending) for request in server.requests)


def test_questions_are_answered_one_after_the_other(chat: Chat, server: Server) -> None:
    def script(chat: Chat) -> Steps:
        for question, answer in (("Hello", "Good day!"), ("The time in Prague?", "anything else")):
            chat.ask(question)
            yield lambda: chat.busy
            yield lambda: not chat.busy
            yield lambda answer=answer: answer in chat.text()  # type: ignore[misc]
        yield lambda: "completed" in chat.status() and "tokens" in chat.status()

    talk_in(chat, script)
    assert (requests_of(server, "/runs"), requests_of(server, "/submit_tool_outputs")) == (2, 1)


def test_tool_calls_are_shown_as_they_are_written_and_answered(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    from concierge import Concierge

    class Hesitant(Concierge):
        """Stops in the middle of a call until it is released."""

        async def run(self, context: RunContext) -> AsyncIterator[Action]:
            async for action in super().run(context):
                yield action
                if isinstance(action, Arguments) and action.value == "on":
                    yield Gate("half a city")

    def script(chat: Chat) -> Steps:
        chat.ask("What is the weather in Lisbon and in Tokyo?")
        yield lambda: '{"city": "Lisbon' in chat.text()
        assert '{"city": "Lisbon"}' not in chat.text()
        server.release("half a city")
        yield lambda: "Is there anything else" in chat.text()
        yield lambda: not chat.busy
        text = chat.text()
        assert text.count("get_weather") == 2
        assert text.count('{"city": "Lisbon"}') == text.count('{"city": "Tokyo"}') == 1
        assert text.count("24 °C, clear skies") == 2  # as the call's output, and in the answer

    with serve(engine=Hesitant(0.001)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        talk_in(chat, script)
        assert requests_of(server, "/submit_tool_outputs") == 1


def test_the_stop_button_cancels_the_run_on_the_server(chat: Chat, server: Server) -> None:
    def script(chat: Chat) -> Steps:
        chat.ask("Tell me a story")
        yield lambda: "A stream of small events" in chat.text()
        chat.stop()
        yield lambda: not chat.busy
        yield lambda: "cancelled" in chat.status()
        chat.ask("Hello")
        yield lambda: "Good day!" in chat.text()
        yield lambda: not chat.busy

    talk_in(chat, script)
    assert requests_of(server, "/cancel") == 1


def test_a_question_during_a_run_waits_for_its_end(chat: Chat, server: Server) -> None:
    def script(chat: Chat) -> Steps:
        chat.ask("Tell me a story")
        yield lambda: "A stream of small events" in chat.text()
        chat.ask("The time in Prague?")
        chat.ask("Hello")
        assert "The time in Prague?" not in chat.text()
        yield lambda: "Good day!" in chat.text() and not chat.busy
        text = chat.text()
        assert text.index("the others") < text.index("The time in Prague?") < text.index("Good day!")

    talk_in(chat, script)
    assert (requests_of(server, "/runs"), requests_of(server, "/cancel")) == (3, 0)


def test_everything_that_a_run_says_is_shown(chat: Chat, monkeypatch: pytest.MonkeyPatch) -> None:
    from concierge import Concierge
    from everything import SHOWN, everything

    monkeypatch.setattr(Concierge, "run", everything)

    def script(chat: Chat) -> Steps:
        chat.ask("Everything, please")
        yield lambda: chat.busy
        yield lambda: not chat.busy and "max_completion_tokens" in chat.text()
        text = "".join(chat.text().split("\n"))
        assert [said for said in SHOWN if said not in text and said != chat.no_link] == []
        assert "【" not in text
        chat.copy_code()
        yield lambda: chat.clipboard() == "answer = 42\n"

    with serve(engine=Concierge(0)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        talk_in(chat, script)


def test_a_long_text_is_followed_unless_a_person_has_scrolled_back(window: Chat, server: Server) -> None:
    def script(chat: Chat) -> Steps:
        for _ in range(2):
            chat.ask("Tell me a story")
            yield lambda: not chat.busy
        yield lambda: chat.position() > 0.98
        chat.ask("Tell me a story")
        yield lambda: chat.busy
        chat.scroll_up()
        yield lambda: not chat.busy
        assert chat.position() < 0.5

    talk_in(window, script)


def test_a_window_of_another_size_shows_the_same_place(window: Chat, server: Server) -> None:
    def script(chat: Chat) -> Steps:
        for _ in range(2):
            chat.ask("Tell me a story")
            yield lambda: not chat.busy
        chat.ask("Tell me a story")
        yield lambda: chat.text().count("A stream of small events") > 8  # while text arrives
        for size in ((1000, 500), (chat.narrow, 400)):
            chat.resize(*size)
            yield lambda size=size: chat.size() == size and chat.position() > 0.98  # type: ignore[misc]
        yield lambda: not chat.busy and chat.position() > 0.98
        chat.resize(900, 500)
        yield lambda: chat.size() == (900, 500) and chat.position() > 0.98
        chat.scroll_up()
        yield lambda: chat.position() < 0.9
        chat.resize(chat.narrow, 400)
        yield lambda: chat.size() == (chat.narrow, 400)
        assert chat.position() < 0.9

    talk_in(window, script)


def test_five_turns_by_keyboard_alone(chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from concierge import Concierge

    class Coder(Concierge):
        """Writes a program when it is asked for one, and a story that does not end by itself."""

        async def run(self, context: RunContext) -> AsyncIterator[Action]:
            if "program" in context.question:
                yield Text("```python\nanswer = 42\n```\n")
                return
            async for action in super().run(context):
                yield action
            if "story" in context.question:
                yield Text("\n\nMore of the story." * 80)
                yield Gate("more of the story")
                yield Text("\n\nMore of the story." * 80)
                yield Gate("the end of the story")

    (tmp_path / "notes.txt").write_text("The answer is 42.")

    def script(chat: Chat) -> Steps:
        chat.ask("Tell me a story,\nplease")
        yield lambda: chat.text().count("More of the story.") == 80
        assert "a story,\nplease" in chat.text()
        assert chat.typed() == ""
        # ask while it answers
        chat.type("What time is it in Prague?")
        chat.press("Return")
        yield lambda: chat.note() == "1 waiting"
        # scroll up, and stay there
        yield lambda: chat.position() > 0.98
        chat.press("Prior")
        yield lambda: chat.position() < 0.98
        server.release("more of the story")
        yield lambda: chat.text().count("More of the story.") == 160
        yield lambda: chat.position() < 0.9
        chat.press("Next")
        chat.type("Half a ques")
        # stop
        chat.press("Escape")
        yield lambda: "Prague: " in chat.text() and not chat.busy
        assert chat.typed() == "Half a ques"  # nothing of it is lost
        chat.type("tion")
        chat.press("Return")
        yield lambda: "Half a question" in chat.text() and not chat.busy
        # attach a file
        chat.press("Control-o")
        yield lambda: chat.focus() == "dialog"
        chat.type(str(tmp_path / "notes.txt"))
        chat.press("Return")
        yield lambda: chat.focus() == "chat" and "notes.txt" in chat.note()
        chat.type("What is in this file?")
        chat.press("Return")
        yield lambda: "with notes.txt" in chat.text() and not chat.busy
        # copy code
        chat.type("Write a program")
        chat.press("Return")
        yield lambda: "answer = 42" in chat.text() and not chat.busy
        chat.press("Control-Shift-C")
        yield lambda: chat.clipboard() == "answer = 42\n" and chat.note() == "copied"

    with serve(engine=Coder(0)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        talk_in(chat, script)
        asked = [request for request in server.requests if request.method == "POST"]
    assert sum(request.path.endswith("/runs") for request in asked) == 5
    assert sum(request.path.endswith("/cancel") for request in asked) == 1
    assert sum(request.path.endswith("/files") for request in asked) == 1


def test_errors_are_shown_in_the_window_and_the_conversation_goes_on(chat: Chat, server: Server) -> None:
    def script(chat: Chat) -> Steps:
        chat.ask("an error, please")
        yield lambda: "The concierge has left the building" in chat.text()
        yield lambda: not chat.busy
        yield lambda: "failed" in chat.status()
        chat.ask("Hello")
        yield lambda: "Good day!" in chat.text()
        yield lambda: not chat.busy

    talk_in(chat, script)


def test_a_server_that_goes_away_is_an_error_in_the_window(chat: Chat, server: Server) -> None:
    def script(chat: Chat) -> Steps:
        chat.ask("Tell me a story")
        yield lambda: "A stream of small events" in chat.text()
        server.stop()
        yield lambda: not chat.busy
        yield lambda: "the stream ended after" in chat.text()
        yield lambda: chat.status() == "broken off"

    talk_in(chat, script)


def test_closing_the_window_in_mid_stream_cancels_the_run_and_leaves_nothing(chat: Chat, server: Server) -> None:
    def script(chat: Chat) -> Steps:
        chat.ask("Tell me a story")
        yield lambda: "A stream of small events" in chat.text()

    talk_in(chat, script)
    assert requests_of(server, "/cancel") == 1


def test_one_run_has_many_observers(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    from observer import main

    main()
    printed = capsys.readouterr().out
    assert "Good day!" in printed
    assert printed.count("-- the end") == 1
    assert "-- an observer was detached: this observer fails, and only this one" in printed
    assert "-- 6 words of more than six letters" in printed
    assert requests_of(server, "/runs") == 1


def test_streams_are_composed(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    from compose import main

    main()
    printed = capsys.readouterr().out
    assert "0: get_weather({'city': 'Lisbon'})" in printed
    assert "1: get_weather({'city': 'Tokyo'})" in printed
    assert "(no answer in time)" in printed
    assert "the server says that the run is cancelling" in printed


def test_three_tools_answer_at_once_with_progress_and_after_approval(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from assistant_tools import main

    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda prompt: asked.append(prompt) or "y")
    main()
    printed = capsys.readouterr().out
    assert asked == ['  order_taxis({"count": 2})? [y/n] ']
    assert "  count_guests: 4 guests in 2 rooms\n" in printed
    assert "Prague: 12 °C, light rain, 6 guests in 3 rooms, 2 taxis." in printed


def test_the_page_about_windows_runs(server: Server, display: None) -> None:
    pytest.importorskip("tkinter", reason="tkinter is not installed")
    from concierge import conversation

    page = (EXAMPLES.parent / "docs" / "gui.md").read_text("utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    look = (
        "    def look(left=1000):\n"
        "        shown.append(paper.get('1.0', 'end'))\n"
        "        root.after(5, look, left - 1) if left and len(shown[-1]) < 20 else root.destroy()\n"
        "    look()\n"
    )
    shown: list[str] = []
    with conversation() as talk, AssistantClient(base_url=talk.base_url) as client:
        client.threads.messages.create(talk.thread_id, role="user", content="Hello")
        names = {"thread_id": talk.thread_id, "assistant_id": talk.assistant_id, "shown": shown}
        exec(program.replace("    root.mainloop()", f"{look}    root.mainloop()"), names)
    assert shown[-1].startswith("Good day!")
    names.clear()
    gc.collect()
    assert requests_of(server, "/runs") == 1


def test_words_in_narrow_tables_are_not_cut_off_in_textual() -> None:
    pytest.importorskip("textual", reason="Textual is not installed")
    from chat_textual import Page
    from rich.console import Console

    console = Console(width=30, record=True, file=io.StringIO())
    console.print(Page("| A long heading | Another one | And one |\n|---|---|---|\n| umbrella-makersZZ | b | c |\n"))
    text = console.export_text()
    assert "ZZ" in text
    assert "…" not in text


def test_text_in_qt_has_one_size_from_the_first_time() -> None:
    pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed")
    from PySide6.QtWidgets import QApplication, QVBoxLayout, QWidget
    from qt_look import LIGHT, STYLE, Bubble

    app, window = QApplication.instance() or QApplication([]), QWidget()
    window.setStyleSheet(STYLE.substitute(LIGHT))
    layout, bubble = QVBoxLayout(window), Bubble("assistant", LIGHT)
    layout.addWidget(bubble)
    sizes = []
    for _ in range(2):
        bubble.write("# A heading\n\n`code`\n\n```\na block\n```\n")
        bubble.fit(400)
        sizes.append([size.pointSizeF() for size in fonts_of(bubble.document())])
    assert sizes[0] == sizes[1]
    assert max(sizes[0]) < 1.6 * bubble.font().pointSizeF()
    assert app is not None


def fonts_of(document: Any) -> Iterator[Any]:
    """The fonts of a document's pieces."""
    block = document.begin()
    while block.isValid():
        pieces = block.begin()
        while not pieces.atEnd():
            yield pieces.fragment().charFormat().font()
            pieces += 1
        block = block.next()


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("# Title", "Title\n"),
        ("- a\n* b", "• a\n• b\n"),
        ("**bold** and `code`", "bold and code\n"),
        ("```python\nx = 1\n```", "x = 1\ncopy\n"),
        ("```\nunfinished **code**", "unfinished **code**\n"),
        ("2 * 3 ** 4", "2 * 3 ** 4\n"),
        ("*a* _b_ __c__ snake_case_name", "a b c snake_case_name\n"),
        ("a\\*b", "a*b\n"),
        ("1. one\n   - two\n> three", "1. one\n• two\nthree\n"),
        ("[name](https://a.example)", "name (https://a.example)\n"),
        ("- a\n  ~~~\n  x = `1`\n  ~~~\nb", "• a\n\nx = `1`\ncopy\nb\n"),
        ("````\n```\n````", "```\ncopy\n"),
        ("a\n\n\n\nb", "a\n\nb\n"),
        ("***a*** ~~b~~ ~c~", "a b ~c~\n"),
        ("- [ ] a\n- [x] b", "• ☐ a\n• ☑ b\n"),
        ("- a\n  goes on\n\n  and on\nb", "• a\ngoes on\n\nand on\nb\n"),
        ("t\n| a | bb |\n|--|:-:|\n| 1 \\| 2 | `c` |\n| **3** |", "t\na      bb\n─────  ──\n1 | 2  c\n3\n"),
        ("a | b", "a | b\n"),
        (
            f"|a|b|c|\n|-|-|-|\n|1|{'x' * 80}|3|\n|4|",
            f"1\nb: {'x' * 80}\nc: 3\n4\n",
        ),
    ],
)
def test_a_little_markdown_is_styled(markdown: str, text: str) -> None:
    from transcript import styled

    assert "".join(part for part, _, _ in styled(markdown)) == text


def test_every_piece_of_markdown_has_its_style() -> None:
    from transcript import styled

    text = "## T\n- **b** *i* `c`\n> q\n| a | b |\n"
    shown = [(part, style) for part, style, _ in styled(text) if part.strip()]
    assert ("T", "heading2") in shown
    assert {("• ", "item0"), ("b", "item0 bold"), ("i", "item0 italic"), ("c", "item0 code")} <= set(shown)
    assert ("q", "quote") in shown
    assert ("| a | b |", "table") in shown


@pytest.mark.skipif(sys.platform != "linux", reason="the command is that of Linux")
@pytest.mark.parametrize(("told", "dark"), [("(<<uint32 1>>,)", True), ("(<<uint32 2>>,)", False), ("", False)])
def test_the_desktop_is_asked_for_its_colours(
    told: str, dark: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from palette import prefers_dark

    monkeypatch.setenv("PATH", str(tmp_path))
    assert not prefers_dark()  # there is no such command
    command = tmp_path / "gdbus"
    command.write_text(f"#!/bin/sh\necho '{told}'\n")
    command.chmod(0o755)
    assert prefers_dark() == dark


def test_a_window_in_tk_is_not_larger_than_the_screen_and_grows_with_its_fonts(server: Server, display: None) -> None:
    tkinter = pytest.importorskip("tkinter", reason="tkinter is not installed")
    from tkinter import font

    from chat_tk import ChatWindow
    from concierge import conversation

    with conversation() as talk, conversation_with(talk) as given:
        root = tkinter.Tk()
        real = font.Font.metrics
        try:
            font.Font.metrics = lambda self, *names: 4 * real(self, *names)  # type: ignore[method-assign, assignment]
            window = ChatWindow(root, *given, dark=True)
        finally:
            font.Font.metrics = real  # type: ignore[method-assign]
        root.update()
        assert 3.5 < window.look.scale < 4.5
        assert root.winfo_width() <= root.winfo_screenwidth()
        assert root.winfo_height() <= root.winfo_screenheight()
        bottom = window.entry.winfo_rooty() + window.entry.winfo_height()
        assert bottom <= root.winfo_screenheight()
        assert window.paper["bg"] == window.look.colours["paper"] != "#ffffff"
        root.destroy()
        del window, root
    gc.collect()


def test_every_example_is_short() -> None:
    most = {".py": 200, ".js": 200, ".html": 300}  # a page is markup, style and script in one
    long: dict[str, Any] = {
        path.name: lines
        for path in EXAMPLES.iterdir()
        if path.suffix in most and path.name != "screenshots.py"
        if (lines := len(path.read_text().splitlines())) >= most[path.suffix]
    }
    assert long == {}


def test_a_narrow_terminal_shows_every_letter_in_the_colours_of_the_theme(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("textual", reason="textual is not installed")
    import chat_textual
    from concierge import Concierge
    from everything import LONG, everything

    monkeypatch.setattr(Concierge, "run", everything)

    def lines(chat: Chat) -> list[Any]:
        (paper,) = [paper for paper in chat.window.papers.values() if LONG in paper.text]
        return [paper.render_line(line) for line in range(paper.size.height)]

    def broken(chat: Chat) -> list[str]:
        return [text for line in lines(chat) if set(text := line.text.strip()) == {"x"}]

    def ground(chat: Chat) -> Any:
        return next(part.style.bgcolor for line in lines(chat) for part in line if "answer" in part.text)

    def script(chat: Chat) -> Steps:
        chat.ask("Everything, please")
        yield lambda: "max_completion_tokens" in chat.text() and not chat.busy
        yield lambda: "".join(broken(chat)) == LONG  # once it is laid out
        assert len(broken(chat)[0]) > 30  # of 44 columns
        dark, chat.window.theme = ground(chat), "textual-light"
        yield lambda: ground(chat) != dark

    monkeypatch.setattr(chat_textual.Chat, "run_test", partialmethod(chat_textual.Chat.run_test, size=(44, 60)))
    with serve(engine=Concierge(0)) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        talk_in(CHATS["textual"](), script)


EVIL = "\x1b]52;c;cm0gLXJm\x07\x9b2J\u202e[/red]"


def test_no_words_of_the_model_command_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("textual", reason="textual is not installed")
    import chat_textual

    class Evil:
        """Says nothing but escape sequences."""

        async def run(self, context: RunContext) -> AsyncIterator[Action]:
            if not context.tool_outputs:
                yield Text(EVIL)
                yield FunctionCall(EVIL)
                yield Arguments('{"city": "' + EVIL.encode("unicode_escape").decode().replace("\\x", "\\u00") + '"}')
                yield Gate("the call is shown")
            else:
                yield Text(EVIL)
                yield Failure(EVIL)

    shown: list[str] = []
    real = chat_textual.Static.render

    def render(self: Any) -> Any:
        content = real(self)
        inside = getattr(content, "_renderable", content)  # what Textual wraps: Markdown, or plain content
        shown.append(getattr(inside, "plain", "") or str(getattr(inside, "markup", inside)))
        return content

    def script(chat: Chat) -> Steps:
        chat.ask("Hello")
        yield lambda: "city" in "".join(shown)
        running.release("the call is shown")
        yield lambda: any("The run failed" in text for text in shown)

    monkeypatch.setattr(chat_textual.Static, "render", render)
    with serve(engine=Evil()) as running:
        monkeypatch.setenv("OPENAI_BASE_URL", running.base_url)
        talk_in(CHATS["textual"](), script)
    everything = "".join(shown)
    assert everything.count("]52;c;cm0gLXJm") >= 4
    assert not [text for text in shown if set("\x1b\x07\x9b\u202e") & set(text)]

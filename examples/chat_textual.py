"""A chat in the terminal, with Textual: everything on one event loop, which the application and its streams share.

    pip install 'rx_assistant[local,textual]' && python examples/chat_textual.py

`Turns` brings the newest snapshot to the screen at most once a frame. Enter asks, even while an answer is written.
Escape stops the run. Shift+Enter or Ctrl+J begins a new line, Ctrl+O attaches a file, F2 copies the last block of code.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from concierge import WELCOME, Conversation, conversation, tools
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import Markdown, TableElement
from rich.table import Table
from rich.theme import Theme
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Static, TextArea
from transcript import code_blocks
from turns import KEYS, Turns

from rx_assistant import AsyncAssistantClient
from rx_assistant.gui import TextualHost, printable


class Cells(TableElement):
    """A table whose long words continue on the next line. Rich cuts them off in a narrow terminal."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for made in super().__rich_console__(console, options):
            for column in made.columns if isinstance(made, Table) else ():
                column.overflow = "fold"
            yield made


class Page(Markdown):
    """Markdown of which nothing is cut off."""

    elements: ClassVar = {**Markdown.elements, "table_open": Cells}


class Paper(Static):
    """A text of the transcript. (Textual's own Markdown widget flickers while a list grows.)"""

    def write(self, text: str, code: str) -> None:
        """Show a text, its code in a theme of Pygments."""
        self.text, shown = text, printable(text)
        is_markdown = self.has_class("assistant") or self.has_class("tool")
        self.update(Page(shown, code_theme=code) if is_markdown else shown)


class Entry(TextArea):
    """Several lines to write in; Enter asks."""

    async def _on_key(self, event: Key) -> None:
        if event.key == "enter":
            event.prevent_default().stop()
            self.app.action_ask()  # type: ignore[attr-defined]  # the chat defines it
        elif event.key in ("shift+enter", "ctrl+j"):
            event.prevent_default().stop()
            self.insert("\n")
        elif event.key in ("pageup", "pagedown"):
            event.prevent_default().stop()
            page = self.screen.query_one("#page", VerticalScroll)
            page.scroll_page_up() if event.key == "pageup" else page.scroll_page_down()
        else:
            await super()._on_key(event)


class FileName(ModalScreen[str]):
    """Asks for the path of a file."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss('')", "Cancel")]

    def compose(self) -> ComposeResult:
        yield Input(placeholder="Path of the file to attach")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)


class Chat(App[None]):
    """One conversation: the transcript, the run's status, some lines to write in."""

    TITLE = "Concierge"
    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "stop", "Stop"),
        ("ctrl+o", "attach", "Attach"),
        ("f2", "copy", "Copy code"),
        ("ctrl+q", "quit", "Quit"),
    ]
    CSS = """
    Screen { background: $background; }
    #title { padding: 1 3 0 3; text-style: bold; color: $primary; }
    #status { padding: 0 3 1 3; color: $text-muted; }
    #page { padding: 0 2; scrollbar-size-vertical: 1; scrollbar-color: $panel; scrollbar-background: $background; }
    #page .assistant { margin: 1 12 0 0; padding: 1 2; background: $surface; border-left: outer $success; }
    #page .user { margin: 1 0 1 12; padding: 1 2; background: $primary 25%; border-right: outer $primary; }
    #page .tool { margin: 1 12 0 0; padding: 0 2; color: $text-muted; border-left: outer $warning; }
    #page .error { margin: 1 12 0 0; padding: 1 2; color: $text-error; border-left: outer $error; }
    .-narrow #page Paper { margin: 1 0 0 0; padding: 0 1; }
    Entry { margin: 1 2; height: auto; max-height: 8; border: round $panel; background: $background; }
    Entry:focus { border: round $primary; }
    FileName { align: center middle; background: $background 60%; }
    FileName Input { width: 60; max-width: 90%; }
    """

    def __init__(self, talk: Conversation) -> None:
        super().__init__()
        self.HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (72, "-wide")]  # columns
        self.client = AsyncAssistantClient(base_url=talk.base_url)
        self.conversation = self.client.conversation(talk.assistant_id, talk.thread_id, tools=tools)
        self.papers: dict[str, Paper] = {}

    def compose(self) -> ComposeResult:
        yield Static("Concierge", id="title")
        yield Static("ready", id="status", markup=False)
        yield VerticalScroll(id="page")
        yield Entry(placeholder="Write to the concierge", show_line_numbers=False)
        yield Footer()

    def on_mount(self) -> None:
        self.console.push_theme(Theme({"markdown.code": "bold"}))  # Rich's own is made for a black screen
        self.turns = Turns(self, TextualHost(self), self.client, self.conversation)
        self.query_one("#page", VerticalScroll).anchor()
        self.theme_changed_signal.subscribe(self, self.paint)
        self.query_one(Entry).focus()
        self.say("assistant", WELCOME)

    # -- what a person does ----------------------------------------------------------------------------------------

    def action_ask(self) -> None:
        entry = self.query_one(Entry)
        self.turns.ask(entry.text)
        entry.clear()

    def action_stop(self) -> None:
        self.turns.stop()

    def action_copy(self) -> None:
        blocks = [code for paper in self.papers.values() for code in code_blocks(paper.text)]
        if blocks:
            self.copy_to_clipboard(printable(blocks[-1]))
            self.query_one(Entry).border_subtitle = "copied"

    def action_attach(self) -> None:
        self.push_screen(FileName(), self.attach)

    def attach(self, path: str | None) -> None:
        if path:
            self.turns.attach(Path(path).expanduser())

    async def action_quit(self) -> None:
        await self.conversation.aclose()
        self.exit()

    async def on_unmount(self) -> None:
        await self.client.aclose()

    @property
    def code(self) -> str:
        return "monokai" if self.current_theme.dark else "default"

    def paint(self, _theme: object) -> None:
        """The theme has changed."""
        for paper in self.papers.values():
            paper.write(paper.text, self.code)

    # -- what it shows ---------------------------------------------------------------------------------------------

    def say(self, kind: str, text: str, key: str = "") -> None:
        key = key or f"paper {len(self.papers)}"
        if key not in self.papers:
            self.papers[key] = Paper(classes=kind, markup=False)
            self.papers[key].text = ""
            self.query_one("#page", VerticalScroll).mount(self.papers[key])
        if self.papers[key].text != text:
            self.papers[key].write(text, self.code)

    def show_status(self, text: str) -> None:
        self.query_one("#status", Static).update(printable(text))

    def show_waiting(self, running: bool, waiting: int) -> None:
        self.query_one(Entry).border_subtitle = "" if self.turns.note == KEYS else printable(self.turns.note)


def main() -> None:
    with conversation() as talk:
        Chat(talk).run()


if __name__ == "__main__":
    main()

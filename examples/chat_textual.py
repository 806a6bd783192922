"""A chat in the terminal, with Textual: everything on one event loop, which the application and its streams share.

    pip install 'rx_assistant[local,textual]' && python examples/chat_textual.py

The run is an ordinary coroutine that waits for its stream; what the stream says is shown once a frame.
"""

from __future__ import annotations

from contextlib import suppress
from typing import ClassVar

import anyio
from concierge import WELCOME, Conversation, answer, complaint, conversation, status_line, told_elsewhere
from rich.markdown import Markdown as RichMarkdown
from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Footer, Input, Static

from rx_assistant import (
    AsyncAssistantClient,
    AsyncAssistantStream,
    RunSnapshot,
    RxAssistantError,
    operators as ax,
)
from rx_assistant.gui import TextualHost, observe_on_ui, printable
from rx_assistant.operators import AsyncMessageStream, AsyncToolCallStream
from rx_assistant.types import Run


class Paper(Static):
    """What the assistant writes. (Textual's own Markdown widget flickers while a list grows.)"""

    def __init__(self, text: str = "") -> None:
        super().__init__(RichMarkdown(text))
        self.text = text

    def write(self, text: str) -> None:
        self.text += printable(text)
        self.update(RichMarkdown(self.text))


class ToolCard(Static):
    """A tool call: its arguments, which may still come when its output is there already, and its output."""

    def __init__(self, name: str) -> None:
        super().__init__(printable(name), markup=False)
        self.name_shown, self.arguments, self.output = printable(name), "", ""

    def write_arguments(self, text: str) -> None:
        self.arguments += printable(text)
        self.show()

    def write_output(self, text: str) -> None:
        self.output = f"\n→ {printable(text)}"
        self.show()

    def show(self) -> None:
        self.update(
            Content.assemble((self.name_shown, "bold $text"), f"  {self.arguments}", (self.output, "$text-success"))
        )


class Chat(App[None]):
    """One conversation: the transcript, the run's status, a line to write in."""

    TITLE = "Concierge"
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "stop", "Stop the run"), ("ctrl+q", "quit", "Quit")]
    CSS = """
    Screen { background: $background; }
    #title { padding: 1 3 0 3; text-style: bold; color: $primary; }
    #status { padding: 0 3 1 3; color: $text-muted; }
    #page { padding: 0 2; scrollbar-size-vertical: 1; scrollbar-color: $panel; scrollbar-background: $background; }
    #page Paper { margin: 1 12 0 0; padding: 1 2; background: $surface; border-left: outer $success; }
    #page .user { margin: 1 0 1 12; padding: 1 2; background: $primary 25%; border-right: outer $primary; }
    #page ToolCard { margin: 1 12 0 0; padding: 0 2; color: $text-muted; border-left: outer $warning; }
    #page .error { margin: 1 12 0 0; padding: 1 2; color: $text-error; border-left: outer $error; }
    Input { margin: 1 2; border: round $panel; background: $background; }
    Input:focus { border: round $primary; }
    """

    def __init__(self, talk: Conversation) -> None:
        super().__init__()
        self.talk = talk
        self.client = AsyncAssistantClient(base_url=talk.base_url)
        self.stream: AsyncAssistantStream | None = None
        self.calls: dict[str, ToolCard] = {}

    # -- a run -----------------------------------------------------------------------------------------------------

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.value.strip() and self.stream is None:
            event.input.clear()
            self.say(Static(event.value, classes="user", markup=False))
            self.converse(event.value)

    @work
    async def converse(self, text: str) -> None:
        """One question: a run, and as many more streams as it wants tools answered."""
        runs, thread = self.client.threads.runs, self.talk.thread_id
        stream = runs.stream(
            thread,
            assistant_id=self.talk.assistant_id,
            additional_messages=[{"role": "user", "content": text}],
        )
        try:
            run = await self.follow(stream)
            while run.required_action:
                outputs = answer(run.required_action)
                for output in outputs:
                    self.calls[output["tool_call_id"]].write_output(output["output"])
                stream = runs.submit_tool_outputs_stream(run.id, thread, tool_outputs=outputs)
                run = await self.follow(stream)
            problem = complaint(run)
        except RxAssistantError as error:
            problem = str(error)
        finally:
            self.stream = None
        if problem:
            self.say(Static(printable(problem), classes="error", markup=False))

    async def follow(self, stream: AsyncAssistantStream) -> Run:
        """Show a stream, and give the run as it is at its end: all that this example is about."""
        self.stream = stream
        stream.pipe(ax.message_streams(), observe_on_ui(self.host)).subscribe(self.show_message, told_elsewhere)
        stream.pipe(ax.tool_calls("function"), observe_on_ui(self.host)).subscribe(self.show_call, told_elsewhere)
        stream.pipe(ax.snapshots(), observe_on_ui(self.host)).subscribe(self.show_status, self.show_broken)
        async with stream:
            return await stream.get_final_run()

    def show_message(self, message: AsyncMessageStream) -> None:
        """Begin a paper, which the message's text writes itself onto."""
        paper = Paper()
        self.say(paper)
        message.text_deltas.pipe(observe_on_ui(self.host)).subscribe(paper.write, told_elsewhere)

    def show_call(self, call: AsyncToolCallStream) -> None:
        """Begin a line for a tool call, which its arguments write themselves into."""
        if call.id in self.calls:
            return  # the rest of a run begins with the calls that were answered
        card = self.calls[call.id] = ToolCard(call.name or "")
        self.say(card)
        call.argument_deltas.pipe(observe_on_ui(self.host)).subscribe(card.write_arguments, told_elsewhere)

    def show_status(self, snapshot: RunSnapshot) -> None:
        self.status(status_line(snapshot))

    def show_broken(self, _error: Exception) -> None:
        self.status("broken off")

    def action_stop(self) -> None:
        """Cancel the run on the server; the stream goes on to the server's own ending."""
        if self.stream is not None:
            self.stream.cancel()
            self.status("cancelling …")

    async def action_quit(self) -> None:
        if self.stream is not None:
            with anyio.move_on_after(2), suppress(RxAssistantError):
                await self.stream.cancel()
        self.exit()

    # -- widgets ---------------------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        yield Static(self.TITLE, id="title")
        yield Static("ready", id="status", markup=False)
        yield VerticalScroll(Paper(WELCOME), id="page")
        yield Input(placeholder="Write to the concierge")
        yield Footer()

    def on_mount(self) -> None:
        self.host = TextualHost(self)
        self.query_one("#page", VerticalScroll).anchor()
        self.query_one(Input).focus()

    async def on_unmount(self) -> None:
        await self.client.aclose()

    def status(self, text: str) -> None:
        self.query_one("#status", Static).update(printable(text))

    def say(self, widget: Static) -> None:
        self.query_one("#page", VerticalScroll).mount(widget)


def main() -> None:
    with conversation() as talk:
        Chat(talk).run()


if __name__ == "__main__":
    main()

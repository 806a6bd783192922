"""Questions, one after the other: each is one stream, whose tool calls are answered on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from concierge import Conversation, complaint, status_line, tools
from transcript import pieces

from rx_assistant import AsyncAssistantClient, AsyncAssistantStream, RunSnapshot, operators as ax
from rx_assistant.gui import UiHost, observe_on_ui


class Window(Protocol):
    """What shows a conversation."""

    def say(self, kind: str, text: str, key: str = "") -> None:
        """Show a text: in the place of its key, or at the end. `kind` is user, assistant, tool or error."""

    def show_status(self, text: str) -> None:
        """Show what the run is doing."""

    def show_waiting(self, running: bool, waiting: int) -> None:
        """Show whether a run is going on, and how many questions wait for its end."""


class Turns:
    """The runs of one conversation. `start` gets each stream, and has it read."""

    def __init__(
        self,
        window: Window,
        host: UiHost,
        client: AsyncAssistantClient,
        talk: Conversation,
        start: Callable[[AsyncAssistantStream], object],
    ) -> None:
        self.window, self.host, self.start = window, host, start
        self.runs, self.talk = client.threads.runs, talk
        self.stream: AsyncAssistantStream | None = None
        self.snapshot = RunSnapshot()
        self.waiting: list[str] = []

    def ask(self, text: str) -> None:
        """Ask something: now, or when the run that is going on has ended."""
        if text.strip():
            self.waiting.append(text.strip())
            self.ask_next()

    def stop(self) -> None:
        """Cancel the run on the server; the stream goes on to the server's own ending."""
        if self.stream is not None:
            self.stream.cancel()
            self.window.show_status("cancelling …")

    def ask_next(self) -> None:
        if self.stream is None and self.waiting:
            text = self.waiting.pop(0)
            self.window.say("user", text)
            self.follow(
                self.runs.stream_with_tools(
                    self.talk.thread_id,
                    tools=tools,
                    assistant_id=self.talk.assistant_id,
                    additional_messages=[{"role": "user", "content": text}],
                    on_idle="cancel",  # a window that is closed cancels its run
                )
            )
        self.window.show_waiting(self.stream is not None, len(self.waiting))

    def follow(self, stream: AsyncAssistantStream) -> None:
        """Show a stream in the window: all that these examples are about."""
        self.stream = stream
        stream.pipe(ax.snapshots(), observe_on_ui(self.host)).subscribe(self.show, self.fail, self.finish)
        self.start(stream)

    def show(self, snapshot: RunSnapshot) -> None:
        """Let the window show a state of the run."""
        self.snapshot = snapshot
        self.window.show_status(status_line(snapshot))
        for piece in pieces(snapshot):
            self.window.say(piece.kind, piece.text, piece.key)

    def finish(self) -> None:
        """The stream has ended: ask the next question."""
        self.stream = None
        if problem := complaint(self.snapshot.run):
            self.window.say("error", problem)
        self.ask_next()

    def fail(self, error: Exception) -> None:
        self.stream = None
        self.window.say("error", str(error))
        self.window.show_status("broken off")
        self.ask_next()

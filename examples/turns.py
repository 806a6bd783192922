"""Questions from a window, answered one after the other: what `ax.answers` does with a conversation."""

from __future__ import annotations

from typing import Any, Protocol

from concierge import complaint, status_line
from reactivex import Observable
from reactivex.subject import Subject
from transcript import pieces

from rx_assistant import AsyncConversation, Conversation, RunSnapshot, operators as ax
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
    """The conversation of one window. It answers as `ax.answers` wants it, and shows each answer on the way."""

    def __init__(self, window: Window, host: UiHost, conversation: Conversation | AsyncConversation) -> None:
        self.window, self.host, self.conversation = window, host, conversation
        self.stream: Any = None  # the answer of the moment, or None
        self.waiting = 0
        self.snapshot = RunSnapshot()
        self.questions: Subject[str] = Subject()
        answers = ax.answers(self, on_failure=lambda _: None)  # `fail` hears of it
        self.questions.pipe(answers).subscribe()

    @property
    def busy(self) -> bool:
        """Whether a run is going on, or about to begin."""
        return self.stream is not None or self.waiting > 0

    def ask(self, text: str) -> None:
        """Ask something: now, or when the run that is going on has ended."""
        if text.strip():
            self.waiting += 1
            self.window.show_waiting(True, self.waiting)
            self.questions.on_next(text.strip())

    def stop(self) -> None:
        """Cancel the run on the server; its stream goes on to the server's own ending."""
        if self.busy:
            self.conversation.settle().subscribe()
            self.window.show_status("cancelling …")

    def answer(self, text: str, /) -> Observable[Any]:
        """Ask, and show the answer in the window: all that these examples are about."""
        stream = self.conversation.answer(text)
        self.host.call_soon(lambda: self.begin(text, stream))
        snapshots = stream.pipe(ax.snapshots(), observe_on_ui(self.host))
        snapshots.subscribe(self.show, lambda error: self.finish(stream, error), lambda: self.finish(stream))
        return stream

    def settle(self) -> Observable[None]:
        return self.conversation.settle()

    def begin(self, text: str, stream: Any) -> None:
        self.stream, self.waiting = stream, self.waiting - 1
        self.window.say("user", text)
        self.window.show_waiting(True, self.waiting)

    def show(self, snapshot: RunSnapshot) -> None:
        """Let the window show a state of the run."""
        self.snapshot = snapshot
        self.window.show_status(status_line(snapshot))
        for piece in pieces(snapshot):
            self.window.say(piece.kind, piece.text, piece.key)

    def finish(self, stream: Any, error: Exception | None = None) -> None:
        """The answer has ended."""
        if self.stream is stream:
            self.stream = None
        if error is not None:
            self.window.say("error", str(error))
            self.window.show_status("broken off")
        elif problem := complaint(self.snapshot.run):
            self.window.say("error", problem)
        self.window.show_waiting(self.busy, self.waiting)

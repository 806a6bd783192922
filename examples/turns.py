"""Questions from a window, answered one after the other by `ax.answers` and a conversation."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import reactivex as rx
from concierge import complaint, status_line
from reactivex import Observable, operators as ops
from reactivex.scheduler import NewThreadScheduler
from reactivex.subject import AsyncSubject, Subject
from transcript import pieces

from rx_assistant import (
    AssistantClient,
    AsyncAssistantClient,
    AsyncConversation,
    Conversation,
    RunSnapshot,
    operators as ax,
)
from rx_assistant.gui import UiHost, observe_on_ui
from rx_assistant.types import FileObject

KEYS = "Enter asks · Shift+Enter new line · Ctrl+O attach · Ctrl+Shift+C copy code · Page Up/Down · Esc stops"


class Window(Protocol):
    """Shows a conversation."""

    def say(self, kind: str, text: str, key: str = "") -> None:
        """Show a text: in the place of its key, or at the end. `kind` is user, assistant, tool or error."""

    def show_status(self, text: str) -> None:
        """Show the state of the run."""

    def show_waiting(self, running: bool, waiting: int) -> None:
        """Show whether a run is active, how many questions wait for its end, and the `note` of the turns."""


class Question(str):
    """The text of a question, and the files that go with it."""

    files: list[FileObject]


class Turns:
    """The conversation of one window. It implements `Answering` for `ax.answers`, and shows each answer on the way."""

    def __init__(
        self,
        window: Window,
        host: UiHost,
        client: AssistantClient | AsyncAssistantClient,
        conversation: Conversation | AsyncConversation,
    ) -> None:
        self.window, self.host, self.client, self.conversation = window, host, client, conversation
        self.stream: Any = None  # the active answer, or None
        self.waiting = 0
        self.snapshot = RunSnapshot()
        self.uploads: dict[str, Observable[FileObject]] = {}  # by name: the files of the next question
        self.questions: Subject[Observable[Question]] = Subject()
        answers = ax.answers(self, on_failure=lambda _: None)  # `finish` shows it
        self.questions.pipe(ops.merge(max_concurrent=1), answers).subscribe()

    @property
    def busy(self) -> bool:
        """Whether a run is active or about to begin."""
        return self.stream is not None or self.waiting > 0

    @property
    def note(self) -> str:
        """The files that go with the next question, and how many questions wait; else the keys."""
        notes = [f"{self.waiting} waiting"] if self.waiting else []
        if self.uploads:
            notes.append(f"with the next question: {', '.join(self.uploads)}")
        return " · ".join(notes) or KEYS

    def ask(self, text: str) -> None:
        """Ask something, when its files have been uploaded and the active run has ended."""
        if not text.strip():
            return
        self.waiting += 1
        uploads, self.uploads = list(self.uploads.values()), {}
        self.window.show_waiting(True, self.waiting)

        def question(files: list[FileObject]) -> Question:
            asked = Question(text.strip())
            asked.files = files
            return asked

        asked = rx.concat(*uploads).pipe(ops.to_list(), ops.map(question))
        self.questions.on_next(asked.pipe(ops.catch(lambda _error, _source: self.drop())))

    def drop(self) -> Observable[Question]:
        """A file of a question could not be uploaded, so it is not asked."""
        self.waiting -= 1
        self.window.show_waiting(self.busy, self.waiting)
        return rx.empty()

    def attach(self, path: Path) -> None:
        """Upload a file that goes with the next question."""
        uploaded: AsyncSubject[FileObject] = AsyncSubject()
        self.uploads[path.name] = uploaded
        uploaded.subscribe(on_error=partial(self.fail_upload, path.name))
        self.upload(path).pipe(observe_on_ui(self.host)).subscribe(uploaded)
        self.window.show_waiting(self.busy, self.waiting)

    def upload(self, path: Path) -> Observable[FileObject]:
        """The file on the server: from a thread, or on the loop that an asynchronous client shares with the window."""
        client = self.client
        if isinstance(client, AsyncAssistantClient):
            return rx.from_future(asyncio.ensure_future(client.files.create(file=path, purpose="assistants")))
        return rx.from_callable(lambda: client.files.create(file=path, purpose="assistants"), NewThreadScheduler())

    def fail_upload(self, name: str, error: Exception) -> None:
        self.uploads.pop(name, None)
        self.window.say("error", f"{name} cannot be attached: {error}")
        self.window.show_waiting(self.busy, self.waiting)

    def stop(self) -> None:
        """Cancel the run on the server; its stream continues to the server's ending. Without a run, drop the files."""
        if self.busy:
            self.conversation.settle().subscribe()
            self.window.show_status("cancelling …")
        else:
            self.uploads.clear()
            self.window.show_waiting(False, 0)

    def answer(self, text: str, /) -> Observable[Any]:
        """Ask, and show the answer in the window: the main part of these examples."""
        files = text.files if isinstance(text, Question) else []
        ids = [file.id for file in files]
        stream = self.conversation.ask(text, attachments=ids, on_idle="cancel", on_subscribe="connect")
        shown = "\n".join([text, *(f"with {file.filename}" for file in files)])
        self.host.call_soon(lambda: self.begin(shown, stream))
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
        """Show a state of the run in the window."""
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

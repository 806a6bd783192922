"""The state of a chat: a conversation that prints its answers, and takes questions, commands and files."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reactivex import Observable
from reactivex.subject import Subject

from rx_assistant import operators as ax
from rx_assistant.cli.ask import readable
from rx_assistant.cli.output import Output
from rx_assistant.cli.show import describe_end, show, text_of
from rx_assistant.errors import RxAssistantError, StreamClosedError

if TYPE_CHECKING:
    from rx_assistant.client import AssistantClient
    from rx_assistant.client.conversation import Conversation
    from rx_assistant.streams import AssistantStream
    from rx_assistant.types import Message

SHOWN = 20
"""The messages of an earlier conversation that are shown again."""

HELP = """\
/again        answer the last question again
/edit TEXT    ask TEXT in place of the last question, in a new thread
/copy         copy the last block of code, as F2
/file PATH    attach a file to the next question
/thread       show the id of the thread
/quit         leave, as Ctrl-D
Enter asks, also during an answer. Ctrl-J begins a new line. Esc or Ctrl-C stops the answer."""

_CODE = re.compile(r"^ *(```+|~~~+)[^\n]*\n(.*?)^ *\1", re.MULTILINE | re.DOTALL)

Ask = Callable[[], "AssistantStream"]
"""Returns the stream of one answer, when it is its turn."""


class Talk:
    """A conversation that prints its answers, for `operators.answers`, which asks one question after the other."""

    def __init__(
        self,
        client: AssistantClient,
        conversation: Conversation,
        output: Output,
        files: Sequence[Path] = (),
        *,
        is_own: bool,
    ) -> None:
        self.output = output
        self.conversation = conversation
        self._client = client
        self._is_own = is_own
        self._files = [self._upload(path) for path in files]
        self._questions: Subject[Any] = Subject()
        self.waiting = 0
        """How many questions wait for the end of the answer."""

    def begin(self) -> None:
        """Answer the questions that `enter` gets."""
        self._questions.pipe(ax.answers(self, on_failure=self._failed)).subscribe(None, self._failed)

    def enter(self, line: str) -> bool:
        """Take a question or a command. False: the person leaves."""
        command, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        try:
            match command:
                case "":
                    pass
                case "/quit":
                    return False
                case "/again":
                    self._ask(lambda: self.conversation.regenerate(on_idle="cancel"))
                case "/edit" if rest:
                    self._ask(lambda: self._edit(rest))
                case "/copy":
                    self.copy_code()
                case "/file" if rest:
                    self._files.append(self._upload(Path(rest).expanduser()))
                case "/thread":
                    self.output.note(self.conversation.thread_id or "the first question makes the thread")
                case _ if command.startswith("/"):
                    self.output.note(HELP)
                case _:
                    self._ask(self.question(line.strip()))
        except (RxAssistantError, OSError) as error:
            self.output.note(f"! {error}", "red")
        return True

    def stop(self) -> None:
        """Cancel the active answer; the next question is asked after it."""
        self.conversation.settle().subscribe(None, self._failed)

    def copy_code(self) -> None:
        """Copy the last block of code of an answer."""
        answers = [text_of(message) for message in self.earlier() if message.role == "assistant"]
        blocks = [found[2] for answer in answers for found in _CODE.finditer(answer)]
        if blocks:
            self.output.copy(blocks[-1])
        self.output.note("copied" if blocks else "there is no block of code yet")

    def question(self, text: str) -> Ask:
        """A function that asks a question, with the files that wait for one."""
        attachments, self._files = self._files, []
        return lambda: self.conversation.ask(readable(text), attachments=attachments, on_idle="cancel")

    def earlier(self) -> list[Message]:
        """The last messages of the thread, oldest first."""
        thread_id = self.conversation.thread_id
        if thread_id is None:
            return []
        return [*self._client.threads.messages.list(thread_id, limit=SHOWN).data][::-1]

    # -- operators.Answering ---------------------------------------------------------------------------------------

    def answer(self, ask: Any, /) -> Observable[Any]:
        """Ask, and print the answer as it comes."""
        self.waiting -= 1
        stream: AssistantStream = ask()
        show(stream, self.output)
        stream.subscribe(None, _ignore, lambda: self._ended(stream))
        return stream

    def settle(self) -> Observable[None]:
        """Cancel the active answer."""
        return self.conversation.settle()

    def _ask(self, ask: Ask) -> None:
        self.waiting += 1
        self._questions.on_next(ask)

    def _ended(self, stream: AssistantStream) -> None:
        self.output.finish()
        run = stream.snapshot.run
        if run is not None and (failure := describe_end(run)) is not None:
            self.output.note(failure, "yellow" if run.status == "cancelled" else "red")

    def _failed(self, error: Exception) -> None:
        self.output.finish()
        if not isinstance(error, StreamClosedError):
            self.output.note(f"! {error}", "red")

    # -- messages and files ----------------------------------------------------------------------------------------

    def _edit(self, text: str) -> AssistantStream:
        questions = [message for message in self.earlier() if message.role == "user"]
        message_id = questions[-1].id if questions else "none"
        return self.conversation.edit(message_id, readable(text), on_idle="cancel")

    def _upload(self, path: Path) -> str:
        """Upload a file for the next question, and allow a new assistant to search it."""
        if self._is_own:
            assistants = self._client.assistants
            tools: list[Any] = [each.to_dict() for each in assistants.retrieve(self.conversation.assistant_id).tools]
            if {"type": "file_search"} not in tools:
                assistants.update(self.conversation.assistant_id, tools=[*tools, {"type": "file_search"}])
        file = self._client.files.create(file=path, purpose="assistants")
        self.output.note(f"{path.name} goes with the next question")
        return file.id


def _ignore(_error: Exception) -> None:
    """An error goes to `_failed`."""

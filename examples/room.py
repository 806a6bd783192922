"""The conversation of a web page, in the process that holds it, and how another process takes it over.

The process publishes questions, the events of the runs, and calls that wait for approval. It carries out the commands
of all processes. If it dies, another one continues, also with the run that was in progress.
"""

from __future__ import annotations

import json
import threading
from typing import Any

import reactivex as rx
from concierge import Conversation, tools
from reactivex import Observable
from reactivex.subject import Subject

from rx_assistant import AssistantClient, PendingCall, operators as ax
from rx_assistant.errors import RelayError
from rx_assistant.events import StreamEvent, UnknownEvent
from rx_assistant.relay import Command, Relay
from rx_assistant.tools import Options, answer_with
from rx_assistant.types import Run, ToolOutput

RESUME = ""
"""In place of a question: show the run that is in progress."""


class Host:
    """The conversation, in the process that holds it. It implements `Answering` for `ax.answers`."""

    def __init__(self, talk: Conversation) -> None:
        self.talk, self.client = talk, AssistantClient(base_url=talk.base_url)
        self.conversation = self.client.conversation(
            talk.assistant_id, talk.thread_id, tools=tools, approve=self.ask_people
        )
        self.events: Subject[StreamEvent] = Subject()
        self.mutex = threading.Lock()
        self.decisions: dict[str, Subject[bool]] = {}
        self.has_asked = False
        self.questions: Subject[str] = Subject()
        self.questions.pipe(ax.answers(self, on_failure=self.fail)).pipe(ax.coalesce()).subscribe(self.show)

    def show(self, event: StreamEvent) -> None:
        """Show an event to all browsers."""
        with self.mutex:
            self.events.on_next(event)

    def notice(self, kind: str, data: object) -> None:
        """Show all browsers something that is not an event of a run."""
        self.show(UnknownEvent(f"room.{kind}", json.dumps(data).encode()))

    def answer(self, question: str, /) -> Observable[StreamEvent]:
        """Ask a question, as the page has sent it."""
        if question == RESUME:
            return rx.empty() if self.has_asked else self.resume()
        self.has_asked, asked = True, json.loads(question)
        self.notice("question", asked)
        if not asked["files"]:
            return self.conversation.answer(asked["text"])
        return self.conversation.ask(asked["text"], attachments=[file["id"] for file in asked["files"]])

    def resume(self) -> Observable[StreamEvent]:
        """The newest run of the thread from its beginning, which another process may have left in the middle.

        The page shows what it gets twice only once. Calls without outputs are made here, perhaps for the second time.
        """
        runs, thread_id = self.client.threads.runs, self.talk.thread_id
        newest = runs.list(thread_id, limit=1).data
        if not newest:
            return rx.empty()

        def submit(run: Run, outputs: list[ToolOutput]) -> Observable[StreamEvent]:
            return runs.submit_tool_outputs_stream(run.id, thread_id, tool_outputs=outputs)

        events = runs.watch_events(newest[0].id, thread_id, poll_interval_ms=200, on_subscribe="connect")
        return events.pipe(answer_with(tools, submit, options=Options(approve=self.ask_people)))

    def settle(self) -> Observable[None]:
        return self.conversation.settle()

    def fail(self, error: Exception) -> None:
        self.notice("problem", str(error))

    def ask_people(self, call: PendingCall) -> Observable[bool]:
        """Ask all browsers whether a call may run. The first answer counts."""
        decision = self.decisions[call.call_id] = Subject[bool]()
        self.notice("approval", {"id": call.call_id, "name": call.name, "arguments": call.arguments})
        return decision

    def act(self, command: Command) -> None:
        """Carry out a command of a browser."""
        data: Any = command.data
        if command.type == "ask":
            self.questions.on_next(json.dumps(data))
        elif command.type == "stop":
            self.conversation.cancel()
        elif command.type == "decide" and (decision := self.decisions.pop(data["id"], None)):
            self.notice("decided", data)
            decision.on_next(data["approved"])
            decision.on_completed()


def hold(talk: Conversation, relay: Relay, leaving: threading.Event) -> None:
    """Hold the conversation whenever no other process does."""
    while not leaving.wait(0.2):
        state = relay.state(talk.thread_id)
        if state is not None and state.is_alive and state.status == "open":
            continue
        host = Host(talk)
        publication = relay.publish(host.events, talk.thread_id, on_command=host.act)
        try:
            if not publication.wait(0.2):
                host.questions.on_next(RESUME)
            while not leaving.is_set() and not publication.wait(0.2):
                pass
            host.conversation.close()
        except RelayError:
            pass  # another process holds the conversation, and continues with its run
        finally:
            host.client.close()
            publication.dispose()

"""Conversations against the local server, on threads, asyncio and trio: one thread, one run at a time, no 400 seen."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import anyio
import httpx
import pytest
import sniffio
import trio
from faces import entered, got, left, listed, with_client
from loopback import ended
from reactivex import operators as ops
from reactivex.subject import Subject
from talking import FACES, Slow, Story, pause, text, until

from rx_assistant import (
    AssistantClient,
    AssistantEventHandler,
    AsyncAssistantClient,
    AsyncAssistantEventHandler,
    BadRequestError,
    InternalServerError,
    InvalidArgumentError,
    NotFoundError,
    StreamClosedError,
    operators as ax,
)
from rx_assistant.client.ledger import Ledger, Turn
from rx_assistant.client.requests import stopped
from rx_assistant.hot import Subscriber
from rx_assistant.http.session import Reply
from rx_assistant.local import Server, serve
from rx_assistant.types import Message


@pytest.fixture
def slow() -> Slow:
    return Slow()


@pytest.fixture
def server(slow: Slow) -> Iterator[Server]:
    with serve(engine=slow, poll_after_ms=5) as running:
        yield running


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest, server: Server) -> Callable[[Story], None]:
    """Tells a story on one face; nothing of it is left afterwards."""

    def run(story: Story) -> None:
        before = set(threading.enumerate())
        with_client(request.param, server.base_url, story)
        late = [each for each in set(threading.enumerate()) - before if each.name.startswith("rx-assistant-")]
        assert [thread.name for thread in late if not ended(thread)] == []

    return run


async def assistant(client: Any) -> str:
    return str((await got(client.assistants.create(model="local", instructions="Answer."))).id)


def requests(server: Server, method: str, ending: str) -> int:
    return sum(request.method == method and request.path.endswith(ending) for request in server.requests)


async def thread_of(client: Any, conversation: Any) -> list[tuple[str, str]]:
    """Roles and texts, as the server has them."""
    return [said(each) for each in await listed(client.threads.messages.list(conversation.thread_id, order="asc"))]


def said(message: Message) -> tuple[str, str]:
    return message.role, "".join(part.text.value for part in message.content if part.type == "text")


# -- asking ------------------------------------------------------------------------------------------------------------


def test_the_first_question_makes_the_thread_and_all_others_stay_on_it(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        stream = conversation.ask("short a")
        assert conversation.thread_id is None
        assert await text(stream) == "Answer to short a:"
        thread = conversation.thread_id
        assert await text(conversation.ask("short b")) == "Answer to short b:"
        assert conversation.thread_id == thread
        assert [text for _, text in await thread_of(client, conversation)] == [
            "short a",
            "Answer to short a:",
            "short b",
            "Answer to short b:",
        ]
        assert (requests(server, "POST", "/threads"), requests(server, "GET", "/runs")) == (1, 0)

    face(story)


def test_the_run_of_another_program_is_waited_for(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        assistant_id = await assistant(client)
        thread = await got(client.threads.create(messages=[{"role": "user", "content": "gate"}]))
        await got(client.threads.runs.create(thread.id, assistant_id=assistant_id))
        conversation = client.conversation(assistant_id, thread.id)
        heard: list[str] = []
        conversation.answer("short b").pipe(ax.text_deltas()).subscribe(heard.append, heard.append)
        await until(lambda: sum("/runs/run_" in request.path for request in server.requests) > 2)
        assert requests(server, "POST", "/runs") == 1
        server.release("gate")
        await until(lambda: "".join(map(str, heard)) == "Answer to short b:")

    face(story)


def test_a_run_that_waits_for_outputs_is_told_in_the_log(
    face: Any, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(client: Any) -> None:
        with serve(
            script={"runs": [{"turns": [[{"calls": [{"function": "f"}]}], [{"text": "ok"}]]}]}, poll_after_ms=5
        ) as other:
            client = client.with_options(base_url=other.base_url)
            assistant_id = await assistant(client)
            conversation = client.conversation(assistant_id)
            stream = await entered(conversation.ask("a"))
            await got(stream.until_done())
            await left(stream)
            heard: list[Any] = []
            conversation.answer("b").subscribe(heard.append, heard.append)
            await until(lambda: "requires action" in caplog.text)
            await got(conversation.cancel())
            await until(lambda: heard)
            assert isinstance(heard[-1], StreamClosedError)

    with caplog.at_level(logging.WARNING, "rx_assistant"):
        face(story)


def test_a_question_that_cannot_be_asked_is_not_added_and_the_next_one_is(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        for wrong in ({"max_completion_tokens": -5}, {"model": 7}):
            with pytest.raises(BadRequestError):
                await text(conversation.ask("short a", **wrong))
        busy: list[bool] = []
        conversation.busy.subscribe(busy.append)
        assert await text(conversation.ask("short b")) == "Answer to short b:"
        await until(lambda: busy == [False, True, False])
        assert [text for _, text in await thread_of(client, conversation)] == ["short b", "Answer to short b:"]

    face(story)


@pytest.mark.parametrize("fault", [{"status": 400, "message": "Thread thread_1 already has an active run run_1."}])
def test_a_server_that_frees_its_thread_late_is_asked_again(face: Any, fault: dict[str, Any]) -> None:
    script = {
        "faults": [{"request": "POST /threads/*/runs", "times": 3, **fault}],
        "runs": [{"turns": [[{"text": "ok"}]]}],
    }

    async def story(client: Any) -> None:
        with serve(script=script) as other:
            client = client.with_options(base_url=other.base_url)
            assert await text(client.conversation(await assistant(client)).ask("a")) == "ok"
            keys = [
                r.headers["idempotency-key"] for r in other.requests if r.path.endswith("/runs") and r.method == "POST"
            ]
            assert len(set(keys)) == len(keys) == 4

    face(story)


def test_a_server_that_fails_is_an_error_and_nothing_hangs(face: Any) -> None:
    script = {
        "faults": [{"request": "POST /threads", "times": 1, "status": 500}],
        "runs": [{"turns": [[{"text": "ok"}]]}],
    }

    async def story(client: Any) -> None:
        with serve(script=script) as other:
            client = client.with_options(base_url=other.base_url, max_retries=0)
            conversation = client.conversation(await assistant(client))
            with pytest.raises(InternalServerError):
                await text(conversation.ask("a"))
            assert await text(conversation.ask("b")) == "ok"

    face(story)


def test_attachments_and_images_go_with_the_question(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        file = await got(client.files.create(file=("a.txt", b"words"), purpose="assistants"))
        picture = await got(client.files.create(file=("a.png", b"\x89PNG"), purpose="vision"))
        conversation = client.conversation(await assistant(client))
        images = [
            picture.id,
            "https://example.org/b.png",
            {"type": "image_file", "image_file": {"file_id": picture.id}},
        ]
        await text(conversation.ask("short", attachments=[file.id], images=images))
        (question,) = [
            message
            for message in await listed(client.threads.messages.list(conversation.thread_id))
            if message.role == "user"
        ]
        assert [part.type for part in question.content] == ["text", "image_file", "image_url", "image_file"]
        assert [(each.file_id, each.tools[0].type) for each in question.attachments] == [(file.id, "file_search")]
        with pytest.raises(InvalidArgumentError, match="text must be a question"):
            conversation.ask("")

    face(story)


def test_an_event_handler_gets_the_answer(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        pieces: list[str] = []

        class Handler(AssistantEventHandler):
            def on_text_delta(self, delta: Any, snapshot: Any) -> None:
                pieces.append(delta.value)

        class AsyncHandler(AsyncAssistantEventHandler):
            async def on_text_delta(self, delta: Any, snapshot: Any) -> None:
                pieces.append(delta.value)

        handler = Handler() if isinstance(client, AssistantClient) else AsyncHandler()
        conversation = client.conversation(await assistant(client))
        stream = conversation.ask("short", event_handler=handler)
        assert await entered(stream) is handler
        await got(handler.until_done())
        await left(stream)
        assert "".join(pieces) == "Answer to short:"

    face(story)


def test_two_first_questions_at_the_same_time_make_one_thread(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        heard: list[list[Any]] = [[], []]
        for number, each in enumerate(heard):
            conversation.answer(f"short {number}").pipe(ax.text_deltas()).subscribe(each.append, each.append)
        await until(lambda: ["".join(map(str, each)) for each in heard] == ["Answer to short 0:", "Answer to short 1:"])
        assert requests(server, "POST", "/threads") == 1

    face(story)


# -- stopping ----------------------------------------------------------------------------------------------------------


def test_cancel_ends_the_run_and_the_next_question_is_answered(face: Any, server: Server, slow: Slow) -> None:
    slow.cancelling = 0.1

    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        stream = await entered(conversation.ask("a"))
        await got(stream.connect())
        await until(lambda: stream.snapshot.text)
        await got(conversation.cancel())
        assert await text(conversation.ask("short b")) == "Answer to short b:"
        assert (await got(stream.get_final_run())).status == "cancelled"
        await left(stream)

    face(story)


def test_cancel_of_a_run_that_is_over_already_is_no_error(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        stream = await entered(conversation.ask("short a"))
        while (await listed(client.threads.runs.list(conversation.thread_id)))[0].status != "completed":
            await pause(0.005)
        await got(conversation.cancel())
        assert (await got(stream.get_final_run())).status == "completed"
        await left(stream)

    face(story)


def test_settle_completes_when_the_thread_is_free(face: Any, server: Server, slow: Slow) -> None:
    slow.cancelling = 0.1

    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        events: list[Any] = []
        conversation.answer("a").subscribe(events.append)
        await until(lambda: len(events) > 5)
        done: list[str] = []
        conversation.settle().subscribe(None, None, lambda: done.append("settled"))
        await until(lambda: done)
        assert await text(conversation.ask("short b")) == "Answer to short b:"
        assert (requests(server, "POST", "/runs"), requests(server, "POST", "/cancel")) == (2, 1)
        assert events[-1].event == "thread.run.cancelled"

    face(story)


def test_settle_leaves_the_run_of_a_question_that_was_asked_after_it(
    face: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        before: list[Any] = []
        after: list[Any] = []
        done: list[str] = []
        stream = conversation.answer("a")
        stream.subscribe(before.append)
        await until(lambda: len(before) > 5)
        wait = type(stream).cancel_and_wait

        def ask_now(self: Any) -> None:
            wait(self)
            conversation.answer("b").subscribe(after.append)
            while len(after) < 5:
                time.sleep(0.002)

        async def ask_now_async(self: Any) -> None:
            await wait(self)
            conversation.answer("b").subscribe(after.append)
            await until(lambda: len(after) > 4)

        asking = ask_now_async if isinstance(client, AsyncAssistantClient) else ask_now
        monkeypatch.setattr(type(stream), "cancel_and_wait", asking)
        conversation.settle().subscribe(None, None, lambda: done.append("settled"))
        await until(lambda: done)
        monkeypatch.undo()
        assert (requests(server, "POST", "/runs"), requests(server, "POST", "/cancel")) == (2, 1)
        conversation.settle().subscribe(None, None, lambda: done.append("settled"))
        await until(lambda: len(done) == 2)
        assert requests(server, "POST", "/cancel") == 2

    face(story)


def test_settle_ends_the_run_of_another_program_and_withdraws_what_waits_for_it(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        assistant_id = await assistant(client)
        thread = await got(client.threads.create(messages=[{"role": "user", "content": "a"}]))
        run = await got(client.threads.runs.create(thread.id, assistant_id=assistant_id))
        conversation = client.conversation(assistant_id, thread.id)
        heard: list[Any] = []
        conversation.answer("short b").subscribe(heard.append, heard.append)
        await until(lambda: requests(server, "GET", run.id) > 1)
        settled = conversation.settle()
        done: list[str] = []
        settled.subscribe(None, None, lambda: done.append("settled"))
        await until(lambda: done and heard)
        assert isinstance(heard[-1], StreamClosedError)
        assert (await got(client.threads.runs.retrieve(run.id, thread.id))).status == "cancelled"
        assert await thread_of(client, conversation) == [("user", "a"), *(await thread_of(client, conversation))[1:2]]
        assert await text(conversation.ask("short c")) == "Answer to short c:"

    face(story)


def test_leaving_the_subscription_of_an_answer_cancels_its_run(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client), idle_grace=0)
        heard: list[Any] = []
        subscription = conversation.answer("a").subscribe(heard.append)
        await until(lambda: len(heard) > 5)
        subscription.dispose()
        await until(lambda: requests(server, "POST", "/cancel") == 1)
        assert await text(conversation.ask("short b")) == "Answer to short b:"

    face(story)


def test_leaving_the_block_of_a_conversation_cancels_its_run(face: Any, server: Server, slow: Slow) -> None:
    slow.cancelling = 0.1

    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        ends: list[str] = []
        conversation.busy.subscribe(None, None, lambda: ends.append("busy"))
        conversation.messages.subscribe(None, None, lambda: ends.append("messages"))
        await entered(conversation)
        heard: list[Any] = []
        conversation.answer("a").subscribe(heard.append, heard.append)
        await until(lambda: len(heard) > 5)
        await left(conversation)
        assert ends == ["busy", "messages"]
        (run,) = await listed(client.threads.runs.list(conversation.thread_id))
        assert run.status == "cancelled"

    face(story)


# -- a stream of questions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["queue", "reject"])
def test_questions_are_answered_one_after_the_other(face: Any, server: Server, policy: Any) -> None:
    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        questions: Subject[str] = Subject()
        heard, ends, dropped = list[str](), list[Any](), list[str]()
        answers = ax.answers(conversation, on_new=policy, on_reject=dropped.append)
        questions.pipe(answers, ax.text_deltas()).subscribe(heard.append, ends.append, lambda: ends.append("end"))
        for number in range(5):
            questions.on_next(f"short {number};")
        questions.on_completed()
        await until(lambda: ends)
        kept = range(5) if policy == "queue" else range(1)
        assert ends == ["end"]
        assert "".join(heard) == "".join(f"Answer to short {number};:" for number in kept)
        assert dropped == ([] if policy == "queue" else [f"short {number};" for number in range(1, 5)])

    face(story)


def test_answers_can_be_looped_over_while_questions_come(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        questions: Subject[str] = Subject()
        texts = questions.pipe(ax.answers(conversation), ax.messages())

        def ask() -> None:
            while not questions.observers:
                threading.Event().wait(0.001)
            questions.on_next("short a")
            questions.on_next("short b")

        asking = threading.Thread(target=ask)
        asking.start()
        heard = await listed(texts.pipe(ops.take(2)))
        asking.join()
        assert [said(message)[1] for message in heard] == ["Answer to short a:", "Answer to short b:"]

    face(story)


def test_another_thread_may_ask_switch_and_look_on(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        questions: Subject[str] = Subject()
        heard, seen, ends = list[str](), list[Any](), list[Any]()

        def elsewhere() -> None:
            answers = ax.answers(conversation, on_new="switch")
            questions.pipe(answers, ax.text_deltas()).subscribe(heard.append, ends.append, lambda: ends.append("end"))
            conversation.messages.subscribe(seen.append, ends.append)
            questions.on_next("a")
            while not heard:
                threading.Event().wait(0.01)
            questions.on_next("short b")
            questions.on_completed()

        thread = threading.Thread(target=elsewhere)
        thread.start()
        await until(lambda: ends)
        thread.join()
        assert (ends, "".join(heard)[-18:]) == (["end"], "Answer to short b:")
        await until(lambda: len(seen[-1]) == 4 and not seen[-1][-2].id.startswith("local_"))
        assert requests(server, "POST", "/cancel") == 1

    face(story)


def test_switch_under_fire_answers_the_last_question_and_no_refusal_is_seen(
    face: Any, server: Server, slow: Slow
) -> None:
    slow.cancelling = 0.06

    async def story(client: Any) -> None:
        dice = random.Random(11)
        conversation = client.conversation(await assistant(client))
        questions: Subject[str] = Subject()
        heard, ends = list[str](), list[Any]()
        pipeline = questions.pipe(ax.answers(conversation, on_new="switch"), ax.text_deltas())
        pipeline.subscribe(heard.append, ends.append, lambda: ends.append("end"))
        for number in range(79):
            questions.on_next(f"question {number}")
            await pause(dice.uniform(0, 0.05))
        questions.on_next("short, the last")
        questions.on_completed()
        await until(lambda: ends)
        assert ends == ["end"]
        assert "".join(heard).endswith("Answer to short, the last:")
        runs = await listed(client.threads.runs.list(conversation.thread_id, limit=100, order="asc"))
        assert [run.status for run in runs] == ["cancelled"] * (len(runs) - 1) + ["completed"]
        assert len(runs) > 5
        for earlier, later in pairwise(runs):
            assert earlier.cancelled_at <= later.created_at
        asked = [said(message)[1] for message in await listed(client.threads.messages.list(conversation.thread_id))]
        assert asked[:2] == ["Answer to short, the last:", "short, the last"]
        posted = sum(r.method == "POST" and r.path.endswith("/runs") for r in server.requests)
        assert posted == len(runs), "a run was posted to a thread that was not free"

    face(story)


# -- messages ----------------------------------------------------------------------------------------------------------


def test_messages_are_the_history_page_by_page_and_then_the_growing_answer(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        assistant_id = await assistant(client)
        thread = await got(client.threads.create(messages=[{"role": "user", "content": f"{n}"} for n in range(250)]))
        conversation = client.conversation(assistant_id, thread.id)
        seen: list[tuple[Message, ...]] = []
        conversation.messages.subscribe(seen.append)
        await until(lambda: seen and len(seen[-1]) == 250)
        assert [len(each) for each in seen[:3]] == [100, 200, 250]
        assert [said(each)[1] for each in seen[0]] == [f"{n}" for n in range(150, 250)]
        assert [said(each)[1] for each in seen[-1]] == [f"{n}" for n in range(250)]
        await text(conversation.ask("short"))
        await until(lambda: not seen[-1][-2].id.startswith("local_"))
        tails = [[said(each) for each in messages[250:]] for messages in seen if len(messages) > 250]
        assert tails[0] == [("user", "short")]
        assert tails[-1] == [("user", "short"), ("assistant", "Answer to short:")]
        ids = [message.id for message in await listed(client.threads.messages.list(thread.id, order="asc", limit=100))]
        assert [message.id for message in seen[-1]] == ids

    face(story)


def test_messages_that_are_first_watched_in_the_middle_of_an_answer_hold_everything_once(
    face: Any, server: Server
) -> None:
    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        await text(conversation.ask("short a"))
        stream = await entered(conversation.ask("b"))
        await got(stream.connect())
        await until(lambda: len(stream.snapshot.text) > 20)
        seen: list[tuple[Message, ...]] = []
        conversation.messages.subscribe(seen.append)
        await until(lambda: seen and len(seen[-1]) == 4)
        await until(lambda: "9" in said(seen[-1][-1])[1])
        await got(conversation.cancel())
        await until(lambda: len(seen[-1]) == 4 and not seen[-1][2].id.startswith("local_"))
        assert [said(each)[1] for each in seen[-1][:3]] == ["short a", "Answer to short a:", "b"]
        assert seen[-1][-1].status == "incomplete"
        await left(stream)

    face(story)


def test_messages_see_what_others_wrote_when_they_are_watched_again(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        first: list[Any] = []
        subscription = conversation.messages.subscribe(first.append)
        await text(conversation.ask("short a"))
        await until(lambda: first and len(first[-1]) == 2 and not first[-1][0].id.startswith("local_"))
        subscription.dispose()
        await got(client.threads.messages.create(conversation.thread_id, role="user", content="of another program"))
        second: list[Any] = []
        conversation.messages.subscribe(second.append)
        await until(lambda: second and len(second[-1]) == 3)

    face(story)


def test_a_history_that_cannot_be_read_is_an_error_and_the_next_subscription_reads_again(face: Any) -> None:
    script = {
        "faults": [{"request": "GET /threads/*/messages", "times": 1, "status": 500}],
        "runs": [{"turns": [[{"text": "ok"}]]}],
    }

    async def story(client: Any) -> None:
        with serve(script=script) as other:
            client = client.with_options(base_url=other.base_url, max_retries=0)
            thread = await got(client.threads.create(messages=[{"role": "user", "content": "a"}]))
            conversation = client.conversation(await assistant(client), thread.id)
            errors: list[Any] = []
            conversation.messages.subscribe(None, errors.append)
            await until(lambda: errors)
            assert isinstance(errors[0], InternalServerError)
            seen: list[Any] = []
            conversation.messages.subscribe(seen.append)
            await until(lambda: seen and [said(each)[1] for each in seen[-1]] == ["a"])

    face(story)


def test_a_subscriber_of_messages_that_raises_costs_the_others_nothing(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        errors, seen = list[Exception](), list[Any]()
        conversation.messages.subscribe(lambda _: 1 / 0, errors.append)
        conversation.messages.subscribe(seen.append)
        await text(conversation.ask("short"))
        await until(lambda: seen and len(seen[-1]) == 2 and not seen[-1][0].id.startswith("local_"))
        assert [type(error) for error in errors] == [ZeroDivisionError]

    face(story)


def test_one_conversation_serves_one_event_loop_after_the_other(server: Server) -> None:
    client = AsyncAssistantClient(base_url=server.base_url)
    assistant_id = anyio.run(assistant, client)
    conversation = client.conversation(assistant_id)

    async def turn(question: str, count: int) -> None:
        seen: list[tuple[Message, ...]] = []
        subscription = conversation.messages.subscribe(seen.append)
        assert await text(conversation.ask(question)) == f"Answer to {question}:"
        await until(lambda: seen and len(seen[-1]) == count and not seen[-1][-2].id.startswith("local_"))
        subscription.dispose()

    anyio.run(turn, "short a", 2)
    anyio.run(turn, "short b", 4, backend="trio")
    anyio.run(client.aclose)


# -- again and otherwise -----------------------------------------------------------------------------------------------


def test_regenerate_replaces_the_last_answer(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        conversation = client.conversation(await assistant(client))
        with pytest.raises(InvalidArgumentError, match="must hold a question"):
            await text(conversation.regenerate())
        seen: list[tuple[Message, ...]] = []
        conversation.messages.subscribe(seen.append)
        await text(conversation.ask("short a"))
        before = await listed(client.threads.messages.list(conversation.thread_id))
        assert await text(conversation.regenerate()) == "Answer to short a:"
        after = await listed(client.threads.messages.list(conversation.thread_id))
        assert (len(after), after[1].id) == (2, before[1].id)
        assert after[0].id != before[0].id
        await until(lambda: [message.id for message in seen[-1]] == [after[1].id, after[0].id])

    face(story)


def test_edit_goes_on_in_a_new_thread_with_the_history_before(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        picture = await got(client.files.create(file=("a.png", b"\x89PNG"), purpose="vision"))
        conversation = client.conversation(await assistant(client))
        await text(conversation.ask("short a"))
        await text(conversation.ask("short b", images=[picture.id]))
        await text(conversation.ask("short c"))
        old = conversation.thread_id
        messages = await listed(client.threads.messages.list(old, order="asc"))
        seen: list[tuple[Message, ...]] = []
        conversation.messages.subscribe(seen.append)
        await until(lambda: seen and len(seen[-1]) == 6)
        assert await text(conversation.edit(messages[2].id, "short B")) == "Answer to short B:"
        assert conversation.thread_id != old
        now = await listed(client.threads.messages.list(conversation.thread_id, order="asc"))
        assert [said(each)[1] for each in now] == ["short a", "Answer to short a:", "short B", "Answer to short B:"]
        assert [part.type for part in now[2].content] == ["text", "image_file"]
        assert len(await listed(client.threads.messages.list(old))) == 6
        await until(lambda: [message.id for message in seen[-1]] == [message.id for message in now])
        for wrong in ("msg_none", now[1].id):
            with pytest.raises(InvalidArgumentError, match="message_id must be"):
                await text(conversation.edit(wrong, "short"))
        assert await text(conversation.ask("short d")) == "Answer to short d:"

    face(story)


def test_a_long_history_is_copied_whole(face: Any, server: Server) -> None:
    async def story(client: Any) -> None:
        many = [{"role": "user", "content": f"{n}"} for n in range(70)]
        thread = await got(client.threads.create(messages=many, metadata={"of": "me"}))
        conversation = client.conversation(await assistant(client), thread.id)
        last = (await listed(client.threads.messages.list(thread.id)))[0]
        await text(conversation.edit(last.id, "short"))
        now = await listed(client.threads.messages.list(conversation.thread_id, order="asc", limit=100))
        assert [said(each)[1] for each in now[:-2]] == [f"{n}" for n in range(69)]
        assert (await got(client.threads.retrieve(conversation.thread_id))).metadata == {"of": "me"}
        bodies = [json.loads(r.body) for r in server.requests if r.method == "POST" and r.path.endswith("/threads")]
        assert len(bodies[-1]["messages"]) == 32

    face(story)


# -- tools -------------------------------------------------------------------------------------------------------------

CALLS = {"runs": [{"turns": [[{"calls": [{"function": "double", "arguments": {"n": 21}}]}], [{"text": "{outputs}"}]]}]}


def test_tools_are_answered_inside_the_stream_of_a_turn(face: Any) -> None:
    def double(n: int) -> int:
        """Twice a number."""
        return 2 * n

    async def story(client: Any) -> None:
        with serve(script=CALLS, poll_after_ms=5) as other:
            client = client.with_options(base_url=other.base_url)
            conversation = client.conversation(await assistant(client), tools=[double], max_rounds=2)
            busy: list[bool] = []
            conversation.busy.subscribe(busy.append)
            assert await text(conversation.ask("a")) == "42"
            assert await text(conversation.ask("b")) == "42"
            await until(lambda: busy == [False, True, False, True, False])
            assert requests(other, "GET", "/runs") == 0
            with pytest.raises(TypeError, match="max_rounds"):
                client.conversation("asst_1", max_rounds=2)

    face(story)


def test_switch_ends_a_turn_whose_tool_hangs(face: Any) -> None:
    calls: list[int] = []

    async def double(n: int) -> int:
        """Twice a number."""
        calls.append(n)
        if len(calls) == 1:
            await asyncio.Event().wait() if sniffio.current_async_library() == "asyncio" else await trio.sleep_forever()
        return 2 * n

    async def story(client: Any) -> None:
        with serve(script=CALLS, poll_after_ms=5) as other:
            client = client.with_options(base_url=other.base_url)
            conversation = client.conversation(await assistant(client), tools=[double])
            questions: Subject[str] = Subject()
            heard, ends = list[str](), list[Any]()
            answers = ax.answers(conversation, on_new="switch")
            questions.pipe(answers, ax.text_deltas()).subscribe(heard.append, ends.append, lambda: ends.append("end"))
            questions.on_next("a")
            await until(lambda: calls)
            questions.on_next("b")
            questions.on_completed()
            await until(lambda: ends)
            assert ("".join(heard), ends, calls) == ("42", ["end"], [21, 21])

    face(story)


@pytest.mark.parametrize(("status", "posted"), [("in_progress", 1), ("requires_action", 1), ("cancelling", 0)])
def test_a_run_that_is_being_cancelled_is_not_cancelled_again(status: str, posted: int) -> None:
    run = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": status}
    replies = [{"object": "list", "data": [run], "has_more": False}, {**run, "status": "cancelling"}]
    requests = stopped("thread_1")
    paths = [next(requests).path]
    with pytest.raises(StopIteration) as end:
        for reply in replies:
            paths.append(requests.send(Reply(200, {}, json.dumps(reply).encode())).path)  # noqa: PERF401 - a generator turns StopIteration into RuntimeError
    assert end.value.value.id == "run_1"
    assert [path for path in paths if path.endswith("/cancel")] == ["/threads/thread_1/runs/run_1/cancel"] * posted


def listing(ids: str, *, more: bool = False) -> Reply:
    """The server's reply to a list of messages, newest first: `a` is an answer, `q` a question."""
    data = [{"id": id, "role": {"q": "user", "a": "assistant"}[id[0]], "content": []} for id in ids.split()]
    return Reply(200, {}, json.dumps({"object": "list", "data": data, "has_more": more}).encode())


def watched() -> tuple[Ledger, list[list[str]]]:
    ledger, seen = Ledger(), list[list[str]]()
    ledger.watch(Subscriber(lambda messages: seen.append([message.id for message in messages])))
    return ledger, seen


def test_a_list_that_is_older_than_a_deletion_is_read_again() -> None:
    ledger, seen = watched()
    reading = ledger.read(lambda: "thread_1")
    next(reading)
    turn = Turn(None)
    ledger.begin(turn)
    ledger.drop_answer(turn)
    turn.end()
    assert reading.send(listing("a1 q1")).method == "GET"
    assert seen[-1] == []
    with pytest.raises(StopIteration):
        reading.send(listing("a2 q1"))
    assert seen[-1] == ["q1", "a2"]


def test_a_list_after_a_message_that_is_gone_is_read_from_the_beginning() -> None:
    ledger, seen = watched()
    for _ in ledger.read(lambda: None):
        raise AssertionError("there is no thread to read")
    reading = ledger.read(lambda: "thread_1")
    next(reading)
    with pytest.raises(StopIteration):
        reading.send(listing("a1 q1"))
    response = httpx.Response(404, request=httpx.Request("GET", "http://test/messages"))
    reading = ledger.read(lambda: "thread_1")
    assert "after" in dict(next(reading).query)
    again = reading.throw(NotFoundError("no such message", response=response, body=None))
    assert "after" not in dict(again.query)
    with pytest.raises(StopIteration):
        reading.send(listing("q1"))
    assert seen[-1] == ["q1"]

"""Polling on the clients, over real sockets, on threads, asyncio and trio."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from guard import attempts
from loopback import GUARD, Loopback
from polling_faces import FACES, Answers, body, methods, on, silent
from reactivex import operators as ops

from rx_assistant import AssistantClient, AsyncAssistantClient, local
from rx_assistant.errors import InternalServerError, NotFoundError, PollTimeoutError
from rx_assistant.polling import Backoff
from rx_assistant.types import Run

FAST = {"openai-poll-after-ms": "1"}
SLOW = {"openai-poll-after-ms": "60000"}


@pytest.fixture(params=FACES)
def face(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def poll_run(**options: Any) -> Callable[[Any], Any]:
    return lambda client: client.threads.runs.poll("run_1", "thread_1", **options)


class TestHowItPolls:
    def test_until_the_run_has_ended(self, face: str) -> None:
        with Loopback(Answers(["queued", "in_progress", "cancelling", "completed"])) as server:
            run = on(face, server.url, poll_run(poll_interval_ms=1))
        assert isinstance(run, Run)
        assert run.status == "completed"
        assert [request.path for request in server.requests] == ["/v1/threads/thread_1/runs/run_1"] * 4
        assert methods(server) == ["GET"] * 4

    @pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired", "incomplete", "requires_action"])
    def test_where_a_run_rests_costs_one_request(self, status: str) -> None:
        with Loopback(Answers([status, 500])) as server:
            assert on("sync", server.url, poll_run()).status == status
        assert len(server.requests) == 1

    def test_each_reply_sets_the_next_wait(self, face: str) -> None:
        """Defect 21: the SDK reads the header once."""
        answers = [("queued", FAST), ("in_progress", FAST), ("in_progress", SLOW)]
        for attempt in attempts():
            with attempt as limit, Loopback(Answers(answers)) as server:
                with pytest.raises(PollTimeoutError) as caught:
                    on(face, server.url, poll_run(max_wait_seconds=limit))
                assert len(server.requests) == 3
                assert caught.value.last.status == "in_progress"

    @pytest.mark.parametrize("garbage", ["-5", "soon", "NaN", "1e3", "inf", ""])
    def test_garbage_in_the_header_is_ignored(self, garbage: str) -> None:
        """Defect 21: in the SDK it is a ValueError. One second is the wait then, so nothing more comes in time."""
        answers = [("queued", {"openai-poll-after-ms": garbage})]
        for attempt in attempts(limits=(0.2, 0.5, 0.9)):
            with attempt as limit, Loopback(Answers(answers)) as server:
                with pytest.raises(PollTimeoutError):
                    on("sync", server.url, poll_run(max_wait_seconds=limit))
                assert len(server.requests) == 1

    def test_an_interval_of_ones_own_wins_over_the_header(self, face: str) -> None:
        with Loopback(Answers([("queued", SLOW), ("queued", SLOW), ("completed", SLOW)])) as server:
            assert on(face, server.url, poll_run(poll_interval_ms=1)).status == "completed"

    def test_an_unknown_status_keeps_polling_until_the_deadline(self) -> None:
        """Defect 21: in the SDK, for ever."""
        for attempt in attempts():
            with attempt as limit, Loopback(Answers(["pondering"])) as server:
                with pytest.raises(PollTimeoutError) as caught:
                    on("sync", server.url, poll_run(poll_interval_ms=20, max_wait_seconds=limit))
                assert "pondering" in str(caught.value)
                assert 2 <= len(server.requests) <= limit / 0.02

    def test_backoff_spares_the_server(self) -> None:
        options = {"poll_interval_ms": 1, "backoff": Backoff(10, cap=100)}
        for attempt in attempts():
            with attempt as limit, Loopback(Answers(["in_progress"])) as server:
                with pytest.raises(PollTimeoutError):
                    on("sync", server.url, poll_run(**options, max_wait_seconds=limit))
                assert 2 <= len(server.requests) <= 3 + limit / 0.1

    def test_what_fails_for_a_moment_is_tried_again_inside_the_fetch(self, face: str) -> None:
        with Loopback(Answers([503, "queued", 429, "completed"])) as server:
            assert on(face, server.url, poll_run(poll_interval_ms=1)).status == "completed"
        assert len(server.requests) == 4

    def test_what_fails_for_good_is_raised(self, face: str) -> None:
        with Loopback(Answers(["queued", 404, "completed"])) as server:
            with pytest.raises(NotFoundError):
                on(face, server.url, poll_run(poll_interval_ms=1))
            assert len(server.requests) == 2
        with Loopback(Answers([500])) as server, pytest.raises(InternalServerError):
            on(face, server.url, poll_run(), max_retries=1)
        assert len(server.requests) == 2

    def test_every_request_carries_the_options_of_the_call(self) -> None:
        with Loopback(Answers(["queued", "completed"])) as server:
            options = {"extra_headers": {"x-mine": "1"}, "extra_query": {"api": "2"}, "extra_body": {"a": 1}}
            on(
                "sync",
                server.url,
                lambda c: c.threads.runs.create_and_poll(
                    "thread_1", assistant_id="asst_1", poll_interval_ms=1, **options
                ),
            )
        first, second = server.requests
        assert [request.headers["x-mine"] for request in (first, second)] == ["1", "1"]
        assert [request.query for request in (first, second)] == [[("api", "2")]] * 2
        assert body(first) == {"assistant_id": "asst_1", "a": 1}
        assert body(second) is None

    def test_an_empty_id_a_misspelt_word_and_an_impossible_interval_are_told_before_anything_is_sent(self) -> None:
        with Loopback(Answers(["completed"])) as server:
            with pytest.raises(ValueError, match="run_id"):
                on("sync", server.url, lambda c: c.threads.runs.watch("", "thread_1"))
            with pytest.raises(TypeError, match="poll_interval_ms"):
                on("sync", server.url, lambda c: c.threads.runs.watch("run_1", "thread_1", poll_interval=1))
            with pytest.raises(
                ValueError, match="poll_interval_ms must be a number of milliseconds, 0 or more, got -1"
            ):
                on("sync", server.url, poll_run(poll_interval_ms=-1))
            with pytest.raises(ValueError, match="on_failure"):
                on("sync", server.url, lambda c: c.vector_stores.files.poll("f", "vs", on_failure="explode"))
            assert server.requests == []


class TestDeadlines:
    def test_a_server_that_does_not_answer_is_left_at_the_deadline(self, face: str) -> None:
        for attempt in attempts():
            with attempt as limit, Loopback(Answers(["queued", silent])) as server:
                with pytest.raises(PollTimeoutError) as caught:
                    on(face, server.url, poll_run(poll_interval_ms=1, max_wait_seconds=limit))
                server.wait_for(lambda: not server.open_connections)  # called here
                assert len(server.requests) == 2
                assert caught.value.last.status == "queued"

    @pytest.mark.parametrize("seconds", [0, -1])
    def test_0_sends_no_poll(self, face: str, seconds: float) -> None:
        with Loopback(Answers(["queued"])) as server:
            with pytest.raises(PollTimeoutError) as caught:
                on(face, server.url, poll_run(max_wait_seconds=seconds))
            assert (server.requests, caught.value.last) == ([], None)
            create = {"assistant_id": "asst_1", "max_wait_seconds": seconds}
            with pytest.raises(TimeoutError) as from_creation:
                on(face, server.url, lambda c: c.threads.runs.create_and_poll("thread_1", **create))
        assert methods(server) == ["POST"]
        assert from_creation.value.last.status == "queued"  # type: ignore[attr-defined]

    def test_the_deadline_is_not_the_timeout_of_a_request(self) -> None:
        with Loopback(Answers([silent])) as server, pytest.raises(TimeoutError) as caught:
            on("sync", server.url, poll_run(timeout=0.05, max_wait_seconds=30), max_retries=0)
        assert not isinstance(caught.value, PollTimeoutError)


class TestLeaving:
    def test_disposing_breaks_off_the_request_under_way(self) -> None:
        with Loopback(Answers(["queued", silent])) as server, AssistantClient(base_url=server.url) as client:
            got: list[object] = []
            run = client.threads.runs.watch("run_1", "thread_1", poll_interval_ms=1)
            subscription = run.subscribe(lambda r: got.append(r.status), got.append, lambda: got.append("end"))
            server.wait_for(lambda: len(server.requests) == 2)
            subscription.dispose()
            server.wait_for(lambda: not server.open_connections)
            wait_until(lambda: not [t for t in threading.enumerate() if t.name.startswith("rx-assistant")])
            assert got == ["queued"]

    @pytest.mark.anyio
    async def test_so_it_does_on_an_event_loop(self, anyio_backend: str) -> None:
        with Loopback(Answers(["queued", silent])) as server:
            async with AsyncAssistantClient(base_url=server.url) as client:
                run = client.threads.runs.watch("run_1", "thread_1", poll_interval_ms=1)
                subscription = run.subscribe(lambda _: None)
                await until(lambda: len(server.requests) == 2)
                subscription.dispose()
                await until(lambda: not server.open_connections)

    @pytest.mark.anyio
    async def test_cancelling_who_polls_breaks_off_the_request_under_way(self, anyio_backend: str) -> None:
        with Loopback(Answers([silent])) as server:
            async with AsyncAssistantClient(base_url=server.url) as client:
                with anyio.move_on_after(0.05) as scope:
                    await client.threads.runs.poll("run_1", "thread_1")
                assert scope.cancelled_caught
                await until(lambda: not server.open_connections)

    def test_a_loop_that_is_left_sends_no_further_request(self) -> None:
        with Loopback(Answers(["queued"])) as server, AssistantClient(base_url=server.url) as client:
            for _ in client.threads.runs.watch("run_1", "thread_1", poll_interval_ms=1).pipe(ops.take(3)):
                pass
            had = len(server.requests)
            assert had == 3

    def test_a_watch_that_nobody_subscribes_to_sends_nothing(self) -> None:
        with Loopback(Answers(["queued"])) as server, AssistantClient(base_url=server.url) as client:
            client.threads.runs.watch("run_1", "thread_1")
            assert server.requests == []

    def test_each_subscription_polls_for_itself(self) -> None:
        answers = Answers(["queued", "completed", "queued", "completed"])
        with Loopback(answers) as server, AssistantClient(base_url=server.url) as client:
            run = client.threads.runs.watch("run_1", "thread_1", poll_interval_ms=1)
            assert [state.status for state in run] == ["queued", "completed"]
            assert [state.status for state in run] == ["queued", "completed"]
        assert len(server.requests) == 4


def wait_until(claim: Callable[[], object]) -> None:
    end = time.monotonic() + GUARD
    while not claim():
        assert time.monotonic() < end, "it never happened"
        threading.Event().wait(0.001)


async def until(claim: Callable[[], object]) -> None:
    with anyio.fail_after(GUARD):
        while not claim():  # noqa: ASYNC110 (what it waits for happens on another thread)
            await anyio.sleep(0.001)


class TestAgainstTheLocalServer:
    """A real clock and a real server, which counts requests and says itself when to ask again."""

    def test_polls_follow_the_servers_pace(self, face: str) -> None:
        script = {"runs": [{"turns": [[{"gate": "go"}, {"text": "Hello"}]]}]}
        with local.serve(script=script, poll_after_ms=20) as server:
            seen: list[str] = []

            def release_at_third(run: Any) -> None:
                seen.append(run.status)
                if len(seen) == 3:
                    server.release("go")

            def call(client: Any) -> Any:
                return begin(client, face, release_at_third)

            started = time.monotonic()
            run = on(face, server.base_url, call)
            took = time.monotonic() - started
            assert run.status == "completed"
            polls = [r for r in server.requests if r.method == "GET"]
            assert len(polls) == len(seen) >= 4
            assert took >= 0.02 * (len(polls) - 1)

    def test_requires_action_submit_and_poll(self, face: str) -> None:
        call = {"function": "add", "arguments": {"a": 1}, "id": "call_1"}
        script = {"runs": [{"turns": [[{"calls": [call]}], [{"text": "The sum is {output:call_1}."}]]}]}

        def conversation(client: Any) -> Any:
            return two_responses(client) if face == "sync" else two_responses_async(client)

        with local.serve(script=script, poll_after_ms=2) as server:
            first, second, text = on(face, server.base_url, conversation)
        assert (first.status, second.status, text) == ("requires_action", "completed", "The sum is 3.")


def begin(client: Any, face: str, note: Callable[[Any], object]) -> Any:
    if face != "sync":
        return begin_async(client, note)
    assistant = client.assistants.create(model="local")
    run = client.threads.create_and_run(assistant_id=assistant.id, thread={"messages": [USER]})
    return client.threads.runs.watch(run.id, run.thread_id).pipe(ops.do_action(note)).run()


async def begin_async(client: Any, note: Callable[[Any], object]) -> Any:
    assistant = await client.assistants.create(model="local")
    run = await client.threads.create_and_run(assistant_id=assistant.id, thread={"messages": [USER]})
    return await client.threads.runs.watch(run.id, run.thread_id).pipe(ops.do_action(note))


USER = {"role": "user", "content": "go"}
ANSWER = {"tool_outputs": [{"tool_call_id": "call_1", "output": "3"}]}


def two_responses(client: Any) -> Any:
    assistant = client.assistants.create(model="local")
    first = client.threads.create_and_run_poll(assistant_id=assistant.id, thread={"messages": [USER]})
    second = client.threads.runs.submit_tool_outputs_and_poll(first.id, first.thread_id, **ANSWER)
    [message] = client.threads.messages.list(first.thread_id, run_id=first.id).data
    return first, second, message.content[0].text.value


async def two_responses_async(client: Any) -> Any:
    assistant = await client.assistants.create(model="local")
    first = await client.threads.create_and_run_poll(assistant_id=assistant.id, thread={"messages": [USER]})
    second = await client.threads.runs.submit_tool_outputs_and_poll(first.id, first.thread_id, **ANSWER)
    [message] = (await client.threads.messages.list(first.thread_id, run_id=first.id)).data
    return first, second, message.content[0].text.value

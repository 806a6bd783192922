"""The operators about the run, and the verification of its events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cases import in_one_test
from hypothesis import settings
from operators_wire import (
    cut,
    event,
    function,
    message,
    requires,
    run,
    step,
    stream_of,
    text,
    watched,
)
from reactivex import operators as ops
from reference import RECORDINGS

from rx_assistant import (
    ProtocolError,
    RunCancelledError,
    RunExpiredError,
    RunFailedError,
    RunIncompleteError,
    ServerErrorEvent,
    operators as ax,
    replay,
)
from rx_assistant.events import (
    StreamEvent,
    frame,
)

EVERY_RECORDING = in_one_test("path", RECORDINGS, ids=lambda path: path.stem)
LAW = settings(max_examples=40, deadline=None)

STORY = [
    run("queued", "created"),
    run("queued"),
    run("in_progress"),
    step("created", of="step_2", kind="message_creation"),
    message("created"),
    text("Hel"),
    text("lo"),
    message("completed", "Hello"),
    step("completed", of="step_2", kind="message_creation"),
    run("completed", usage={"total_tokens": 3}),
]


def names(items: list[Any]) -> list[str]:
    return [item.event.removeprefix("thread.") for item in items]


# -- runs -------------------------------------------------------------------------------------------------------------


def test_runs_gives_every_state_of_the_run() -> None:
    assert [each.status for each in stream_of(*STORY).pipe(ax.runs())] == [
        "queued",
        "queued",
        "in_progress",
        "completed",
    ]


def test_run_statuses_tells_changes_and_trusts_the_data() -> None:
    stream = stream_of(run("queued", "created"), run("queued"), run("in_progress"), run("incomplete", "completed"))
    assert list(stream.pipe(ax.run_statuses())) == ["queued", "in_progress", "incomplete"]


def test_run_statuses_of_two_runs_do_not_hide_each_other() -> None:
    stream = stream_of(run("queued"), run("queued", id="run_2"), run("queued"), run("failed", id="run_2"))
    assert list(stream.pipe(ax.run_statuses())) == ["queued", "queued", "failed"]


def test_until_terminal_ends_with_the_event_that_says_so() -> None:
    assert names(list(stream_of(*STORY).pipe(ax.until_terminal()))) == names(STORY)
    early = watched(cut(*STORY, text("!")), ax.until_terminal())
    assert (names(early.items), early.endings) == (names(STORY), [None])


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired", "incomplete"])
def test_every_terminal_status_is_an_end(status: str) -> None:
    stream = stream_of(run("in_progress"), run(status), text("!"))
    assert len(list(stream.pipe(ax.until_terminal()))) == 2


def test_a_run_that_requires_action_is_not_at_its_end() -> None:
    stream = stream_of(requires(function("call_1", "")), run("queued"), run("completed"))
    assert len(list(stream.pipe(ax.until_terminal()))) == 3


def test_until_terminal_waits_for_every_run_in_the_stream() -> None:
    stream = stream_of(run("queued"), run("queued", id="run_2"), run("completed"), text("a"), run("failed", id="run_2"))
    assert len(list(stream.pipe(ax.until_terminal()))) == 5


@pytest.mark.parametrize(
    ("event", "error", "words"),
    [
        (run("failed", last_error={"code": "server_error", "message": "oops"}), RunFailedError, "server_error: oops"),
        (run("cancelled"), RunCancelledError, "run 'run_1' is cancelled"),
        (run("expired"), RunExpiredError, "run 'run_1' is expired"),
        (
            run("incomplete", "completed", incomplete_details={"reason": "max_prompt_tokens"}),
            RunIncompleteError,
            "run 'run_1' is incomplete: max_prompt_tokens",
        ),
    ],
    ids=["failed", "cancelled", "expired", "incomplete"],
)
def test_raise_on_failure_gives_the_same_events_then_the_error(
    event: StreamEvent, error: type[Exception], words: str
) -> None:
    notes = watched(stream_of(run("in_progress"), text("a"), event), ax.raise_on_failure())
    assert notes.items == [run("in_progress"), text("a"), event]
    assert type(notes.error) is error
    assert words in str(notes.error)
    assert notes.error.run == event.data  # type: ignore[attr-defined]


def test_raise_on_failure_lets_a_good_run_pass() -> None:
    notes = watched(stream_of(*STORY), ax.raise_on_failure())
    assert (notes.items, notes.endings) == (STORY, [None])


# -- verification -----------------------------------------------------------------------------------------------------


@EVERY_RECORDING
def test_every_recording_passes_leniently(path: Path) -> None:
    stream = replay(path)
    notes = watched(stream, ax.verify())
    assert notes.endings == [stream.log.failure]
    assert len(notes.items) == stream.log.length


def test_verify_says_what_arrived_and_what_was_expected() -> None:
    late = text("!")
    notes = watched(stream_of(run("queued", "created"), late), ax.verify())
    assert notes.items == [run("queued", "created")]
    assert isinstance(notes.error, ProtocolError)
    assert notes.error.event == late
    assert str(notes.error) == "event 'thread.message.delta': message 'msg_1' was never created"


def test_strict_is_stricter_than_lenient() -> None:
    skipping = [run("queued", "created"), run("in_progress"), run("completed")]
    assert watched(stream_of(*skipping), ax.verify()).endings == [None]
    assert isinstance(watched(stream_of(*skipping), ax.verify("strict")).error, ProtocolError)


def test_a_stream_that_completes_too_early_is_an_error() -> None:
    stream = stream_of(*STORY)
    notes = watched(stream, ops.take(3), ax.verify())
    assert len(notes.items) == 3
    assert isinstance(notes.error, ProtocolError)


LEG = [run("queued", "created"), run("queued"), run("in_progress"), step("created"), step("in_progress")]
REST = [step("completed"), run("queued"), run("in_progress"), run("completed")]


@pytest.mark.parametrize("mode", ["strict", "lenient"])
def test_the_ending_is_that_of_the_stream(mode: Any) -> None:
    """A stream hands out no `done` and no `error`: it completes, or fails with an error of its own."""
    whole = [*LEG, requires(), *REST]
    assert watched(stream_of(*whole), ax.verify(mode)).endings == [None]
    assert watched(replay(b"".join(frame(each) for each in whole)), ax.verify(mode)).endings == [None]
    assert watched(stream_of(*LEG, requires()), ax.verify(mode)).endings == [None]
    failing = stream_of(*LEG, event("error", {"message": "boom"}))
    assert watched(failing, ax.verify(mode)).endings == [failing.log.failure]
    assert isinstance(failing.log.failure, ServerErrorEvent)


@pytest.mark.parametrize("mode", ["strict", "lenient"])
def test_a_recording_of_two_legs_passes(mode: Any, tmp_path: Path) -> None:
    first, second = stream_of(*LEG, requires()), stream_of(*REST)
    recording = first.record(tmp_path / "run.sse")
    first.until_done()
    second.record(recording)
    second.until_done()
    stream = replay(recording.path)
    notes = watched(stream, ax.verify(mode))
    assert (notes.items, notes.endings) == ([*LEG, requires(), *REST], [None])
    assert recording.path.read_bytes().count(b"[DONE]") == 1


def test_there_are_two_modes() -> None:
    with pytest.raises(ValueError, match="'lenient' or 'strict'"):
        ax.verify("loose")  # type: ignore[arg-type]

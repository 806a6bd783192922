"""The grammar machine: recordings, a second definition as a regular expression, and what its errors say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from cases import in_one_test
from hypothesis import given, settings, strategies as st
from reference import RECORDINGS

from rx_assistant.errors import ProtocolError
from rx_assistant.lifecycle import EVENTS, RUN, Grammar, VerifyMode
from rx_assistant.sse import SSEDecoder

Fed = tuple[str, str | None, str | None, str | None]
"""Name, id, status, run id."""

MODES: list[VerifyMode] = ["lenient", "strict"]


def judge(mode: VerifyMode, events: list[Fed]) -> None:
    grammar = Grammar(mode)
    for name, id, status, run_id in events:
        grammar.feed(name, id=id, status=status, run_id=run_id)
    grammar.finish()


def is_accepted(mode: VerifyMode, events: list[Fed]) -> bool:
    try:
        judge(mode, events)
    except ProtocolError:
        return False
    return True


# -- recordings ------------------------------------------------------------------------------------------------


def recorded(path: Path) -> list[Fed]:
    decoder = SSEDecoder()
    frames = [(event.event, event.data) for event in decoder.feed(path.read_bytes())]
    if decoder.pending is not None:  # four recordings lack their last blank line
        name, data = decoder.pending
        frames.append((name.decode(), data.decode()))
    return [told(name, data) for name, data in frames]


def told(name: str, data: str) -> Fed:
    if data == "[DONE]":
        return "done", None, None, None
    value = json.loads(data)
    if name == "message":  # a proxy that says the name inside
        name, value = value["event"], value["data"]
    return name, value.get("id"), value.get("status"), value.get("run_id")


DEVIATIONS = {
    "ruby-openai__2024-04-30_77f63597_runs_streamed_create.3.create_run": "status 'incomplete': expected 'completed'",
    "langchain-openai-api-bridge-1.0.0__plain": "status 'in_progress': expected 'queued'",
    "langchain-openai-api-bridge-1.0.0__tool": "status 'in_progress': expected 'queued'",
    "litellm-1.106.2-over-langchain-bridge__plain": "status 'in_progress': expected 'queued'",
    "litellm-1.106.2-over-langchain-bridge__tool": "status 'in_progress': expected 'queued'",
}
"""What strict mode refuses of the recordings, and why."""


@in_one_test("path", RECORDINGS, ids=lambda path: path.stem)
def test_lenient_takes_every_recording(path: Path) -> None:
    judge("lenient", recorded(path))


@in_one_test("path", RECORDINGS, ids=lambda path: path.stem)
def test_strict_takes_every_recording_that_keeps_to_the_grammar(path: Path) -> None:
    reason = DEVIATIONS.get(path.stem)
    if reason is None:
        judge("strict", recorded(path))
    else:
        with pytest.raises(ProtocolError, match=re.escape(reason)):
            judge("strict", recorded(path))


def is_stop(event: Fed) -> bool:
    name, _, status, _ = event
    meaning = EVENTS.get(name)
    return name == "error" or (meaning is not None and meaning.life is RUN and status in RUN.stops)


@in_one_test("path", RECORDINGS, ids=lambda path: path.stem)
def test_a_recording_that_breaks_off_before_the_run_stops_is_refused(path: Path) -> None:
    events = recorded(path)
    stop = next(n for n, event in enumerate(events) if is_stop(event))
    for mode in MODES:
        assert not any(is_accepted(mode, events[:length]) for length in range(0, stop + 1, 1 + stop // 20))
    assert is_accepted("lenient", events[: stop + 1])


# -- a second definition ---------------------------------------------------------------------------------------

LETTERS = {
    "t": "thread.created",
    "c": "thread.run.created",
    "q": "thread.run.queued",
    "i": "thread.run.in_progress",
    "R": "thread.run.requires_action",
    "K": "thread.run.completed",
    "F": "thread.run.failed",
    "N": "thread.run.incomplete",
    "X": "thread.run.cancelling",
    "C": "thread.run.cancelled",
    "E": "thread.run.expired",
    "s": "thread.run.step.created",
    "p": "thread.run.step.in_progress",
    "d": "thread.run.step.delta",
    "k": "thread.run.step.completed",
    "f": "thread.run.step.failed",
    "x": "thread.run.step.cancelled",
    "e": "thread.run.step.expired",
    "m": "thread.message.created",
    "n": "thread.message.in_progress",
    "l": "thread.message.delta",
    "g": "thread.message.completed",
    "h": "thread.message.incomplete",
    "o": "done",
    "!": "error",
}
STEP = "(sp(d*[kfxe]|mnl*(gk|h[kfxe])))"
OPEN = "(s|spd*|spm|spmnl*[gh]?)?"  # a step that is under way, or none
WAITS = f"i{STEP}*spd*R"  # for tool outputs
BEGIN = f"(t?c|k)q({WAITS}kq)*"  # of a stream: a recording may hold several
NORMAL = re.compile(f"{BEGIN}([FE]|i{STEP}*([KFNE]|spd*R))o?")
CANCELLED = re.compile(f"{BEGIN}((i{STEP}*)?[CKFNE]o?|(i{STEP}*{OPEN})?!|(i{STEP}*)?[CKFNE]!)")
BROKEN = re.compile(f"(|t|t?c|k|{BEGIN}({WAITS}k)?|{BEGIN}i{STEP}*{OPEN}|{NORMAL.pattern[:-2]})!")


def is_sentence(letters: str) -> bool:
    before, cancelling, after = letters.partition("X")
    if not cancelling:
        return bool(NORMAL.fullmatch(letters) or BROKEN.fullmatch(letters))
    if "q" not in before.rpartition("R")[2] or re.search("[iR]", after) or re.search("[CKFNE!]", before):
        return False
    return bool(CANCELLED.fullmatch(before + after))


def stream(letters: str) -> list[Fed]:
    """Events for the letters, about one run; a new step or message at each creation, later events about it."""
    step, message, events = "step_0", "msg_0", []
    for position, letter in enumerate(letters):
        name = LETTERS[letter]
        life, verb, status = EVENTS[name]
        if letter == "s":
            step = f"step_{position}"
        if letter == "m":
            message = f"msg_{position}"
        if life is None:
            events.append((name, None, None, None))
        elif life is RUN:
            events.append((name, "run_1", status, None))
        else:
            id = step if life.name == "step" else message
            events.append((name, id, status, None if verb == "delta" else "run_1"))
    return events


beginnings = st.sampled_from(["tcq", "cq", "kq"])
steps = st.sampled_from(
    ["spk", "spddk", "spdf", "spdx", "spde", "spf", "spmngk", "spmnllgk", "spmnlhk", "spmnlhf", "spmnhx", "spmnllhe"]
)
work = st.lists(steps, max_size=3).map("".join)
sentences = st.one_of(
    st.builds("{}{}o".format, beginnings, st.sampled_from("FE")),
    st.builds("{}i{}{}o".format, beginnings, work, st.sampled_from("KFNE")),
    st.builds("{}i{}{}Ro".format, beginnings, work, st.sampled_from(["sp", "spd", "spddd"])),
    st.builds("{}i{}{}".format, beginnings, work, st.sampled_from("KFNE")),
    st.builds("{}i{}spdRkqi{}K".format, beginnings, work, work),
    st.builds("{}ispRkqispddRkqXC".format, beginnings),
    st.builds("{}X{}o".format, beginnings, st.sampled_from("CFNEK")),
    st.builds("{}i{}X{}{}o".format, beginnings, work, work, st.sampled_from("CKFNE")),
    st.builds("{}i{}spmnlXlhx{}o".format, beginnings, work, st.sampled_from("CE")),
    st.builds(
        "{}i{}!".format, beginnings, work | st.sampled_from(["s", "sp", "spd", "spm", "spmn", "spmnl", "spmnlg"])
    ),
)


@st.composite
def damaged_sentences(draw: st.DrawFn) -> str:
    letters = list(draw(sentences))
    for _ in range(draw(st.integers(1, 2))):
        place = draw(st.integers(0, len(letters)))
        match draw(st.sampled_from(["drop", "insert", "swap", "cut"])):
            case "drop":
                del letters[place : place + 1]
            case "insert":
                letters.insert(place, draw(st.sampled_from("".join(LETTERS))))
            case "swap":
                letters[place : place + 2] = reversed(letters[place : place + 2])
            case "cut":
                del letters[place:]
    return "".join(letters)


@settings(deadline=None)
@given(sentences)
def test_strict_takes_every_sentence_and_lenient_too(letters: str) -> None:
    assert is_sentence(letters), "the second definition does not know its own examples"
    judge("strict", stream(letters))
    judge("lenient", stream(letters))


@settings(deadline=None, max_examples=400)
@given(damaged_sentences() | st.text("".join(LETTERS), max_size=8))
def test_strict_takes_nothing_but_sentences(letters: str) -> None:
    assert is_accepted("strict", stream(letters)) == is_sentence(letters)


@settings(deadline=None, max_examples=400)
@given(damaged_sentences())
def test_what_strict_takes_lenient_takes(letters: str) -> None:
    if is_accepted("strict", stream(letters)):
        judge("lenient", stream(letters))


@settings(deadline=None)
@given(sentences, st.data())
def test_unknown_events_are_passed_over(letters: str, data: st.DataObject) -> None:
    events = stream(letters)
    place = data.draw(st.integers(0, len(events)))
    events.insert(place, ("thread.run.step.paused", "step_0", "paused", "run_2"))
    for mode in MODES:
        judge(mode, events)


"""Two steps, two messages, side by side."""


# -- lenient ---------------------------------------------------------------------------------------------------

interleaved: list[Fed] = [
    ("thread.run.created", "run_1", "in_progress", None),
    ("thread.run.step.created", "step_a", "in_progress", "run_1"),
    ("thread.run.step.created", "step_b", "in_progress", "run_1"),
    ("thread.run.step.delta", "step_b", None, None),
    ("thread.run.step.delta", "step_a", None, None),
    ("thread.message.created", "msg_a", "in_progress", "run_1"),
    ("thread.message.created", "msg_b", "in_progress", "run_1"),
    ("thread.message.delta", "msg_b", None, None),
    ("thread.run.step.completed", "step_b", "completed", "run_1"),
    ("thread.message.delta", "msg_a", None, None),
    ("thread.message.completed", "msg_b", "completed", "run_1"),
    ("thread.message.incomplete", "msg_a", "incomplete", "run_1"),
    ("thread.run.completed", "run_1", "completed", None),
    ("done", None, None, None),
]


def test_lenient_lets_objects_live_side_by_side_and_strict_does_not() -> None:
    judge("lenient", interleaved)
    assert not is_accepted("strict", interleaved)


@pytest.mark.parametrize(
    "letters",
    [
        "cK",
        "ciK",
        "iK",
        "o",
        "cqiKo",
        "cmlgKo",
        "cskKo",
        "cqiR",
        "cqspmlgkKo",
        "dkqiKo",
        "cqispmnlK",
        "cq!",
        "cq!o",
        "qikKo",
    ],
)
def test_lenient_takes_what_odd_servers_leave_out(letters: str) -> None:
    judge("lenient", stream(letters))
    assert is_accepted("strict", stream(letters)) is is_sentence(letters)


def test_lenient_goes_on_after_a_required_action() -> None:
    judge("lenient", stream("cqispdRkqispmnlgkKo"))


def test_lenient_trusts_the_status_more_than_the_name() -> None:
    grammar = Grammar()
    for name, id, status, _ in stream("cqi"):
        grammar.feed(name, id=id, status=status)
    grammar.feed("thread.run.completed", id="run_1", status="incomplete")
    grammar.finish()
    with pytest.raises(ProtocolError, match="incomplete"):
        grammar.feed("thread.run.failed", id="run_1", status="failed")


def test_lenient_takes_an_unknown_status_for_what_the_name_says() -> None:
    grammar = Grammar()
    grammar.feed("thread.run.created", id="run_1", status="preparing")
    grammar.feed("thread.run.completed", id="run_1", status="splendid")
    grammar.finish()


@pytest.mark.parametrize("mode", MODES)
def test_what_is_not_told_is_not_checked(mode: VerifyMode) -> None:
    judge(mode, [(LETTERS[letter], None, None, None) for letter in "tcqispmnllgkspddRo"])


# -- what the errors say ---------------------------------------------------------------------------------------


@in_one_test(
    ("mode", "letters", "message"),
    [
        ("lenient", "cqid", "event 'thread.run.step.delta': step 'step_0' was never created"),
        ("lenient", "cqil", "event 'thread.message.delta': message 'msg_0' was never created"),
        ("lenient", "kg", "event 'thread.message.completed': message 'msg_0' was never created"),
        ("lenient", "cc", "event 'thread.run.created': run 'run_1' was already created"),
        ("lenient", "cmgl", "event 'thread.message.delta': message 'msg_1' is already completed"),
        (
            "lenient",
            "cmgh",
            "event 'thread.message.incomplete': message 'msg_1' is completed and cannot become incomplete: "
            "expected no further event of it",
        ),
        (
            "strict",
            "cqK",
            "event 'thread.run.completed': run 'run_1' is queued and cannot become completed: "
            "expected cancelling, expired, failed or in_progress",
        ),
        ("lenient", "cKs", "event 'thread.run.step.created' after run 'run_1' completed: expected 'done'"),
        ("lenient", "cKos", "event 'thread.run.step.created' after 'done': expected the end of the stream"),
        ("strict", "cq!o", "event 'done' after 'error': expected the end of the stream"),
        (
            "lenient",
            "cqi",
            "the stream ended with run 'run_1' in_progress: expected the run to stop, or 'done' or 'error'",
        ),
        ("lenient", "", "the stream ended before any run: expected the run to stop, or 'done' or 'error'"),
        (
            "strict",
            "cqs",
            "event 'thread.run.step.created' in state 'queued': expected 'thread.run.in_progress', "
            "'thread.run.expired' or 'thread.run.failed'",
        ),
        ("strict", "c", "the stream ended in state 'run created': expected 'thread.run.queued'"),
        (
            "strict",
            "cqispRi",
            "event 'thread.run.in_progress': run 'run_1' is requires_action and cannot become in_progress: "
            "expected cancelling, expired or queued",
        ),
        ("strict", "ci", "event 'thread.run.in_progress' in state 'run created': expected 'thread.run.queued'"),
        (
            "strict",
            "cqispms",
            "event 'thread.run.step.created' in state 'message created': expected 'thread.message.in_progress'",
        ),
        (
            "strict",
            "cqXiK",
            "event 'thread.run.in_progress': run 'run_1' is cancelling and cannot become in_progress: "
            "expected cancelled, completed, expired, failed or incomplete",
        ),
        (
            "strict",
            "cqio",
            "event 'done' in state 'running': expected 'thread.run.step.created', 'thread.run.completed', "
            "'thread.run.expired', 'thread.run.failed' or 'thread.run.incomplete'",
        ),
    ],
)
def test_the_message_says_what_came_where_and_what_was_right(mode: VerifyMode, letters: str, message: str) -> None:
    with pytest.raises(ProtocolError) as error:
        judge(mode, stream(letters))
    assert str(error.value) == message


@pytest.mark.parametrize("mode", MODES)
def test_a_second_run_in_one_stream_is_refused(mode: VerifyMode) -> None:
    grammar = Grammar(mode)
    grammar.feed("thread.run.created", id="run_1", status="queued")
    with pytest.raises(ProtocolError, match="run must be 'run_1', got 'run_2'"):
        grammar.feed("thread.run.queued", id="run_2", status="queued")


def test_strict_refuses_a_step_of_another_run() -> None:
    events = stream("cqispkKo")
    events[3] = ("thread.run.step.created", "step_3", "in_progress", "run_2")
    judge("lenient", events)
    with pytest.raises(ProtocolError, match="run must be 'run_1', got 'run_2'"):
        judge("strict", events)


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="lenient"):
        Grammar("loose")  # type: ignore[arg-type]

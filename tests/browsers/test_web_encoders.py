"""Events → each protocol, over every recording and over generated streams."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from browsers.web_readers import UiMessage, encoded, payloads
from generated import Generated, lossy_streams, messy_streams, streams
from hypothesis import given
from reference import RECORDINGS

import rx_assistant
from rx_assistant import RunSnapshot, RxAssistantError, SSEDecoder, fold
from rx_assistant.events import DoneEvent, ErrorEvent, StreamEvent, ThreadRunRequiresAction, classify
from rx_assistant.web.ag_ui import AgUiEncoder, decode, verify
from rx_assistant.web.assistants import AssistantsEncoder
from rx_assistant.web.ui_message import UiMessageEncoder


def read(recording: Path) -> tuple[list[StreamEvent], Exception | None]:
    stream = rx_assistant.replay(recording)
    events: list[StreamEvent] = []
    try:
        events.extend(stream)
    except RxAssistantError as error:
        return events, error
    return events, None


def items(stream: Generated) -> list[StreamEvent]:
    return [event for event in stream.events if not isinstance(event, DoneEvent)]


def text_of(events: list[StreamEvent]) -> str:
    """The texts of the assistant's messages, refusals included, as far as deltas or final objects show them."""
    snapshot = RunSnapshot()
    for event in events:
        snapshot = fold(snapshot, event)
    written = []
    for message in snapshot.messages:
        if message.role == "user":
            continue
        for part in message.content:
            if part.type == "text":
                written.append(part.text.value)
            elif part.type == "refusal":
                written.append(part.refusal)
    return "".join(written)


def ag_ui(events: list[StreamEvent], error: Exception | None = None) -> list[Any]:
    """The AG-UI events, read again and verified; without what RUN_ERROR raises at the end."""
    found: list[Any] = []
    body = b"".join(block + b"\n" for block in encoded(AgUiEncoder(), events, error))
    decode(body).pipe(verify()).subscribe(found.append, lambda _: None)
    stream = decode(body).pipe(verify())
    found.clear()
    try:
        found.extend(stream)
    except rx_assistant.ServerErrorEvent:
        assert found[-1].type.value == "RUN_ERROR"
    return found


recorded = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)


@recorded
def test_frames_pass_as_they_are(recording: Path) -> None:
    events, error = read(recording)
    blocks = encoded(AssistantsEncoder(), events, error)
    found = SSEDecoder().feed(b"".join(block + b"\n" for block in blocks))
    kinds = [classify(each.event.encode(), each.data.encode()) for each in found]
    again = [kind(payload) for kind, payload in kinds]
    assert again[:-1] == events
    assert isinstance(again[-1], DoneEvent if error is None else ErrorEvent)


@recorded
def test_every_recording_is_valid_ag_ui_with_its_whole_text(recording: Path) -> None:
    events, error = read(recording)
    found = ag_ui(events, error)
    assert "".join(each.delta for each in found if each.type.value == "TEXT_MESSAGE_CONTENT") == text_of(events)
    assert found[-1].type.value in ("RUN_FINISHED", "RUN_ERROR")


@recorded
def test_every_recording_is_a_valid_ui_message_with_its_whole_text(recording: Path) -> None:
    events, error = read(recording)
    message = UiMessage(payloads(encoded(UiMessageEncoder(), events, error)))
    assert "".join(message.texts.values()) == text_of(events)
    assert message.ending is not None


@recorded
def test_arguments_are_whole_in_both_protocols(recording: Path) -> None:
    events, error = read(recording)
    snapshot = RunSnapshot()
    for event in events:
        snapshot = fold(snapshot, event)
    details = [step.step_details for step in snapshot.steps]
    calls = {call.id: call for each in details if each.type == "tool_calls" for call in each.tool_calls}
    written: dict[str, str] = {}
    for each in ag_ui(events, error):
        if each.type.value == "TOOL_CALL_ARGS":
            written[each.tool_call_id] = written.get(each.tool_call_id, "") + each.delta
    message = UiMessage(payloads(encoded(UiMessageEncoder(), events, error)))
    for call_id, call in calls.items():
        if call.type == "function" and call_id in written:
            assert written[call_id] == message.tools[call_id]["written"] == call.function.arguments
        elif call.type == "code_interpreter" and call_id in written:
            assert json.loads(written[call_id])["input"] == call.code_interpreter.input
            assert message.tools[call_id]["input"] == {"input": call.code_interpreter.input}


@given(streams())
def test_every_legal_stream_is_valid_in_both_protocols(stream: Generated) -> None:
    events = items(stream)
    found = ag_ui(events)
    message = UiMessage(payloads(encoded(UiMessageEncoder(), events)))
    told = "".join(each.delta for each in found if each.type.value == "TEXT_MESSAGE_CONTENT")
    assert told == "".join(message.texts.values())


@given(messy_streams() | lossy_streams())
def test_streams_in_any_order_are_valid_in_both_protocols(stream: Generated) -> None:
    events = items(stream)
    ag_ui(events)
    UiMessage(payloads(encoded(UiMessageEncoder(), events)))


@pytest.mark.skipif(not RECORDINGS, reason="the reference data is not beside this checkout")
def test_an_error_closes_what_is_open() -> None:
    recording = next(path for path in RECORDINGS if b"thread.message.delta" in path.read_bytes())
    events, _ = read(recording)
    cut = next(index for index, event in enumerate(events) if event.event == "thread.message.delta") + 1
    found = [each.type.value for each in ag_ui(events[:cut], ConnectionError("gone"))]
    assert found[-3:] == ["TEXT_MESSAGE_END", "STEP_FINISHED", "RUN_ERROR"]
    message = UiMessage(payloads(encoded(UiMessageEncoder(), events[:cut], ConnectionError("gone"))))
    assert (message.errors, message.ending["finishReason"]) == (["gone"], "error")


def test_a_run_that_waits_for_outputs_is_an_interrupt_at_the_end_only() -> None:
    for recording in RECORDINGS:
        events, error = read(recording)
        if not any(isinstance(event, ThreadRunRequiresAction) for event in events):
            continue
        stops = isinstance(events[-1], ThreadRunRequiresAction)
        *_, last = ag_ui(events, error)
        if error is None:
            assert (last.outcome.type == "interrupt") is stops
        if stops and error is None:
            ids = [call.id for call in events[-1].data.required_action.submit_tool_outputs.tool_calls]
            assert [each.tool_call_id for each in last.outcome.interrupts] == ids


@pytest.mark.parametrize(
    ("status", "details", "ag_ui_ending", "ui_ending"),
    [
        ("completed", {}, "success", "stop"),
        ("cancelled", {}, "cancelled", None),
        ("incomplete", {"incomplete_details": {"reason": "max_completion_tokens"}}, "success", "length"),
        ("incomplete", {"incomplete_details": {"reason": "content_filter"}}, "success", "content-filter"),
        ("expired", {}, "the run is expired", "error"),
        ("failed", {"last_error": {"code": "rate_limit_exceeded", "message": "too much"}}, "too much", "error"),
        ("failed", {"last_error": "odd"}, "the run is failed", "error"),
    ],
)
def test_each_end_of_a_run_has_its_word(status: str, details: Any, ag_ui_ending: str, ui_ending: str | None) -> None:
    run = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": "queued"}
    kind = rx_assistant.events.BY_NAME
    begun = kind["thread.run.created"](json.dumps(run).encode())
    over = kind[f"thread.run.{status}"](json.dumps({**run, "status": status, **details}).encode())
    first, state, *_, last = ag_ui([begun, over])
    assert (first.run_id, first.thread_id, state.snapshot["run"]["status"]) == ("run_1", "thread_1", "queued")
    assert (last.message if last.type.value == "RUN_ERROR" else last.outcome.type) == ag_ui_ending
    ending = UiMessage(payloads(encoded(UiMessageEncoder(), [begun, over]))).ending
    assert ending.get("finishReason") == ui_ending
    assert ending["type"] == ("abort" if ui_ending is None else "finish")

"""Handlers on streams of real servers: callback by callback what the SDK's handler gets, but for a written list."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cases import in_one_test
from handlers_faces import CALLBACKS, Face, on_every_face, recorder
from reference import RECORDINGS

from rx_assistant import ServerErrorEvent

_ROWS: tuple[tuple[tuple[str, ...], dict[str, int]], ...] = (
    (
        (
            "openai-dotnet__2025-09-25_1f27832d_StreamingToolCallAsync.2.submit_tool_outputs",
            "openai-dotnet__2025-09-25_a777478b_StreamingToolCall.2.submit_tool_outputs",
            "openai-dotnet__2025-10-30_aa5213ff_StreamingToolCallAsync.2.submit_tool_outputs",
            "simple-openai__HEAD_threads_runs_submittool_stream_2",
        ),
        {"on_run_step_created": 6},
    ),
    (
        (
            "openai-dotnet__2025-09-25_a777478b_FileSearchStreamingWorks.3.create_run",
            "openai-dotnet__2025-10-30_aa5213ff_FileSearchStreamingWorksAsync.3.create_run",
        ),
        {"on_tool_call_delta": 7, "on_tool_call_done": 1},  # 7: a first fragment that holds something is a delta too
    ),
    (
        (
            "openllmetry__2024-03-24_a4bd5dd3_test_streaming_assistant.3.create_run",
            "openllmetry__2024-03-27_3e4a9505_test_streaming_new_assistant.3.create_run",
            "openllmetry__2025-04-24_f00cba1d_test_streaming_new_assistant_with_events_with_content.4.create_run",
            "openllmetry__2026-03-31_9b05f3a5_test_streaming_existing_assistant_with_events_with_content.3.create_run",
            "openllmetry__2026-03-31_9b05f3a5_test_streaming_existing_assistant_with_events_with_no_content.3.create_run",
            "openllmetry__2026-03-31_9b05f3a5_test_streaming_new_assistant.4.create_run",
        ),
        {"on_tool_call_done": 1},
    ),
    (
        ("simple-openai__2024-04-02_bb273b3_threads_runs_create_both_stream",),
        {
            "on_tool_call_created": 2,
            "on_tool_call_delta": 2,
            "on_tool_call_done": 1,
            "on_image_file_done": 9,  # the SDK gives it before its message is there
        },
    ),
    (("simple-openai__HEAD_threads_runs_create_stream_error_1",), {"on_exception": 17}),
    (
        ("langchain-openai-api-bridge-1.0.0__tool", "litellm-1.106.2-over-langchain-bridge__tool"),
        {"on_tool_call_created": 15, "on_tool_call_done": 15},  # calls that whole steps hold, without deltas
    ),
)

DIFFERENT = {recording: callbacks for recordings, callbacks in _ROWS for recording in recordings}
"""Recording → callback → number of the SDK's defect that makes its calls of that callback different."""

BROKEN = {"simple-openai__HEAD_threads_runs_create_stream_error_1": ServerErrorEvent}
"""Recordings that do not end well."""

SHARED_NAMES = tuple(
    name
    for name in CALLBACKS
    if name
    not in {
        "on_run_status",
        "on_requires_action",
        "on_annotation",
        "on_refusal_delta",
        "on_refusal_done",
        "on_image_url_done",
        "on_code_output",
    }
)
"""The callbacks that the SDK has too."""


def shown(handler: Any, name: str, *arguments: Any) -> tuple[Any, ...]:
    """A call, with what people read of its arguments."""
    return name, *(_SHOWN[type_of(name, place)](one) for place, one in enumerate(arguments)), _around(handler)


def type_of(name: str, place: int) -> str:
    """What the argument of a callback is, by the callback's name."""
    for kind in ("event", "run_step", "message", "text", "image_file", "tool_call"):
        if name.startswith(f"on_{kind}"):
            return f"{kind}_delta" if name.endswith("_delta") and place == 0 else kind
    return "exception"


def _around(handler: Any) -> tuple[Any, ...]:
    """What the handler says of the run around the call."""
    return handler.current_run and handler.current_run.status


def _texts(content: Sequence[Any] | None) -> list[Any]:
    return [_text(part.text) if part.type == "text" else part.type for part in content or ()]


def _text(text: Any) -> tuple[Any, ...]:
    marks = text.annotations or []
    return text.value, [(mark.type, mark.text, mark.start_index, mark.end_index) for mark in marks]


def _call(call: Any) -> tuple[Any, ...]:
    inside = getattr(call, call.type)
    if call.type == "function":
        return call.type, call.id, inside.name, inside.arguments, inside.output
    if call.type == "code_interpreter":
        return call.type, call.id, inside.input, [getattr(one, one.type) and one.type for one in inside.outputs or ()]
    return call.type, call.id


def _calls(details: Any) -> Any:
    return [_call(call) for call in details.tool_calls] if details.type == "tool_calls" else details.type


_SHOWN = {
    "event": lambda event: (event.event, event.data.id),
    "message": lambda message: (message.id, message.status, message.role, _texts(message.content)),
    "message_delta": lambda delta: _texts(delta.content),
    "text": _text,
    "text_delta": _text,
    "image_file": lambda image: image.file_id,
    "run_step": lambda step: (step.id, step.status, step.type, _calls(step.step_details)),
    "run_step_delta": lambda delta: _calls(delta.step_details),
    "tool_call": _call,
    "tool_call_delta": _call,
    "exception": lambda error: type(error).__name__,
}


@cache
def body_of(path: Path) -> bytes:
    return path.read_bytes()


@cache
def theirs(path: Path) -> list[tuple[Any, ...]]:
    """What the SDK's handler is called with."""
    from handlers_sdk import Run  # skips without the SDK

    return Run([body_of(path)], SHARED_NAMES, shown).calls


def without(calls: Sequence[tuple[Any, ...]], names: set[str]) -> list[tuple[Any, ...]]:
    return [call for call in calls if call[0] not in names]


recordings = in_one_test("path", RECORDINGS, ids=lambda path: path.stem)


@on_every_face
@recordings
async def test_callbacks_equal_the_sdks_but_for_what_is_listed(face: Face, path: Path) -> None:
    handler = recorder(face, names=SHARED_NAMES, show=shown)
    broken = BROKEN.get(path.stem)
    if broken is None:
        await face.ran(handler, body_of(path))
    else:
        with pytest.raises(broken):
            await face.ran(handler, body_of(path))
    listed = set(DIFFERENT.get(path.stem, ()))
    assert without(handler.calls, listed) == without(theirs(path), listed)
    for needed in listed:
        others = listed - {needed}
        assert without(handler.calls, others) != without(theirs(path), others), f"{needed} is no longer different"


@on_every_face
@recordings
async def test_chunks_of_any_size_give_the_same_callbacks(face: Face, path: Path) -> None:
    if path.stem in BROKEN:
        return
    body = body_of(path)
    whole, cut = recorder(face, show=shown), recorder(face, show=shown)
    await face.ran(whole, body)
    await face.ran(cut, *(body[start : start + 997] for start in range(0, len(body), 997)))
    assert whole.calls == cut.calls


def test_every_listed_recording_is_there(shared: Path) -> None:
    assert set(DIFFERENT) <= {path.stem for path in RECORDINGS}
    assert {number for callbacks in DIFFERENT.values() for number in callbacks.values()} <= set(range(1, 19))

"""The functions behind `view` and `delta` of texts and tool calls, for direct calls without the state's methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from rx_assistant.events import ThreadMessageDelta, ThreadRunStepDelta
from rx_assistant.snapshots.delta_views import call_delta, text_delta
from rx_assistant.snapshots.states import CallState, PartState
from rx_assistant.snapshots.views import call_view, text_view
from rx_assistant.types import Text, TextDelta, ToolCall, ToolCallDelta


class Readers(NamedTuple):
    """Functions that read a part or call from a delta event's list, and functions that read its state at a version."""

    text_delta: Callable[[ThreadMessageDelta, int], TextDelta]
    text: Callable[[PartState, int], Text]
    call_delta: Callable[[ThreadRunStepDelta, int], ToolCallDelta]
    call: Callable[[CallState, int], ToolCall]


READERS: Final = Readers(text_delta, text_view, call_delta, call_view)

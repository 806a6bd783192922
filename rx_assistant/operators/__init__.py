"""Operators: functions that turn a stream into another stream, named after their items. Rx only, no I/O.

    from rx_assistant import operators as ax

    stream.pipe(ax.text_deltas()).subscribe(print)

The source is a stream of a run's events, or the result of another operator. The result is an AsyncStream if the source
is one, else a Stream. All state belongs to a subscription, so one operator can be used any number of times.
"""

from rx_assistant.operators._answers import Answering, answers
from rx_assistant.operators._contents import (
    annotations,
    code_outputs,
    images,
    numbered_citations,
    refusal_deltas,
    refusals,
)
from rx_assistant.operators._messages import AsyncMessageStream, MessageStream, message_streams, messages
from rx_assistant.operators._pacing import buffer_bounded, coalesce, latest
from rx_assistant.operators._run_steps import AsyncRunStepStream, RunStepStream, completed_run_steps, run_steps
from rx_assistant.operators._runs import raise_on_failure, run_statuses, runs, until_terminal
from rx_assistant.operators._select import events, of_type
from rx_assistant.operators._snapshots import final_snapshot, snapshots
from rx_assistant.operators._text import (
    AsyncTextStream,
    TextSnapshot,
    TextStream,
    reasoning_deltas,
    text_deltas,
    text_snapshots,
    texts,
)
from rx_assistant.operators._tool_calls import (
    AsyncToolCallStream,
    ToolCallStream,
    completed_tool_calls,
    required_actions,
    tool_calls,
)
from rx_assistant.operators._verify import verify

__all__ = [
    "Answering",
    "AsyncMessageStream",
    "AsyncRunStepStream",
    "AsyncTextStream",
    "AsyncToolCallStream",
    "MessageStream",
    "RunStepStream",
    "TextSnapshot",
    "TextStream",
    "ToolCallStream",
    "annotations",
    "answers",
    "buffer_bounded",
    "coalesce",
    "code_outputs",
    "completed_run_steps",
    "completed_tool_calls",
    "events",
    "final_snapshot",
    "images",
    "latest",
    "message_streams",
    "messages",
    "numbered_citations",
    "of_type",
    "raise_on_failure",
    "reasoning_deltas",
    "refusal_deltas",
    "refusals",
    "required_actions",
    "run_statuses",
    "run_steps",
    "runs",
    "snapshots",
    "text_deltas",
    "text_snapshots",
    "texts",
    "tool_calls",
    "until_terminal",
    "verify",
]

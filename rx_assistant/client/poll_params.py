"""What the polling methods take: the parameters of the operation, the options of the call, and how to poll."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Required, TypeAlias

from typing_extensions import TypedDict

from rx_assistant import types as t
from rx_assistant.api.request import is_omitted
from rx_assistant.client.params import RequestOptions, taken
from rx_assistant.http.options import CallOptions
from rx_assistant.polling import Backoff, PollSettings, UploadProgress
from rx_assistant.streams import OnIdle, OnSubscribe, Replay

OnFailure: TypeAlias = Literal["return", "raise"]
"""What happens to a file or batch that ended as failed or cancelled: it is returned like any other, or raised."""

_POLLING = ("poll_interval_ms", "max_wait_seconds", "backoff", "on_failure")


class PollOptions(RequestOptions, total=False):
    """How to poll: milliseconds between two requests (else as the server asks, else 1 000), and seconds in all.

    The seconds count from the first request, or from the reply to the one that creates what is polled: 0 sends no poll.
    """

    poll_interval_ms: float | None
    max_wait_seconds: float | None
    backoff: Backoff | None


class IngestionOptions(PollOptions, total=False):
    """The same, and what happens to files and batches that end as failed or cancelled: `"return"` or `"raise"`."""

    on_failure: OnFailure


class RunCreateAndPoll(t.RunCreateParamsBase, PollOptions, total=False):
    """`threads.runs.create_and_poll`."""


class CreateAndRunPoll(t.ThreadCreateAndRunParamsBase, PollOptions, total=False):
    """`threads.create_and_run_poll`."""


class SubmitAndPoll(t.RunSubmitToolOutputsParamsBase, PollOptions, total=False):
    """`threads.runs.submit_tool_outputs_and_poll`."""


class WatchEvents(PollOptions, total=False):
    """`threads.runs.watch_events`: how to poll, what to ask of steps, and the policies of a stream."""

    include: Sequence[t.RunStepInclude]
    replay: Replay
    on_idle: OnIdle
    idle_grace: float | None
    on_subscribe: OnSubscribe | None
    cancel_wait: float
    max_pending: int
    max_event_bytes: int


class VectorStoreCreateAndPoll(t.VectorStoreCreateParams, PollOptions, total=False):
    """`vector_stores.create_and_poll`."""


class _FileSettings(TypedDict, total=False):
    chunking_strategy: t.FileChunkingStrategyParam
    attributes: t.AttributesParam | None


class FileAdd(_FileSettings, IngestionOptions, total=False):
    """`vector_stores.files.create_and_poll`, besides ids."""


class FileUpload(_FileSettings, RequestOptions, total=False):
    """`vector_stores.files.upload`."""

    file: Required[t.FileTypes]


class FileUploadAndPoll(_FileSettings, IngestionOptions, total=False):
    """`vector_stores.files.upload_and_poll`."""

    file: Required[t.FileTypes]


class BatchCreateAndPoll(t.FileBatchCreateParams, IngestionOptions, total=False):
    """`vector_stores.file_batches.create_and_poll`."""


class BatchUpload(_FileSettings, PollOptions, total=False):
    """`vector_stores.file_batches.watch_upload`."""

    files: Required[Iterable[t.FileTypes]]
    file_ids: Sequence[str]
    max_concurrency: int


class BatchUploadAndPoll(_FileSettings, IngestionOptions, total=False):
    """`vector_stores.file_batches.upload_and_poll`."""

    files: Required[Iterable[t.FileTypes]]
    file_ids: Sequence[str]
    max_concurrency: int
    on_progress: Callable[[UploadProgress], object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PollCall:
    """The keyword arguments of a polling method, split."""

    body: dict[str, Any]
    """The operation's own parameters."""
    options: CallOptions
    settings: PollSettings
    on_failure: OnFailure = "return"


def poll_call(params: Mapping[str, Any], shape: Any) -> PollCall:
    """Split the keyword arguments of a method. `shape` is the TypedDict that names them.

    Raises:
        TypeError: a name is unknown or missing.
        ValueError: a value for the polling is not possible.
    """
    given = {name: params[name] for name in _POLLING if name in params and not is_omitted(params[name])}
    milliseconds, on_failure = given.get("poll_interval_ms"), given.get("on_failure", "return")
    if on_failure not in ("return", "raise"):
        raise ValueError(f"on_failure must be 'return' or 'raise', got {on_failure!r}")
    if milliseconds is not None and not (isinstance(milliseconds, int | float) and 0 <= milliseconds < math.inf):
        raise ValueError(f"poll_interval_ms must be a number of milliseconds, 0 or more, got {milliseconds!r}")
    settings = PollSettings(
        interval=None if milliseconds is None else milliseconds / 1000,
        backoff=given.get("backoff"),
        deadline=given.get("max_wait_seconds"),
    )
    body, options = taken({name: value for name, value in params.items() if name not in _POLLING}, shape)
    return PollCall(body=body, options=options, settings=settings, on_failure=on_failure)

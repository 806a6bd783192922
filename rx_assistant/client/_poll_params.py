"""What the polling methods take: the parameters of the operation that begins it, and how to wait."""

from collections.abc import Callable, Iterable, Sequence
from typing import Required

from typing_extensions import TypedDict

from rx_assistant import types as t
from rx_assistant.client._params import RequestOptions
from rx_assistant.client._polling import OnFailure
from rx_assistant.polling import Backoff, UploadProgress
from rx_assistant.streams import OnIdle, OnSubscribe, Replay


class PollOptions(RequestOptions, total=False):
    """How to poll: milliseconds between two requests (else as the server asks, else 1 000), and seconds in all.

    The seconds count from the first request, or from the reply to the one that creates what is polled: 0 sends no poll.
    """

    poll_interval_ms: float | None
    max_wait_seconds: float | None
    backoff: Backoff | None


class IngestionOptions(PollOptions, total=False):
    """… and what becomes of files and batches that end as failed or cancelled: `"return"`, or `"raise"`."""

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

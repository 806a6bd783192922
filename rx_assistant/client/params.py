"""The keyword arguments of all methods: an operation's own parameters, the options of every call, and how to poll.

The operations' parameters come from `types`. Each is joined with `RequestOptions` here, because a method can unpack
only one TypedDict. At run time, `taken` checks the names: an unknown name is a TypeError, as in any Python call.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Required, TypeAlias

from typing_extensions import TypedDict

from rx_assistant import types as t
from rx_assistant.api.request import is_omitted
from rx_assistant.dialects.chat import ThinkingPolicy
from rx_assistant.http.options import CallOptions, refuse_unknown, take_options
from rx_assistant.http.timeouts import TimeoutInput
from rx_assistant.polling import Backoff, PollSettings, UploadProgress
from rx_assistant.streams import OnIdle, OnSubscribe, Replay
from rx_assistant.tools import Approval, Decide, ExposeErrors, Tools
from rx_assistant.types.run_params import RunAdditionsParams, RunOnThreadParams, RunSettingsParams, RunWithThreadParams


class RequestOptions(TypedDict, total=False):
    """What any call may add or change; merged last. A header that is None is removed."""

    extra_headers: Mapping[str, str | None] | None
    extra_query: Mapping[str, object] | None
    extra_body: Mapping[str, object] | None
    timeout: TimeoutInput


OnDisconnect: TypeAlias = Literal["fail", "poll"]
"""What a stream does when its connection breaks: end with an error, or continue by polling the run."""

OnCut: TypeAlias = Literal["fail", "resume"]
"""What the stream of a response does when its connection breaks: end with an error, or read on after the last event."""


class _StreamPolicies(TypedDict, total=False):
    replay: Replay
    on_idle: OnIdle
    idle_grace: float | None
    on_subscribe: OnSubscribe | None
    cancel_wait: float
    max_pending: int
    max_event_bytes: int


class StreamOptions(RequestOptions, _StreamPolicies, total=False):
    """The options of every stream: what late subscribers get, and what happens when the last reader has left."""


class RunStreamOptions(StreamOptions, total=False):
    """The options of the stream of a run: also what happens when its connection breaks."""

    on_disconnect: OnDisconnect


class AnswerOptions(RunStreamOptions, total=False):
    """The options of the stream of a run whose tool calls are answered. See `tools.Options`."""

    max_rounds: int | None
    max_concurrency: int
    tool_timeout: float | None
    eager: bool
    expose_errors: ExposeErrors
    on_tool_error: Literal["output", "raise"]
    approve: Approval | Decide | None


class ToolOptions(AnswerOptions, total=False):
    """The same, and the tools."""

    tools: Required[Tools]


class AssistantCreate(t.AssistantCreateParams, RequestOptions, total=False):
    """`assistants.create`."""


class AssistantUpdate(t.AssistantUpdateParams, RequestOptions, total=False):
    """`assistants.update`."""


class AssistantList(t.AssistantListParams, RequestOptions, total=False):
    """`assistants.list`."""


class ThreadCreate(t.ThreadCreateParams, RequestOptions, total=False):
    """`threads.create`."""


class ThreadUpdate(t.ThreadUpdateParams, RequestOptions, total=False):
    """`threads.update`."""


class CreateAndRun(t.ThreadCreateAndRunParamsBase, RequestOptions, total=False):
    """`threads.create_and_run`."""


class CreateAndRunStream(t.ThreadCreateAndRunParamsBase, RunStreamOptions, total=False):
    """`threads.create_and_run_stream`."""


class CreateAndRunWithTools(RunWithThreadParams, ToolOptions, total=False):
    """`threads.create_and_run_stream_with_tools`."""


class MessageCreate(t.MessageCreateParams, RequestOptions, total=False):
    """`threads.messages.create`."""


class MessageUpdate(t.MessageUpdateParams, RequestOptions, total=False):
    """`threads.messages.update`."""


class MessageList(t.MessageListParams, RequestOptions, total=False):
    """`threads.messages.list`."""


class RunCreate(t.RunCreateParamsBase, RequestOptions, total=False):
    """`threads.runs.create`."""


class RunStream(t.RunCreateParamsBase, RunStreamOptions, total=False):
    """`threads.runs.stream`."""


class RunStreamWithTools(RunOnThreadParams, ToolOptions, total=False):
    """`threads.runs.stream_with_tools`."""


class TurnStream(RunSettingsParams, RunAdditionsParams, AnswerOptions, total=False):
    """`conversation.ask`."""


class RunUpdate(t.RunUpdateParams, RequestOptions, total=False):
    """`threads.runs.update`."""


class RunList(t.RunListParams, RequestOptions, total=False):
    """`threads.runs.list`."""


class Submit(t.RunSubmitToolOutputsParamsBase, RequestOptions, total=False):
    """`threads.runs.submit_tool_outputs`."""


class SubmitStream(t.RunSubmitToolOutputsParamsBase, RunStreamOptions, total=False):
    """`threads.runs.submit_tool_outputs_stream`."""


class StepList(t.StepListParams, RequestOptions, total=False):
    """`threads.runs.steps.list`."""


class StepRetrieve(t.StepRetrieveParams, RequestOptions, total=False):
    """`threads.runs.steps.retrieve`."""


class ChatStream(t.ChatStreamParams, StreamOptions, total=False):
    """`chat.stream`."""

    choice: int
    thinking: ThinkingPolicy


class ResponseStream(t.ResponseStreamParams, StreamOptions, total=False):
    """`responses.stream`."""

    on_disconnect: OnCut


class FileCreate(t.FileCreateParams, RequestOptions, total=False):
    """`files.create`."""


class FileList(t.FileListParams, RequestOptions, total=False):
    """`files.list`."""


class VectorStoreCreate(t.VectorStoreCreateParams, RequestOptions, total=False):
    """`vector_stores.create`."""


class VectorStoreUpdate(t.VectorStoreUpdateParams, RequestOptions, total=False):
    """`vector_stores.update`."""


class VectorStoreList(t.VectorStoreListParams, RequestOptions, total=False):
    """`vector_stores.list`."""


class VectorStoreSearch(t.VectorStoreSearchParams, RequestOptions, total=False):
    """`vector_stores.search`."""


class VectorStoreFileCreate(t.VectorStoreFileCreateParams, RequestOptions, total=False):
    """`vector_stores.files.create`."""


class VectorStoreFileUpdate(t.VectorStoreFileUpdateParams, RequestOptions, total=False):
    """`vector_stores.files.update`."""


class VectorStoreFileList(t.VectorStoreFileListParams, RequestOptions, total=False):
    """`vector_stores.files.list`."""


class FileBatchCreate(t.FileBatchCreateParams, RequestOptions, total=False):
    """`vector_stores.file_batches.create`."""


class FileBatchListFiles(t.FileBatchListFilesParams, RequestOptions, total=False):
    """`vector_stores.file_batches.list_files`."""


# -- methods that poll -------------------------------------------------------------------------------------------------

OnFailure: TypeAlias = Literal["return", "raise"]
"""What happens to a file or batch that ended as failed or cancelled: it is returned like any other, or raised."""

_POLLING = ("poll_interval_ms", "max_wait_seconds", "backoff", "on_failure")


class PollOptions(RequestOptions, total=False):
    """How to poll.

    `poll_interval_ms` is the time between two requests in milliseconds. The default is what the server asks for, or 1
    000. `max_wait_seconds` counts from the first request, or from the reply to the request that creates the polled
    object. 0 sends no poll.
    """

    poll_interval_ms: float | None
    max_wait_seconds: float | None
    backoff: Backoff | None


class IngestionOptions(PollOptions, total=False):
    """The same, and what happens with files and batches that end as failed or cancelled: `"return"` or `"raise"`."""

    on_failure: OnFailure


class RunCreateAndPoll(t.RunCreateParamsBase, PollOptions, total=False):
    """`threads.runs.create_and_poll`."""


class CreateAndRunPoll(t.ThreadCreateAndRunParamsBase, PollOptions, total=False):
    """`threads.create_and_run_poll`."""


class SubmitAndPoll(t.RunSubmitToolOutputsParamsBase, PollOptions, total=False):
    """`threads.runs.submit_tool_outputs_and_poll`."""


class WatchEvents(PollOptions, _StreamPolicies, total=False):
    """`threads.runs.watch_events`: how to poll, what to ask of steps, and the policies of a stream."""

    include: Sequence[t.RunStepInclude]


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


# -- keyword arguments, checked and split ------------------------------------------------------------------------------


def taken(params: Mapping[str, Any], shape: Any) -> tuple[dict[str, Any], CallOptions]:
    """The parameters of the operation, and the options of the call. TypeError for an unknown or a missing name."""
    refuse_unknown(params, shape.__annotations__, "; pass other fields in extra_body=")
    for name in shape.__required_keys__:
        if name not in params:
            raise TypeError(f"missing the keyword argument {name!r}")
    return take_options(params)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollParams:
    """The keyword arguments of a polling method, split."""

    body: dict[str, Any]
    """The operation's own parameters."""
    options: CallOptions
    settings: PollSettings
    on_failure: OnFailure = "return"


def poll_params(params: Mapping[str, Any], shape: Any) -> PollParams:
    """Split the keyword arguments of a method. `shape` is the TypedDict that names them.

    Raises:
        TypeError: a name is unknown or missing.
        ValueError: a value for the polling is out of range.
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
    return PollParams(body=body, options=options, settings=settings, on_failure=on_failure)

"""What the methods take besides ids: an operation's own parameters, and the options of every call.

The operations' parameters are those of `types`; here each is joined with `RequestOptions`, since a method can unpack
only one TypedDict. At run time `taken` checks the names: a misspelt one is a TypeError, as in any Python call.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal, Required, TypeAlias

from typing_extensions import TypedDict

from rx_assistant import types as t
from rx_assistant.http.options import CallOptions, take_options
from rx_assistant.http.timeouts import TimeoutInput
from rx_assistant.streams import OnIdle, OnSubscribe, Replay
from rx_assistant.tools import Approval, Decide, ExposeErrors, Tools
from rx_assistant.types.run_params import RunAdditionsParams, RunOnThreadParams, RunSettingsParams, RunWithThreadParams


class RequestOptions(TypedDict, total=False):
    """What any call may add or change; merged last. A header that is None is taken away."""

    extra_headers: Mapping[str, str | None] | None
    extra_query: Mapping[str, object] | None
    extra_body: Mapping[str, object] | None
    timeout: TimeoutInput


OnDisconnect: TypeAlias = Literal["fail", "poll"]
"""What a stream does whose connection breaks: end with an error, or go on by polling the run."""

OnCut: TypeAlias = Literal["fail", "resume"]
"""What a stream of a response does whose connection breaks: end with an error, or read on behind the last event."""


class StreamOptions(RequestOptions, total=False):
    """… and any stream: what late subscribers get, and what happens when the last reader has left."""

    replay: Replay
    on_idle: OnIdle
    idle_grace: float | None
    on_subscribe: OnSubscribe | None
    cancel_wait: float
    max_pending: int
    max_event_bytes: int


class RunStreamOptions(StreamOptions, total=False):
    """… and the stream of a run: what happens when its connection breaks."""

    on_disconnect: OnDisconnect


class AnswerOptions(RunStreamOptions, total=False):
    """… and the stream of a run whose tools it answers: how. See `tools.Options`."""

    max_rounds: int | None
    max_concurrency: int
    tool_timeout: float | None
    eager: bool
    expose_errors: ExposeErrors
    on_tool_error: Literal["output", "raise"]
    approve: Approval | Decide | None


class ToolOptions(AnswerOptions, total=False):
    """… and which tools."""

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


def taken(params: Mapping[str, Any], shape: Any) -> tuple[dict[str, Any], CallOptions]:
    """The parameters of the operation, and the options of the call. A name that is unknown, or missing: TypeError."""
    known = shape.__annotations__
    for name in params:
        if name not in known:
            likely = get_close_matches(name, known, 1)
            hint = f"; did you mean {likely[0]!r}?" if likely else "; extra_body= takes what only some servers know"
            raise TypeError(f"unexpected keyword argument {name!r}{hint}")
    for name in shape.__required_keys__:
        if name not in params:
            raise TypeError(f"missing the keyword argument {name!r}")
    return take_options(params)

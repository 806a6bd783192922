"""Requests about the messages of a thread."""

from collections.abc import Iterable
from typing import Literal, Required, TypeAlias

from typing_extensions import TypedDict

from rx_assistant.types.message_content import ImageDetail, MessageRole
from rx_assistant.types.shared_params import PageParams
from rx_assistant.types.tool_params import CodeInterpreterToolParam


class TextContentBlockParam(TypedDict, total=False):
    """A part that is text. `text` is a string in requests, and an object in replies."""

    type: Required[Literal["text"]]
    text: Required[str]


class ImageFileParam(TypedDict, total=False):
    """An image that was uploaded for the purpose `vision`."""

    file_id: Required[str]
    detail: ImageDetail


class ImageFileContentBlockParam(TypedDict, total=False):
    """A part that is an image in a file."""

    type: Required[Literal["image_file"]]
    image_file: Required[ImageFileParam]


class ImageURLParam(TypedDict, total=False):
    """An image somewhere on the web."""

    url: Required[str]
    detail: ImageDetail


class ImageURLContentBlockParam(TypedDict, total=False):
    """A part that is an image somewhere on the web."""

    type: Required[Literal["image_url"]]
    image_url: Required[ImageURLParam]


MessageContentPartParam: TypeAlias = TextContentBlockParam | ImageFileContentBlockParam | ImageURLContentBlockParam


class AttachmentToolFileSearchParam(TypedDict, total=False):
    """Search the attached file."""

    type: Required[Literal["file_search"]]


AttachmentToolParam: TypeAlias = CodeInterpreterToolParam | AttachmentToolFileSearchParam


class AttachmentParam(TypedDict, total=False):
    """A file that comes with a message, and the tools that may read it."""

    file_id: str
    tools: Iterable[AttachmentToolParam]


class MessageCreateParams(TypedDict, total=False):
    """POST /threads/{thread_id}/messages, and the messages of a new thread or run."""

    role: Required[MessageRole]
    content: Required[str | Iterable[MessageContentPartParam]]
    attachments: Iterable[AttachmentParam] | None
    metadata: dict[str, str] | None


AdditionalMessage: TypeAlias = MessageCreateParams
"""A message to add to the thread before a run begins."""


class MessageUpdateParams(TypedDict, total=False):
    """POST /threads/{thread_id}/messages/{message_id}."""

    metadata: dict[str, str] | None


class MessageListParams(PageParams, total=False):
    """GET /threads/{thread_id}/messages. `run_id` selects the messages of one run."""

    run_id: str

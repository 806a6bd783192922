"""Types that several resources share: metadata, reasoning effort, function definitions, response formats, errors."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from rx_assistant.types._base import (
    ABSENT,
    BY_TYPE,
    Json,
    Scalar,
    Table,
    UnknownMember,
    UnknownWord,
    Wire,
    WireModel,
    Word,
)

Metadata: TypeAlias = Table[str, str]
"""Up to 16 pairs of strings that the caller chose."""

ReasoningEffort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None

FunctionParameters: TypeAlias = Json[dict[str, object]]
"""A JSON schema for a function's arguments."""

Attributes: TypeAlias = Json[dict[str, str | float | bool]]
"""The caller's notes about a file in a vector store; searches can filter by them."""


class ErrorObject(WireModel):
    """A server's error, in an `error` event or in a reply with 4xx or 5xx."""

    code: Scalar[str | None] = None
    message: Wire[str] = ABSENT
    param: Scalar[str | None] = None
    type: Wire[str] = ABSENT


class ErrorBody(WireModel):
    """The body of a reply with 4xx or 5xx, and the nested shape of an `error` event's data."""

    error: Wire[ErrorObject] = ABSENT


class FunctionDefinition(WireModel):
    """A function that the model may call."""

    name: Wire[str] = ABSENT
    description: str | None = None
    parameters: FunctionParameters | None = None
    strict: bool | None = None


class ResponseFormatText(WireModel):
    """Answers are plain text."""

    type: Literal["text"]


class ResponseFormatJSONObject(WireModel):
    """Answers are JSON of any shape."""

    type: Literal["json_object"]


class JSONSchema(WireModel):
    """The shape of answers; `schema_` is named `schema` on the wire."""

    name: Wire[str] = ABSENT
    description: str | None = None
    schema_: Json[dict[str, object]] | None = Field(alias="schema", default=None)
    strict: bool | None = None


class ResponseFormatJSONSchema(WireModel):
    """Answers are JSON of the given shape."""

    type: Literal["json_schema"]
    json_schema: Wire[JSONSchema] = ABSENT


class UnknownResponseFormat(UnknownMember):
    """A response format that this version does not know."""

    type: Word[UnknownWord] = ABSENT


AssistantResponseFormat: TypeAlias = Annotated[
    ResponseFormatText | ResponseFormatJSONObject | ResponseFormatJSONSchema | UnknownResponseFormat, BY_TYPE
]

AssistantResponseFormatOption: TypeAlias = Word[Literal["auto"]] | AssistantResponseFormat
"""`"auto"`, or the format that was asked for."""

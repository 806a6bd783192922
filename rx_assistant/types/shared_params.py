"""Types that several requests share: pages of lists, function definitions, response formats.

In all request types a key may be missing unless it is `Required`. Request types describe bodies and queries. The ids in
a path are separate arguments.
"""

from typing import Literal, Required, TypeAlias

from typing_extensions import TypedDict

ListOrder: TypeAlias = Literal["asc", "desc"]
"""The order by `created_at`; the server's default is `desc`."""


class PageParams(TypedDict, total=False):
    """The part of a list to get: up to `limit` objects (1 to 100, default 20) `after` or `before` an id."""

    after: str
    before: str
    limit: int
    order: ListOrder


class FunctionDefinitionParam(TypedDict, total=False):
    """A function that the model may call; `parameters` is a JSON schema."""

    name: Required[str]
    description: str
    parameters: dict[str, object]
    strict: bool | None


class ResponseFormatTextParam(TypedDict, total=False):
    """Answer in plain text."""

    type: Required[Literal["text"]]


class ResponseFormatJSONObjectParam(TypedDict, total=False):
    """Answer in JSON of any shape."""

    type: Required[Literal["json_object"]]


class JSONSchemaParam(TypedDict, total=False):
    """The shape of answers."""

    name: Required[str]
    description: str
    schema: dict[str, object]
    strict: bool | None


class ResponseFormatJSONSchemaParam(TypedDict, total=False):
    """Answer in JSON of the given shape."""

    type: Required[Literal["json_schema"]]
    json_schema: Required[JSONSchemaParam]


AssistantResponseFormatOptionParam: TypeAlias = (
    Literal["auto"] | ResponseFormatTextParam | ResponseFormatJSONObjectParam | ResponseFormatJSONSchemaParam
)

"""One API operation as a value, independent of host, key and socket.

The builders in this folder make these values; a session sends them. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias
from urllib.parse import quote

from rx_assistant.api.uploads import Upload
from rx_assistant.errors import InvalidArgumentError

Method: TypeAlias = Literal["GET", "POST", "DELETE"]
Params: TypeAlias = Mapping[str, object]

BETA = ("OpenAI-Beta", "assistants=v2")


LONGEST_ID = 1024
"""Characters. Real ids have about 30; servers refuse addresses of 8 kB and more."""


class Omit:
    """The type of `OMIT`. A parameter with this value is left out of the request."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "OMIT"


OMIT = Omit()
NOT_GIVEN = omit = OMIT
"""The official SDK's names for it."""


@dataclass(frozen=True, slots=True)
class Confirm:
    """How to find out whether a failed request has arrived."""

    request: Request
    still_asks: Callable[[object], bool]


@dataclass(frozen=True, slots=True)
class Request:
    """The request of one operation, relative to the base URL and without credentials."""

    method: Method
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: Params | None = None
    upload: Upload | None = None
    headers: tuple[tuple[str, str], ...] = (BETA,)
    accept: str = "application/json"
    takes_json: bool = False
    """Whether the reply may be JSON although an event stream was requested."""
    confirm: Confirm | None = field(default=None, compare=False)

    @property
    def stream(self) -> bool:
        """Whether the reply is an event stream."""
        return self.accept == "text/event-stream"

    def streamed(self) -> Request:
        """The same operation with an event stream as its reply."""
        return replace(self, body={**(self.body or {}), "stream": True}, accept="text/event-stream")


def get(path: str, query: Params | None = None) -> Request:
    """GET `path`, with each given query parameter."""
    return Request("GET", path, query=encode_query(query or {}))


def post(path: str, body: Params | None, query: Params | None = None) -> Request:
    """POST `path` with a JSON object; None sends no body."""
    return Request("POST", path, query=encode_query(query or {}), body=None if body is None else given(body))


def delete(path: str) -> Request:
    """DELETE `path`."""
    return Request("DELETE", path)


def segment(name: str, value: str) -> str:
    """An id as one path segment, percent-quoted.

    Raises:
        InvalidArgumentError: it is empty (it would address the collection), too long, or not Unicode.
    """
    if not isinstance(value, str) or value in {"", ".", ".."}:
        raise InvalidArgumentError(f"{name} must be the id of an object, got {value!r}{_hint(value)}")
    if len(value) > LONGEST_ID:
        raise InvalidArgumentError(f"{name} must have at most {LONGEST_ID} characters, got {len(value)}")
    try:
        return quote(value, safe="")
    except UnicodeEncodeError as cause:
        raise InvalidArgumentError(f"{name} must be valid Unicode, got {value!r}") from cause


def of_assistant(params: Params) -> Params:
    """The parameters of a run.

    Raises:
        InvalidArgumentError: `assistant_id` is not an id, but the assistant itself, for example.
    """
    if "assistant_id" in params:
        segment("assistant_id", params["assistant_id"])  # type: ignore[arg-type]  # segment() checks its type
    return params


def _hint(value: object) -> str:
    """What to write instead of an object that is not an id."""
    if hasattr(value, "__await__"):
        return ": await it, and pass its `id`"
    return ": pass its `id`" if hasattr(value, "id") else ""


def given(params: Params) -> dict[str, object]:
    """The parameters that were given a value. None is a value (JSON null), `OMIT` is not."""
    return {name: value for name, value in params.items() if not is_omitted(value)}


def is_omitted(value: object) -> bool:
    """Whether a value means "not given": `OMIT`, or a sentinel of the official SDK, recognised by its type's name."""
    return isinstance(value, Omit) or type(value).__name__ in {"Omit", "NotGiven"}


def split(params: Params, query: Iterable[str]) -> tuple[dict[str, object], dict[str, object]]:
    """The parameters of the body, and the parameters of the query."""
    names = frozenset(query)
    body = {name: value for name, value in params.items() if name not in names}
    return body, {name: value for name, value in params.items() if name in names}


def encode_query(params: Params) -> tuple[tuple[str, str], ...]:
    """Query parameters as text. A list becomes one `name[]=` for each item. None is left out."""
    pairs: list[tuple[str, str]] = []
    for name, value in given(params).items():
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            pairs.extend(_pair(name, value))
        else:
            for item in value:
                pairs.extend(_pair(f"{name}[]", item))
    return tuple(pairs)


def _pair(name: str, value: object) -> Iterable[tuple[str, str]]:
    if value is None:
        return ()
    if isinstance(value, bool):
        return ((name, "true" if value else "false"),)
    return ((name, str(value)),)

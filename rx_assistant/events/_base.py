"""What all stream events have in common: a name, the bytes of a payload, and a model of it at first reading.

Creating an event stores the bytes and nothing else. The wire models, and pydantic with them, are imported when the
first `.data` is read.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, get_args

from rx_assistant.errors import EventDecodeError

if TYPE_CHECKING:
    from typing import Self

    from typing_extensions import TypeVar

    Name = TypeVar("Name", bound=str, default=str, covariant=True)
    Data = TypeVar("Data", default=Any, covariant=True)
else:
    from typing import TypeVar

    Name = TypeVar("Name", bound=str, covariant=True)
    Data = TypeVar("Data", covariant=True)

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

_SHOWN = 120  # bytes of a payload in a repr


@cache
def validator(model: str) -> Callable[[bytes | str], Any]:
    """JSON → the model of that name in `rx_assistant.types`; every payload is validated through one of these."""
    import rx_assistant.types as types

    kind = getattr(types, model)
    kind.model_rebuild()
    validate: Callable[[bytes | str], Any] = kind.__pydantic_validator__.validate_json
    return validate


@cache
def json_reader() -> Callable[[bytes | str], Any]:
    """JSON → plain values, by the parser that the models use."""
    from pydantic_core import from_json

    return from_json


def text_of(raw: bytes) -> str:
    """The payload as text; what is no UTF-8 becomes U+FFFD."""
    return raw.decode("utf-8", "replace")


class Sourced(bytes):
    """The bytes of an event that was translated from another protocol, and the payload that it was read from."""

    source: bytes

    def __new__(cls, raw: bytes, source: bytes) -> Self:
        made = super().__new__(cls, raw)
        made.source = source
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (bytes(self), self.source)


class StreamEvent(Generic[Name, Data]):
    """One event of a stream: its name in `event`, its payload in `data`, the payload's bytes in `raw`.

    Events are values: read-only, equal when name and payload (as JSON) are, hashable, picklable. A class exists
    for each name, so that `isinstance`, `match` and comparing `event` narrow an `AssistantStreamEvent`.
    """

    __slots__ = ("_data", "_raw")
    __match_args__ = ("data",)
    _model: ClassVar[str] = ""
    _reader: ClassVar[Any] = None  # the model's validate_json: a builtin, which an instance does not bind

    if TYPE_CHECKING:

        @property
        def event(self) -> Name:
            """The event's name on the wire."""
            raise NotImplementedError

    def __init_subclass__(cls, *, model: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        if model:
            cls._model = model
        if "event" not in cls.__dict__:
            for name in _literal_of(cls):
                setattr(cls, "event", name)  # noqa: B010 (type checkers see a property)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._data: Data | None = None

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """The event that carries `data`, a model; only what was set on it goes onto the wire.

        Raises TypeError when the model is another event's.
        """
        import rx_assistant.types as types

        if not cls._model or not isinstance(data, getattr(types, cls._model)):
            raise TypeError(f"{cls.__name__} carries a {cls._model or 'payload of its own'}, not {data!r}")
        return cls(data.model_dump_json(exclude_unset=True, by_alias=True).encode())

    @property
    def raw(self) -> bytes:
        """The payload's bytes, as they came."""
        return self._raw

    @property
    def source(self) -> Json:
        """The payload that this event was translated from, as plain JSON; None if the stream spoke Assistants events.

        It holds what has no place in an Assistants event: log probabilities, a vendor's fields, other choices.
        """
        source = getattr(self._raw, "source", None)
        value: Json = json_reader()(text_of(source)) if source else None
        return value

    @property
    def narrow(self) -> tuple[Any, ...] | None:
        """What a delta appends to which message or step, read without the model; None for all other events."""
        return None

    @property
    def data(self) -> Data:
        """The payload, validated at the first reading and the same object ever after.

        Raises EventDecodeError, each time, when the payload is not what the event's name promises.
        """
        data = self._data
        if data is None:
            data = self._data = self._decode()
        return data

    def _decode(self) -> Data:
        read = self._reader or self._find_reader()
        data: Data
        try:
            data = read(self._raw)
        except (ValueError, RecursionError) as error:
            data = self._decode_repaired(read, error)
        return data

    def _decode_repaired(self, read: Callable[[str], Data], error: Exception) -> Data:
        text = text_of(self._raw)
        if text.encode() == self._raw:
            raise self._malformed(error) from error
        try:
            return read(text)
        except (ValueError, RecursionError) as again:
            raise self._malformed(again) from again

    @classmethod
    def _find_reader(cls) -> Callable[[bytes | str], Any]:
        """What reads payloads of this kind, kept from the first reading on."""
        cls._reader = read = validator(cls._model)
        return read

    def _malformed(self, error: Exception) -> EventDecodeError:
        return EventDecodeError(f"event {self.event!r}: the payload is no {self._model}: {reason(error)}", self)

    def json(self) -> Json:
        """The payload as plain JSON values, parsed anew at each call. Raises EventDecodeError if it is none."""
        try:
            value: Json = json_reader()(text_of(self._raw))
        except (ValueError, RecursionError) as error:
            raise EventDecodeError(f"event {self.event!r}: the payload is not JSON: {error}", self) from error
        return value

    def _identity(self) -> Any:
        try:
            return self.json()
        except EventDecodeError:
            return self._raw

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, StreamEvent):
            return NotImplemented
        if self.event != other.event:
            return False
        return self._raw == other._raw or bool(self._identity() == other._identity())

    def __hash__(self) -> int:
        return hash((self.event, _hashable(self._identity())))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._raw,)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        shown = self._raw if len(self._raw) <= _SHOWN else self._raw[:_SHOWN] + b"..."
        return f"{type(self).__name__}({shown!r})"


def _literal_of(cls: type) -> tuple[str, ...]:
    """The event name that a class gives in brackets behind its base, as a tuple of none or one."""
    bases = cls.__dict__.get("__orig_bases__", ())
    arguments = get_args(bases[0]) if bases else ()
    return get_args(arguments[0]) if arguments else ()


def reason(error: Exception) -> str:
    """Why the payload was refused, in a line: where, and what."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    first = errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((key, _hashable(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    return value

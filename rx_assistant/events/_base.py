"""The base class of all stream events: a name, the bytes of a payload, and a model that is built at first access.

Creating an event only stores the bytes. The wire models and pydantic are imported when the first `.data` is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, Literal, TypeAlias, get_args

from rx_assistant.errors import EventDecodeError
from rx_assistant.events._json_text import has_halves, mended, text_of

if TYPE_CHECKING:
    from typing import Self

    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema, SchemaSerializer
    from typing_extensions import TypeVar

    Name = TypeVar("Name", bound=str, default=str, covariant=True)
    Data = TypeVar("Data", default=Any, covariant=True)
else:
    from typing import TypeVar

    Name = TypeVar("Name", bound=str, covariant=True)
    Data = TypeVar("Data", covariant=True)

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

Reader: TypeAlias = Callable[[bytes | str], Any]
"""Reads a payload into its model. Raises ValueError or RecursionError."""

_SHOWN = 120  # bytes of a payload in a repr


@cache
def validator(model: str) -> Reader:
    """The compiled function that reads JSON into the model of that name in `rx_assistant.types`."""
    import rx_assistant.types as types

    kind = getattr(types, model)
    kind.model_rebuild()
    validate: Reader = kind.__pydantic_validator__.validate_json
    return validate


@cache
def json_reader() -> Callable[[bytes | str], Any]:
    """The function that reads JSON into plain values, with the parser that the models use."""
    from pydantic_core import from_json

    return from_json


_OF_MODELS: Final = frozenset(("exclude_unset", "exclude_none", "exclude_defaults", "by_alias"))
"""Dump options that need the model; on plain JSON they have no effect."""

_CLASSES: Final[dict[str, type[StreamEvent]]] = {}
"""The class for each event name; `<unknown>` for all others."""


class Sourced(bytes):
    """The bytes of an event that was translated from another protocol, with the original payload as `source`."""

    source: bytes

    def __new__(cls, raw: bytes, source: bytes) -> Self:
        self = bytes.__new__(cls, raw)
        self.source = source
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (bytes(self), self.source)


_AWAITED = (
    "`async with` and `async for` must be given a stream, got an event: `await stream` reads the stream to its end and "
    "returns its last event, so leave out `await`"
)


class StreamEvent(Generic[Name, Data]):
    """One event of a stream: its name in `event`, its payload in `data`, the payload's bytes in `raw`.

    Events are values: read-only, hashable, picklable, and equal when name and payload (as JSON) are equal. Each name
    has a class, so `isinstance`, `match` and comparing `event` narrow an `AssistantStreamEvent`.

    An event can be a field of a pydantic model and the body of a web route. Its JSON is `{"event": …, "data": …}`.
    """

    __slots__ = ("_data", "_raw")
    __match_args__ = ("data",)
    _model: ClassVar[str] = ""
    _narrow: Any = None  # a delta's narrow reading, once it was read
    _reader: ClassVar[Any] = None  # a builtin or static method, which an instance does not bind

    if TYPE_CHECKING:

        @property
        def event(self) -> Name:
            """The event's name on the wire."""
            raise NotImplementedError

    else:

        def __aenter__(self):
            raise TypeError(_AWAITED)

        __aiter__ = __aenter__

        def __aexit__(self, kind, error, traceback):
            """Never called. Python looks for it before it calls `__aenter__`."""

    def __init_subclass__(cls, *, model: str = "", **more: Any) -> None:
        super().__init_subclass__(**more)
        if model:
            cls._model = model
        for name in _literal_of(cls):
            _CLASSES[name] = cls
            if "event" not in cls.__dict__:
                setattr(cls, "event", name)  # noqa: B010 (type checkers see a property)

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._data: Data | None = None

    @classmethod
    def from_data(cls, data: Any) -> Self:
        """The event that carries `data`, a model; only the fields that were set are written.

        Raises TypeError when events of this class carry another model, or none.
        """
        import rx_assistant.types as types

        if not cls._model:
            raise TypeError(f"events of the class {cls.__name__} must be created from bytes, got {data!r:.80}")
        if not isinstance(data, getattr(types, cls._model)):
            raise TypeError(f"data of a {cls.__name__} must be a {cls._model}, got {data!r}")
        return cls(data.model_dump_json(exclude_unset=True, by_alias=True).encode())

    @property
    def raw(self) -> bytes:
        """The payload's bytes, as they arrived: the text of the frame's `data` fields, without line prefixes."""
        return self._raw

    @property
    def source(self) -> Json:
        """The original payload of a translated event, as plain JSON; None if the server sent Assistants events.

        It holds fields that Assistants events do not have: log probabilities, a vendor's fields, other choices.
        """
        source = getattr(self._raw, "source", None)
        value: Json = json_reader()(text_of(source)) if source else None
        return value

    @property
    def narrow(self) -> tuple[Any, ...] | None:
        """A delta's message or step id and the texts that it appends, read without the model; None for other events."""
        narrow: tuple[Any, ...] | None = self._narrow or self._read()
        return narrow

    def _read(self) -> Any:
        """The narrow reading of a delta, which is kept."""
        return None

    @property
    def data(self) -> Data:
        """The payload as a model, read at the first access; later accesses return the same object.

        A field keeps a value of another type than its annotation unchanged. Half of a character is shown as U+FFFD.
        Raises EventDecodeError, at every access, when the payload is not a JSON object.
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
        text = mended(self._raw)
        if text.encode() == self._raw:
            raise self._malformed(error) from error
        try:
            return read(text)
        except (ValueError, RecursionError) as again:
            raise self._malformed(again) from again

    @classmethod
    def _find_reader(cls) -> Reader:
        """The function that reads payloads of this class; cached at the first call."""
        cls._reader = read = validator(cls._model)
        return read

    def _malformed(self, error: Exception) -> EventDecodeError:
        return EventDecodeError(f"event {self.event!r}: payload must be a {self._model} object: {reason(error)}", self)

    def json(self) -> Json:
        """The payload as plain JSON values, parsed anew at each call. Raises EventDecodeError if it is not JSON."""
        try:
            value: Json = json_reader()(mended(self._raw))
        except (ValueError, RecursionError) as error:
            raise EventDecodeError(f"event {self.event!r}: payload is not JSON: {error}", self) from error
        return value

    def model_dump(self, *, mode: Literal["json", "python"] | str = "python", **options: Any) -> dict[str, Any]:
        """Name and payload as a dict, `{"event": …, "data": …}`, with the payload as it was on the wire.

        The options are those of pydantic's `model_dump`. `exclude_unset=False` adds the fields that were not on the
        wire. A payload that is not JSON is dumped as text.
        """
        from rx_assistant.events._pydantic import dumped

        return dumped(self._members(options), mode=mode, **options)

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """Name and payload as JSON text; the options are those of pydantic's `model_dump_json`."""
        from rx_assistant.events._pydantic import dumped_json

        return dumped_json(self._members(options), indent=indent, **options)

    def _members(self, options: dict[str, Any]) -> dict[str, Any]:
        """Name and payload; the payload is the model if an option needs the model."""
        try:
            data: Any = self.data if _OF_MODELS & options.keys() else self._plain_data()
        except EventDecodeError:
            data = text_of(self._raw)
        return {"event": self.event, "data": data}

    def _plain_data(self) -> Json:
        return self.json()

    def to_dict(self, *, mode: Literal["json", "python"] = "python", **options: Any) -> dict[str, Any]:
        """Name and payload as a dict; the SDK's name for `model_dump`."""
        return self.model_dump(mode=mode, **_known_to_pydantic(options))

    def to_json(self, *, indent: int | None = 2, **options: Any) -> str:
        """Name and payload as JSON text; the SDK's name for `model_dump_json`."""
        return self.model_dump_json(indent=indent, **_known_to_pydantic(options))

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Name and payload as pairs, as pydantic's models give their fields; `dict(event)` is `event.to_dict()`."""
        return iter(self.to_dict().items())

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from rx_assistant.events._pydantic import schema_of

        return schema_of(cls, handler)

    @classmethod
    def _restored(cls, value: Any) -> StreamEvent:
        """The event from its dump. Raises ValueError for any other value, and for an event of another class."""
        name = value.get("event") if isinstance(value, dict) else None
        if not isinstance(name, str) or "data" not in value:
            raise ValueError(f"event must be a {cls.__name__} or a dict with 'event' and 'data', got {value!r:.120}")
        kind = _CLASSES.get(name) or _CLASSES["<unknown>"]
        if not issubclass(kind, cls):
            raise ValueError(f"event must be the name of a {cls.__name__}, got {name!r}")
        return kind._from_json(name, value["data"])

    @classmethod
    def _from_json(cls, name: str, data: Any) -> StreamEvent:
        from rx_assistant.events._pydantic import payload

        return cls(payload(data))

    @property
    def __pydantic_serializer__(self) -> SchemaSerializer:
        from rx_assistant.events._pydantic import serializer

        return serializer()

    def _identity(self) -> Any:
        if has_halves(self._raw):  # different halves would all become U+FFFD and compare equal
            return self._raw
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
    """The event name in the brackets after a class's base, as a tuple of zero or one."""
    bases = cls.__dict__.get("__orig_bases__", ())
    arguments = get_args(bases[0]) if bases else ()
    return get_args(arguments[0]) if arguments else ()


def _known_to_pydantic(options: dict[str, Any]) -> dict[str, Any]:
    """The SDK's options of `to_dict` and `to_json`, under pydantic's names."""
    use_api_names = options.pop("use_api_names", True)
    return options if use_api_names else {**options, "by_alias": False}


def reason(error: Exception) -> str:
    """Why validation failed, in one line."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    return str(errors(include_url=False, include_context=False, include_input=False)[0]["msg"])


def _hashable(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((key, _hashable(item)) for key, item in value.items())
    if isinstance(value, list):
        return tuple(map(_hashable, value))
    return value

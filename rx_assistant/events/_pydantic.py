"""Events as pydantic sees them: `{"event": NAME, "data": PAYLOAD}` in dumps, users' models, routes and JSON schemas."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pydantic_core import CoreSchema, SchemaSerializer, core_schema

from rx_assistant.errors import EventDecodeError
from rx_assistant.events._base import StreamEvent
from rx_assistant.events._json_text import text_of
from rx_assistant.events._kinds import BY_NAME, DoneEvent, UnknownEvent

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

E = TypeVar("E", bound=StreamEvent)

_OF_MODELS: Final = frozenset(("exclude_unset", "exclude_none", "exclude_defaults", "by_alias"))
"""Options that say something of models, and nothing of plain JSON."""


@cache
def _plain() -> SchemaSerializer:
    return SchemaSerializer(core_schema.any_schema())


def dumped(event: StreamEvent, **options: Any) -> dict[str, Any]:
    """The event as a dict."""
    value: dict[str, Any] = _plain().to_python(_members(event, options), **{**_AS_ON_THE_WIRE, **options})
    return value


def dumped_json(event: StreamEvent, **options: Any) -> str:
    """The event as JSON text."""
    return _plain().to_json(_members(event, options), **{**_AS_ON_THE_WIRE, **options}).decode()


_AS_ON_THE_WIRE: Final = {"exclude_unset": True, "by_alias": True}


def _members(event: StreamEvent, options: dict[str, Any]) -> dict[str, Any]:
    return {"event": event.event, "data": _data(event, bool(_OF_MODELS & options.keys()))}


def _data(event: StreamEvent, as_model: bool) -> Any:
    try:
        return event.data if as_model or isinstance(event, DoneEvent) else event.json()
    except EventDecodeError:
        return text_of(event.raw)


@cache
def serializer() -> SchemaSerializer:
    """What dumps an event that pydantic meets where no class is annotated."""
    dump = core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True)
    return SchemaSerializer(core_schema.any_schema(serialization=dump))


def _dump(event: Any, info: core_schema.SerializationInfo) -> Any:
    options = {name: True for name in ("exclude_none", "exclude_defaults") if getattr(info, name)}
    return dumped(event, mode=info.mode, **options) if isinstance(event, StreamEvent) else event


def schema_of(kind: type[E], handler: GetCoreSchemaHandler) -> CoreSchema:
    """How pydantic reads and dumps an event of this class, or of a class below it."""

    def read(value: Any, _body: Any) -> E:
        return value if isinstance(value, kind) else _read(kind, value)

    body = _body(kind, handler)
    serialization = core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True, return_schema=body)
    return core_schema.no_info_wrap_validator_function(read, body, serialization=serialization)


def _body(kind: type[StreamEvent], handler: GetCoreSchemaHandler) -> CoreSchema:
    """The JSON of an event of this class. Nothing is validated against it: it is there for JSON schemas."""
    import rx_assistant.types as types

    name = getattr(kind, "event", None)
    event = core_schema.literal_schema([name]) if isinstance(name, str) else core_schema.str_schema()
    model = getattr(types, kind._model) if kind._model else str if kind is DoneEvent else Any
    data = core_schema.chain_schema(
        [handler.generate_schema(model)], serialization=core_schema.simple_ser_schema("any")
    )
    fields = {"event": core_schema.typed_dict_field(event), "data": core_schema.typed_dict_field(data)}
    return core_schema.typed_dict_schema(fields, cls_name=kind.__name__)


def _read(kind: type[E], value: Any) -> E:
    """The event in a dict. Raises ValueError when it is no event, or one of another class."""
    name = value.get("event") if isinstance(value, dict) else None
    if not isinstance(name, str) or "data" not in value:
        raise ValueError(f"an event must be a {kind.__name__} or a dict with 'event' and 'data', got {value!r:.120}")
    found = BY_NAME.get(name)
    if found is None or not issubclass(found, kind):
        if found is not None or not issubclass(UnknownEvent, kind):
            raise ValueError(f"event must be that of a {kind.__name__}, got {name!r}")
        event: Any = UnknownEvent(name, _payload(value["data"]))
        return event  # type: ignore[no-any-return]
    if found is DoneEvent:
        return found(str(value["data"]).encode())
    return found(_payload(value["data"]))


def _payload(data: Any) -> bytes:
    if hasattr(data, "model_dump_json"):
        return str(data.model_dump_json(exclude_unset=True, by_alias=True)).encode()
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")

"""Events in pydantic: `{"event": NAME, "data": PAYLOAD}` in dumps, users' models, web routes and JSON schemas."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import CoreSchema, SchemaSerializer, core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler

    from rx_assistant.events._base import StreamEvent

_AS_ON_THE_WIRE: Final = {"exclude_unset": True, "by_alias": True}


@cache
def _plain() -> SchemaSerializer:
    return SchemaSerializer(core_schema.any_schema())


def dumped(members: dict[str, Any], **options: Any) -> dict[str, Any]:
    """Name and payload as a dict."""
    value: dict[str, Any] = _plain().to_python(members, **{**_AS_ON_THE_WIRE, **options})
    return value


def dumped_json(members: dict[str, Any], **options: Any) -> str:
    """Name and payload as JSON text."""
    return _plain().to_json(members, **{**_AS_ON_THE_WIRE, **options}).decode()


def payload(data: Any) -> bytes:
    """The bytes of a payload, from a model or plain JSON."""
    if hasattr(data, "model_dump_json"):
        return str(data.model_dump_json(exclude_unset=True, by_alias=True)).encode()
    return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace")


@cache
def serializer() -> SchemaSerializer:
    """The serializer of an event in a field without an annotated class."""
    dump = core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True)
    return SchemaSerializer(core_schema.any_schema(serialization=dump))


def _dump(event: Any, info: core_schema.SerializationInfo) -> Any:
    options = {name: True for name in ("exclude_none", "exclude_defaults") if getattr(info, name)}
    return event.model_dump(mode=info.mode, **options) if hasattr(event, "model_dump") else event


def schema_of(kind: type[StreamEvent], handler: GetCoreSchemaHandler) -> CoreSchema:
    """The schema by which pydantic reads and dumps an event of this class or a subclass."""

    def read(value: Any, _body: Any) -> StreamEvent:
        return value if isinstance(value, kind) else kind._restored(value)

    body = _body(kind, handler)
    serialization = core_schema.plain_serializer_function_ser_schema(_dump, info_arg=True, return_schema=body)
    return core_schema.no_info_wrap_validator_function(read, body, serialization=serialization)


def _body(kind: type[StreamEvent], handler: GetCoreSchemaHandler) -> CoreSchema:
    """The JSON schema of an event of this class. Validation does not use it."""
    import rx_assistant.types as types

    name = getattr(kind, "event", None)
    event = core_schema.literal_schema([name]) if isinstance(name, str) else core_schema.str_schema()
    model = handler.generate_schema(getattr(types, kind._model) if kind._model else Any)
    data = core_schema.chain_schema([model], serialization=core_schema.simple_ser_schema("any"))
    fields = {"event": core_schema.typed_dict_field(event), "data": core_schema.typed_dict_field(data)}
    return core_schema.typed_dict_schema(fields)

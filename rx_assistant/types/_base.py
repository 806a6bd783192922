"""The base of all wire models, and the annotations that their fields use.

A wire model describes a field's value *when the field is present*. Servers leave fields out, send null, and send fields
and strings that are not documented. Four rules keep the annotations useful nevertheless:

* a missing field has a default and is not in `model_fields_set`: None for values and objects (even where the
  annotation does not allow None, as in the SDK), an empty list for arrays, the constant itself for `object`. Only the
  `type` that selects the member of a union has no default;
* every field accepts null, and dumps it as null;
* a string from a documented list (`Word`) is annotated with that list, and read as any string;
* a member of a union with an unknown `type` becomes an `Unknown…` model, which keeps its JSON.

Reading tolerates malformed fields. The strict reading comes first, in compiled code. If it fails, the object is read
again without the malformed fields, and these keep the value from the wire: `created_at="2025-01-01"` and
`last_error="boom"` stay these texts, and all other fields match their annotations. A malformed item of an array stays
unchanged too. Ids are always text and an `index` is always an integer, because both are keys: if an id is a number, it
is read as text, and if an index is text of digits, it is read as a number. Only a payload that is not a JSON object is
refused.

Everything is read-only, to any depth: attributes, arrays, objects, and unknown fields.

Streams contain thousands of deltas, so the compiled validators do all this, and plain deltas are built without them
(see `events/_plain`). Only read-only arrays run Python code, one call per array. Model files do not use `from
__future__ import annotations`: pydantic would compile each annotation at import, a quarter of the import time, and
older versions of pydantic would not find the annotations of this module.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias, TypeVar, cast, get_args, get_origin

from pydantic import VERSION, BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from rx_assistant.types._keys import key_reader
from rx_assistant.types._readonly import ReadOnlyDict, ReadOnlyList, freeze

_T = TypeVar("_T")
_K = TypeVar("_K")
_V = TypeVar("_V")
_M = TypeVar("_M", bound="WireModel")

ABSENT: Final[Any] = None
"""The default of a missing field whose annotation does not allow None."""

EMPTY: Final[Any] = ReadOnlyList[Any]()
"""The default of a missing array; shared, because it is read-only."""


_AS_IT_IS: Final = core_schema.simple_ser_schema("any")
"""Dump the actual value, also when it does not match the annotation: the server may have sent another type."""


def _strict_or(forgive: Callable[[Any, Any], Any], strict: CoreSchema, ref: str | None = None) -> CoreSchema:
    """The schema that reads strictly, in compiled code, and only if that fails with `forgive`."""
    forgiving = core_schema.no_info_wrap_validator_function(forgive, strict)
    return core_schema.union_schema([strict, forgiving], mode="left_to_right", ref=ref)


class _OrNull:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.nullable_schema(handler(source))


class _AnyWord:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.nullable_schema(core_schema.str_schema())


class _TextOfAny:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.nullable_schema(core_schema.str_schema(coerce_numbers_to_str=True))


class _ReadOnlyArray:
    """A read-only list of the annotated items; a malformed item stays unchanged."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        either = _strict_or(_forgive_items, handler(source))
        return core_schema.no_info_after_validator_function(ReadOnlyList, either, serialization=_AS_IT_IS)


class _ReadOnlyTable:
    """A read-only dict of the annotated values."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(ReadOnlyDict, handler(source))


class _AnyJson:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = core_schema.dict_schema() if get_origin(source) is dict else core_schema.any_schema()
        return core_schema.no_info_after_validator_function(freeze, inner)


class _ByType:
    """A union whose `type` selects the member, in compiled code; the last member reads every other `type`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler.generate_schema
        *known, other = get_args(source)
        tagged = core_schema.tagged_union_schema({tag: schema(each) for each in known for tag in _tags(each)}, "type")
        return core_schema.union_schema([tagged, schema(other)], mode="left_to_right", serialization=_AS_IT_IS)


def _tags(member: Any) -> tuple[str, ...]:
    return get_args(member.model_fields["type"].annotation)


Wire: TypeAlias = Annotated[_T, _OrNull()]
"""A value that may be missing or null on the wire."""

Word: TypeAlias = Annotated[_T, _AnyWord()]
"""One of the listed strings, or another string that a server sends."""

Scalar: TypeAlias = Annotated[_T, _TextOfAny()]
"""A string that some servers send as a number; read as a string."""

Array: TypeAlias = Annotated[list[_T], _ReadOnlyArray()]
"""A read-only list."""

Table: TypeAlias = Annotated[dict[_K, _V], _ReadOnlyTable()]
"""A read-only dict."""

Json: TypeAlias = Annotated[_T, _AnyJson()]
"""An unchanged JSON value, an object where a dict is annotated, read-only to any depth."""

UnknownWord: TypeAlias = Literal["<unknown>"]
"""The `type` of an Unknown… model for type checkers: a literal that no other member of a union has, so comparing `type`
narrows. At run time `type` is the string from the wire, so use isinstance to recognise such a model."""


BY_TYPE: Final = _ByType()
"""Makes `A | B | UnknownMember` a union of models, selected by `type`."""


class WireModel(BaseModel):
    """One JSON object of the Assistants protocol, read-only. Unknown fields are attributes too.

    A field keeps a value of another type than its annotation unchanged.
    `model_dump(exclude_unset=True, by_alias=True)` returns the JSON that the model was read from.
    """

    __slots__ = ("_served_as",)

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        defer_build=True,
    )

    def __str__(self) -> str:
        return repr(self)  # `print(run)` shows the class name too, as with the SDK

    def to_model(self) -> Self:
        """This model itself. For a view of a snapshot: a plain model with the same values."""
        return self

    def to_dict(
        self, *, mode: Literal["json", "python"] = "python", use_api_names: bool = True, **options: Any
    ) -> dict[str, Any]:
        """The JSON that the model was read from, as a dict, like the SDK's method of this name.

        `exclude_unset=False` adds the fields that were not on the wire. Further options are `model_dump`'s.
        """
        return self.model_dump(mode=mode, by_alias=use_api_names, **{"exclude_unset": True, **options})

    def to_json(self, *, indent: int | None = 2, use_api_names: bool = True, **options: Any) -> str:
        """The JSON that the model was read from, as text, like the SDK's method of this name.

        `exclude_unset=False` adds the fields that were not on the wire. Further options are `model_dump_json`'s.
        """
        return self.model_dump_json(indent=indent, by_alias=use_api_names, **{"exclude_unset": True, **options})

    @property
    def _request_id(self) -> str | None:
        """The header `x-request-id` of the reply with this object; None for inner objects and for those of a stream."""
        return getattr(self, "_served_as", None)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler, /) -> CoreSchema:
        strict = cast("Any", handler(source))
        if strict["type"] == "union":  # pydantic passes the result of an earlier call of this method
            return cast("CoreSchema", strict)
        _read_exactly(strict)
        return _strict_or(_forgive, strict, strict.pop("ref", None))

    if not TYPE_CHECKING:  # type checkers use pydantic's declarations

        @classmethod
        def model_rebuild(cls, **options: Any) -> bool | None:
            """Build the model's validator and serializer, and before pydantic 2.14 those of the models inside it.

            Older versions cannot dump a model of a class that is not built yet in a field that dumps any value.
            """
            done = super().model_rebuild(**options)
            for inner in () if _BUILT_WHEN_DUMPED else _models_of(cls):
                if not inner.__pydantic_complete__:
                    inner.model_rebuild()
            return done

        __pydantic_extra__: dict[str, Json[Any]]

        @property
        def model_extra(self) -> ReadOnlyDict[str, Any] | None:
            """The fields on the wire that the model does not define, read-only."""
            extra = self.__pydantic_extra__
            return extra if extra is None else ReadOnlyDict(extra)

        @property
        def model_fields_set(self) -> set[str]:
            """The names of the fields that were on the wire, as a new set that the caller may change."""
            return set(self.__pydantic_fields_set__)


_BUILT_WHEN_DUMPED: Final = tuple(map(int, VERSION.split(".")[:2])) >= (2, 14)


def _models_of(model: type[WireModel]) -> Iterator[type[WireModel]]:
    """The models in the annotations of the fields."""
    waiting: list[Any] = [field.annotation for field in model.model_fields.values()]
    while waiting:
        annotation = waiting.pop()
        waiting += get_args(annotation)
        if isinstance(annotation, type) and issubclass(annotation, WireModel):
            yield annotation


def served_as(model: _M, request_id: str | None) -> _M:
    """The same model, with `request_id` set."""
    object.__setattr__(model, "_served_as", request_id)
    return model


# -- the tolerant reading ---------------------------------------------------------------------------------------------


def _read_exactly(model: Any) -> None:
    """Make the fields of a model's schema accept only their own types, and dump any value."""
    inner = model["schema"]
    while inner["type"] != "model-fields":  # before pydantic 2.11 definitions may surround it
        inner = inner["schema"]
    for name, field in inner["fields"].items():
        schema = field["schema"]
        _take_own_types(schema)
        _replace_key(name, schema)
        schema["serialization"] = _AS_IT_IS


def _take_own_types(schema: Any) -> None:
    """Do not convert text to numbers or booleans, nor numbers or booleans to text."""
    if schema["type"] in ("int", "float", "bool"):
        schema["strict"] = True
    for inside in [schema.get("schema"), schema.get("items_schema"), *schema.get("choices", ())]:
        if isinstance(inside, dict):
            _take_own_types(inside)


def _replace_key(name: str, schema: Any) -> None:
    """Read ids as text and an index as an integer, if they have another type."""
    as_key = key_reader(name)
    while as_key is not None and schema["type"] in ("default", "nullable"):
        inside = schema["schema"]
        if inside["type"] in ("str", "int"):
            converted = core_schema.no_info_before_validator_function(as_key, inside)
            schema["schema"] = core_schema.union_schema([inside, converted], mode="left_to_right")
            break
        schema = inside


def _forgive(value: Any, handler: Callable[[Any], Any]) -> Any:
    """Read an object without its malformed fields, then set those to their values from the wire."""
    if not isinstance(value, dict):
        return handler(value)
    try:
        return handler(value)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False, include_input=False)
        off = {detail["loc"][0] for detail in details if detail["loc"]}
    model = handler({name: item for name, item in value.items() if name not in off})
    raw = {name: freeze(value[wire]) for name, wire in _names_of(type(model)) if wire in off}
    known = model.__dict__ | raw
    object.__setattr__(model, "__dict__", {name: known[name] for name in type(model).model_fields})
    object.__setattr__(model, "__pydantic_fields_set__", model.__pydantic_fields_set__ | raw.keys())
    return model


def _forgive_items(value: Any, handler: Callable[[Any], Any]) -> Any:
    """Read the items of a list one by one; malformed items keep their values from the wire."""
    return [_item(each, handler) for each in value] if isinstance(value, list) else handler(value)


def _item(value: Any, handler: Callable[[Any], Any]) -> Any:
    try:
        return handler([value])[0]
    except ValidationError:
        return freeze(value)


def _names_of(model: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Each field's name in Python and on the wire."""
    return ((name, field.alias or name) for name, field in model.model_fields.items())


class UnknownMember(WireModel):
    """A member of a union with a `type` that this version does not know; its JSON is in the attributes."""

"""What all wire models have in common, and the vocabulary that their fields are written in.

A wire model says what a field holds *when it is there*. Servers leave fields out, send null for them, add fields and
words of their own, and readers have to live with that without the annotations becoming useless. Hence four rules:

* a missing field has a default and is not in `model_fields_set`: None for values and objects (even where the
  annotation promises one, as the SDK's do), an empty list for arrays, the constant itself for `object`. Only the
  `type` that makes a value a member of its union has none;
* null is taken for any field, and stays null when dumped;
* words from a list (`Word`) are annotated as that list and read as any string;
* a member of a union whose `type` nobody knows becomes an `Unknown…` model, which keeps its JSON. A *known* `type`
  with a body that does not fit is an error.

Everything is read-only, to any depth: attributes, arrays, objects, and the fields that no model knows.

Deltas are read by the thousand, so all this is structure of the compiled validators. Only read-only arrays run Python
code, one call per array: 0.2 of the 2.7 µs that a delta of text costs. And model files do without `from __future__
import annotations`: pydantic would have to compile each annotation when they are imported, a quarter of that time,
and pydantic 2.7 would not find those of this module.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, TypeAlias, TypeVar, get_origin

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from rx_assistant.types._readonly import ReadOnlyDict, ReadOnlyList, freeze

_T = TypeVar("_T")
_K = TypeVar("_K")
_V = TypeVar("_V")

ABSENT: Final[Any] = None
"""The default of a field whose annotation promises a value: it was not on the wire."""

EMPTY: Final[Any] = ReadOnlyList[Any]()
"""The default of an array whose annotation promises one; shared, since nothing can change it."""


class _OrNull:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.nullable_schema(handler(source))


class _AnyWord:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.nullable_schema(core_schema.str_schema())


class _TextOfAny:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.nullable_schema(core_schema.str_schema(coerce_numbers_to_str=True))


class _Through:
    """What the annotation validates, passed through `convert`."""

    def __init__(self, convert: Callable[[Any], Any]) -> None:
        self._convert = convert

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._convert, handler(source))


class _AnyJson:
    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = core_schema.dict_schema() if get_origin(source) is dict else core_schema.any_schema()
        return core_schema.no_info_after_validator_function(freeze, inner)


class _NoneOf:
    """Any word but `known`: where an Unknown… model is tried, these have been tried before, and did not fit."""

    def __init__(self, *known: str) -> None:
        self.known = known

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        words = core_schema.nullable_schema(core_schema.str_schema(strict=True))
        return core_schema.no_info_after_validator_function(self._check, words)

    def _check(self, word: str | None) -> str | None:
        if word in self.known:
            raise PydanticCustomError("known_type", "{word} is a known type, whose fields are wrong", {"word": word})
        return word


Wire: TypeAlias = Annotated[_T, _OrNull()]
"""A value that the wire may also leave out or give as null."""

Word: TypeAlias = Annotated[_T, _AnyWord()]
"""One of the listed words, or one that was invented later."""

Scalar: TypeAlias = Annotated[_T, _TextOfAny()]
"""A string that some servers send as a number; read as a string."""

Array: TypeAlias = Annotated[list[_T], _Through(ReadOnlyList)]
"""A list of these, read-only."""

Table: TypeAlias = Annotated[dict[_K, _V], _Through(ReadOnlyDict)]
"""A dict of these, read-only."""

Json: TypeAlias = Annotated[_T, _AnyJson()]
"""A JSON value as it is, an object where a dict is annotated, read-only to any depth."""

UnknownWord: TypeAlias = Literal["<unknown>"]
"""What type checkers see as the `type` of an Unknown… model: a word that no other member of a union has, so that
comparing `type` narrows. At run time `type` is the wire's own word, so tell them apart with isinstance."""


def none_of(*known: str) -> Any:
    """The metadata for the `type` of an Unknown… model: any word but those that its union knows."""
    return _NoneOf(*known)


TAGGED: Final[Any] = Field(discriminator="type")
"""The union is chosen by `type`, in compiled code."""

OR_UNKNOWN: Final[Any] = Field(union_mode="left_to_right")
"""The tagged union first, and only if that fails the Unknown… model behind it."""


class WireModel(BaseModel):
    """One JSON object of the Assistants protocol, read-only; unknown fields are kept as attributes.

    `model_dump(exclude_unset=True, by_alias=True)` gives back the JSON it was read from.
    """

    model_config = ConfigDict(
        extra="allow",
        frozen=True,
        defer_build=True,
    )

    def __str__(self) -> str:
        return repr(self)  # what `print(run)` shows has the run's type in front, as with the SDK

    def to_model(self) -> Self:
        """A plain model: itself. Views in snapshots look like models and give a real one here."""
        return self

    if not TYPE_CHECKING:  # for type checkers these are pydantic's
        __pydantic_extra__: dict[str, Json[Any]]

        @property
        def model_extra(self) -> ReadOnlyDict[str, Any] | None:
            """The fields on the wire that the model does not know, read-only."""
            extra = self.__pydantic_extra__
            return extra if extra is None else ReadOnlyDict(extra)

        @property
        def model_fields_set(self) -> set[str]:
            """The names of the fields that were on the wire, as a set of the caller's own."""
            return set(self.__pydantic_fields_set__)


class UnknownMember(WireModel):
    """A member of a union whose `type` this version does not know; its JSON is in the attributes."""


_M = TypeVar("_M", bound=WireModel)


def reader(model: type[_M]) -> Callable[[bytes], _M]:
    """`model.model_validate_json` without its preamble, for hot paths: 2.7 instead of 3.1 µs per delta.

    Builds the model's validator now, if nobody has yet.
    """
    model.model_rebuild()
    read: Callable[[bytes], _M] = model.__pydantic_validator__.validate_json
    return read

"""A read-only list and a read-only dict, for the arrays and objects inside wire models.

They are real lists and dicts (equal to them, dumped and printed like them), but each method that would change them
raises TypeError. `list(x)`, `x.copy()` and `x + [...]` return ordinary ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

_T = TypeVar("_T")
_K = TypeVar("_K")
_V = TypeVar("_V")


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    kind = "list" if isinstance(self, list) else "dict"
    raise TypeError(f"this {kind} belongs to an object from the server and is read-only: copy it with {kind}(...)")


class ReadOnlyList(list[_T]):
    """A read-only list, as the server sent it."""

    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]  # a list has none
        return hash(tuple(self))

    def __copy__(self) -> ReadOnlyList[_T]:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (list(self),)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(cls, core_schema.list_schema())

    if not TYPE_CHECKING:  # type checkers see a list, so that it fits wherever the SDK's lists do
        append = extend = insert = remove = pop = clear = sort = reverse = _refuse
        __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse


class ReadOnlyDict(dict[_K, _V]):
    """A read-only dict, as the server sent it."""

    __slots__ = ()

    def __hash__(self) -> int:  # type: ignore[override]  # a dict has none
        return hash(frozenset(self.items()))

    def __copy__(self) -> ReadOnlyDict[_K, _V]:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(cls, core_schema.dict_schema())

    if not TYPE_CHECKING:  # type checkers see a dict, as above
        setdefault = update = pop = popitem = clear = _refuse
        __setitem__ = __delitem__ = __ior__ = _refuse


def freeze(value: Any) -> Any:
    """The same JSON value, with all arrays and objects in it read-only."""
    if isinstance(value, dict):
        return ReadOnlyDict({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return ReadOnlyList([freeze(item) for item in value])
    return value

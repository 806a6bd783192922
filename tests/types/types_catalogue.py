"""What there is in rx_assistant.types, found by looking: the models, their unions and request types."""

from __future__ import annotations

import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from rx_assistant import types as t


def alternatives(annotation: Any) -> Iterator[Any]:
    """The members of a union at any depth, without None and metadata; anything else is its only alternative."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from alternatives(member)
    elif annotation is not type(None):
        yield annotation


def words(annotation: Any) -> set[Any]:
    """The values that Literals of the annotation list."""
    return {word for one in alternatives(annotation) if get_origin(one) is Literal for word in get_args(one)}


def is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, t.WireModel)


EXPORTED = {name: getattr(t, name) for name in t.__all__}

MODELS: list[type[t.WireModel]] = [
    value for value in EXPORTED.values() if is_model(value) and value not in (t.WireModel, t.UnknownMember)
]

UNKNOWN = [model for model in MODELS if issubclass(model, t.UnknownMember)]

KNOWN = [model for model in MODELS if not issubclass(model, t.UnknownMember)]


def _has_unknown(annotation: Any) -> bool:
    members = list(alternatives(annotation))
    return len(members) > 1 and any(member in UNKNOWN for member in members)


UNIONS: dict[str, Any] = {name: value for name, value in EXPORTED.items() if _has_unknown(value)}
"""The unions that have an Unknown… member."""


def tags(model: type[t.WireModel]) -> set[str]:
    """The words of a known member's `type`."""
    return words(model.model_fields["type"].annotation)

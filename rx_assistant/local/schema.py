"""Shapes of request bodies and queries.

A value that does not fit raises the service's 400, with `param` and `code`. A body's shape is a table of the classes
below (`bodies.py`). `check` walks through value and shape together and stops at the first error. It converts nothing
and changes one thing: null for an optional field whose shape does not allow null means "not given", so `Record` removes
the field.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rx_assistant.local.errors import ApiError, bad_request

_SURROGATE = re.compile("[\ud800-\udfff]")


class Shape(Protocol):
    """The shape that a value must have."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The allowed JSON types, with their article: `a string`."""
        ...

    def check(self, value: object, path: str) -> None:
        """Return if `value` fits. Otherwise raise a 400 that names `path`."""
        ...


def kind_of(value: object) -> str:
    """The JSON type of a parsed value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int():
            return "an integer"
        case float():
            return "a decimal"
        case str():
            return "a string"
        case list():
            return "an array"
    return "an object"


def wrong_type(value: object, path: str, kinds: Sequence[str]) -> ApiError:
    """A 400 `invalid_type` with the expected and the received type."""
    wanted = kinds[0] if len(kinds) == 1 else "one of " + _enumerate(kinds, "or")
    got = kind_of(value)
    subject = f"Invalid type for {path!r}" if path else "Invalid body"
    return bad_request(f"{subject}: expected {wanted}, but got {got} instead.", path or None, "invalid_type")


def _enumerate(words: Sequence[str], conjunction: str) -> str:
    if len(words) < 3:
        return f" {conjunction} ".join(words)
    return ", ".join(words[:-1]) + f", {conjunction} " + words[-1]


def _bound(path: str, what: str, rule: str, got: str, code: str) -> ApiError:
    return bad_request(f"Invalid {path!r}: {what}. Expected {rule}, but got {got} instead.", path, code)


@dataclass(frozen=True, slots=True)
class Text:
    """A string of at most `longest` characters; `pattern` must match all of it."""

    longest: int | None = None
    shortest: int = 0
    pattern: str | None = None
    kinds: tuple[str, ...] = ("a string",)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, str):
            raise wrong_type(value, path, self.kinds)
        size = len(value)
        got = f"a string with length {size}"
        if self.longest is not None and size > self.longest:
            rule = f"a string with maximum length {self.longest}"
            raise _bound(path, "string too long", rule, got, "string_above_max_length")
        if size < self.shortest:
            rule = f"a string with minimum length {self.shortest}"
            raise _bound(path, "string too short", rule, got, "string_below_min_length")
        if self.pattern is not None and not re.fullmatch(self.pattern, value):
            rule = f"Expected a string that matches the pattern '{self.pattern}'."
            raise bad_request(f"Invalid {path!r}: string does not match pattern. {rule}", path, "invalid_value")


@dataclass(frozen=True, slots=True)
class Id:
    """The id of an object: any string without halves of surrogate pairs, which the storage cannot hold."""

    kinds: tuple[str, ...] = ("a string",)

    def check(self, value: object, path: str) -> None:
        Text(shortest=1).check(value, path)
        if not _SURROGATE.search(str(value)):
            return
        raise bad_request(f"Invalid {path!r}: an id must not contain half of a surrogate pair.", path, "invalid_value")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few strings."""

    values: tuple[str, ...]
    kinds: tuple[str, ...] = ("a string",)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, str):
            raise wrong_type(value, path, self.kinds)
        if value not in self.values:
            raise wrong_choice(value, path, self.values)


def wrong_choice(value: str, path: str, values: Sequence[str]) -> ApiError:
    """A 400 `invalid_value` with the supported values."""
    value = value if len(value) <= 100 else f"{value[:100]}…"
    supported = _enumerate([f"'{choice}'" for choice in values], "and")
    verb = "Supported values are" if len(values) > 1 else "Value must be"
    return bad_request(f"Invalid value: '{value}'. {verb}: {supported}.", path, "invalid_value")


@dataclass(frozen=True, slots=True)
class Whole:
    """An integer between two bounds, both included."""

    least: int | None = None
    most: int | None = None
    kinds: tuple[str, ...] = ("an integer",)

    def check(self, value: object, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(value, path, self.kinds)
        _check_bounds(value, path, self.least, self.most, "integer")


@dataclass(frozen=True, slots=True)
class Decimal:
    """A number between two bounds, both included."""

    least: float | None = None
    most: float | None = None
    kinds: tuple[str, ...] = ("a decimal",)

    def check(self, value: object, path: str) -> None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(value, path, self.kinds)
        _check_bounds(value, path, self.least, self.most, "decimal")


def _check_bounds(value: float, path: str, least: float | None, most: float | None, noun: str) -> None:
    got = str(value) if abs(value) < 2**64 else "a larger number"
    if least is not None and value < least:
        raise _bound(path, f"{noun} below minimum value", f"a value >= {least}", got, f"{noun}_below_min_value")
    if most is not None and value > most:
        raise _bound(path, f"{noun} above maximum value", f"a value <= {most}", got, f"{noun}_above_max_value")


@dataclass(frozen=True, slots=True)
class Flag:
    """A boolean."""

    kinds: tuple[str, ...] = ("a boolean",)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, bool):
            raise wrong_type(value, path, self.kinds)


@dataclass(frozen=True, slots=True)
class Items:
    """An array, each item of one shape."""

    item: Shape
    most: int | None = None
    least: int = 0
    kinds: tuple[str, ...] = ("an array",)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, list):
            raise wrong_type(value, path, self.kinds)
        size = len(value)
        got = f"an array with length {size}"
        if self.most is not None and size > self.most:
            rule = f"an array with maximum length {self.most}"
            raise _bound(path, "array too long", rule, got, "array_above_max_length")
        if size < self.least:
            rule = f"an array with minimum length {self.least}"
            raise _bound(path, "array too short", rule, got, "array_below_min_length")
        for index, item in enumerate(value):
            self.item.check(item, f"{path}[{index}]")


@dataclass(frozen=True, slots=True)
class Record:
    """An object with known fields.

    Other fields are refused unless `open`. `check` removes each field whose null means "not given".
    """

    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    exactly_one: tuple[str, ...] = ()
    at_least_one: tuple[str, ...] = ()
    open: bool = False
    kinds: tuple[str, ...] = ("an object",)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(value, path, self.kinds)
        for name in self.required:
            if name not in value:
                raise missing(_join(path, name))
        for name, item in list(value.items()):
            shape = self.fields.get(name)
            if shape is not None and item is None and name not in self.required and "null" not in shape.kinds:
                del value[name]
            elif shape is not None:
                shape.check(item, _join(path, name))
            elif not self.open:
                where = _join(path, name)
                raise bad_request(f"Unknown parameter: '{where}'.", where, "unknown_parameter")
        self._check_alternatives(value, path)

    def _check_alternatives(self, value: Mapping[str, object], path: str) -> None:
        given = [name for name in self.exactly_one if value.get(name) is not None]
        if len(given) > 1:
            names = _enumerate([f"'{_join(path, name)}'" for name in given], "and")
            raise bad_request(
                f"Mutually exclusive parameters: {names}.", _join(path, given[-1]), "mutually_exclusive_parameters"
            )
        if self.at_least_one and all(value.get(name) is None for name in self.at_least_one):
            names = _enumerate([f"'{_join(path, name)}'" for name in self.at_least_one], "or")
            raise bad_request(
                f"Missing required parameter: one of {names}.",
                _join(path, self.at_least_one[0]),
                "missing_required_parameter",
            )


def missing(path: str) -> ApiError:
    """A 400 `missing_required_parameter`."""
    return bad_request(f"Missing required parameter: '{path}'.", path, "missing_required_parameter")


@dataclass(frozen=True, slots=True)
class Tagged:
    """An object whose `type` selects one of several shapes."""

    shapes: Mapping[str, Record]
    kinds: tuple[str, ...] = ("an object",)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(value, path, self.kinds)
        where = _join(path, "type")
        if "type" not in value:
            raise missing(where)
        tag = value["type"]
        if not isinstance(tag, str):
            raise wrong_type(tag, where, ("a string",))
        shape = self.shapes.get(tag)
        if shape is None:
            raise wrong_choice(tag, where, tuple(self.shapes))
        shape.check(value, path)


@dataclass(frozen=True, slots=True)
class Table:
    """An object with any names, such as `metadata`."""

    value: Shape
    most: int = 16
    longest_name: int = 64
    kinds: tuple[str, ...] = ("an object",)

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(value, path, self.kinds)
        if len(value) > self.most:
            rule, got = f"an object with at most {self.most} properties", f"an object with {len(value)} properties"
            raise _bound(path, "too many properties", rule, got, "object_above_max_properties")
        for name, item in value.items():
            if len(name) > self.longest_name:
                rule = f"property names with maximum length {self.longest_name}"
                got = f"a name with length {len(name)}"
                raise _bound(path, "property name too long", rule, got, "property_name_above_max_length")
            self.value.check(item, _join(path, name))


@dataclass(frozen=True, slots=True)
class Either:
    """One of several shapes with different JSON types. `Null()` among them allows null."""

    shapes: tuple[Shape, ...]
    kinds: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(kind for shape in self.shapes for kind in shape.kinds))

    def check(self, value: object, path: str) -> None:
        kind = kind_of(value)
        for shape in self.shapes:
            if kind in shape.kinds or (kind == "an integer" and "a decimal" in shape.kinds):
                shape.check(value, path)
                return
        raise wrong_type(value, path, self.kinds)


@dataclass(frozen=True, slots=True)
class Null:
    """null."""

    kinds: tuple[str, ...] = ("null",)

    def check(self, value: object, path: str) -> None:
        if value is not None:
            raise wrong_type(value, path, self.kinds)


def optional(shape: Shape) -> Either:
    """That shape, or null."""
    return Either((shape, Null()))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name

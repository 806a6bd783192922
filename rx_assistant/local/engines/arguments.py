"""A JSON value for a JSON schema, filled from a message: numbers, quoted words, names after `in` or `for`.

The value has the schema's types, enums and required fields, as far as simple rules can fill them. An optional field
that the message does not mention is left out; a required one gets the schema's default or a plain word. The work is
bounded: only the first characters of the message are read, values and items are limited, and a very large schema gives
`{}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from rx_assistant.local.engine import Json
from rx_assistant.local.engines.matching import words

_NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
_QUOTED = re.compile(r"\"([^\"]{1,500})\"|“([^”]{1,500})”|`([^`]{1,500})`|(?<!\w)'([^']{1,500})'(?!\w)")
_PLACE = re.compile(r"\b(?:in|at|for|to|from|of|near|about|on)\s+((?:[A-Z][\w.-]*)(?:[ ,]+(?:[A-Z][\w.-]*))*)")
_PROPER = re.compile(r"(?<![.!?]\s)(?<!^)\b([A-Z][\w-]*(?: [A-Z][\w-]*)*)")
_PATTERNS = {
    "email": re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,63}\.[\w.-]{1,255}\w"),
    "uri": re.compile(r"https?://[^\s\"'<>]+"),
    "date": re.compile(r"\b\d{4}-\d{2}-\d{2}\b"),
    "date-time": re.compile(r"\b\d{4}-\d{2}-\d{2}T[\d:.]+(?:Z|[+-]\d{2}:\d{2})?\b"),
    "time": re.compile(r"\b\d{1,2}:\d{2}(?::\d{2})?\b"),
}
_DEFAULTS = {"email": "someone@example.com", "uri": "https://example.com", "date": "2025-01-01"}
_NO = frozenset({"no", "not", "without", "never", "off", "false", "disable"})
_DEPTH = 8
_LONGEST_MESSAGE = 8_000  # characters
_LONGEST_NUMBER = 300  # characters; a double takes no more
_MOST_SCHEMA_VALUES = 5_000
_MOST_VALUES = 1_000
_MOST_ITEMS = 100

Schema = Mapping[str, Json]


def fill(schema: Schema, message: str) -> Json:
    """A value for `schema`. Function parameters are an object, so they give an object."""
    if _size(schema) > _MOST_SCHEMA_VALUES:
        return {}
    return _Filling(schema, message).value(schema or {"type": "object"}, "", _DEPTH, required=True)


def _size(schema: Json) -> int:
    """The number of values in the schema. Counting stops a little past the limit."""
    size, waiting = 0, [schema]
    while waiting and size <= _MOST_SCHEMA_VALUES:
        value = waiting.pop()
        size += 1
        if isinstance(value, Mapping):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
    return size


class _Filling:
    """Reads one message. A word that one field has used is not used again."""

    def __init__(self, root: Schema, message: str) -> None:
        self._root = root
        self._message = message = message[:_LONGEST_MESSAGE]
        self._left = _MOST_VALUES
        self._numbers = [number for number in _NUMBER.findall(message) if len(number) <= _LONGEST_NUMBER]
        self._phrases = list(dict.fromkeys(_phrases(message)))
        self._words = words(message)
        self._said = frozenset(re.findall(r"\w+", message.lower()))
        self._fallback = message.strip().rstrip("?!.") or "something"

    def value(self, schema: Schema, name: str, depth: int, *, required: bool) -> Json:
        """The value; None if the message does not mention it and it is optional, or if there are too many values."""
        self._left -= 1
        if self._left < 0:
            return None
        schema = self._resolved(schema)
        if "const" in schema:
            return schema["const"]
        choices = schema.get("enum")
        if isinstance(choices, list) and choices:
            return self._choice(choices, schema, required)
        match _type(schema):
            case "object":
                return self._object(schema, depth, required)
            case "array":
                return self._array(schema, name, depth, required)
            case "integer" | "number":
                return self._number(schema, required)
            case "boolean":
                return self._boolean(schema, name, required)
            case "null":
                return None
        return self._string(schema, required)

    def _resolved(self, schema: Schema) -> Schema:
        """The schema with references resolved; of alternatives, the first that is not null."""
        for _ in range(_DEPTH):
            reference = schema.get("$ref")
            alternatives = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
            if isinstance(reference, str):
                schema = self._referred(reference)
            elif isinstance(alternatives, list) and alternatives:
                candidates = [item for item in alternatives if isinstance(item, Mapping)]
                chosen = next((item for item in candidates if item.get("type") != "null"), {})
                schema = {**{key: item for key, item in schema.items() if not key.endswith("Of")}, **chosen}
            else:
                break
        return schema

    def _referred(self, reference: str) -> Schema:
        value: Json = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            if part:
                value = value.get(part) if isinstance(value, Mapping) else None
        return value if isinstance(value, Mapping) else {}

    def _object(self, schema: Schema, depth: int, required: bool) -> Json:
        """First the fields that the message mentions; then, if there are any, the other required fields."""
        properties = schema.get("properties")
        demanded = schema.get("required")
        needed = [name for name in demanded if isinstance(name, str)] if isinstance(demanded, list) else []
        if not isinstance(properties, Mapping) or not depth:
            return {} if required else None
        value: dict[str, Json] = {}
        first = frozenset(needed)
        for name in sorted(properties, key=lambda name: name not in first):
            self._put(value, name, properties[name], depth, required=False)
        if not value and not required:
            return None
        for name in needed:
            if name in properties and name not in value:
                self._put(value, name, properties[name], depth, required=True)
        return {name: value[name] for name in properties if name in value}

    def _put(self, value: dict[str, Json], name: str, schema: Json, depth: int, *, required: bool) -> None:
        if isinstance(schema, Mapping):
            found = self.value(schema, name, depth - 1, required=required)
            if found is not None or required:
                value[name] = found

    def _array(self, schema: Schema, name: str, depth: int, required: bool) -> Json:
        items = schema.get("items")
        if not isinstance(items, Mapping) or not depth:
            return [] if required else None
        kind = _type(self._resolved(items))
        most = {"string": len(self._phrases), "integer": len(self._numbers), "number": len(self._numbers)}.get(kind, 1)
        most = min(most, _MOST_ITEMS)
        found: list[Json] = [self.value(items, name, depth - 1, required=False) for _ in range(most)]
        present: list[Json] = [item for item in found if item is not None]
        least = schema.get("minItems")
        missing = min(least if isinstance(least, int) else int(required), _MOST_ITEMS) - len(present)
        present += [self.value(items, name, depth - 1, required=True) for _ in range(max(0, missing))]
        return present or ([] if required else None)

    def _number(self, schema: Schema, required: bool) -> Json:
        whole = _type(schema) == "integer"
        for text in self._numbers:
            number = int(float(text)) if whole else float(text)
            if _within(schema, number):
                self._numbers.remove(text)
                return number
        default = schema.get("default")
        if default is not None:
            return default
        least = schema.get("minimum")
        floor = (
            least if isinstance(least, int | float) else 1
        )  # at most a double, because the server accepts no larger number
        return (int(floor) if whole else float(floor)) if required else None

    def _boolean(self, schema: Schema, name: str, required: bool) -> Json:
        if words(name) & self._words:
            return not self._said & _NO
        default = schema.get("default")
        if isinstance(default, bool):
            return default
        return True if required else None

    def _choice(self, choices: list[Json], schema: Schema, required: bool) -> Json:
        lowered = self._message.lower()
        for choice in choices:
            if isinstance(choice, str) and _says(lowered, choice.lower()):
                self._phrases = [phrase for phrase in self._phrases if phrase.lower() != choice.lower()]
                return choice
        default = schema.get("default")
        return default if default is not None else choices[0] if required else None

    def _string(self, schema: Schema, required: bool) -> Json:
        kind = str(schema.get("format", ""))
        pattern = _PATTERNS.get(kind)
        if pattern is not None:
            found = pattern.search(self._message)
            if found:
                return found.group()
            return _DEFAULTS.get(kind, self._fallback) if required else None
        if self._phrases:
            return self._phrases.pop(0)
        default = schema.get("default")
        if isinstance(default, str):
            return default
        return self._fallback if required else None


def _says(message: str, word: str) -> bool:
    return word in message and re.search(rf"\b{re.escape(word)}\b", message) is not None


def _phrases(message: str) -> Iterator[str]:
    """Candidates for a string: quotations first, then names after a preposition, then other names."""
    for quoted in _QUOTED.findall(message):
        yield next(text for text in quoted if text)
    for place in _PLACE.findall(message):
        yield place.strip(" ,.")
    for proper in _PROPER.findall(message):
        if proper != "I":
            yield proper.strip(" ,.")


def _type(schema: Schema) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((item for item in kind if item != "null"), "null")
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else ""


def _within(schema: Schema, number: float) -> bool:
    least, most = schema.get("minimum"), schema.get("maximum")
    above = not isinstance(least, int | float) or number >= least
    return above and (not isinstance(most, int | float) or number <= most)

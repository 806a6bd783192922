"""Unfinished JSON → the value so far. Knows nothing of function calls.

A value only grows: a part that later text could change is not shown.
- An unfinished string is shown up to its last whole character. A cut escape, or the first half of a surrogate
  pair, is left out until the rest arrives.
- Unfinished lists and objects are closed; a key appears together with its value.
- A number appears once the next character shows that it has ended: `12` may become `120`. A literal appears when
  it is complete.

How: the scan tracks the open brackets and the last position where closing them gives a whole document.
`json.loads` reads that document, so exactly its JSON is accepted. Malformed text raises `json.JSONDecodeError`, at
the latest with the next comma or bracket after the fault. Text with too many levels for `json.loads` raises it too.
"""

from __future__ import annotations

import json
import re
from typing import TypeAlias

__all__ = ["JSONValue", "PartialJSON", "parse_partial"]

JSONValue: TypeAlias = "bool | int | float | str | list[JSONValue] | dict[str, JSONValue] | None"

# The first half of a surrogate pair; an escape that the end of the text cuts.
_HIGH = r"u[dD][89abAB][0-9a-fA-F]{2}"
_CUT_ESCAPE = r"(?:\\(?:u[0-9a-fA-F]{0,3})?)?\Z"
# A structural character, or a string as far as it goes; `end` is there if it has ended.
_TOKEN = re.compile(
    rf'"[^"\\]*+(?:\\(?:[^u]|(?!{_HIGH}{_CUT_ESCAPE})u[0-9a-fA-F]{{4}})[^"\\]*+)*+(?P<end>")?|[\[\]{{}},:]',
    re.DOTALL,
)
_CLOSER = {"{": "}", "[": "]"}
_CUT_STRING = re.compile(rf"(?:\\{_HIGH})?{_CUT_ESCAPE}")
# After the last token: a number or literal that is complete.
_ENDED_WORD = re.compile(r"\s*+(?:(?:true|false|null)\Z|\S++\s)")


def parse_partial(text: str) -> JSONValue:
    """The value so far; None if there is none yet.

    ```python
    assert parse_partial('{"city": "Par') == {"city": "Par"}
    assert parse_partial('{"city": "Paris", "days": 1') == {"city": "Paris"}
    ```

    Raises `json.JSONDecodeError` for malformed text.
    """
    parser = PartialJSON()
    parser.push(text)
    return parser.value


class PartialJSON:
    """The value so far of a text that arrives in fragments; cheap enough to read after every fragment.

    The text is parsed again only when it has grown by a ninth. So n characters cost the parsing of at most 10 n.
    """

    __slots__ = (
        "_closers",
        "_cut",
        "_error",
        "_fragments",
        "_last",
        "_length",
        "_parsed",
        "_scanned",
        "_shown",
        "_value",
    )

    def __init__(self) -> None:
        self._fragments: list[str] = []
        self._length = 0
        self._parsed = 0  # length of the text at the last parse
        self._shown = ""  # the document of the last parse
        self._value: JSONValue = None
        self._error: tuple[str, int] | None = None
        # The scan: its position, where the document may be cut, the closing brackets due, the last token.
        self._scanned = 0
        self._cut = 0
        self._closers: list[str] = []
        self._last = ""

    @property
    def text(self) -> str:
        """All fragments, joined."""
        if len(self._fragments) > 1:
            self._fragments = ["".join(self._fragments)]
        return "".join(self._fragments)

    @property
    def value(self) -> JSONValue:
        """The value so far, of at least nine tenths of the text; None if there is none yet.

        The same object is returned until a new value is parsed, and it never changes. Raises
        `json.JSONDecodeError` once the text is malformed.
        """
        if self._parsed * 10 < self._length * 9 and self._error is None:
            self._parse()
        if self._error is not None:
            message, position = self._error
            raise json.JSONDecodeError(message, self.text, position)
        return self._value

    def push(self, fragment: str) -> None:
        """Appends a fragment."""
        self._fragments.append(fragment)
        self._length += len(fragment)

    def finish(self) -> JSONValue:
        """The exact value of the whole text, as `json.loads` reads it.

        Raises `json.JSONDecodeError` if the text is malformed or unfinished.
        """
        return _loads(self.text, self.text)

    def _parse(self) -> None:
        text = self.text
        self._parsed = self._length
        try:
            whole = self._scan(text)
            if whole != self._shown:
                self._value = _loads(whole, text)
                self._shown = whole
        except json.JSONDecodeError as error:
            self._error = (error.msg, error.pos)

    def _scan(self, text: str) -> str:
        """The text so far as a whole document; empty if there is no value yet."""
        closers = self._closers
        for token in _TOKEN.finditer(text, self._scanned):
            start, end = token.span()
            char = text[start]
            if char == '"':
                is_key = closers[-1:] == ["}"] and self._last in "{,"
                if token["end"] is None:
                    _check_open_string(text, end)
                    return self._closed(text, self._cut) if is_key else self._closed(text, end, '"')
                if not is_key:
                    self._cut = end
            elif char in _CLOSER:
                closers.append(_CLOSER[char])
                self._cut = end
            elif char in "]}":
                del closers[-1:]
                self._cut = end
            elif char == ",":
                self._cut = start if closers else end
            self._last = char
            self._scanned = end
        return self._closed(text, len(text) if _ENDED_WORD.match(text, self._scanned) else self._cut)

    def _closed(self, text: str, cut: int, closer: str = "") -> str:
        return text[:cut] + closer + "".join(reversed(self._closers))


def _check_open_string(text: str, end: int) -> None:
    if not _CUT_STRING.match(text, end):
        raise json.JSONDecodeError("Invalid \\uXXXX escape", text, end)


def _loads(document: str, text: str) -> JSONValue:
    """The document's value. Errors refer to `text`, which the document was made from."""
    try:
        value: JSONValue = json.loads(document)
    except json.JSONDecodeError as error:
        raise json.JSONDecodeError(error.msg, text, min(error.pos, len(text))) from None
    except RecursionError:
        raise json.JSONDecodeError("Too many levels", text, len(text)) from None
    except ValueError as error:  # Python refuses to read integers of thousands of digits
        raise json.JSONDecodeError(str(error), text, len(text)) from error
    return value

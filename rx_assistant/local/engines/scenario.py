"""Scenarios: the script of a scripted assistant, in YAML or JSON.

    chunk: token              # how texts are cut into deltas: token (default), character, whole, or so many characters
    pause: 0                  # seconds before each delta
    files:                    # files that steps below refer to by name; text, or {base64: ...}
      plot.png: {base64: iVBORw0KGgo=}
    runs:                     # the first entry that fits answers a run
      - match: weather        # a regular expression searched in the last user message, without case; left out: any
        times: 1              # how many runs it answers; left out: any number
        turns:                # one per round of tool outputs; after the last, a run just completes
          - - text: Let me look.
            - calls:
                - {function: get_weather, arguments: {city: Paris}, id: call_1}
                - {function: get_weather, arguments: '{"city": "Ro'}      # a string is sent unchanged
              interleave: true                                            # fragments of the calls take turns
          - - text: "Paris: {output:call_1}, all: {outputs}. You asked: {message}"
    faults:                   # replies instead of the server's own, before anything is done
      - {request: POST /threads/*/runs, times: 2, status: 429, headers: {retry-after: "0"}, message: Slow down.}
      - {request: GET /threads/*, status: 200, html: <html>maintenance</html>}

Steps of a turn:
    text: ...                 also `chunk`, `pause`, and `cite: [{text: 【0†a.txt】, file: a.txt}]` (`kind: file_path`)
    refusal: ...              also `chunk`, `pause`
    image_file: plot.png      a name from `files`, or a file's id; also `detail`
    image_url: https://...    also `detail`
    calls: [...]              also `interleave`, `chunk`, `pause`. A call is one of
                                {function: name, arguments: {...}, id: ...}
                                {code: print(1), logs: [...], images: [...], id: ...}, which is run by a server
                                  with `code` if it has neither logs nor images
                                {search: the query, most: 5, id: ...}, which searches the vector stores
    pause: 0.5                seconds
    gate: name                waits for `Server.release(name)`
    usage: {prompt_tokens: 1, completion_tokens: 2, cached_tokens: 0, reasoning_tokens: 0}
    fail: why                 the run fails; also `code` (server_error, rate_limit_exceeded, invalid_prompt) and
                              `reason: content_filter` for the message that stays incomplete
    incomplete: max_completion_tokens    (or max_prompt_tokens)
    error_event: why          the stream ends with an `error` event; also `code`, `flat: true` for the documented shape
    raise: why                the engine raises
    raw: ": ping\\n\\n"       bytes for the stream, sent unchanged
    new_part, end_step, expire, cut, hang        words without a value. `cut` breaks the connections, `hang` never ends
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import yaml

from rx_assistant.errors import ConfigurationError
from rx_assistant.local.errors import ApiError, bad_request
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.schema import (
    Choice,
    Decimal,
    Either,
    Flag,
    Items,
    Null,
    Record,
    Shape,
    Table,
    Text,
    Whole,
    kind_of,
    wrong_choice,
    wrong_type,
)

WORDS = ("new_part", "end_step", "expire", "cut", "hang")

_CHUNK = Either((Choice(("token", "character", "whole")), Whole(1)))
_PACE: dict[str, Shape] = {"chunk": _CHUNK, "pause": Decimal(0)}
_DETAIL = Choice(("auto", "low", "high"))
_ID = Text(shortest=1)
_TEXTS = Items(Text())
_CITATION = Record({"text": _ID, "file": _ID, "kind": Choice(("file_citation", "file_path"))}, ("text", "file"))
_COUNT = Whole(0)


class _Readable:
    """A string that must be parsable, such as a regular expression."""

    kinds: tuple[str, ...] = ("a string",)

    def __init__(self, what: str, read: Callable[[str], object]) -> None:
        self._what = what
        self._read = read

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, str):
            raise wrong_type(value, path, self.kinds)
        try:
            self._read(value)
        except (ValueError, re.error) as error:
            raise bad_request(f"Invalid '{path}': it must be a {self._what}: {error}.", path) from error


class _OneOf:
    """An object that has one of several keys, which decides its kind."""

    kinds: tuple[str, ...] = ("an object",)

    def __init__(self, shapes: Mapping[str, Record]) -> None:
        self._shapes = {key: replace(shape, required=(key, *shape.required)) for key, shape in shapes.items()}

    def check(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            raise wrong_type(value, path, self.kinds)
        for key, shape in self._shapes.items():
            if key in value:
                shape.check(value, path)
                return
        raise wrong_choice(", ".join(value), path, tuple(self._shapes))


_CALL = _OneOf(
    {
        "function": Record({"function": _ID, "arguments": Either((Text(), Record({}, open=True))), "id": _ID}),
        "code": Record({"code": Text(), "logs": _TEXTS, "images": _TEXTS, "id": _ID}),
        "search": Record({"search": Text(), "most": Whole(1, 50), "id": _ID}),
    }
)
_USAGE = Record(dict.fromkeys(("prompt_tokens", "completion_tokens", "cached_tokens", "reasoning_tokens"), _COUNT))
STEPS: Mapping[str, Record] = {
    "text": Record({"text": Text(), "cite": Items(_CITATION), **_PACE}),
    "refusal": Record({"refusal": Text(), **_PACE}),
    "image_file": Record({"image_file": _ID, "detail": _DETAIL}),
    "image_url": Record({"image_url": _ID, "detail": _DETAIL}),
    "calls": Record({"calls": Items(_CALL, least=1), "interleave": Flag(), **_PACE}),
    "gate": Record({"gate": _ID}),
    "usage": Record({"usage": _USAGE}),
    "fail": Record(
        {
            "fail": Text(),
            "code": Choice(("server_error", "rate_limit_exceeded", "invalid_prompt")),
            "reason": Choice(("run_failed", "content_filter")),
        }
    ),
    "incomplete": Record({"incomplete": Choice(("max_completion_tokens", "max_prompt_tokens"))}),
    "error_event": Record({"error_event": Text(), "code": Either((Text(), Null())), "flat": Flag()}),
    "raise": Record({"raise": Text()}),
    "raw": Record({"raw": Text()}),
    "pause": Record({"pause": Decimal(0)}),
}
_STEP = Either((Choice(WORDS), _OneOf(STEPS)))
_RUN = Record(
    {"match": _Readable("regular expression", re.compile), "times": Whole(1), "turns": Items(Items(_STEP))}, ("turns",)
)
_FAULT = Record(
    {
        "request": Text(pattern=r"(\*|[A-Z]+) /\S*"),
        "times": Whole(1),
        "status": Whole(200, 599),
        "headers": Table(Text(), 64, 256),
        "message": Text(),
        "type": Text(),
        "code": Text(),
        "html": Text(),
    },
    ("request", "status"),
)
_FILE = Either((Text(), Record({"base64": _Readable("string in base64", base64.b64decode)}, ("base64",))))
_SCENARIO = Record(
    {
        "chunk": _CHUNK,
        "pause": Decimal(0),
        "files": Table(_FILE, 1000, 256),
        "runs": Items(_RUN),
        "faults": Items(_FAULT),
    }
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A checked scenario, as plain data."""

    value: JsonObject

    @classmethod
    def load(cls, source: str | Path | Mapping[str, object]) -> Scenario:
        """A scenario from a file's path or from data. ConfigurationError names the wrong place."""
        if isinstance(source, Mapping):
            return cls._checked(json.loads(json.dumps(source)), "the scenario")
        try:
            value = yaml.safe_load(Path(source).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigurationError(f"script must name a YAML or JSON file, got {str(source)!r}: {error}") from error
        return cls._checked(value, repr(str(source)))

    @classmethod
    def _checked(cls, value: object, name: str) -> Scenario:
        try:
            _SCENARIO.check(value, "")
        except ApiError as error:
            raise ConfigurationError(f"{name} must be a scenario: {error.message}") from error
        if not isinstance(value, dict):
            raise ConfigurationError(f"{name} must be a mapping, got {kind_of(value)}")
        return cls(cast(JsonObject, value))

"""The shape of each operation's body, with the limits of the published OpenAPI document."""

from __future__ import annotations

from rx_assistant.lifecycle import VECTOR_STORE_FILE
from rx_assistant.local.errors import bad_request
from rx_assistant.local.schema import (
    Choice,
    Decimal,
    Either,
    Flag,
    Id,
    Items,
    Null,
    Record,
    Shape,
    Table,
    Tagged,
    Text,
    Whole,
    optional,
)

_NAME = r"[a-zA-Z0-9_-]+"
_OBJECT = Record({}, open=True)
_ID = Id()

METADATA = optional(Table(Text(512)))
ATTRIBUTES = optional(Table(Either((Text(512), Decimal(), Flag()))))

_RANKERS = ("auto", "default_2024_08_21")
_CODE_TOOL = Record({"type": Text()}, open=True)
_SEARCH_TOOL = Record(
    {
        "type": Text(),
        "file_search": Record(
            {
                "max_num_results": Whole(1, 50),
                "ranking_options": Record(
                    {"ranker": Choice(_RANKERS), "score_threshold": Decimal(0, 1)}, ("score_threshold",), open=True
                ),
            },
            open=True,
        ),
    },
    open=True,
)
_FUNCTION_TOOL = Record(
    {
        "type": Text(),
        "function": Record(
            {
                "name": Text(64, 1, _NAME),
                "description": Text(),
                "parameters": _OBJECT,
                "strict": optional(Flag()),
            },
            ("name",),
            open=True,
        ),
    },
    ("function",),
    open=True,
)
_TOOL = Tagged({"code_interpreter": _CODE_TOOL, "file_search": _SEARCH_TOOL, "function": _FUNCTION_TOOL})
_ATTACHMENT_TOOL = Tagged({"code_interpreter": _CODE_TOOL, "file_search": _CODE_TOOL})

_AUTO_CHUNKING = Record({"type": Text()})
_STATIC_CHUNKING = Record(
    {
        "type": Text(),
        "static": Record(
            {"max_chunk_size_tokens": Whole(100, 4096), "chunk_overlap_tokens": Whole(0)},
            ("max_chunk_size_tokens", "chunk_overlap_tokens"),
        ),
    },
    ("static",),
)
CHUNKING = Tagged({"auto": _AUTO_CHUNKING, "static": _STATIC_CHUNKING})

_CODE_RESOURCES = Record({"file_ids": Items(_ID, 20)}, open=True)
_RESOURCES = optional(
    Record(
        {
            "code_interpreter": _CODE_RESOURCES,
            "file_search": Record({"vector_store_ids": Items(_ID, 1)}, open=True),
        },
        open=True,
    )
)
_NEW_STORE = Record({"file_ids": Items(_ID, 10_000), "chunking_strategy": CHUNKING, "metadata": METADATA}, open=True)
_NEW_RESOURCES = optional(
    Record(
        {
            "code_interpreter": _CODE_RESOURCES,
            "file_search": Record(
                {"vector_store_ids": Items(_ID, 1), "vector_stores": Items(_NEW_STORE, 1)},
                exactly_one=("vector_store_ids", "vector_stores"),
                open=True,
            ),
        },
        open=True,
    )
)

_RESPONSE_FORMAT = optional(
    Either(
        (
            Choice(("auto",)),
            Tagged(
                {
                    "text": Record({"type": Text()}, open=True),
                    "json_object": Record({"type": Text()}, open=True),
                    "json_schema": Record(
                        {
                            "type": Text(),
                            "json_schema": Record(
                                {
                                    "name": Text(64, 1, _NAME),
                                    "description": Text(),
                                    "schema": _OBJECT,
                                    "strict": optional(Flag()),
                                },
                                ("name",),
                                open=True,
                            ),
                        },
                        ("json_schema",),
                        open=True,
                    ),
                }
            ),
        )
    )
)
_EFFORT = optional(Choice(("none", "minimal", "low", "medium", "high", "xhigh", "max")))

_ASSISTANT: dict[str, Shape] = {
    "model": Text(shortest=1),
    "name": optional(Text(256)),
    "description": optional(Text(512)),
    "instructions": optional(Text(256_000)),
    "reasoning_effort": _EFFORT,
    "tools": Items(_TOOL, 128),
    "metadata": METADATA,
    "temperature": optional(Decimal(0, 2)),
    "top_p": optional(Decimal(0, 1)),
    "response_format": _RESPONSE_FORMAT,
}
CREATE_ASSISTANT = Record({**_ASSISTANT, "tool_resources": _NEW_RESOURCES}, ("model",))
MODIFY_ASSISTANT = Record({**_ASSISTANT, "tool_resources": _RESOURCES})

_DETAIL = Choice(("auto", "low", "high"))
_CONTENT_PART = Tagged(
    {
        "text": Record({"type": Text(), "text": Text(256_000)}, ("text",), open=True),
        "image_file": Record(
            {"type": Text(), "image_file": Record({"file_id": _ID, "detail": _DETAIL}, ("file_id",), open=True)},
            ("image_file",),
            open=True,
        ),
        "image_url": Record(
            {"type": Text(), "image_url": Record({"url": Text(shortest=1), "detail": _DETAIL}, ("url",), open=True)},
            ("image_url",),
            open=True,
        ),
    }
)
_ATTACHMENT = Record({"file_id": _ID, "tools": Items(_ATTACHMENT_TOOL)}, ("file_id", "tools"), open=True)
CREATE_MESSAGE = Record(
    {
        "role": Choice(("user", "assistant")),
        "content": Either((Text(256_000, 1), Items(_CONTENT_PART, least=1))),
        "attachments": optional(Items(_ATTACHMENT)),
        "metadata": METADATA,
    },
    ("role", "content"),
)
MODIFY_METADATA = Record({"metadata": METADATA})

CREATE_THREAD = Record({"messages": Items(CREATE_MESSAGE), "tool_resources": _NEW_RESOURCES, "metadata": METADATA})
MODIFY_THREAD = Record({"tool_resources": _RESOURCES, "metadata": METADATA})

_NAMED_FUNCTION = Record({"type": Text(), "function": Record({"name": Text()}, ("name",), open=True)}, open=True)
_TOOL_CHOICE = optional(
    Either(
        (
            Choice(("none", "auto", "required")),
            Tagged(
                {
                    "function": _NAMED_FUNCTION,
                    "code_interpreter": Record({"type": Text()}, open=True),
                    "file_search": Record({"type": Text()}, open=True),
                }
            ),
        )
    )
)
_RUN: dict[str, Shape] = {
    "assistant_id": _ID,
    "model": optional(Text(shortest=1)),
    "instructions": optional(Text(256_000)),
    "tools": optional(Items(_TOOL, 20)),
    "metadata": METADATA,
    "temperature": optional(Decimal(0, 2)),
    "top_p": optional(Decimal(0, 1)),
    "stream": optional(Flag()),
    "max_prompt_tokens": optional(Whole(256)),
    "max_completion_tokens": optional(Whole(256)),
    "truncation_strategy": optional(
        Record({"type": Choice(("auto", "last_messages")), "last_messages": optional(Whole(1))}, ("type",), open=True)
    ),
    "tool_choice": _TOOL_CHOICE,
    "parallel_tool_calls": Flag(),
    "response_format": _RESPONSE_FORMAT,
    "reasoning_effort": _EFFORT,
}
CREATE_RUN = Record(
    {
        **_RUN,
        "additional_instructions": optional(Text(256_000)),
        "additional_messages": optional(Items(CREATE_MESSAGE)),
    },
    ("assistant_id",),
)
CREATE_THREAD_AND_RUN = Record({**_RUN, "thread": CREATE_THREAD, "tool_resources": _RESOURCES}, ("assistant_id",))
SUBMIT_TOOL_OUTPUTS = Record(
    {
        "tool_outputs": Items(Record({"tool_call_id": _ID, "output": Text()}, ("tool_call_id",), open=True)),
        "stream": optional(Flag()),
    },
    ("tool_outputs",),
)

_STORE_EXPIRY = Record({"anchor": Choice(("last_active_at",)), "days": Whole(1, 365)}, ("anchor", "days"), open=True)
CREATE_VECTOR_STORE = Record(
    {
        "file_ids": Items(_ID, 500),
        "name": optional(Text()),
        "description": optional(Text()),
        "expires_after": optional(_STORE_EXPIRY),
        "chunking_strategy": CHUNKING,
        "metadata": METADATA,
    }
)
MODIFY_VECTOR_STORE = Record({"name": optional(Text()), "expires_after": optional(_STORE_EXPIRY), "metadata": METADATA})
_STORE_FILE: dict[str, Shape] = {"file_id": _ID, "chunking_strategy": CHUNKING, "attributes": ATTRIBUTES}
CREATE_VECTOR_STORE_FILE = Record(_STORE_FILE, ("file_id",))
MODIFY_VECTOR_STORE_FILE = Record({"attributes": ATTRIBUTES}, ("attributes",))
CREATE_FILE_BATCH = Record(
    {
        "file_ids": Items(_ID, 2000, 1),
        "files": Items(Record(_STORE_FILE, ("file_id",)), 2000, 1),
        "chunking_strategy": CHUNKING,
        "attributes": ATTRIBUTES,
    },
    at_least_one=("file_ids", "files"),
    exactly_one=("file_ids", "files"),
)


class _Filter:
    """A comparison, or `and` / `or` of filters: at most `_DEPTH` levels and at most `_MOST_VALUES` values.

    Each value is compared with the attributes of every file in the store, so the number is limited.
    """

    kinds: tuple[str, ...] = ("an object",)
    _DEPTH = 32
    _MOST_VALUES = 500

    def check(self, value: object, path: str) -> None:
        self._check(value, path, self._DEPTH)
        size = _filter_values(value)
        if size > self._MOST_VALUES:
            message = f"Invalid {path!r}: a filter must compare with at most {self._MOST_VALUES} values, got {size}."
            raise bad_request(message, path, "array_above_max_length")

    def _check(self, value: object, path: str, depth: int) -> None:
        inner = Items(_Inner(self, depth - 1)) if depth else Items(Null())
        compound = Record({"type": Text(), "filters": inner}, ("filters",))
        shapes = dict.fromkeys(("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin"), _COMPARISON)
        Tagged({**shapes, "and": compound, "or": compound}).check(value, path)


def _filter_values(filter: object) -> int:
    """The number of values in a checked filter, at least one for each filter in it."""
    match filter:
        case {"filters": list(inner)}:
            return 1 + sum(map(_filter_values, inner))
        case {"value": list(values)}:
            return max(1, len(values))
    return 1


class _Inner:
    kinds: tuple[str, ...] = ("an object",)

    def __init__(self, filter: _Filter, depth: int) -> None:
        self._filter = filter
        self._depth = depth

    def check(self, value: object, path: str) -> None:
        self._filter._check(value, path, self._depth)


_COMPARISON = Record(
    {
        "type": Text(),
        "key": Text(shortest=1),
        "value": Either((Text(), Decimal(), Flag(), Items(Either((Text(), Decimal()))))),
    },
    ("key", "value"),
)
SEARCH = Record(
    {
        "query": Either((Text(shortest=1), Items(Text(shortest=1), 64, 1))),
        "rewrite_query": Flag(),
        "max_num_results": Whole(1, 50),
        "filters": optional(_Filter()),
        "ranking_options": Record(
            {"ranker": Choice(("none", "auto", "default-2024-11-15")), "score_threshold": Decimal(0, 1)}
        ),
    },
    ("query",),
)
UPLOAD = Record(
    {
        "purpose": Choice(("assistants", "batch", "fine-tune", "vision", "user_data", "evals")),
        "expires_after": Record(
            {"anchor": Choice(("created_at",)), "seconds": Whole(3600, 2_592_000)}, ("anchor", "seconds")
        ),
    },
    ("purpose",),
)

ORDER = Choice(("asc", "desc"))
LIST: dict[str, Shape] = {"limit": Whole(1, 100), "order": ORDER, "after": Text(), "before": Text()}
LIST_FILES: dict[str, Shape] = {"limit": Whole(1, 10_000), "order": ORDER, "after": Text(), "purpose": Text()}
LIST_MESSAGES: dict[str, Shape] = {**LIST, "run_id": Text()}
LIST_STORE_FILES: dict[str, Shape] = {
    **LIST,
    "filter": Choice(tuple(VECTOR_STORE_FILE.transitions)),
}
INCLUDE: dict[str, Shape] = {"include[]": Items(Choice(("step_details.tool_calls[*].file_search.results[*].content",)))}

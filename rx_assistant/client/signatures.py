"""The methods' signatures for `help()`, notebooks and completion, with each parameter.

The code has `**params: Unpack[…]`, which type checkers and editors read. At runtime `spell_out` gives each method the
signature that follows from it, and adds a line for each parameter to its docstring.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar, get_overloads

from rx_assistant.api.request import OMIT

F = TypeVar("F", bound=Callable[..., Any])

PARAMETERS: Final = {
    "additional_instructions": "Instructions for this run, after the assistant's own.",
    "additional_messages": "Messages to add to the thread before the run.",
    "after": "The id of an object; the list begins after it.",
    "assistant_id": "The assistant that answers.",
    "attachments": "Files for the tools, such as `{'file_id': …, 'tools': [{'type': 'file_search'}]}`.",
    "attributes": "Up to 16 names with values, to filter searches by.",
    "background": "Whether the response continues when the connection breaks.",
    "backoff": "How the pauses between two requests grow: a `Backoff`.",
    "before": "The id of an object; the list ends before it.",
    "cancel_wait": "Seconds that leaving the block waits for a run that it has cancelled; 2 by default.",
    "choice": "With `n`, which choice becomes the run. The others are unknown events.",
    "chunking_strategy": "How a file is cut into passages; sizes are in tokens.",
    "content": "A text, or a list of parts.",
    "conversation": "The conversation that the response belongs to.",
    "description": "A description, for people.",
    "event_handler": "An event handler; `with` then returns it instead of the stream.",
    "expires_after": "When it is deleted: seconds after the creation of a file, days after the last use of a store.",
    "extra_body": "Members to add to the request's body.",
    "extra_headers": "Headers to add to the request; None removes one.",
    "extra_query": "Parameters to add to the request's query.",
    "file": "A path, bytes, an open file, or a tuple of name, content and type.",
    "file_id": "The file, by its id.",
    "file_ids": "Files that are on the server, by their ids.",
    "files": "The files to upload; or, in `create`, files with attributes of their own.",
    "filter": "Only files with this status.",
    "filters": "Conditions for the attributes of the files to search.",
    "frequency_penalty": "From -2 to 2: above 0, repeated words become less likely.",
    "idle_grace": "Seconds after the last reader has left, before the action of `on_idle`.",
    "include": "Parts that the server leaves out otherwise, such as the content of search results.",
    "input": "A text, or a list of items.",
    "instructions": "Instructions for the assistant. In a run they replace the assistant's own.",
    "limit": "How many objects a page has, from 1 to 100.",
    "logit_bias": "Token ids with a bias from -100 to 100.",
    "logprobs": "Whether the probabilities of tokens are returned.",
    "max_completion_tokens": "How many tokens the model may write; a run that needs more is incomplete.",
    "max_concurrency": "How many files are uploaded, or calls run, at once.",
    "max_event_bytes": "How large one event may be, in bytes.",
    "max_num_results": "How many results are returned, from 1 to 50.",
    "max_output_tokens": "How many tokens the model may write.",
    "max_pending": 'With `replay="none"`: how many bytes a reader may be behind.',
    "max_prompt_tokens": "How many tokens the prompts of the run may have.",
    "max_tokens": "How many tokens the model may write.",
    "approve": "Decides whether a call may run: a function, an Observable of decisions, or an `Approval`.",
    "eager": "Whether a call starts as soon as its arguments are complete, before the run requires action.",
    "expose_errors": "What the model gets of an exception: `type`, `message`, or the text that a function returns.",
    "max_rounds": "How often the run may require action; then ToolRoundsError ends the stream.",
    "on_tool_error": '`"raise"` ends the stream with ToolFailedError, `"output"` sends the error to the model.',
    "tool_timeout": "Seconds that one call may take.",
    "max_tool_calls": "How many calls of built-in tools a response may have.",
    "max_wait_seconds": "How many seconds to wait at most; then PollTimeoutError.",
    "messages": "The messages to begin with, such as `[{'role': 'user', 'content': 'Hello!'}]`.",
    "metadata": "Up to 16 names with texts, for the caller.",
    "model": "The model's name; in a run, instead of the assistant's own model.",
    "n": "How many choices the model writes.",
    "name": "A name, for people.",
    "on_disconnect": 'The action when the connection breaks: `"fail"`, or `"poll"` (a run), `"resume"` (a response).',
    "on_failure": 'Whether to `"return"` a file or batch that has failed or was cancelled, or to `"raise"` an error.',
    "on_idle": 'The action when the last reader has left: `"detach"`, `"close"` or `"cancel"`.',
    "on_progress": "Called with an `UploadProgress` after each step.",
    "on_subscribe": 'The action of a subscription if nothing reads: `"wait"` for a reader, or `"connect"`.',
    "order": "`asc` or `desc`, by the time of creation.",
    "parallel_tool_calls": "Whether the model may call several functions at once.",
    "poll_interval": "Seconds between two requests.",
    "poll_interval_ms": "Milliseconds between two requests; by default as the server asks, else 1 000.",
    "presence_penalty": "From -2 to 2: above 0, new topics become more likely.",
    "previous_response_id": "The response that this one continues.",
    "prompt": "A prompt template of the server, with its variables.",
    "prompt_cache_key": "Requests with the same key share cached prompts.",
    "purpose": "What the file is for, such as `assistants`.",
    "query": "What to search for: a text or several.",
    "ranking_options": "How results are ranked, and the score that they need.",
    "reasoning": "How much a reasoning model reasons, and whether it returns a summary of its reasoning.",
    "reasoning_effort": "How much a reasoning model reasons.",
    "replay": 'The events for late subscribers: `"all"`, or `"none"` of the earlier ones.',
    "response_format": "`auto`, or the form of the answer, such as `{'type': 'json_object'}`.",
    "rewrite_query": "Whether the server may rewrite the query.",
    "role": "`user` or `assistant`.",
    "run_id": "Only messages of this run.",
    "snapshot": "The state that is known.",
    "safety_identifier": "A stable name for the user, to detect misuse.",
    "seed": "Requests with the same seed give similar answers.",
    "service_tier": "The tier of service that the request is for.",
    "stop": "Texts that end the answer.",
    "store": "Whether the server keeps the answer.",
    "stream": "Whether to return the run's stream instead of the run.",
    "stream_options": "Options of the stream, such as `{'include_usage': True}`.",
    "temperature": "From 0 to 2: how random the answer is.",
    "text": "The form of the text, such as a JSON schema.",
    "thread_id": "The thread of the run.",
    "thread": "The thread to create, with its messages.",
    "timeout": "Seconds, or a `Timeout`, for this request.",
    "tool_choice": "Which tool is called: `none`, `auto`, `required`, or one of them.",
    "tool_outputs": "The output of each call: `[{'tool_call_id': …, 'output': …}]`.",
    "tool_resources": "The files and vector stores of the tools.",
    "tools": "The tools that the model may call; in a run, instead of the assistant's own tools.",
    "top_logprobs": "How many likely tokens are returned for each position.",
    "top_p": "From 0 to 1: only tokens of this total probability are considered.",
    "truncation": "Whether input that is too long is shortened (`auto`) or refused (`disabled`).",
    "truncation_strategy": "Which messages of the thread the model gets.",
    "user": "A stable name for the user.",
}
"""The meaning of each parameter, in every method that has it."""


def spell_out(resource: type) -> None:
    """Give each public method of a resource its signature and the documentation of its parameters.

    A method without a docstring has that of its base class.
    """
    for name, method in vars(resource).items():
        is_alias = hasattr(method, "__signature__")
        if inspect.isfunction(method) and not name.startswith("_") and not is_alias:
            bases = (vars(each)[name].__doc__ for each in resource.__mro__ if name in vars(each))
            _document(spelled_out(method), inspect.cleandoc(next(filter(None, bases), "")))


def spelled_out(method: F) -> F:
    """Give a function the signature with each parameter that it unpacks."""
    signature = inspect.signature(method)
    parameters = {each.name: each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD}
    for each in _keywords(method):
        parameters.setdefault(each.name, each)
    vars(method)["__signature__"] = signature.replace(parameters=sorted(parameters.values(), key=_place))
    return method


def _document(method: Callable[..., Any], text: str) -> None:
    """Set the docstring: the text, and a line for each keyword parameter that the text leaves out."""
    keywords = [each.name for each in inspect.signature(method).parameters.values() if each.kind is each.KEYWORD_ONLY]
    lines = [
        f"    {each}: {PARAMETERS[each]}" for each in keywords if each in PARAMETERS and f"    {each}: " not in text
    ]
    method.__doc__ = "\n".join([text, "", "Parameters:", *lines]) if lines else text


def _keywords(method: Callable[..., Any]) -> Iterator[inspect.Parameter]:
    """The keyword parameters of a method and of its overloads, and what they unpack."""
    for each in (method, *get_overloads(method)):
        for parameter in inspect.signature(each).parameters.values():
            if parameter.kind is parameter.KEYWORD_ONLY:
                yield parameter
            elif parameter.kind is parameter.VAR_KEYWORD:
                yield from _unpacked(each, str(parameter.annotation))


def _unpacked(method: Callable[..., Any], annotation: str) -> Iterator[inspect.Parameter]:
    """`Unpack[RunStream]` → the parameters that this TypedDict has."""
    name = annotation.removeprefix("Unpack[").removesuffix("]")
    shape: Any = getattr(sys.modules[method.__module__], name, None)
    for name, kind in getattr(shape, "__annotations__", {}).items():
        default = inspect.Parameter.empty if name in shape.__required_keys__ else OMIT
        text = getattr(kind, "__forward_arg__", kind)  # a module with deferred annotations has texts
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=text)


def _place(parameter: inspect.Parameter) -> tuple[int, bool]:
    """Positional before keyword parameters, and of these the required ones first."""
    is_keyword = parameter.kind is parameter.KEYWORD_ONLY
    return parameter.kind, is_keyword and parameter.default is not parameter.empty

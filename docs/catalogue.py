"""The pages of the reference that are made from the code: the client's methods, events, types, errors, commands.

`python docs/make.py` writes them into the site. Nothing here is kept in the repository.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from textwrap import dedent
from typing import Any, get_args, get_origin

import click
from pydantic import BaseModel

import rx_assistant
from rx_assistant import AssistantClient, AssistantStream, AsyncAssistantClient, errors, events, tools, types
from rx_assistant.cli.app import cli
from rx_assistant.client.file_batches import MAX_CONCURRENCY
from rx_assistant.client.signatures import PARAMETERS, spell_out
from rx_assistant.local.engines import scenario

RESOURCES = {
    "assistants": "Assistants",
    "threads": "Threads",
    "threads.messages": "Messages",
    "threads.runs": "Runs",
    "threads.runs.steps": "Run steps",
    "files": "Files",
    "vector_stores": "Vector stores",
    "vector_stores.files": "Files of vector stores",
    "vector_stores.file_batches": "Batches of files",
    "chat": "Chat Completions",
    "responses": "Responses",
}
"""Each resource of the client, with the title of its page."""

SETTINGS = {
    "base_url": "The server's address. Without it: `OPENAI_BASE_URL`.",
    "api_key": "The key, or a function that returns one for each request. Without it: `OPENAI_API_KEY`, else no key.",
    "organization": "The organization that the server bills. Without it: `OPENAI_ORG_ID`.",
    "project": "The project that the server bills. Without it: `OPENAI_PROJECT_ID`.",
    "timeout": "Seconds, a `Timeout`, or None for no limits; by default 5 s to connect and 600 s without a byte.",
    "max_retries": "How many times a request is sent again, after a connection error, 408, 409, 429 or 5xx.",
    "default_headers": "Headers of every request.",
    "default_query": "Query parameters of every request.",
    "http_client": "Your own client of httpx or httpx2. It stays open when this client is closed.",
    "dialect": "`Azure(…)` or `Foundry(…)`, for servers with other paths and keys.",
    "log": '`"requests"` logs requests at DEBUG, `"content"` also their bodies.',
    "max_reply_bytes": "Bytes that a reply which is no stream may have; 64 MiB.",
}
"""What each setting of a client means."""

ARGUMENTS = {
    "assistant_id": "The assistant, by its id.",
    "batch_id": "The batch, by its id.",
    "id": "The file, by its id.",
    "message_id": "The message, by its id.",
    "step_id": "The run step, by its id.",
    "params": "The parameters of `threads.runs.stream`, for every question.",
    "vector_store_id": "The vector store, by its id.",
}
"""What positional arguments mean."""

SHORTER = re.compile(r"\b(?:rx_assistant|typing|typing_extensions|collections\.abc)\.(?:\w+\.)*(?=\w)|\bbuiltins\.")


def pages() -> dict[str, str]:
    """Every page by its name."""
    spell_out(AssistantClient.__mro__[1])  # with_options
    made = {f"reference/{path.replace('.', '-')}.md": _resource(path, RESOURCES[path]) for path in RESOURCES}
    made |= {
        "reference/client.md": _client(),
        "reference/events.md": _events(),
        "reference/types.md": _types(),
        "reference/errors.md": _errors(),
        "reference/cli.md": _commands(),
        "reference/scenario.md": _scenario(),
    }
    return made


def _client() -> str:
    parameters = inspect.signature(AssistantClient).parameters.values()
    rows = [(each, SETTINGS[each.name]) for each in parameters]
    resources = [f"| `client.{path}` | [{title}]({path.replace('.', '-')}.md) |" for path, title in RESOURCES.items()]
    lines = [
        "# The client",
        "`AssistantClient` and `AsyncAssistantClient` have the same methods and parameters. Those of the second are "
        "awaited; its streams are entered with `async with`. `client.beta` is the client itself. A parameter with an "
        "empty default is not sent.",
        "## `AssistantClient(…)`",
        _table(rows),
        _prose(inspect.getdoc(AssistantClient) or ""),
        "## Its methods",
        *(_method(name, getattr(AssistantClient, name), "client") for name in _methods(AssistantClient)),
        "## What it asks for",
        "| resource | page |\n|---|---|\n" + "\n".join(resources),
    ]
    return "\n\n".join(lines) + "\n"


def _resource(path: str, title: str) -> str:
    resource = type(_at(AssistantClient(base_url="http://127.0.0.1/v1"), path))
    twin = type(_at(AsyncAssistantClient(base_url="http://127.0.0.1/v1"), path))
    lines = [f"# {title}", f"The methods of `client.{path}`. A parameter with an empty default is not sent."]
    names = _methods(resource)
    lines += [_method(name, getattr(resource, name), f"client.{path}", getattr(twin, name)) for name in names]
    return "\n\n".join(lines) + "\n"


def _at(thing: Any, path: str) -> Any:
    for name in path.split("."):
        thing = getattr(thing, name)
    return thing


def _methods(kind: type) -> Iterator[str]:
    """The public methods, in the order of the code."""
    seen: dict[str, None] = {}
    for base in kind.__mro__:
        if base.__module__.startswith("rx_assistant.client"):
            seen |= dict.fromkeys(name for name, each in vars(base).items() if inspect.isfunction(each))
    return (name for name in seen if not name.startswith("_"))


def _method(name: str, method: Any, path: str, twin: Any = None) -> str:
    """A heading, what the method does, and a table of all its parameters."""
    doc = inspect.getdoc(method) or ""
    prose, told = _sections(doc)
    signature = inspect.signature(method)
    parameters = [each for each in signature.parameters.values() if each.name != "self"]
    rows = [(each, _meaning(each.name, told)) for each in parameters]
    short = f"{path.rpartition('.')[2]}.{name}"
    call = f"{path}.{name}(…)"
    lines = [f"## `{short}`", f"`{call}`", _prose(prose)]
    if signature.return_annotation is not inspect.Signature.empty:
        given = f"Returns `{_shown(signature.return_annotation)}`"
        is_awaited = inspect.iscoroutinefunction(twin)
        lines.append(given + ("; with `AsyncAssistantClient` it is awaited." if is_awaited else "."))
    if rows:
        lines.append(_table(rows))
    return "\n\n".join(lines)


def _meaning(name: str, told: dict[str, str]) -> str:
    """What a parameter means: in the docstring, in the list for all methods, or as an id."""
    return told.get(name) or ARGUMENTS.get(name) or PARAMETERS.get(name) or SETTINGS.get(name) or ""


def _sections(doc: str) -> tuple[str, dict[str, str]]:
    """A docstring without its `Args:` and `Parameters:`, and what these say of each parameter."""
    told: dict[str, str] = {}

    def taken(found: re.Match[str]) -> str:
        for entry in re.finditer(r"^ {4}(\w+): ((?:.+\n?(?: {8}.+\n?)*))", found[2], re.MULTILINE):
            told.setdefault(entry[1], " ".join(entry[2].split()))
        return ""

    prose = re.sub(r"^(Args|Parameters):\n((?: {4}.*\n?|\n(?= {4}))+)", taken, doc + "\n", flags=re.MULTILINE)
    return re.sub(r"\n*Beside the run's own parameters:\n*", "\n", prose).strip(), told


def _table(rows: list[tuple[inspect.Parameter, str]]) -> str:
    lines = ["| parameter | type | default | |", "|---|---|---|---|"]
    names = {parameter.name for parameter, _ in rows}
    for parameter, meaning in rows:
        lines.append(
            f"| `{parameter.name}` | {_code(_shown(parameter.annotation))} | {_default(parameter, names)} | {meaning} |"
        )
    return "\n".join(lines)


def _default(parameter: inspect.Parameter, names: set[str]) -> str:
    """The value of a parameter that is left out. The cell is empty if nothing is sent then."""
    if parameter.kind is parameter.VAR_KEYWORD:
        return ""
    if parameter.default is parameter.empty:
        return "required"
    default = parameter.default
    if repr(default) == "OMIT":
        default = _left_out(parameter.name, names)
    if default == 16 * 2**20:
        return "16 MiB"
    return "" if default is parameter.empty else f"`{default!r}`"


def _left_out(name: str, names: set[str]) -> object:
    """The default of a parameter that a stream, a tool loop or an upload takes, and not the request."""
    kinds: list[Any] = [AssistantStream] if "on_idle" in names else []
    kinds += [tools.Options] if "max_rounds" in names else []
    defaults = {each.name: each.default for kind in kinds for each in inspect.signature(kind).parameters.values()}
    defaults |= {"on_failure": "return"}
    if "files" in names:
        defaults["max_concurrency"] = MAX_CONCURRENCY
    if "max_rounds" in names or "thread" in names or "additional_messages" in names:
        defaults["on_disconnect"] = "fail"
    return defaults.get(name, inspect.Parameter.empty)


def _shown(annotation: object) -> str:
    """A type as a person writes it."""
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    text = SHORTER.sub("", text).replace("NoneType", "None")
    text = re.sub(r"ForwardRef\('(.*?)'(?:, module='\w+')?\)", r"\1", text)
    while text != (plain := re.sub(r"Annotated\[((?:[^][]|\[[^][]*\])*), <\w+ object at \w+>\]", r"\1", text)):
        text = plain
    text = re.sub(r"^Required\[(.*)\]$", r"\1", text)
    text = re.sub(r"^Optional\[(.*)\]$", r"\1 | None", text)
    union = re.fullmatch(r"Union\[(.*)\]", text)
    return " | ".join(_split(union[1])) if union else text


def _split(text: str) -> Iterator[str]:
    """The parts of `a, b[c, d]` between its outer commas."""
    depth, start = 0, 0
    for place, character in enumerate(text):
        depth += (character in "[(") - (character in "])")
        if character == "," and not depth:
            yield text[start:place].strip()
            start = place + 1
    yield text[start:].strip()


def _code(text: str) -> str:
    return f"`{' '.join(text.split())}`"


def _prose(doc: str) -> str:
    """A docstring as Markdown: indented code is fenced."""
    return re.sub(
        r"(?:^ {4}.*\n?(?:\n(?= {4}))?)+",
        lambda block: f"```python\n{dedent(block[0]).strip()}\n```\n",
        doc,
        flags=re.MULTILINE,
    )


def _events() -> str:
    lines = [
        "# Events",
        "Every event has `event` (its name), `data` (a model, read at first use), `raw` (the bytes), `to_dict()`, "
        "`model_dump()` and the other methods that the SDK's objects have. `match` and `isinstance` narrow to a class. "
        "An event with an unknown name is an `UnknownEvent`. The classes are in `rx_assistant.events`.",
        "| name | class | `data` |",
    ]
    rows = ["|---|---|---|"]
    for name, kind in events.BY_NAME.items():
        bases = [base for each in kind.__mro__ for base in vars(each).get("__orig_bases__", ())]
        (_, data) = next(get_args(base) for base in bases if get_origin(base) is events.StreamEvent)
        rows.append(f"| `{name}` | `{kind.__name__}` | `{getattr(data, '__forward_arg__', 'str')}` |")
    lines[-1] += "\n" + "\n".join(rows)
    return "\n\n".join(lines) + "\n"


def _types() -> str:
    lines = [
        "# Types",
        "Objects of the wire, under the SDK's names, in `rx_assistant.types`. They are read-only pydantic models. A "
        "value of a wrong type stays as it is; a field that is missing is None. Times are seconds since 1970.",
        "Types whose names end with `Param` are dicts that [methods](client.md) take.",
    ]
    for name in sorted(types.__all__):
        kind = getattr(types, name)
        if inspect.isclass(kind) and issubclass(kind, BaseModel):
            fields = {field: (_shown(info.annotation), "") for field, info in kind.model_fields.items()}
        elif name.endswith("Param") and hasattr(kind, "__required_keys__"):
            required = kind.__required_keys__
            fields = {
                field: (_shown(annotation), "required" if field in required else "")
                for field, annotation in kind.__annotations__.items()
            }
        else:
            continue
        lines += [f"## `{name}`", _prose(inspect.getdoc(kind) or "") if kind.__doc__ else ""]
        rows = [f"| `{field}` | {_code(shown)} | {needed} |" for field, (shown, needed) in fields.items()]
        lines += ["| field | type | |\n|---|---|---|\n" + "\n".join(rows)] if rows else []
    return "\n\n".join(line for line in lines if line) + "\n"


def _errors() -> str:
    tree = (errors.__doc__ or "").partition("\n\n")[2]
    drawing, _, rest = tree.partition("\n\n")
    lines = ["# Errors", "All are in `rx_assistant`.", f"```text\n{dedent(drawing)}\n```", rest.strip()]
    for name in sorted(rx_assistant.__all__):
        kind = getattr(rx_assistant, name)
        if inspect.isclass(kind) and issubclass(kind, errors.RxAssistantError) and kind.__name__ == name:
            bases = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
            lines += [f"## `{name}`", f"Derived from {bases}.", _prose(inspect.getdoc(kind) or "")]
    return "\n\n".join(lines) + "\n"


def _scenario() -> str:
    doc = scenario.__doc__ or ""
    example, _, steps = doc.partition("\n\n")[2].partition("\n\nSteps of a turn:\n")
    lines = [
        "# Scripts of the local server",
        "What a scripted assistant does: `serve(script=…)` takes a mapping or the path of a YAML or JSON file, "
        "`rx-assistant serve --script` takes a file.",
        f"```yaml\n{dedent(example).strip()}\n```",
        "## Steps of a turn",
        f"```text\n{dedent(steps).strip()}\n```",
    ]
    return "\n\n".join(lines) + "\n"


def _commands() -> str:
    lines = ["# The command line", "`pip install '.[cli]'` installs `rx-assistant`. Its own words:"]
    lines += [f"```text\n{_help(cli, 'rx-assistant')}\n```"]
    for name, command in sorted(cli.commands.items()):
        lines += [f"## `rx-assistant {name}`", f"```text\n{_help(command, f'rx-assistant {name}')}\n```"]
    return "\n\n".join(lines) + "\n"


def _help(command: click.Command, name: str) -> str:
    return command.get_help(click.Context(command, info_name=name, max_content_width=100, terminal_width=100)).rstrip()

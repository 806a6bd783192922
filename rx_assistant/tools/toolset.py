"""Functions as tools: their definitions for an assistant, and the function that answers a call."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, overload

from rx_assistant.errors import UnknownToolError
from rx_assistant.tools.schema import Arguments, signature_of

if TYPE_CHECKING:
    from rx_assistant.tools.context import ToolContext
    from rx_assistant.types import FunctionToolParam

F = TypeVar("F", bound=Callable[..., Any])

_NAME: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Tool:
    """One function that the model may call.

    The function may be synchronous or `async`, a generator, an async generator, or return an Observable. Each item of
    the last three is progress, and the last item is the output.

    Args:
        function: Any callable with annotated parameters: a function, a method, a partial, an object with `__call__`.
        name: By default the name of the function.
        description: By default the docstring, without its sections.
        strict: Whether the model must follow the schema exactly. By default it must if strict mode allows the schema.
        timeout: Seconds that one call may take; it replaces the `tool_timeout` of the stream.
        needs_approval: True: every call needs approval, so a stream must have `approve=`. False: no call needs it.
        None: calls need it if the stream has `approve=`.

    Raises:
        TypeError: a parameter cannot be described to a model.
        ValueError: the protocol does not allow the name.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        strict: bool | None = None,
        timeout: float | None = None,
        needs_approval: bool | None = None,
    ) -> None:
        if not callable(function):
            raise TypeError(f"a tool must be callable, got {type(function).__name__}")
        self.name = name if name is not None else _name_of(function)
        if not isinstance(self.name, str) or _NAME.fullmatch(self.name) is None:
            raise ValueError(f"the name of a tool must match {_NAME.pattern}, got {self.name!r}: pass name=")
        if timeout is not None and not (isinstance(timeout, int | float) and timeout > 0):
            raise ValueError(f"timeout must be a number of seconds above 0, got {timeout!r}")
        self.function = function
        self.timeout = timeout
        self.needs_approval = needs_approval
        signature = signature_of(function, self.name)
        self.description = signature.docstring.description if description is None else description
        self._contexts = signature.contexts
        self._arguments = Arguments(signature, self.name, strict)

    def __repr__(self) -> str:
        return f"Tool({self.name!r})"

    @property
    def parameters(self) -> dict[str, Any]:
        """The JSON schema of the arguments."""
        return self._arguments.schema

    @property
    def strict(self) -> bool:
        """Whether the model must follow the schema exactly."""
        return self._arguments.strict

    def definition(self) -> FunctionToolParam:
        """The definition for `tools=` of an assistant or a run."""
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters,
                "strict": self.strict,
            },
        }

    def bind(self, arguments: str | Mapping[str, Any], context: ToolContext) -> Callable[[], Any]:
        """Validate the arguments of one call, and return the call.

        Raises:
            ToolArgumentsError: they are not JSON, or do not match the parameters.
        """
        positional, named = self._arguments.bind(arguments)
        named.update(dict.fromkeys(self._contexts, context))
        return functools.partial(self.function, *positional, **named)


def _name_of(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


class ToolSet:
    """Tools by their names.

    >>> tools = ToolSet()
    >>> @tools.tool
    ... def get_weather(city: str) -> str:
    ...     "The weather in a city."
    ...     return f"{city}: 12 °C"
    >>> client.assistants.create(model="gpt-4o", tools=tools.definitions())

    Raises:
        ValueError: two tools have the same name.
    """

    def __init__(self, tools: Tools = ()) -> None:
        self._tools: dict[str, Tool] = {}
        if callable(tools) or not isinstance(tools, Iterable):
            raise TypeError(f"tools must be a ToolSet or a list of functions, got {tools!r}")
        for each in tools:
            for tool in each if isinstance(each, ToolSet) else (each,):
                self.add(tool)

    @classmethod
    def of(cls, tools: Tools) -> ToolSet:
        """The set itself, or a new set of these functions; TypeError for another type."""
        return tools if isinstance(tools, ToolSet) else cls(tools)

    def add(self, tool: Tool | Callable[..., Any]) -> Tool:
        """Add a tool, or a function as a tool; returns the tool."""
        made = tool if isinstance(tool, Tool) else Tool(tool)
        if made.name in self._tools:
            raise ValueError(f"the names of tools must differ, got {made.name!r} twice: pass name=")
        self._tools[made.name] = made
        return made

    @overload
    def tool(self, function: F, /) -> F: ...
    @overload
    def tool(
        self,
        /,
        *,
        name: str | None = None,
        description: str | None = None,
        strict: bool | None = None,
        timeout: float | None = None,
        needs_approval: bool | None = None,
    ) -> Callable[[F], F]: ...
    def tool(self, function: Any = None, /, **options: Any) -> Any:
        """Add the decorated function, and return it unchanged. Options as for `Tool`: `@tools.tool(timeout=5)`."""

        def add(function: Any) -> Any:
            self.add(Tool(function, **options))
            return function

        return add if function is None else add(function)

    def __getitem__(self, name: str) -> Tool:
        """The tool with that name.

        Raises:
            UnknownToolError: the set has no such tool.
        """
        tool = self._tools.get(name)
        if tool is None:
            known = ", ".join(self._tools) or "none"
            raise UnknownToolError(f"there is no tool named {name!r}; the tools are: {known}")
        return tool

    def __contains__(self, name: object) -> bool:
        return name in self._tools

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._tools.values())

    def __len__(self) -> int:
        return len(self._tools)

    def __repr__(self) -> str:
        return f"ToolSet({', '.join(self._tools)})"

    def definitions(self) -> list[FunctionToolParam]:
        """The definition for `tools=` of an assistant or a run."""
        return [tool.definition() for tool in self]


Tools: TypeAlias = ToolSet | Iterable[Tool | ToolSet | Callable[..., Any]]
"""The type of `tools=` of a stream: a set, or functions, tools and sets."""

"""Functions → their definitions for a model; arguments from a model → the call of the function."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, Optional

import pytest
from cases import in_one_test
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from rx_assistant import Tool, ToolContext, ToolSet
from rx_assistant.errors import ToolArgumentsError, UnknownToolError

CONTEXT = ToolContext("call_1", "f", "{}", run_id="run_1", thread_id="thread_1")


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 1.5


class Order(BaseModel):
    number: int
    places: list[Point] = Field(description="where to", min_length=1)
    note: Optional[str] = None  # noqa: UP045 - the old spelling


class Filter(TypedDict):
    field: str
    value: Literal["low", "high"]


def weather(city: str, unit: Unit = Unit.CELSIUS, days: int = 3) -> str:
    """The weather in a city.

    It is a forecast.

    Args:
        city: The name of the city,
            in English.
        unit (Unit, optional): Of the temperature.
        **other: not a parameter.

    Returns:
        A line of text: for people.
    """
    return f"{city} {unit.value} {days}"


GOOGLE = weather.__doc__
NUMPY = """The weather in a city.

It is a forecast.

Parameters
----------
city : str
    The name of the city,
    in English.
unit : Unit, optional
    Of the temperature.

Returns
-------
str
    A line.
"""
SPHINX = """The weather in a city.

It is a forecast.

:param city: The name of the city,
    in English.
:type city: str
:param Unit unit: Of the temperature.
:returns: A line.
"""


def called(tool: Tool, arguments: Any) -> Any:
    """Call a tool as a stream does."""
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return tool.bind(text, CONTEXT)()


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_each_style_of_docstring_describes_the_function_and_its_parameters(docstring: str) -> None:
    def documented(city: str, unit: Unit = Unit.CELSIUS) -> str: ...

    documented.__doc__ = docstring
    tool = Tool(documented)
    assert tool.description == "The weather in a city.\n\nIt is a forecast."
    properties = tool.parameters["properties"]
    assert properties["city"]["description"] == "The name of the city, in English."
    assert properties["unit"]["description"] == "Of the temperature."


@pytest.mark.parametrize(
    ("docstring", "description"),
    [
        (None, ""),
        ("", ""),
        ("One line.", "One line."),
        ("Note: this is text, and no section.", "Note: this is text, and no section."),
        ("One.\n\nExample:\n    >>> weather()\n", "One."),
        ("Args:\n    city: A city.", ""),
        ("One.\n\nReturns:\n    x\n\nmore text", "One."),
    ],
)
def test_a_docstring_may_lack_anything(docstring: str | None, description: str) -> None:
    def documented(city: str) -> str: ...

    documented.__doc__ = docstring
    assert Tool(documented).description == description


def test_an_annotation_describes_its_parameter_before_the_docstring_does() -> None:
    def search(query: Annotated[str, Field(description="from the annotation", max_length=5)]) -> str:
        """Search.

        Args:
            query: from the docstring
        """
        return query

    tool = Tool(search)
    assert tool.parameters["properties"]["query"]["description"] == "from the annotation"
    with pytest.raises(ToolArgumentsError, match="at most 5 characters"):
        called(tool, {"query": "too long"})


def test_strict_mode_requires_every_property_and_makes_optional_ones_nullable() -> None:
    tool = Tool(weather)
    assert tool.definition() == {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather in a city.\n\nIt is a forecast.",
            "strict": True,
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "The name of the city, in English."},
                    "unit": {
                        "anyOf": [{"type": "string", "enum": ["c", "f"]}, {"type": "null"}],
                        "description": "Of the temperature.",
                    },
                    "days": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                },
                "required": ["city", "unit", "days"],
                "additionalProperties": False,
                "$defs": {"Unit": {"type": "string", "enum": ["c", "f"]}},
            },
        },
    }


def test_without_strict_mode_defaults_are_shown_and_may_be_left_out() -> None:
    tool = Tool(weather, strict=False)
    assert tool.parameters["required"] == ["city"]
    assert tool.parameters["properties"]["days"] == {"type": "integer", "default": 3}
    assert tool.definition()["function"]["strict"] is False
    assert called(tool, {"city": "Rome"}) == "Rome c 3"


class Plain(BaseModel):
    """A model without defaults, for which the official SDK has a strict schema too."""

    name: str
    points: list[Filter]
    choice: Literal["a", "b"] | None
    nested: dict[Literal["k"], int] | None = None


class Tree(BaseModel):
    value: int
    children: list[Tree]


@pytest.mark.parametrize("model", [Order, Filter, Tree], ids=lambda model: model.__name__)
def test_the_strict_schema_is_that_of_the_official_sdk_but_for_titles_and_defaults(model: Any) -> None:
    class Call(BaseModel):
        value: model  # type: ignore[valid-type]

    def f(value: Any) -> None: ...

    f.__annotations__["value"] = model
    theirs = without(to_strict_json_schema(Call), "title", "default", "minItems", "description")
    mine = without(Tool(f).parameters, "minItems", "description")
    if model is Order:  # the official SDK leaves a dataclass's default as it is
        mine["$defs"]["Point"]["properties"]["y"] = {"type": "number"}
    assert mine == theirs


def without(value: Any, *names: str) -> Any:
    if isinstance(value, list):
        return [without(item, *names) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: without(item, *names) for key, item in value.items() if key not in names or isinstance(item, dict)}


ANYTHING: list[Callable[..., Any]] = []


def anything(function: Callable[..., Any]) -> Callable[..., Any]:
    ANYTHING.append(function)
    return function


@anything
def any_keys(filters: dict[str, int]) -> str: ...


@anything
def untyped(value) -> str: ...  # type: ignore[no-untyped-def]


@anything
def a_pair(value: tuple[int, str]) -> str: ...


@pytest.mark.parametrize("function", ANYTHING, ids=lambda function: function.__name__)
def test_what_strict_mode_cannot_express_is_not_strict_unless_it_has_to_be(function: Any) -> None:
    assert Tool(function).strict is False
    with pytest.raises(TypeError, match="pass strict=False"):
        Tool(function, strict=True)


def echo(**types: Any) -> Tool:
    """A tool with parameters of these types, which returns its arguments."""

    def f(**given: Any) -> Any:
        return given

    import inspect

    parameters = [inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, annotation=t) for n, t in types.items()]
    f.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return Tool(f)


VALUES: list[tuple[Any, Any, Any]] = [
    (int, 3, 3),
    (float, 3, 3.0),
    (bool, True, True),
    (str, "é\ud83d\ude00", "é😀"),
    (list[int], [1, 2], [1, 2]),
    (set[str], ["a", "a"], {"a"}),
    (tuple[int, ...], [1], (1,)),
    (Unit, "f", Unit.FAHRENHEIT),
    (Literal["a", 1], 1, 1),
    (datetime.date, "2026-11-30", datetime.date(2026, 11, 30)),
    (Point, {"x": 1, "y": 2}, Point(1.0, 2.0)),
    (Point, {"x": 1, "y": None}, Point(1.0, 1.5)),
    (list[Point], [{"x": 1, "y": None}], [Point(1.0, 1.5)]),
    (Order, {"number": 1, "places": [{"x": 1}], "note": None}, Order(number=1, places=[Point(1.0)])),
    (Filter, {"field": "a", "value": "low"}, {"field": "a", "value": "low"}),
    (int | None, None, None),
    (Point | Filter, {"x": 2, "y": None}, Point(2.0, 1.5)),
    (Any, {"a": [1]}, {"a": [1]}),
]


@in_one_test(("annotation", "given", "expected"), VALUES, ids=lambda value: str(value)[:40])
def test_arguments_come_as_the_annotation_says(annotation: Any, given: Any, expected: Any) -> None:
    assert called(echo(value=annotation), {"value": given}) == {"value": expected}


@pytest.mark.parametrize("name", ["schema", "json", "copy", "model_config", "_private", "class_", "self_", "validate"])
def test_a_parameter_may_have_any_name(name: str) -> None:
    assert called(echo(**{name: int}), {name: 1}) == {name: 1}
    assert list(echo(**{name: int}).parameters["properties"]) == [name]


def test_a_null_for_a_parameter_that_takes_none_is_none_and_for_any_other_the_default() -> None:
    def f(a: int = 1, b: int | None = 2, c: list[int] = [3]) -> Any:  # noqa: B006 - it has to be left alone
        return a, b, c

    assert called(Tool(f), {"a": None, "b": None, "c": None}) == (1, None, [3])
    assert called(Tool(f), {}) == (1, 2, [3])
    with pytest.raises(ToolArgumentsError, match="city: Input should be a valid string"):
        called(Tool(weather), {"city": None})


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{", "must be a JSON object"),
        ("[]", "got an array"),
        ('"x"', "got a text"),
        ("[" * 5000, "must be a JSON object"),
        ('{"city": 3}', "city: Input should be a valid string"),
        ('{"city": "Rome", "other": 1}', "other: Extra inputs are not permitted"),
        ("", "city: Field required"),
        ('{"city": "Rome", "unit": "k"}', "unit: Input should be 'c' or 'f'"),
    ],
)
def test_wrong_arguments_are_told_by_name(arguments: str, told: str) -> None:
    with pytest.raises(ToolArgumentsError, match=told):
        called(Tool(weather), arguments)


class Shop:
    def buy(self, what: str, /, *, count: int = 1) -> str:
        """Buy something."""
        return f"{count} {what}"

    @classmethod
    def of(cls, what: str) -> str:
        return f"{cls.__name__} {what}"

    @staticmethod
    def open(day: str) -> bool:
        return day != "Sunday"

    def __call__(self, question: str) -> str:
        """Ask the shop."""
        return f"asked {question}"


def decorated(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


CALLABLES: list[tuple[Any, str, str, dict[str, Any], Any]] = [
    (Shop().buy, "buy", "Buy something.", {"what": "tea", "count": 2}, "2 tea"),
    (Shop.of, "of", "", {"what": "tea"}, "Shop tea"),
    (Shop.open, "open", "", {"day": "Sunday"}, False),
    (Shop(), "Shop", "Ask the shop.", {"question": "why"}, "asked why"),
    (functools.partial(Shop().buy, "tea"), "buy", "Buy something.", {"count": 3}, "3 tea"),
    (functools.partial(Shop().buy, count=4), "buy", "Buy something.", {"what": "tea"}, "4 tea"),
    (decorated(weather), "weather", "The weather in a city.\n\nIt is a forecast.", {"city": "Rome"}, "Rome c 3"),
]


@pytest.mark.parametrize(("function", "name", "description", "arguments", "value"), CALLABLES)
def test_any_callable_is_a_tool(function: Any, name: str, description: str, arguments: Any, value: Any) -> None:
    tool = Tool(function)
    assert (tool.name, tool.description) == (name, description)
    assert list(tool.parameters["properties"]) == list(arguments) or "city" in arguments
    assert called(tool, arguments) == value


def test_the_context_is_given_by_its_annotation_and_hidden_from_the_model() -> None:
    def f(city: str, call: ToolContext, maybe: ToolContext | None = None) -> Any:
        return city, call.call_id, call.run_id

    tool = Tool(f)
    assert list(tool.parameters["properties"]) == ["city"]
    assert called(tool, {"city": "Rome"}) == ("Rome", "call_1", "run_1")


def test_types_of_the_calling_function_are_found() -> None:
    class Local(BaseModel):
        n: int

    def f(value: Local) -> int:
        return value.n

    assert called(Tool(f), {"value": {"n": 4}}) == 4


def test_a_function_that_cannot_be_described_says_why() -> None:
    with pytest.raises(TypeError, match=r"got \*\*options"):
        Tool(lambda **options: 1, name="f")
    with pytest.raises(TypeError, match=r"got \*values"):
        Tool(lambda *values: 1, name="f")
    with pytest.raises(ValueError, match="pass name="):
        Tool(lambda: 1)
    with pytest.raises(TypeError, match="must be callable, got int"):
        Tool(3)  # type: ignore[arg-type]

    def bad(value: object()) -> None: ...  # type: ignore[valid-type]

    def unknown(value: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match="cannot be resolved: name 'Nowhere'"):
        Tool(unknown)
    with pytest.raises(TypeError):
        Tool(bad)


def test_a_set_knows_its_tools_by_name() -> None:
    tools = ToolSet([weather])

    @tools.tool
    def first() -> int:
        return 1

    @tools.tool(name="second_tool", timeout=5, needs_approval=True, description="Two.")
    def second() -> int:
        return 2

    assert (first(), second()) == (1, 2)
    assert (
        [tool.name for tool in tools]
        == ["weather", "first", "second_tool"]
        == [definition["function"]["name"] for definition in tools.definitions()]
    )
    assert (tools["second_tool"].timeout, tools["second_tool"].needs_approval) == (5, True)
    assert tools["second_tool"].description == "Two."
    assert "first" in tools
    assert len(ToolSet([tools, Tool(weather, name="other")])) == 4
    with pytest.raises(UnknownToolError, match="no tool named 'third'; the tools are: weather, first, second_tool"):
        tools["third"]
    with pytest.raises(ValueError, match="'weather' twice"):
        tools.add(weather)
    with pytest.raises(TypeError, match="must be a ToolSet or a list"):
        ToolSet(weather)  # type: ignore[arg-type]

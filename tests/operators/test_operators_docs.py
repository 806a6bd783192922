"""The docstrings: each example runs, each operator has one, and the page made of them is current."""

from __future__ import annotations

import doctest
import importlib.util
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import reactivex as rx
from cases import in_one_test

from rx_assistant import from_events, operators as ax

DOCS = Path(__file__).resolve().parents[2] / "docs"


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_operators", DOCS / "operators.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


document = _load()
OPERATORS = [name for name in ax.__all__ if not inspect.isclass(getattr(ax, name))]


class Echo:
    """Gives the sample as the answer to every question."""

    def answer(self, _text: str) -> Any:
        return from_events(document.sample())

    def settle(self) -> Any:
        return rx.empty()


@in_one_test("name", OPERATORS)
def test_the_example_runs(name: str) -> None:
    names: dict[str, Any] = {
        "ax": ax,
        "stream": from_events(document.sample()),
        "reply": from_events(document.reply()),
        "questions": rx.of("Is it warm in Paris?", "And now?"),
        "conversation": Echo(),
    }
    tests = doctest.DocTestFinder(recurse=False).find(getattr(ax, name), name, module=False, globs=names)
    examples = [example for test in tests for example in test.examples]
    assert examples, f"{name} has no example"
    for test in tests:
        said: list[str] = []
        failed = doctest.DocTestRunner().run(test, out=said.append).failed
        assert not failed, "".join(said)


@in_one_test("name", OPERATORS)
def test_the_docstring_says_what_comes_out_and_draws_it(name: str) -> None:
    doc = inspect.getdoc(getattr(ax, name)) or ""
    assert doc.startswith("Emit"), doc
    assert f"\n    {name}(" in doc, "no marble line"


def test_the_sample_obeys_the_protocol() -> None:
    from_events(document.sample()).pipe(ax.verify()).run()


def test_the_page_is_current() -> None:
    assert document.PAGE.read_text(encoding="utf-8") == document.page(), "run `python docs/operators.py`"

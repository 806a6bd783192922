"""Many cheap cases in one test: a test's own costs are paid once, and a failure names its cases."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest


def in_one_test(
    names: str | tuple[str, ...], cases: Iterable[Any], ids: Iterable[object] | Callable[[Any], object] = repr
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Like `pytest.mark.parametrize`, but all cases run in one test, with the same fixtures.

    Every case runs, also after a failure. Each error has a note with the id of its case.
    """
    parameters = names if isinstance(names, tuple) else (names,)
    values = [tuple(case) if isinstance(names, tuple) else (case,) for case in cases]
    labels = [str(ids(value[0] if len(value) == 1 else value)) for value in values] if callable(ids) else [*ids]
    table = [(label, dict(zip(parameters, value, strict=True))) for label, value in zip(labels, values, strict=True)]

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        def whole(*instance: Any, **fixtures: Any) -> None:
            with _judged(len(table)) as errors:
                for label, case in table:
                    with _noted(label, errors):
                        test(*instance, **fixtures, **case)

        async def whole_later(*instance: Any, **fixtures: Any) -> None:
            with _judged(len(table)) as errors:
                for label, case in table:
                    with _noted(label, errors):
                        await test(*instance, **fixtures, **case)

        one = functools.wraps(test)(whole_later if inspect.iscoroutinefunction(test) else whole)
        signature = inspect.signature(test)
        left = [each for name, each in signature.parameters.items() if name not in parameters]
        vars(one)["__signature__"] = signature.replace(parameters=left)
        del vars(one)["__wrapped__"]
        return one

    return decorate


@contextmanager
def _noted(label: object, errors: list[BaseException]) -> Iterator[None]:
    """Keep the error of a case, with its id. A case cannot be skipped: the others would be, too."""
    try:
        yield
    except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
        error.add_note(f"case: {label}")
        errors.append(error)


@contextmanager
def _judged(count: int) -> Iterator[list[BaseException]]:
    """Raise what the cases have raised."""
    if not count:
        pytest.skip("there are no cases")
    errors: list[BaseException] = []
    yield errors
    if errors:
        raise BaseExceptionGroup(f"{len(errors)} of {count} cases failed", errors)

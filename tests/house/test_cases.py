"""A test of many cases runs all of them, and its failure names those that failed."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import anyio.lowlevel
import pytest
from cases import in_one_test


def judge(number: int) -> None:
    """0 passes; the others fail in each of the ways of pytest."""
    assert number != 1
    if number == 2:
        pytest.fail("two")
    if number == 3:
        pytest.skip("three")


def made(face: str, cases: list[int], ran: list[int]) -> Callable[[], Any]:
    """A test over these cases, which notes what it runs."""

    @in_one_test("number", cases, ids=lambda number: f"number {number}")
    def now(number: int) -> None:
        ran.append(number)
        judge(number)

    @in_one_test("number", cases, ids=lambda number: f"number {number}")
    async def later(number: int) -> None:
        await anyio.lowlevel.checkpoint()
        ran.append(number)
        judge(number)

    return now if face == "sync" else lambda: anyio.run(later)


@pytest.mark.parametrize("face", ["sync", "async"])
class TestBothFaces:
    def test_each_case_runs_and_each_failure_names_its_case(self, face: str) -> None:
        ran: list[int] = []
        with pytest.raises(BaseExceptionGroup, match="3 of 5 cases failed") as caught:
            made(face, [1, 0, 2, 3, 0], ran)()
        assert ran == [1, 0, 2, 3, 0]
        notes = [error.__notes__ for error in caught.value.exceptions]
        assert notes == [["case: number 1"], ["case: number 2"], ["case: number 3"]]

    def test_cases_that_pass_are_no_error(self, face: str) -> None:
        made(face, [0, 0], [])()

    def test_a_test_without_cases_is_skipped(self, face: str) -> None:
        with pytest.raises(pytest.skip.Exception):
            made(face, [], [])()


def test_what_is_no_case_stays_a_fixture() -> None:
    seen: list[tuple[Any, ...]] = []

    @in_one_test(("one", "other"), [(1, 2), (3, 4)])
    @in_one_test("letter", "ab")
    def test(one: int, other: int, letter: str, tmp_path: str) -> None:
        seen.append((one, other, letter, tmp_path))

    assert [*inspect.signature(test).parameters] == ["tmp_path"]
    test(tmp_path="p")
    assert seen == [(1, 2, "a", "p"), (1, 2, "b", "p"), (3, 4, "a", "p"), (3, 4, "b", "p")]

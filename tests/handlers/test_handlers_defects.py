"""The defects of the official SDK, one case each by number: ours is right, and the SDK is still wrong."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from cases import in_one_test
from handlers_defects import DEFECTS, Defect
from handlers_faces import Face, got, on_every_face, recorder


def compared(calls: list[Any], wanted: Any) -> Any:
    """The calls in the shape of what is wanted of them."""
    return Counter(calls) if isinstance(wanted, Counter) else calls


@on_every_face
@in_one_test("defect", DEFECTS, ids=lambda defect: defect.id)
async def test_ours_is_right(face: Face, defect: Defect) -> None:
    handler = recorder(face, names=defect.names, show=defect.show)
    error: Exception | None = None
    looked: Any = None
    async with face.block(face.stream(*defect.sent, handler=handler)) as given:
        try:
            await got(given.until_done())
        except Exception as raised:
            error = raised
        try:
            looked = await defect.look(handler)
        except Exception as raised:
            looked = type(raised)
    assert (error and type(error)) == defect.error
    assert defect.right is None or compared(handler.calls, defect.right) == defect.right
    assert looked == defect.right_look


@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: defect.id)
def test_the_sdk_is_still_wrong(defect: Defect) -> None:
    from handlers_sdk import Run  # skips without the SDK

    theirs = Run(defect.sent, defect.names, defect.show)
    assert isinstance(theirs.error, defect.their_error or type(None)), theirs.error
    assert defect.wrong is None or compared(theirs.calls, defect.wrong) == defect.wrong
    assert theirs.look(defect.look) == defect.wrong_look
    assert (defect.wrong, defect.wrong_look, defect.their_error) != (defect.right, defect.right_look, defect.error)


def test_each_number_has_a_case() -> None:
    assert {defect.number for defect in DEFECTS} == set(range(1, 19))

"""Storage: taking an item and cutting the log need no common lock, and still agree."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from functools import partial
from itertools import product
from types import FrameType
from typing import Any

import pytest
from guard import GUARD

from rx_assistant.errors import StreamClosedError
from rx_assistant.hot.storage import Storage


class Stepped:
    """An action on a thread of its own that stops before an instruction of the function `of` until `finish()`."""

    def __init__(self, action: Callable[[], object], of: Callable[..., Any], instruction: int) -> None:
        self._action = action
        self._code = of.__code__
        self._left = instruction
        self._stopped, self._go_on = threading.Event(), threading.Event()
        self.result: object = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        sys.settrace(self._enter)
        try:
            self.result = self._action()
        finally:
            sys.settrace(None)
            self._stopped.set()

    def _enter(self, frame: FrameType, event: str, argument: object) -> Any:
        if frame.f_code is not self._code:
            return None
        frame.f_trace_opcodes = True
        return self._step

    def _step(self, frame: FrameType, event: str, argument: object) -> Any:
        if event == "opcode":
            if self._left == 0:
                self._stopped.set()
                assert self._go_on.wait(GUARD)
            self._left -= 1
        return self._step

    def start(self) -> None:
        self._thread.start()
        assert self._stopped.wait(GUARD)

    def finish(self) -> None:
        self._go_on.set()
        self._thread.join(GUARD)
        assert not self._thread.is_alive()


@pytest.mark.parametrize("first", ["take", "cut"])
def test_an_item_is_either_taken_or_cut_however_the_two_interleave(first: str) -> None:
    outcomes = set()
    for in_take, in_cut in product(range(40), range(50)):
        storage: Storage[str] = Storage(keep=True, max_pending=1)
        storage.append([str], ["item"])
        take = Stepped(partial(storage.take, 0), Storage.take, in_take)
        cut = Stepped(partial(storage.cut, StreamClosedError("closed")), Storage.cut, in_cut)
        one, other = (take, cut) if first == "take" else (cut, take)
        one.start()
        other.start()
        one.finish()
        other.finish()
        taken = [pair for pair in (take.result, storage.take(storage.position)) if pair is not None]
        assert cut.result is True
        assert taken == [(str, "item")] * storage.length
        assert storage.position == storage.length
        assert storage.peek(storage.length) is None
        outcomes.add(storage.length)
    assert outcomes == {0, 1}

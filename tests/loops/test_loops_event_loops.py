"""What an action on an event loop raises is logged, and ends neither the loop nor other actions."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import anyio
import pytest
import trio
import trio.lowlevel

from rx_assistant.schedulers import current_event_loop


async def _nothing() -> None:
    """End at once."""


@pytest.mark.parametrize("run", [asyncio.run, lambda main: trio.run(lambda: main)], ids=["asyncio", "trio"])
def test_an_action_that_raises_ends_no_event_loop(run: Callable, caplog: pytest.LogCaptureFixture) -> None:
    done: list[str] = []

    async def main() -> None:
        loop = current_event_loop()

        def raises() -> None:
            raise ValueError("a mistake")

        loop.call_soon(raises)
        next_one = anyio.Event()
        loop.call_soon(next_one.set)
        await next_one.wait()
        done.append("the next one")

    with caplog.at_level(logging.ERROR):
        run(main())
    assert done == ["the next one"]
    assert "a mistake" in caplog.text


def test_an_action_that_starts_a_task_after_the_end_of_a_trio_run_ends_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    called: list[str] = []

    async def late() -> None:
        try:
            await trio.sleep_forever()
        finally:
            loops[0].call_soon(lambda: called.append("called") or loops[0].spawn(_nothing))

    loops = []

    async def main() -> str:
        loops.append(current_event_loop())
        loops[0].spawn(late)
        await trio.lowlevel.checkpoint()
        return "whole"

    with caplog.at_level(logging.ERROR):
        assert trio.run(main) == "whole"
    assert called == ["called"]

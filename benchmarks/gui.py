"""10 000 deltas from another thread into a real text widget: the window's longest standstill, the cost of a push."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from queue import Queue
from statistics import median
from typing import Any

from reactivex import Observable

from benchmarks._measure import Row
from benchmarks.close import server as silent_server
from rx_assistant.hot import Stream, Subscriber

COUNT = 10_000
ROUNDS = 5
DELTAS = [f"word{n % 97}" + ("\n" if n % 12 == 11 else " ") for n in range(COUNT)]
BEAT = 0.001  # seconds
LIMITS = {"tk": 16, "qt": 16, "textual": 16}  # milliseconds: one frame
SLOW = 0.05  # seconds that a slow widget takes for an update
GUARD = 60.0  # seconds

Append = Callable[[str], object]
Bridge = Callable[[Observable[str], Append, Callable[[], None]], object]
"""Brings a source's items to the widget, and its completion."""


class Run:
    """One round: a reader that pushes on its own thread, and the gaps between beats of the window's heart."""

    def __init__(self) -> None:
        self.source: Stream[str] = Stream(self._link)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.ended = False
        self.pushing = 0.0
        self.updates = 0
        self._begun = self._last = 0.0
        self._gaps: list[float] = []
        self._until = time.monotonic() + GUARD

    def _link(self, down: Subscriber[str], _scheduler: object) -> None:
        self._down = down

    def start(self) -> None:
        self._begun = self._last = time.perf_counter()
        self.reader.start()

    def _read(self) -> None:
        down, begun = self._down, time.perf_counter()
        for delta in DELTAS:
            down.next(delta)
        self.pushing = time.perf_counter() - begun
        down.completed()

    def beat(self) -> bool:
        """Note a beat; True when all is over."""
        now = time.perf_counter()
        self._gaps.append(now - self._last)
        self._last = now
        return self.ended or time.monotonic() > self._until

    def end(self) -> None:
        self.ended = True

    def report(self, text: str) -> dict[str, Any]:
        self.reader.join()
        return {
            "stall": (max(self._gaps) - BEAT) * 1e3,
            "push": self.pushing / COUNT * 1e6,
            "seconds": self._last - self._begun,
            "updates": self.updates,
            "complete": text.rstrip("\n") == "".join(DELTAS).rstrip("\n"),
        }

    def counted(self, append: Append, slow: bool) -> Append:
        """The widget's update, counted, and made slow where asked."""

        def update(text: str) -> None:
            self.updates += 1
            if slow:
                time.sleep(SLOW)
            append(text)

        return update


def ours(host: Any) -> Bridge:
    """observe_on_ui."""
    from rx_assistant.gui import observe_on_ui

    def bridge(source: Observable[str], append: Append, end: Callable[[], None]) -> object:
        return source.pipe(observe_on_ui(host)).subscribe(append, on_completed=end)

    return bridge


def one_by_one(post: Callable[[Callable[[], object]], object]) -> Bridge:
    """The naive way: a call of the event loop for each delta."""

    def bridge(source: Observable[str], append: Append, end: Callable[[], None]) -> object:
        return source.subscribe(lambda text: post(partial(append, text)), on_completed=lambda: post(end))

    return bridge


# -- the windows -----------------------------------------------------------------------------------------------------


def tk(way: str, slow: bool) -> dict[str, Any]:
    import tkinter

    from rx_assistant.gui import TkHost

    root = tkinter.Tk()
    widget = tkinter.Text(root, wrap="word")
    widget.pack()
    run = Run()

    def append(text: str) -> None:
        widget.insert("end", text)
        widget.see("end")

    def beat() -> None:
        if run.beat():
            root.quit()
        else:
            root.after(round(BEAT * 1000), beat)

    bridge = ours(TkHost(root)) if way == "ours" else one_by_one(lambda action: root.after(0, action))
    bridge(run.source, run.counted(append, slow), run.end)
    root.update()
    root.after(200, lambda: (run.start(), beat()))
    root.mainloop()
    return run.report(widget.get("1.0", "end-1c"))


def qt(way: str, slow: bool) -> dict[str, Any]:
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    from PySide6.QtCore import QCoreApplication, QEvent, QObject, Qt, QTimer
    from PySide6.QtWidgets import QApplication, QPlainTextEdit

    from rx_assistant.gui import QtHost

    class Action(QEvent):
        KIND = QEvent.Type(QEvent.registerEventType())

        def __init__(self, action: Callable[[], object]) -> None:
            super().__init__(self.KIND)
            self.action = action

    class Receiver(QObject):
        def event(self, event: QEvent) -> bool:
            if isinstance(event, Action):
                event.action()
            return True

    app = QApplication([])
    widget = QPlainTextEdit()
    widget.show()
    run, receiver, timer = Run(), Receiver(), QTimer(timerType=Qt.TimerType.PreciseTimer)

    def append(text: str) -> None:
        widget.moveCursor(widget.textCursor().MoveOperation.End)
        widget.insertPlainText(text)
        widget.ensureCursorVisible()

    def beat() -> None:
        if run.beat():
            app.exit()

    def post(action: Callable[[], object]) -> None:
        QCoreApplication.postEvent(receiver, Action(action))

    bridge = ours(QtHost(widget)) if way == "ours" else one_by_one(post)
    bridge(run.source, run.counted(append, slow), run.end)
    timer.timeout.connect(beat)
    QTimer.singleShot(200, lambda: (run.start(), timer.start(round(BEAT * 1000))))
    app.exec()
    return run.report(widget.toPlainText())


def textual(way: str, slow: bool) -> dict[str, Any]:
    from textual.app import App, ComposeResult
    from textual.widgets import Log

    from rx_assistant.gui import TextualHost

    run = Run()

    class Window(App[None]):
        def compose(self) -> ComposeResult:
            yield Log()

        def on_mount(self) -> None:
            self.widget = self.query_one(Log)
            bridge = ours(TextualHost(self)) if way == "ours" else one_by_one(self.call_from_thread)
            bridge(run.source, run.counted(self.widget.write, slow), run.end)

    async def main() -> str:
        window = Window()
        async with window.run_test(size=(80, 24)):
            await asyncio.sleep(0.2)
            run.start()
            while not run.beat():  # noqa: ASYNC110  # it is the beat that is measured
                await asyncio.sleep(BEAT)
            return "\n".join(window.widget.lines)

    return run.report(asyncio.run(main()))


# -- the table -------------------------------------------------------------------------------------------------------


@contextmanager
def display() -> Iterator[bool]:
    """An X display, ours if there is none; False when there can be none."""
    program = shutil.which("Xvfb")
    if os.environ.get("DISPLAY") or program is None:
        yield bool(os.environ.get("DISPLAY"))
        return
    command = [program, "-displayfd", "1", "-screen", "0", "1280x900x24"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        os.environ["DISPLAY"] = f":{server.stdout.readline().strip()}"
        yield True
        del os.environ["DISPLAY"]
        server.terminate()


def measured(toolkit: str, way: str, rounds: int = ROUNDS) -> dict[str, float]:
    """Medians over rounds, each in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.gui", toolkit, way]
    runs = (subprocess.run(command, capture_output=True, text=True, check=True) for _ in range(rounds))
    laps = [json.loads(run.stdout) for run in runs]
    assert all(lap["complete"] for lap in laps), f"{toolkit}, {way}: text was lost"
    return {name: median(lap[name] for lap in laps) for name in laps[0]}


def rows() -> list[Row]:
    """The rows of this table."""
    table = []
    with display() as shown:
        for toolkit, limit in LIMITS.items():
            if toolkit == "tk" and not shown:
                table.append(Row("tk", "no display"))
                continue
            own, naive, slow = measured(toolkit, "ours"), measured(toolkit, "naive", 1), measured(toolkit, "slow", 1)
            table += [
                Row(
                    f"{toolkit}: the longest standstill",
                    f"{own['stall']:.1f} ms",
                    f"call per delta {naive['stall']:.0f} ms",
                    "",
                    f"≤ {limit} ms",
                    own["stall"] <= limit,
                ),
                Row(
                    f"{toolkit}: a push",
                    f"{own['push']:.2f} µs",
                    f"call per delta {naive['push']:.2f} µs",
                    f"{naive['push'] / own['push']:.0f} ×",
                ),
                Row(
                    f"{toolkit}: until all is shown",
                    f"{own['seconds'] * 1e3:.0f} ms in {own['updates']:.0f} updates",
                    f"call per delta {naive['seconds'] * 1e3:.0f} ms",
                ),
                Row(
                    f"{toolkit}: a push, while each update takes {SLOW * 1e3:.0f} ms",
                    f"{slow['push']:.2f} µs",
                    "",
                    f"{slow['updates']:.0f} updates",
                ),
            ]
    table.append(closing())
    return table


def closing() -> Row:
    """From `close()` on this thread, a window's, to the server seeing the connection of a background stream end."""
    with silent_server() as (port, ends):
        laps = [closed(port, ends) for _ in range(30)]
    naive = naively_closed()
    return Row(
        "close() of a background stream, on the UI thread",
        f"{median(laps) * 1e3:.2f} ms",
        f"task.cancel() {naive}",
        f"at worst {max(laps) * 1e3:.2f} ms",
        "≤ 100 ms",
        median(laps) <= 0.1,
    )


def closed(port: int, ends: Queue[float]) -> float:
    from rx_assistant import AsyncAssistantClient, background

    arrived = threading.Event()
    with background() as bg:
        client = bg.enter(AsyncAssistantClient(base_url=f"http://127.0.0.1:{port}/v1"))
        stream = client.threads.runs.stream("t", assistant_id="a")
        stream.subscribe(lambda _: arrived.set(), lambda _: None)
        bg.start(stream)
        arrived.wait(10)
        begun = time.monotonic()
        stream.close()
        return ends.get(timeout=10) - begun


def naively_closed() -> str:
    """The same by `task.cancel()`, which no event loop notices that sleeps in its selector."""
    import httpx

    arrived, task = threading.Event(), Queue[asyncio.Task[None]]()

    async def read(port: int) -> None:
        task.put(asyncio.current_task())
        with suppress(httpx.ReadTimeout, asyncio.CancelledError):
            async with httpx.AsyncClient() as client, client.stream("POST", f"http://127.0.0.1:{port}/") as response:
                async for _ in response.aiter_bytes():
                    arrived.set()

    with silent_server() as (port, ends):
        thread = threading.Thread(target=lambda: asyncio.run(read(port)), daemon=True)
        thread.start()
        arrived.wait(10)
        time.sleep(0.05)  # until it waits for more
        begun = time.monotonic()
        task.get().cancel()
        return f"{(ends.get(timeout=30) - begun) * 1e3:.0f} ms"


if __name__ == "__main__":
    toolkit, way = sys.argv[1:]
    print(
        json.dumps(
            {"tk": tk, "qt": qt, "textual": textual}[toolkit]("naive" if way == "naive" else "ours", way == "slow")
        )
    )

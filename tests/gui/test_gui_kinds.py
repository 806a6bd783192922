"""What is peculiar to one kind of host: where it may be made, and what it says when it may not."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

import rx_assistant.gui
from rx_assistant.gui import AsyncioHost, QueueHost, TellsClosing, TrioHost


def raised_on_a_thread(make: object) -> list[BaseException]:
    raised: list[BaseException] = []

    def run() -> None:
        try:
            make()  # type: ignore[operator]
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised


def test_a_qt_host_wants_something_of_qt_and_its_own_thread() -> None:
    widgets = pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed")
    from rx_assistant.gui import QtHost

    app = widgets.QApplication.instance() or widgets.QApplication([])
    with pytest.raises(TypeError, match=r"PySide6 or PyQt6, not object: pip install 'rx_assistant\[qt\]'"):
        QtHost(object())
    assert [type(error) for error in raised_on_a_thread(lambda: QtHost(app))] == [RuntimeError]


def test_a_host_of_the_whole_qt_application_closes_with_it() -> None:
    pytest.importorskip("PySide6.QtWidgets", reason="PySide6 is not installed")
    program = (
        "from PySide6.QtWidgets import QApplication, QWidget\n"
        "from PySide6.QtCore import QTimer\n"
        "from rx_assistant.gui import QtHost\n"
        "app = QApplication([])\n"
        "host, told = QtHost(app), []\n"
        "host.on_close(lambda: told.append(host.closed))\n"
        "QTimer.singleShot(0, lambda: host.call_soon(lambda: host.call_later(0.001, app.quit)))\n"
        "app.exec()\n"
        "print(told)\n"
    )
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.stdout == "[True]\n", done.stderr


def test_hosts_of_event_loops_want_one_that_runs() -> None:
    trio_host, textual_host = rx_assistant.gui.TrioHost, rx_assistant.gui.TextualHost
    with pytest.raises(RuntimeError):
        AsyncioHost()
    with pytest.raises(RuntimeError):
        trio_host()
    with pytest.raises(RuntimeError):
        textual_host(object())  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(rx_assistant.gui.__all__))
def test_every_public_name_is_there_or_says_what_to_install(name: str) -> None:
    said = "pip install"
    try:
        assert getattr(rx_assistant.gui, name) is not None
    except ImportError as error:
        said = str(error)
    assert "pip install" in said


def test_unknown_names_are_unknown() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'MotifHost'"):
        _ = rx_assistant.gui.MotifHost


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_is_registered_on_a_closed_host_is_told_at_once(anyio_backend: str) -> None:
    host, told = AsyncioHost(), []
    assert isinstance(host, TellsClosing)
    forget = host.on_close(lambda: told.append("forgotten"))
    host.on_close(lambda: told.append("told"))
    forget()
    host.close()
    host.close()
    host.on_close(lambda: told.append("late"))()
    assert told == ["told", "late"]


def test_a_trio_host_closes_with_its_run() -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed")
    hosts: list[TrioHost] = []
    told: list[str] = []

    async def main() -> None:
        hosts.append(TrioHost())
        hosts[0].on_close(lambda: told.append("closed"))

    trio.run(main)
    assert (told, hosts[0].closed) == (["closed"], True)


class Poked(QueueHost):
    """A host whose toolkit does what the test wants when it is poked."""

    def __init__(self, poked: Callable[[QueueHost], object]) -> None:
        super().__init__()
        self.poked = poked

    def _poke(self) -> None:
        self.poked(self)


def test_a_host_may_close_while_its_toolkit_is_poked() -> None:
    told: list[str] = []

    def poked(host: QueueHost) -> None:
        host.on_close(lambda: told.append("closed"))
        host.close()

    Poked(poked).call_soon(lambda: told.append("ran"))
    assert told == ["closed"]


def test_a_toolkit_that_cannot_be_poked_costs_the_caller_nothing_and_is_tried_again() -> None:
    tried: list[str] = []

    def poked(_host: QueueHost) -> None:
        tried.append("poked")
        raise RuntimeError("the display is gone")

    host = Poked(poked)
    host.call_soon(tried.clear)
    host.call_soon(tried.clear)
    assert tried == ["poked", "poked"]

"""What is peculiar to one kind of host: where it may be made, and what it says when it may not."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from guard import GUARD

from rx_assistant.gui import (
    AsyncioHost,
    GtkHost,
    QtHost,
    QueueHost,
    TellsClosing,
    TextualHost,
    TkHost,
    TrioHost,
    UiScheduler,
    WxHost,
    observe_on_ui,
)


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
    app = widgets.QApplication.instance() or widgets.QApplication([])
    with pytest.raises(TypeError, match=r"PySide6 or PyQt6, got object: pip install 'rx_assistant\[qt\]'"):
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
    with pytest.raises(RuntimeError):
        AsyncioHost()
    with pytest.raises(RuntimeError):
        TrioHost()
    with pytest.raises(RuntimeError):
        TextualHost(object())  # type: ignore[arg-type]


def test_importing_every_name_loads_no_toolkit() -> None:
    program = (
        "import sys\n"
        "for absent in ('gi', 'wx', 'trio', 'textual', 'tkinter', 'PySide6', 'PyQt6'):\n"
        "    sys.modules[absent] = None\n"
        "from rx_assistant.gui import *\n"
        "assert {'GtkHost', 'TkHost', 'observe_on_ui'} <= set(globals())\n"
        "for make in (TkHost, QtHost, GtkHost, WxHost):\n"
        "    try: make(object())\n"
        "    except TypeError as error: print(error)\n"
        "try: TrioHost()\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    said = done.stdout.splitlines()
    assert (done.returncode, len(said), done.stderr) == (0, 5, "")
    assert said[0] == "window must be a widget of tkinter, got object: write TkHost(root)"
    assert said[4] == "TrioHost needs trio: pip install trio"


def something_of(package: str) -> object:
    """An object whose class comes from a toolkit, whether that is installed or not."""
    return type("Window", (), {"__module__": package})()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (something_of("tkinter"), "got Window: write TkHost(root)"),
        (something_of("PySide6.QtWidgets"), "got Window: write QtHost(window)"),
        (something_of("PyQt6.QtWidgets"), "got Window: write QtHost(window)"),
        (something_of("textual.app"), "got Window: write TextualHost(app)"),
        (something_of("gi.overrides.Gtk"), "got Window: write GtkHost(window)"),
        (something_of("wx._core"), "got Window: write WxHost(window)"),
        (something_of("uvloop"), "got Window: write AsyncioHost()"),
        (TkHost, "got the class TkHost: write TkHost(…)"),
        (None, "got NoneType: write one of AsyncioHost(), GtkHost(window)"),
    ],
)
@pytest.mark.parametrize("use", [observe_on_ui, UiScheduler])
def test_a_window_in_place_of_its_host_is_refused_at_once(use: Any, given: object, said: str) -> None:
    with pytest.raises(TypeError, match=re.escape(f"host must be a host of rx_assistant.gui, {said}")):
        use(given)


def test_a_root_of_tk_in_place_of_its_host_is_refused_at_once(display: None) -> None:
    tkinter = pytest.importorskip("tkinter", reason="tkinter is not installed")
    root = tkinter.Tk()
    with pytest.raises(TypeError, match=r"got Tk: write TkHost\(root\)"):
        observe_on_ui(root)
    root.destroy()


def test_hosts_refuse_objects_of_another_toolkit(display: None) -> None:
    tkinter = pytest.importorskip("tkinter", reason="tkinter is not installed")
    root = tkinter.Tk()
    for make in (QtHost, GtkHost, WxHost):
        with pytest.raises(TypeError, match=r"(got|not) Tk"):
            make(root)
    root.destroy()


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_callback_registered_on_a_closed_host_is_called_at_once(anyio_backend: str) -> None:
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


# -- what keeps a host alive, and what removes what it installed -------------------------------------------------------


def gone(host: weakref.ref[Any]) -> bool:
    gc.collect()
    return host() is None


def test_an_asyncio_host_closes_when_the_loop_is_shut_down() -> None:
    told: list[str] = []

    async def main() -> None:
        host = AsyncioHost()
        host.on_close(lambda: told.append("closed"))
        dropped = weakref.ref(AsyncioHost())
        assert gone(dropped)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        hosts.append(host)

    hosts: list[AsyncioHost] = []
    asyncio.run(main())
    assert told == ["closed"]


def test_nothing_keeps_a_trio_host_that_the_program_has_dropped() -> None:
    trio = pytest.importorskip("trio", reason="trio is not installed")

    async def main() -> None:
        before = trio.lowlevel.current_statistics().tasks_living
        for _ in range(10):
            dropped = weakref.ref(TrioHost())
            assert gone(dropped)
        with trio.fail_after(GUARD):
            while trio.lowlevel.current_statistics().tasks_living > before:
                await trio.lowlevel.checkpoint()

    trio.run(main)


def test_a_tk_window_forgets_hosts_that_the_program_has_dropped(display: None) -> None:
    tkinter = pytest.importorskip("tkinter", reason="tkinter is not installed")
    root = tkinter.Tk()
    called: list[str] = []
    root.bind("<Destroy>", lambda _: called.append("the program's own"))
    binding = root.bind("<Destroy>")

    def use_a_host(leave: Callable[[list[TkHost]], object]) -> int:
        hosts = [TkHost(root)]
        found = weakref.ref(hosts[0])
        leave(hosts)
        hosts.clear()
        assert gone(found)
        root.update()
        assert root.bind("<Destroy>").split() == binding.split()
        return len(os.listdir("/proc/self/fd"))

    def drop_on_a_thread(hosts: list[TkHost]) -> None:
        dropper = threading.Thread(target=hosts.clear)
        dropper.start()
        dropper.join()

    before = use_a_host(lambda hosts: hosts[0].close())  # Tcl opens a pipe of its own
    assert use_a_host(drop_on_a_thread) == before
    root.destroy()
    assert called == ["the program's own"]


def test_a_textual_host_ends_with_its_owner_and_not_with_the_task_that_made_it() -> None:
    pytest.importorskip("textual", reason="textual is not installed")
    from textual.app import App
    from textual.screen import Screen

    hosts: dict[str, TextualHost] = {}

    class Page(Screen[None]):
        def on_mount(self) -> None:
            hosts["screen"], hosts["app"] = TextualHost(self), TextualHost(self.app)
            self.run_worker(self.work())

        async def work(self) -> None:
            hosts["worker"] = TextualHost(self)

    class Program(App[None]):
        async def on_mount(self) -> None:
            await self.push_screen(Page())

    async def main() -> None:
        app = Program()
        async with app.run_test() as pilot:
            await pilot.pause()
            await app.workers.wait_for_complete()
            assert [name for name, host in hosts.items() if host.closed] == []
            dropped = weakref.ref(TextualHost(app.screen))
            await pilot.pause()
            assert gone(dropped)
            told: list[str] = []
            for name, host in hosts.items():
                host.on_close(lambda name=name: told.append(name))  # type: ignore[misc]
            await app.pop_screen()
            await pilot.pause()
            assert (sorted(told), hosts["app"].closed) == (["screen", "worker"], False)
        assert told[-1] == "app"

    asyncio.run(main())


@pytest.mark.filterwarnings("ignore::ImportWarning")  # of PyGObject's own importer
def test_a_gtk_window_forgets_hosts_and_a_dialog_ends_when_it_is_hidden(display: None) -> None:
    gi = pytest.importorskip("gi", reason="PyGObject is not installed")
    gi.require_version("Gtk", "3.0")
    from gi.repository import GLib, Gtk

    window, dialog = Gtk.Window(), Gtk.Dialog()
    dropped = weakref.ref(GtkHost(window))
    assert gone(dropped)
    hosts = [GtkHost(window), GtkHost(dialog)]
    for shown in (window, dialog):
        shown.show()
        shown.hide()
    while GLib.MainContext.default().iteration(False):
        pass
    assert [host.closed for host in hosts] == [False, True]
    window.destroy()
    assert hosts[0].closed


WX_PROGRAM = """
import gc, weakref, wx
from rx_assistant.gui import WxHost
app = wx.App()
frame, dialog = wx.Frame(None), wx.Dialog(None)
dropped = weakref.ref(WxHost(frame))
gc.collect()
hosts = [WxHost(frame), WxHost(dialog)]
for shown in (frame, dialog):
    shown.Show()
    shown.Hide()
app.ProcessPendingEvents()
print(dropped(), [host.closed for host in hosts])
"""


def test_a_wx_window_forgets_hosts_and_a_dialog_ends_when_it_is_hidden(display: None) -> None:
    pytest.importorskip("wx", reason="wxPython is not installed")
    ran = subprocess.run([sys.executable, "-c", WX_PROGRAM], capture_output=True, text=True, timeout=60)
    assert ran.stdout == "None [False, True]\n", ran.stderr

"""Programs with Qt windows, one for each claim, each in a process of its own: `python qt_programs.py BINDING NAME…`.

What Qt and the garbage collector do to a window while it is destroyed can end the whole process. Prints each program's
exit code.
"""

from __future__ import annotations

import gc
import importlib
import sys
import threading
import time
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from reactivex import Subject, operators as ops

from rx_assistant.gui import QtHost, observe_on_ui

sys.path.append(str(Path(__file__).resolve().parents[1]))
from children import exit_codes  # beside the rooms

BINDING, *NAMES = sys.argv[1:]
core: Any = importlib.import_module(f"{BINDING}.QtCore")
gui: Any = importlib.import_module(f"{BINDING}.QtGui")
widgets: Any = importlib.import_module(f"{BINDING}.QtWidgets")
programs: dict[str, Callable[[], None]] = {}


def program(run: Callable[[], None]) -> Callable[[], None]:
    programs[run.__name__] = run
    return run


class Panel(widgets.QWidget):  # type: ignore[misc]
    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.host = QtHost(self)


class Dialog(widgets.QDialog):  # type: ignore[misc]
    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.host = QtHost(self)


class Main(widgets.QMainWindow):  # type: ignore[misc]
    """A main window that answers its close event as the test says."""

    def __init__(self, *on_close: str) -> None:
        super().__init__()
        self.host = QtHost(self)
        self.on_close = on_close

    def closeEvent(self, event: Any) -> None:
        for act in self.on_close:
            {"hide": self.hide, "ignore": event.ignore, "accept": event.accept}[act]()


class Feed:
    """A subscription that is observed on a host, and whether it has ended."""

    def __init__(self, host: QtHost) -> None:
        self.shown: list[str] = []
        self.ended = False
        self.source: Subject[str] = Subject()
        self.source.pipe(ops.finally_action(self._end), observe_on_ui(host)).subscribe(self.shown.append)

    def _end(self) -> None:
        self.ended = True


def turn(times: int = 5) -> None:
    for _ in range(times):
        app.processEvents()
        app.sendPostedEvents(None, core.QEvent.Type.DeferredDelete)


def expect(feed: Feed, ended: bool) -> None:
    """Check that a feed has ended, or that it still reaches its window."""
    turn()
    assert feed.ended is ended, f"ended: {feed.ended}"
    if not ended:
        before, until = len(feed.shown), time.monotonic() + 30
        feed.source.on_next("more")
        while len(feed.shown) == before and time.monotonic() < until:
            turn()
        assert feed.shown[before:] == ["more"]


def shown(window: Any) -> Any:
    window.show()
    turn()
    return window


# -- a window that is collected ----------------------------------------------------------------------------------------


@program
def a_window_that_is_dropped_is_freed_at_once() -> None:
    gc.collect()
    gc.disable()
    for kind in (Panel, Dialog, Main):
        for shows in (False, True):
            window = kind()
            if shows:
                shown(window)
            found, host = weakref.ref(window), weakref.ref(window.host)
            del window
            assert (found(), host()) == (None, None), (kind, shows)


@program
def windows_in_cycles_are_collected() -> None:
    for kind in (Panel, Dialog, Main):
        for shows in (False, True):
            for _ in range(10):
                window = kind()
                window.cycle = [window, window.host]
                window.host.cycle = window
                if shows:
                    shown(window)
            del window
            gc.collect()
            turn()


@program
def a_window_is_collected_while_text_comes() -> None:
    feeds = []
    for _ in range(10):
        window = shown(Main())
        window.cycle = window
        feeds.append(Feed(window.host))
        feeds[-1].source.on_next("a")
    del window
    gc.collect()
    for feed in feeds:
        expect(feed, ended=True)


@program
def a_host_is_dropped_before_its_window() -> None:
    window = shown(widgets.QMainWindow())
    children = len(window.children())
    for _ in range(20):
        feed = Feed(QtHost(window))
        feed.source.on_completed()
        turn()
    host = [QtHost(window)]
    dropper = threading.Thread(target=host.clear)
    dropper.start()
    dropper.join()
    turn()
    assert len(window.children()) == children
    window.close()
    turn()


@program
def the_application_goes_first() -> None:
    global app
    window, dialog = shown(Main()), shown(Dialog())
    feed, host = Feed(window.host), dialog.host
    feed.source.on_next("a")
    host.call_later(60, turn)
    app.shutdown() if BINDING == "PySide6" else None
    app = None
    gc.collect()
    window.host.call_soon(turn)
    feed.source.on_next("b")
    assert feed.ended
    assert host.closed
    del window, dialog, host
    gc.collect()


@program
def the_interpreter_ends_with_everything_open() -> None:
    global left
    window, dialog = shown(Main()), shown(Dialog())
    window.cycle = [window, dialog]
    left = (window, dialog, Feed(window.host), Feed(dialog.host), QtHost(app))
    left[2].source.on_next("a")


# -- a window that goes away for the person ----------------------------------------------------------------------------


@program
def a_closed_window_ends_its_feed() -> None:
    for window in (Panel(), Dialog(), Main(), Main("hide", "accept")):
        feed = Feed(shown(window).host)
        window.close()
        expect(feed, ended=True)
    window = Main()
    feed = Feed(window.host)
    window.close()  # before it was shown
    expect(feed, ended=True)


@program
def a_window_that_refuses_to_close_goes_on() -> None:
    for on_close in (("ignore",), ("ignore", "hide"), ("hide", "ignore")):  # the latter two: into the tray
        window = shown(Main(*on_close))
        feed = Feed(window.host)
        window.close()
        expect(feed, ended=False)
        window.on_close = ()
        window.close()
        expect(feed, ended=True)


@program
def a_main_window_that_is_hidden_or_minimised_goes_on() -> None:
    window = shown(Main())
    feed = Feed(window.host)
    window.showMinimized()
    expect(feed, ended=False)
    window.showNormal()
    window.hide()
    expect(feed, ended=False)
    window.setWindowFlag(core.Qt.WindowType.WindowStaysOnTopHint)
    window.show()
    expect(feed, ended=False)


@program
def a_dialog_ends_its_feed_however_it_is_ended() -> None:
    escape = core.Qt.Key.Key_Escape

    def press_escape(dialog: Any) -> None:
        press = gui.QKeyEvent(core.QEvent.Type.KeyPress, escape, core.Qt.KeyboardModifier.NoModifier)
        app.sendEvent(dialog, press)

    for end in (Dialog.accept, Dialog.reject, Dialog.hide, Dialog.close, Dialog.deleteLater, press_escape):
        dialog = Dialog()
        feed = Feed(dialog.host)
        if end is Dialog.deleteLater:
            shown(dialog).deleteLater()
        else:
            core.QTimer.singleShot(20, lambda end=end, dialog=dialog: end(dialog))
            dialog.exec()
        expect(feed, ended=True)


@program
def a_popup_ends_its_feed_when_it_is_hidden() -> None:
    popup = Panel()
    popup.setWindowFlags(core.Qt.WindowType.Popup)
    feed = Feed(shown(popup).host)
    popup.hide()
    expect(feed, ended=True)


@program
def a_dialog_that_changes_its_flags_goes_on() -> None:
    dialog = shown(Dialog())
    feed = Feed(dialog.host)
    dialog.setWindowFlag(core.Qt.WindowType.WindowStaysOnTopHint)  # hides it
    dialog.show()
    expect(feed, ended=False)


@program
def a_window_that_is_shown_again_takes_new_feeds() -> None:
    for window, leave in ((Dialog(), Dialog.accept), (Main(), Main.close)):
        for _ in range(3):
            feed = Feed(shown(window).host)
            feed.source.on_next("a")
            leave(window)
            expect(feed, ended=True)
            expect(Feed(window.host), ended=True)
        feed = Feed(shown(window).host)
        expect(feed, ended=False)
        window.host.close()
        expect(feed, ended=True)
        window.hide()
        expect(Feed(shown(window).host), ended=True)  # a host that was closed by the program stays closed


@program
def a_panel_ends_with_its_window_and_not_with_its_tab() -> None:
    for kind, leave in ((Main, Main.close), (Dialog, Dialog.accept), (Dialog, Dialog.hide)):
        first, second = Panel(), Panel()  # made before they have a window
        feeds = [Feed(first.host), Feed(second.host)]
        tabs = widgets.QTabWidget()
        tabs.addTab(first, "first")
        tabs.addTab(second, "second")
        window = kind()
        if kind is Main:
            window.setCentralWidget(tabs)
        else:
            widgets.QVBoxLayout(window).addWidget(tabs)
        shown(window)
        for index in (1, 0, 1):
            tabs.setCurrentIndex(index)
            expect(feeds[0], ended=False)
            expect(feeds[1], ended=False)
        leave(window)
        expect(feeds[0], ended=True)
        expect(feeds[1], ended=True)


@program
def a_parent_takes_its_dialogs_and_panels_with_it() -> None:
    for end in (Main.close, Main.deleteLater):
        window = shown(Main())
        feeds = [Feed(shown(Dialog(window)).host), Feed(shown(Panel(window)).host), Feed(Panel(window).host)]
        end(window)
        for feed in feeds:
            expect(feed, ended=True)


@program
def a_panel_in_another_window_than_before_ends_with_that_one() -> None:
    panel, before, after = Panel(), Main(), Main()
    before.setCentralWidget(panel)
    feed = Feed(panel.host)
    shown(before)
    after.setCentralWidget(panel)
    shown(after)
    before.close()
    expect(feed, ended=False)
    after.close()
    expect(feed, ended=True)


@program
def quitting_ends_every_feed() -> None:
    window = shown(Main())
    feeds = [Feed(window.host), Feed(Panel().host), Feed(QtHost(app))]
    panel = Panel()
    feeds.append(Feed(panel.host))
    core.QTimer.singleShot(20, app.quit)
    app.exec()
    for feed in feeds:
        assert feed.ended


def started(name: str) -> None:
    global app
    app = widgets.QApplication([])
    app.setQuitOnLastWindowClosed(False)
    programs[name]()


if __name__ == "__main__":
    for name, code in exit_codes({name: partial(started, name) for name in NAMES}).items():
        print(name, code)

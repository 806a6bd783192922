"""Real event loops of real toolkits, driven alike: open a window, run until something is true, close."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import time
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import pytest
from guard import GUARD

from rx_assistant.gui import UiHost

LOOK = 0.002  # seconds between two looks whether it has

Start = Callable[["Toolkit"], None]
Done = Callable[[], bool]


class Toolkit(ABC):
    """One run of an event loop. `host` and `append` are there as soon as it runs."""

    packages: ClassVar[tuple[str, ...]] = ()
    needs_display: ClassVar[bool] = False
    nests: ClassVar[bool] = False  # whether there may be a loop inside the loop
    host: UiHost

    def __init__(self) -> None:
        self.gaps: list[float] = []  # seconds between two looks: how long the loop was held up
        self._looked = 0.0
        self._until = 0.0
        self._done: Done = bool
        self._failure: Exception | None = None

    @classmethod
    def require(cls) -> None:
        """Skip the test where a package is missing."""
        for package in cls.packages:
            pytest.importorskip(package, reason=f"{package} is not installed")

    def run(self, start: Start, done: Done) -> None:
        """Open the window, call `start` on the UI thread, and run the loop until `done()`."""
        self._done = done
        self._until = time.monotonic() + GUARD
        self._loop(start)
        if self._failure is not None:
            raise self._failure
        assert done(), f"it did not come to its end within {GUARD} s"

    def _is_over(self) -> bool:
        now = time.monotonic()
        if self._looked:
            self.gaps.append(now - self._looked)
        self._looked = now
        return self._done() or now > self._until or self._failure is not None

    def _start(self, start: Start) -> None:
        try:
            start(self)
        except Exception as error:
            self._failure = error

    def forget_widgets(self) -> None:
        """Let go of everything that belongs to the toolkit."""
        self.__dict__.clear()

    @abstractmethod
    def _loop(self, start: Start) -> None:
        """Open a window, make the host, start, and run the loop until it is over."""

    @abstractmethod
    def append(self, text: str) -> None:
        """Append text to a widget."""

    @abstractmethod
    def text(self) -> str:
        """The widget's text, after the run as well."""

    @abstractmethod
    def close_window(self) -> None:
        """Close the window as a person would."""

    def turn(self) -> None:
        """Let the event loop run from inside one of its own actions, as a modal dialog does."""
        raise NotImplementedError


class Tk(Toolkit):
    packages = ("tkinter",)
    needs_display = True
    nests = True

    def _loop(self, start: Start) -> None:
        import tkinter

        from rx_assistant.gui import TkHost

        self.root = tkinter.Tk()
        self.widget = tkinter.Text(self.root)
        self.widget.pack()
        self.host = TkHost(self.root)
        self._text = ""
        self._open = True
        self.root.after(0, self._start, start)
        self.root.after(1, self._look)
        self.root.mainloop()
        if self._open:
            self.close_window()
        while not self._is_over():  # the application is gone, what it has left behind continues
            time.sleep(LOOK)

    def _look(self) -> None:
        if self._is_over():
            self.root.quit()
        elif self._open:
            self.root.after(int(LOOK * 1000), self._look)

    def append(self, text: str) -> None:
        self.widget.insert("end", text)
        self.widget.see("end")

    def text(self) -> str:
        return self._text if not self._open else self.widget.get("1.0", "end-1c")

    def close_window(self) -> None:
        self._text = self.text()
        self._open = False
        self.root.destroy()

    def turn(self) -> None:
        self.root.update()


class TkToplevel(Tk):
    """A second window of an application that continues without it."""

    def _loop(self, start: Start) -> None:
        import tkinter

        from rx_assistant.gui import TkHost

        self.spare = tkinter.Tk()
        self.root = tkinter.Toplevel(self.spare)  # type: ignore[assignment]
        self.widget = tkinter.Text(self.root)
        self.widget.pack()
        self.host = TkHost(self.root)
        self._text, self._open = "", True
        self.spare.after(0, self._start, start)
        self.spare.after(1, self._look)
        self.spare.mainloop()
        if self._open:
            self.close_window()
        self.spare.destroy()

    def _look(self) -> None:
        if self._is_over():
            self.spare.quit()
        else:
            self.spare.after(int(LOOK * 1000), self._look)


class TkPolling(Tk):
    """Tk as on Windows, where it cannot watch a pipe."""

    def _loop(self, start: Start) -> None:
        from rx_assistant.gui import TkHost

        watches = TkHost._can_watch
        TkHost._can_watch = staticmethod(lambda _: False)  # type: ignore[method-assign, assignment]
        try:
            super()._loop(start)
        finally:
            TkHost._can_watch = staticmethod(watches)  # type: ignore[method-assign]


class Qt(Toolkit):
    """PySide6, or by QT_API=pyqt6 the other binding; one process can have only one of them."""

    binding = "PyQt6" if os.environ.get("QT_API") == "pyqt6" else "PySide6"
    packages = (f"{binding}.QtWidgets",)
    nests = True

    def _loop(self, start: Start) -> None:
        from rx_assistant.gui import QtHost

        self.core = importlib.import_module(f"{self.binding}.QtCore")
        widgets = importlib.import_module(f"{self.binding}.QtWidgets")
        self.app = widgets.QApplication.instance() or widgets.QApplication([])
        self.app.setQuitOnLastWindowClosed(False)
        self.widget = widgets.QPlainTextEdit()
        self.widget.show()
        self.host = QtHost(self.widget)
        timer = self.core.QTimer()
        timer.timeout.connect(lambda: self._is_over() and self.app.exit())
        timer.start(int(LOOK * 1000))
        self.core.QTimer.singleShot(0, lambda: self._start(start))
        self.app.exec()
        timer.stop()
        self.widget.close()

    def append(self, text: str) -> None:
        self.widget.moveCursor(self.widget.textCursor().MoveOperation.End)
        self.widget.insertPlainText(text)

    def text(self) -> str:
        return str(self.widget.toPlainText())

    def close_window(self) -> None:
        self.widget.close()

    def turn(self) -> None:
        self.app.processEvents()


class Asyncio(Toolkit):
    """No toolkit: the bare loop."""

    def _loop(self, start: Start) -> None:
        self.parts: list[str] = []
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(self._main(start))

    async def _main(self, start: Start) -> None:
        from rx_assistant.gui import AsyncioHost

        self.host = AsyncioHost()
        self._start(start)
        while not self._is_over():  # noqa: ASYNC110  # the loop under test must turn, and its pauses are measured
            await asyncio.sleep(LOOK)

    def append(self, text: str) -> None:
        self.parts.append(text)

    def text(self) -> str:
        return "".join(self.parts)

    def close_window(self) -> None:
        self.host.close()  # type: ignore[attr-defined]


class Trio(Asyncio):
    packages = ("trio",)

    def _loop(self, start: Start) -> None:
        import trio

        self.parts = []
        trio.run(self._trio_main, start)

    async def _trio_main(self, start: Start) -> None:
        import trio

        from rx_assistant.gui import TrioHost

        self.host = TrioHost()
        self._start(start)
        while not self._is_over():  # noqa: ASYNC110
            await trio.sleep(LOOK)


class Textual(Toolkit):
    packages = ("textual",)

    def _loop(self, start: Start) -> None:
        asyncio.run(self._main(start))

    async def _main(self, start: Start) -> None:
        from textual.app import App, ComposeResult
        from textual.widgets import Log

        from rx_assistant.gui import TextualHost

        toolkit = self

        class Window(App[None]):
            def compose(self) -> ComposeResult:
                yield Log()

            def on_mount(self) -> None:
                toolkit.host = TextualHost(self)
                toolkit.widget = self.query_one(Log)
                toolkit.call_after_refresh = self.call_after_refresh(toolkit._start, start)  # type: ignore[attr-defined]

        self.window = Window()
        async with self.window.run_test():
            while not self._is_over() and self.window.is_running:  # noqa: ASYNC110
                await asyncio.sleep(LOOK)
            self._text = self.text()
        while not self._is_over():  # noqa: ASYNC110
            await asyncio.sleep(LOOK)

    def append(self, text: str) -> None:
        self.widget.write(text)

    def text(self) -> str:
        return self._text if hasattr(self, "_text") else "\n".join(self.widget.lines)

    def close_window(self) -> None:
        self.window.exit()


class Gtk(Toolkit):
    packages = ("gi",)
    needs_display = True
    nests = True

    def _loop(self, start: Start) -> None:
        warnings.simplefilter("ignore", ImportWarning)  # of PyGObject's own importer
        import gi

        gi.require_version("Gtk", "3.0")
        from gi.repository import GLib, Gtk

        from rx_assistant.gui import GtkHost

        if not Gtk.init_check()[0]:
            pytest.skip("GTK finds no display")
        self.window = Gtk.Window()
        self.buffer = Gtk.TextBuffer()
        self.window.add(Gtk.TextView(buffer=self.buffer))
        self.window.show_all()
        self.host = GtkHost(self.window)
        loop = GLib.MainLoop()

        def look() -> bool:
            if self._is_over():
                loop.quit()
                return False
            return True

        GLib.timeout_add(int(LOOK * 1000), look)
        GLib.idle_add(lambda: self._start(start))
        loop.run()
        self.window.destroy()

    def append(self, text: str) -> None:
        self.buffer.insert(self.buffer.get_end_iter(), text)

    def text(self) -> str:
        return str(self.buffer.get_text(self.buffer.get_start_iter(), self.buffer.get_end_iter(), True))

    def close_window(self) -> None:
        self.window.destroy()

    def turn(self) -> None:
        from gi.repository import GLib

        GLib.MainContext.default().iteration(False)


class Wx(Toolkit):
    packages = ("wx",)
    needs_display = True
    nests = True

    def _loop(self, start: Start) -> None:
        import wx

        from rx_assistant.gui import WxHost

        app = wx.App()
        app.SetExitOnFrameDelete(False)
        self._text = ""
        self.frame = wx.Frame(None)
        self.widget = wx.TextCtrl(self.frame, style=wx.TE_MULTILINE)
        self.frame.Show()
        self.host = WxHost(self.frame)
        timer = wx.Timer(app)
        app.Bind(wx.EVT_TIMER, lambda _: self._is_over() and app.ExitMainLoop(), timer)
        timer.Start(int(LOOK * 1000))
        wx.CallAfter(self._start, start)
        app.MainLoop()
        timer.Stop()
        if self.frame:
            self._text = self.text()
            self.frame.Destroy()

    def append(self, text: str) -> None:
        self.widget.AppendText(text)

    def text(self) -> str:
        return str(self.widget.GetValue()) if self.frame else self._text

    def close_window(self) -> None:
        self._text = self.text()
        self.frame.Close()

    def turn(self) -> None:
        import wx

        wx.Yield()


TOOLKITS: dict[str, type[Toolkit]] = {
    "asyncio": Asyncio,
    "gtk": Gtk,
    "qt": Qt,
    "textual": Textual,
    "tk": Tk,
    "tk-polling": TkPolling,
    "tk-toplevel": TkToplevel,
    "trio": Trio,
    "wx": Wx,
}

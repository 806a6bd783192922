"""The three chat examples behind one face, each in its real event loop, following a script of the test's."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

from gui_toolkits import GUARD, LOOK

from rx_assistant import AssistantClient


@contextmanager
def conversation_with(talk: Any) -> Iterator[tuple[Any, Any]]:
    """The client and the conversation that a window is given."""
    from concierge import tools

    with (
        AssistantClient(base_url=talk.base_url) as client,
        client.conversation(talk.assistant_id, talk.thread_id, tools=tools) as conversation,
    ):
        yield client, conversation


Script = Callable[["Chat"], Generator[Callable[[], object], None, None]]
"""Does things to a chat, and yields what has to come true before it continues."""


class Chat(ABC):
    """One example."""

    packages: ClassVar[tuple[str, ...]] = ()
    needs_display: ClassVar[bool] = False
    narrow: ClassVar[int] = 450  # pixels
    no_link: ClassVar[str] = ""  # what only chats with a link to copy code show
    window: Any

    def run(self, talk: Any, script: Script) -> None:
        """Open the window, follow the script to its end, and close the window unless the script has."""
        self._steps: Any = None
        self._claim: Callable[[], object] = lambda: True
        self._script = script
        self._until = time.monotonic() + GUARD
        self._problem: BaseException | None = None
        self._run(talk)
        if self._problem is not None:
            raise self._problem

    def _advance(self) -> bool:
        """Go on with the script if what it waits for has come true; True at its end."""
        try:
            if self._steps is None:
                self._steps = self._script(self)
            while self._claim():
                self._claim = next(self._steps)
            assert time.monotonic() < self._until, f"stuck in line {self._line()}: {self.status()!r}\n{self.text()}"
        except StopIteration:
            return True
        except Exception as error:
            self._problem = error
            return True
        return False

    def _line(self) -> int | None:
        """Where the script waits."""
        return self._steps.gi_frame.f_lineno if self._steps.gi_frame else None

    @property
    def busy(self) -> bool:
        """Whether a run is going on."""
        return bool(self.window.turns.busy)

    @abstractmethod
    def _run(self, talk: Any) -> None: ...
    @abstractmethod
    def ask(self, text: str) -> None: ...
    @abstractmethod
    def stop(self) -> None: ...
    @abstractmethod
    def text(self) -> str: ...
    @abstractmethod
    def status(self) -> str: ...
    @abstractmethod
    def copy_code(self) -> None: ...
    @abstractmethod
    def clipboard(self) -> str: ...
    @abstractmethod
    def close(self) -> None: ...
    def position(self) -> float:
        """How far down the transcript is shown: 1 at its end."""
        raise NotImplementedError

    def scroll_up(self) -> None:
        """Scroll to the beginning."""
        raise NotImplementedError

    def resize(self, width: int, height: int) -> None:
        """Give the window another size, in pixels."""
        raise NotImplementedError

    def size(self) -> tuple[int, int]:
        """The size that the window has."""
        raise NotImplementedError

    def type(self, text: str) -> None:
        """Press the keys of a text; Shift-Return for its new lines."""
        raise NotImplementedError

    def press(self, key: str) -> None:
        """Press a key, by its name in Tk."""
        raise NotImplementedError

    def typed(self) -> str:
        """What stands in the entry."""
        raise NotImplementedError

    def note(self) -> str:
        """What stands below the entry."""
        raise NotImplementedError

    def focus(self) -> str:
        """What has the focus: the chat, a dialog, or nothing."""
        raise NotImplementedError


class TkChat(Chat):
    packages = ("tkinter",)
    needs_display = True

    def _run(self, talk: Any) -> None:
        import tkinter

        from chat_tk import ChatWindow

        with conversation_with(talk) as given:
            self.root = tkinter.Tk()
            self.window = ChatWindow(self.root, *given)
            self.root.after(1, self._look)
            self.root.mainloop()

    def _look(self) -> None:
        if self._advance():
            self.root.destroy()
        else:
            self.root.after(int(LOOK * 1000), self._look)

    def ask(self, text: str) -> None:
        self.root.update()
        self.root.focus_force()
        self.window.entry.focus_force()
        self.type(text)
        self.press("Return")

    def type(self, text: str) -> None:
        names = {" ": "space", ",": "comma", ".": "period", "?": "question", "/": "slash", "-": "minus"}
        names |= {"_": "underscore", "\n": "Shift-Return"}
        for letter in text:
            self.press(names.get(letter, letter))

    def press(self, key: str) -> None:
        """A key in the widget that has the focus, which may be one of Tk's own."""
        *modifiers, name = key.rsplit("-", 1)
        event = f"<{''.join(f'{modifier}-' for modifier in modifiers)}Key-{name}>"
        self.root.tk.call("event", "generate", self.root.tk.call("focus") or ".", event, "-when", "tail")

    def stop(self) -> None:
        self.window.button.invoke()

    def text(self) -> str:
        return str(self.window.paper.get("1.0", "end"))

    def status(self) -> str:
        return str(self.window.status.get())

    def note(self) -> str:
        return str(self.window.note.get())

    def typed(self) -> str:
        return str(self.window.entry.get("1.0", "end-1c"))

    def copy_code(self) -> None:
        self.press("Control-Shift-C")

    def focus(self) -> str:
        name = str(self.root.tk.call("focus"))
        return "dialog" if name.startswith(".__tk_filedialog") else "chat" if name else ""

    def clipboard(self) -> str:
        try:
            return str(self.root.clipboard_get())
        except Exception:  # it is empty
            return ""

    def position(self) -> float:
        return float(self.window.paper.yview()[1])

    def scroll_up(self) -> None:
        self.window.paper.yview_moveto(0)

    def resize(self, width: int, height: int) -> None:
        self.root.geometry(f"{width}x{height}")

    def size(self) -> tuple[int, int]:
        return self.root.winfo_width(), self.root.winfo_height()

    def close(self) -> None:
        """The script's end closes it."""


class QtChat(Chat):
    packages = ("PySide6.QtWidgets",)
    narrow = 360

    def _run(self, talk: Any) -> None:
        from chat_qt import ChatWindow
        from PySide6.QtCore import QTimer
        from PySide6.QtWidgets import QApplication

        self.app = QApplication.instance() or QApplication([])
        self.app.setQuitOnLastWindowClosed(False)
        with conversation_with(talk) as given:
            self.window = ChatWindow(*given)
            self.window.show()
            timer = QTimer()
            timer.timeout.connect(self._look)
            timer.start(int(LOOK * 1000))
            self.app.exec()
            timer.stop()

    def _look(self) -> None:
        if self._advance():
            self.window.close()
            self.app.exit()

    def ask(self, text: str) -> None:
        self.window.activateWindow()
        self.window.entry.setFocus()
        self.type(text)
        self.press("Return")

    def type(self, text: str) -> None:
        from PySide6.QtTest import QTest

        for number, line in enumerate(text.split("\n")):
            if number:
                self.press("Shift-Return")
            QTest.keyClicks(self.app.focusWidget(), line)

    def press(self, key: str) -> None:
        """A key in the widget that has the focus."""
        from PySide6.QtCore import QEvent, QKeyCombination, Qt
        from PySide6.QtGui import QKeyEvent, QKeySequence
        from PySide6.QtTest import QTest

        names = {"Prior": "PgUp", "Next": "PgDown", "Escape": "Esc"}
        *modifiers, name = key.split("-")
        sequence = QKeySequence("+".join([{"Control": "Ctrl"}.get(m, m) for m in modifiers] + [names.get(name, name)]))
        pressed: QKeyCombination = sequence[0]
        if self.app.focusWidget().window() is self.window:
            QTest.keyClick(self.app.focusWidget(), Qt.Key(pressed.key()), pressed.keyboardModifiers())
        else:  # a dialog that closes inside keyClick(), which holds the GIL, may wait for a thread that waits for it
            for kind in (QEvent.Type.KeyPress, QEvent.Type.KeyRelease):
                event = QKeyEvent(kind, pressed.key(), pressed.keyboardModifiers())
                self.app.postEvent(self.app.focusWidget(), event)

    def stop(self) -> None:
        self.window.button.click()

    def text(self) -> str:
        return "\n".join(bubble.toPlainText() for bubble in self.window.bubbles.values())

    def status(self) -> str:
        return str(self.window.status.text())

    def note(self) -> str:
        return str(self.window.note.text())

    def typed(self) -> str:
        return str(self.window.entry.toPlainText())

    def focus(self) -> str:
        from PySide6.QtWidgets import QFileDialog

        dialogs = [dialog for dialog in self.window.findChildren(QFileDialog) if dialog.isVisible()]
        shown = dialogs[0] if dialogs else self.window
        shown.activateWindow()  # as a window manager does
        if not shown.isAncestorOf(self.app.focusWidget()):
            return ""
        return "dialog" if dialogs else "chat"

    def copy_code(self) -> None:
        from PySide6.QtCore import QUrl

        bubble = next(bubble for bubble in self.window.bubbles.values() if "answer = 42" in bubble.text)
        bubble.anchorClicked.emit(QUrl("copy:0"))

    def clipboard(self) -> str:
        return str(self.app.clipboard().text())

    def position(self) -> float:
        bar = self.window.pane.verticalScrollBar()
        return float(bar.value() / (bar.maximum() or 1))

    def scroll_up(self) -> None:
        self.window.pane.verticalScrollBar().setValue(0)

    def resize(self, width: int, height: int) -> None:
        self.window.resize(width, height)

    def size(self) -> tuple[int, int]:
        return self.window.width(), self.window.height()

    def close(self) -> None:
        """The script's end closes it."""


TEXTUAL_KEYS = {
    "Return": "enter",
    "Prior": "pageup",
    "Next": "pagedown",
    "Escape": "escape",
    "Control-o": "ctrl+o",
    "Control-Shift-C": "f2",  # terminals keep that key for themselves
    "\n": "ctrl+j",
}


class TextualChat(Chat):
    packages = ("textual",)
    no_link = "copy"

    def _run(self, talk: Any) -> None:
        asyncio.run(self._main(talk))

    async def _main(self, talk: Any) -> None:
        from chat_textual import Chat as Window

        self.window = Window(talk)
        async with self.window.run_test() as pilot:
            while not self._advance():
                await pilot.pause(LOOK)
            await pilot.press("ctrl+q")

    def ask(self, text: str) -> None:
        from chat_textual import Entry

        self.window.query_one(Entry).text = text
        self.window.action_ask()

    def stop(self) -> None:
        self.window.action_stop()

    def text(self) -> str:
        return "\n".join(paper.text for paper in self.window.papers.values())

    def status(self) -> str:
        return str(self.window.query_one("#status").content)

    def copy_code(self) -> None:
        self.window.action_copy()

    def clipboard(self) -> str:
        return str(self.window.clipboard)

    def position(self) -> float:
        page = self.window.screen_stack[0].query_one("#page")
        return float(page.scroll_y / (page.max_scroll_y or 1))

    def scroll_up(self) -> None:
        self.window.query_one("#page").scroll_home(animate=False)

    def type(self, text: str) -> None:
        for letter in text:
            self._send(TEXTUAL_KEYS.get(letter, letter))

    def press(self, key: str) -> None:
        self._send(TEXTUAL_KEYS[key])

    def _send(self, key: str) -> None:
        """A key as the terminal sends it, without the pilot's pause after each."""
        from textual.events import Key

        self.window.post_message(Key(key, key if len(key) == 1 else None))

    def typed(self) -> str:
        return str(self._entry.text)

    def note(self) -> str:
        return str(self._entry.border_subtitle)

    def focus(self) -> str:
        return "chat" if len(self.window.screen_stack) == 1 else "dialog"

    @property
    def _entry(self) -> Any:
        return self.window.screen_stack[0].query_one("Entry")

    def close(self) -> None:
        """The script's end closes it."""


CHATS: dict[str, type[Chat]] = {"qt": QtChat, "textual": TextualChat, "tk": TkChat}

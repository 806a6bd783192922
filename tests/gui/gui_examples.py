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
def conversation_with(talk: Any) -> Iterator[Any]:
    """The conversation that a window is given."""
    from concierge import tools

    with (
        AssistantClient(base_url=talk.base_url) as client,
        client.conversation(talk.assistant_id, talk.thread_id, tools=tools) as conversation,
    ):
        yield conversation


Script = Callable[["Chat"], Generator[Callable[[], object], None, None]]
"""Does things to a chat, and yields what has to come true before it goes on."""


class Chat(ABC):
    """One example."""

    packages: ClassVar[tuple[str, ...]] = ()
    needs_display: ClassVar[bool] = False
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
            assert time.monotonic() < self._until, f"stuck: {self.status()!r}\n{self.text()}"
        except StopIteration:
            return True
        except Exception as error:
            self._problem = error
            return True
        return False

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


class TkChat(Chat):
    packages = ("tkinter",)
    needs_display = True

    def _run(self, talk: Any) -> None:
        import tkinter

        from chat_tk import ChatWindow

        with conversation_with(talk) as chat:
            self.root = tkinter.Tk()
            self.window = ChatWindow(self.root, chat)
            self.root.after(1, self._look)
            self.root.mainloop()

    def _look(self) -> None:
        if self._advance():
            self.root.destroy()
        else:
            self.root.after(int(LOOK * 1000), self._look)

    def ask(self, text: str) -> None:
        self.window.entry.insert(0, text)
        self.window.send()

    def stop(self) -> None:
        self.window.button.invoke()

    def text(self) -> str:
        return str(self.window.paper.get("1.0", "end"))

    def status(self) -> str:
        return str(self.window.status.get())

    def copy_code(self) -> None:
        self.root.event_generate("<Control-Shift-C>")

    def clipboard(self) -> str:
        try:
            return str(self.root.clipboard_get())
        except Exception:  # it is empty
            return ""

    def position(self) -> float:
        return float(self.window.paper.yview()[1])

    def scroll_up(self) -> None:
        self.window.paper.yview_moveto(0)

    def close(self) -> None:
        """The script's end closes it."""


class QtChat(Chat):
    packages = ("PySide6.QtWidgets",)

    def _run(self, talk: Any) -> None:
        from chat_qt import ChatWindow
        from PySide6.QtCore import QTimer
        from PySide6.QtWidgets import QApplication

        self.app = QApplication.instance() or QApplication([])
        self.app.setQuitOnLastWindowClosed(False)
        with conversation_with(talk) as chat:
            self.window = ChatWindow(chat)
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
        self.window.entry.setText(text)
        self.window.entry.returnPressed.emit()

    def stop(self) -> None:
        self.window.button.click()

    def text(self) -> str:
        return "\n".join(bubble.toPlainText() for bubble in self.window.bubbles.values())

    def status(self) -> str:
        return str(self.window.status.text())

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

    def close(self) -> None:
        """The script's end closes it."""


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

    def close(self) -> None:
        """The script's end closes it."""


CHATS: dict[str, type[Chat]] = {"qt": QtChat, "textual": TextualChat, "tk": TkChat}

"""The three chat examples behind one face, each in its real event loop, following a script of the test's."""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from typing import Any, ClassVar

from gui_toolkits import GUARD, LOOK

from rx_assistant import AsyncAssistantClient, background

Script = Callable[["Chat"], Generator[Callable[[], object], None, None]]
"""Does things to a chat, and yields what has to come true before it goes on."""


class Chat(ABC):
    """One example."""

    packages: ClassVar[tuple[str, ...]] = ()
    needs_display: ClassVar[bool] = False
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
        return self.window.stream is not None

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
    def close(self) -> None: ...


class TkChat(Chat):
    packages = ("tkinter",)
    needs_display = True

    def _run(self, talk: Any) -> None:
        import tkinter

        from chat_tk import ChatWindow

        with background() as bg:
            self.root = tkinter.Tk()
            self.window = ChatWindow(self.root, bg, bg.enter(AsyncAssistantClient(base_url=talk.base_url)), talk)
            self.root.after(1, self._look)
            self.root.mainloop()

    def _look(self) -> None:
        if self._advance():
            self.root.destroy()
        else:
            self.root.after(int(LOOK * 1000), self._look)

    def ask(self, text: str) -> None:
        self.window.entry.insert(0, text)
        self.window.entry.event_generate("<Return>")
        self.window.send()

    def stop(self) -> None:
        self.window.button.invoke()

    def text(self) -> str:
        return str(self.window.paper.get("1.0", "end"))

    def status(self) -> str:
        return str(self.window.status.get())

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
        with background() as bg:
            self.window = ChatWindow(bg, bg.enter(AsyncAssistantClient(base_url=talk.base_url)), talk)
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
        return "\n".join(label.text() for label in self.window.bubbles.values())

    def status(self) -> str:
        return str(self.window.status.text())

    def close(self) -> None:
        """The script's end closes it."""


class TextualChat(Chat):
    packages = ("textual",)

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
        from textual.widgets import Input

        entry = self.window.query_one(Input)
        entry.value = text
        entry.post_message(Input.Submitted(entry, text))

    def stop(self) -> None:
        self.window.action_stop()

    def text(self) -> str:
        return "\n".join(getattr(shown, "text", str(shown.content)) for shown in self.window.query("#page > Static"))

    def status(self) -> str:
        return str(self.window.query_one("#status").content)

    def close(self) -> None:
        """The script's end closes it."""


CHATS: dict[str, type[Chat]] = {"qt": QtChat, "textual": TextualChat, "tk": TkChat}

"""A chat window in Qt: bubbles of Markdown that follow a run, in the colours of the desktop.

    pip install 'rx_assistant[local,qt]' && python examples/chat_qt.py

`Turns` brings the newest snapshot to the window at most once a frame. Enter asks, even while an answer is written; the
line below the entry shows the other keys.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from concierge import WELCOME, conversation, tools
from PySide6 import QtWidgets as qt
from PySide6.QtCore import QSize, Qt
from PySide6.QtGui import QColor, QGuiApplication, QKeySequence, QPalette, QResizeEvent, QShortcut
from qt_look import NEVER, STYLE, Bubble, Entry, colours
from transcript import code_blocks
from turns import KEYS, Turns

from rx_assistant import AssistantClient, Conversation
from rx_assistant.gui import QtHost

MARGIN, WIDEST = 24, 540  # pixels
W = TypeVar("W", bound=qt.QWidget)


def named(name: str, widget: W) -> W:
    """Give a widget the name that the style uses."""
    widget.setObjectName(name)
    return widget


class ChatWindow(qt.QWidget):
    """One conversation as bubbles, with some lines to write in below and the run's status above."""

    def __init__(self, client: AssistantClient, talk: Conversation) -> None:
        super().__init__(windowTitle="Concierge")
        self.setObjectName("window")
        self.turns = Turns(self, QtHost(self), client, talk)
        self.bubbles, self.end = dict[str, Bubble](), 0  # by the key of what they show; where the page ends
        self.build()
        self.bind_keys()
        self.say("assistant", WELCOME)

    def say(self, kind: str, text: str, key: str = "") -> None:
        """Show a text in a bubble: the one of its key, or a new one at the end of the page."""
        key = key or f"bubble {len(self.bubbles)}"
        if key not in self.bubbles:
            side = Qt.AlignmentFlag.AlignRight if kind == "user" else Qt.AlignmentFlag.AlignLeft
            self.bubbles[key] = Bubble(kind, self.colours)
            self.bubbles[key].copied.connect(self.show_copied)
            self.lines.insertWidget(self.lines.count() - 1, self.bubbles[key], 0, side)
        if (bubble := self.bubbles[key]).text != text:
            bubble.write(text)
            bubble.fit(self.widest())

    def widest(self) -> int:
        return min(WIDEST, self.pane.viewport().width() - 2 * MARGIN)

    def resizeEvent(self, _event: QResizeEvent) -> None:
        for bubble in self.bubbles.values():
            bubble.fit(self.widest())

    def show_status(self, text: str) -> None:
        self.status.setText(text)

    def show_waiting(self, running: bool, waiting: int) -> None:
        self.button.setText("Stop" if running else "Send")
        self.button.setProperty("running", running)
        self.button.style().polish(self.button)
        self.setWindowTitle(f"Concierge ({waiting} waiting)" if waiting else "Concierge")
        self.note.setText(self.turns.note)

    def show_copied(self) -> None:
        self.note.setText("copied")

    def send(self) -> None:
        self.pane.verticalScrollBar().setValue(self.end)
        self.turns.ask(self.entry.toPlainText())
        self.entry.clear()

    def press(self) -> None:
        self.turns.stop() if self.turns.busy else self.send()

    def attach(self) -> None:
        dialog = qt.QFileDialog(self, "Attach", fileMode=qt.QFileDialog.FileMode.ExistingFiles)
        dialog.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        dialog.filesSelected.connect(self.upload)
        dialog.open()

    def upload(self, names: list[str]) -> None:
        for name in names:
            self.turns.attach(Path(name))

    def copy_code(self) -> None:
        """Copy the last block of code."""
        if blocks := [code for bubble in self.bubbles.values() for code in code_blocks(bubble.text)]:
            QGuiApplication.clipboard().setText(blocks[-1])
            self.show_copied()

    def turn_pages(self, pages: int) -> None:
        scrollbar = self.pane.verticalScrollBar()
        scrollbar.setValue(scrollbar.value() + pages * scrollbar.pageStep())

    def follow_the_end(self, _low: int, high: int) -> None:
        """Scroll to new text, unless a person has scrolled back."""
        if (scrollbar := self.pane.verticalScrollBar()).value() >= self.end:
            scrollbar.setValue(high)
        self.end = high

    def paint(self, scheme: Qt.ColorScheme) -> None:
        """Use the colours of the desktop's scheme."""
        self.colours = colours(scheme)
        palette = QPalette()
        palette.setColor(QPalette.ColorRole.Link, QColor(self.colours["link"]))
        QGuiApplication.setPalette(palette)  # Markdown takes the colour of its links from there
        self.setStyleSheet(STYLE.substitute(self.colours))
        for bubble in self.bubbles.values():
            bubble.colours = self.colours
            bubble.write(bubble.text)
            bubble.fit(self.widest())

    def bind_keys(self) -> None:
        self.button.clicked.connect(self.press)
        self.entry.asked.connect(self.send)
        self.entry.scrolled.connect(self.turn_pages)
        keys = {"Esc": self.turns.stop, "Ctrl+O": self.attach, "Ctrl+Shift+C": self.copy_code}
        for key, action in keys.items():
            QShortcut(QKeySequence(key), self, action)

    def build(self) -> None:
        self.resize(self.screen().availableSize().boundedTo(QSize(760, 640)))
        hints = QGuiApplication.styleHints()
        hints.colorSchemeChanged.connect(self.paint)
        self.paint(hints.colorScheme())
        self.status, self.note = named("status", qt.QLabel("ready")), named("note", qt.QLabel(KEYS))
        for label in (self.status, self.note):
            label.setWordWrap(True)  # else the window could not be narrower than its text
        self.entry, self.button = Entry(), qt.QPushButton("Send")
        self.button.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # a click leaves the focus where one writes
        page = named("page", qt.QWidget())
        self.lines = qt.QVBoxLayout(page)
        self.lines.setSpacing(10)
        self.lines.setContentsMargins(MARGIN, 20, MARGIN, 20)
        self.lines.addStretch()
        self.pane = qt.QScrollArea(widgetResizable=True)
        self.pane.setHorizontalScrollBarPolicy(NEVER)
        self.pane.setWidget(page)
        self.pane.verticalScrollBar().rangeChanged.connect(self.follow_the_end)
        title = named("title", qt.QLabel("Concierge"))
        below = qt.QHBoxLayout()
        below.addWidget(self.entry)
        below.addWidget(self.button, 0, Qt.AlignmentFlag.AlignBottom)
        whole = qt.QVBoxLayout(self)
        whole.setSpacing(0)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.bar("top", 3, title, self.status))
        whole.addWidget(self.pane, 1)
        whole.addWidget(self.bar("bottom", 8, below, self.note))
        self.entry.setFocus()

    def bar(self, name: str, gap: int, *parts: qt.QWidget | qt.QLayout) -> qt.QFrame:
        frame = named(name, qt.QFrame())
        layout = qt.QVBoxLayout(frame)
        layout.setSpacing(gap)
        layout.setContentsMargins(MARGIN, 12, MARGIN, 12)
        for part in parts:
            layout.addLayout(part) if isinstance(part, qt.QLayout) else layout.addWidget(part)
        return frame


def main() -> None:
    app = qt.QApplication([])
    with (
        conversation() as whom,
        AssistantClient(base_url=whom.base_url) as client,
        client.conversation(whom.assistant_id, whom.thread_id, tools=tools) as talk,
    ):
        window = ChatWindow(client, talk)
        window.show()
        app.exec()


if __name__ == "__main__":
    main()

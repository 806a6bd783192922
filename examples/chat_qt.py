"""A chat window in Qt: bubbles of Markdown that follow a run, in the colours of the desktop.

    pip install 'rx_assistant[local,qt]' && python examples/chat_qt.py

`Turns` brings the newest snapshot to the window at most once a frame. Enter asks, also while an answer is written.
Escape stops the run. Tab leads to the links that copy code.
"""

from __future__ import annotations

from math import ceil
from string import Template
from typing import TypeVar

from concierge import WELCOME, conversation, tools
from PySide6 import QtWidgets as qt
from PySide6.QtCore import Qt, QUrl
from PySide6.QtGui import QGuiApplication, QResizeEvent, QShortcut, QTextDocument
from transcript import CODE, code_blocks
from turns import Turns

from rx_assistant import AssistantClient, Conversation
from rx_assistant.gui import QtHost

STYLE = Template("""
* { font-family: Inter, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans'; font-size: 10.5pt; color: $ink; }
QWidget#window, QScrollArea, QWidget#page { background: $page; border: none; }
QLabel#title { font-size: 13pt; font-weight: 600; }
QLabel#status { color: $faint; font-size: 9pt; }
QFrame#top, QFrame#bottom, QTextBrowser { background: $paper; }
QTextBrowser { border: none; border-radius: 14px; }
QTextBrowser[kind="user"] { background: #3b5bfd; color: white; }
QTextBrowser[kind="error"] { background: $alarm; color: $red; }
QTextBrowser[kind="tool"] { background: $card; border-radius: 10px; font-size: 9pt; }
QLineEdit { background: $field; border: 1px solid $line; border-radius: 17px; padding: 8px 16px; }
QPushButton { background: #3b5bfd; color: white; border: none; border-radius: 16px; padding: 9px 22px; }
QPushButton[running="true"] { background: #d5453b; }
QScrollBar:vertical { background: $page; width: 8px; } QScrollBar::add-line, QScrollBar::sub-line { height: 0; }
QScrollBar::handle { background: $line; border-radius: 4px; }
""")
NAMES = ["ink", "faint", "page", "paper", "card", "field", "line", "alarm", "red"]
_LIGHT = ("#1d2433", "#6b7487", "#eef1f6", "#ffffff", "#e3e8f1", "#f4f6fa", "#c9d0dd", "#fdecea", "#b3261e")
_DARK = ("#e4e8f1", "#98a2b8", "#12151c", "#1c212c", "#262d3b", "#12151c", "#3a4358", "#3c1d1d", "#ff9d94")
LIGHT, DARK = dict(zip(NAMES, _LIGHT, strict=True)), dict(zip(NAMES, _DARK, strict=True))

FEATURES = QTextDocument.MarkdownFeature.MarkdownDialectGitHub | QTextDocument.MarkdownFeature.MarkdownNoHTML
MARGIN, PADDING, WIDEST = 24, 10, 540  # pixels
W = TypeVar("W", bound=qt.QWidget)


def named(name: str, widget: W) -> W:
    """Give a widget the name that the style knows it by."""
    widget.setObjectName(name)
    return widget


class Bubble(qt.QTextBrowser):
    """A text as wide as it needs to be. Each finished block of code has a link that copies it."""

    def __init__(self, kind: str) -> None:
        never = Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        super().__init__(openLinks=False)
        self.setHorizontalScrollBarPolicy(never)
        self.setVerticalScrollBarPolicy(never)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.setProperty("kind", kind)
        self.kind, self.text = kind, ""
        self.document().setDocumentMargin(PADDING)
        self.anchorClicked.connect(self.copy_code)

    def write(self, text: str) -> None:
        self.text = text
        if self.kind in ("user", "error"):
            self.setPlainText(text)
            return
        numbers = iter(range(len(text)))
        shown = CODE.sub(lambda found: f"{found[0]}\n\n[copy](copy:{next(numbers)})", text)
        self.document().setMarkdown(shown, FEATURES)

    def fit(self, widest: int) -> None:
        self.ensurePolished()  # its font is known
        (paper := self.document()).setTextWidth(-1)
        paper.setTextWidth(width := min(ceil(paper.idealWidth()) + 2, widest))
        self.setFixedSize(width, ceil(paper.size().height()))

    def copy_code(self, link: QUrl) -> None:
        if link.scheme() == "copy":
            QGuiApplication.clipboard().setText(code_blocks(self.text)[int(link.path())])


class ChatWindow(qt.QWidget):
    """One conversation as bubbles, with an entry below and the run's status above."""

    def __init__(self, talk: Conversation) -> None:
        super().__init__(windowTitle="Concierge")
        self.setObjectName("window")
        self.turns = Turns(self, QtHost(self), talk)
        self.bubbles, self.end = dict[str, Bubble](), 0  # by the key of what they show; where the page ends
        self.build()
        self.say("assistant", WELCOME)

    def say(self, kind: str, text: str, key: str = "") -> None:
        """Show a text in a bubble: the one of its key, or a new one at the end of the page."""
        key = key or f"bubble {len(self.bubbles)}"
        if key not in self.bubbles:
            side = Qt.AlignmentFlag.AlignRight if kind == "user" else Qt.AlignmentFlag.AlignLeft
            self.bubbles[key] = Bubble(kind)
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
        self.entry.setPlaceholderText(f"{waiting} waiting" if waiting else "Write to the concierge")

    def send(self) -> None:
        self.pane.verticalScrollBar().setValue(self.end)
        self.turns.ask(self.entry.text())
        self.entry.clear()

    def press(self) -> None:
        self.turns.stop() if self.turns.busy else self.send()

    def follow_the_end(self, _low: int, high: int) -> None:
        """Scroll with what is written, unless a person has scrolled back."""
        if (scrollbar := self.pane.verticalScrollBar()).value() >= self.end:
            scrollbar.setValue(high)
        self.end = high

    def paint(self, scheme: Qt.ColorScheme) -> None:
        """Use the colours of the desktop's scheme."""
        self.setStyleSheet(STYLE.substitute(DARK if scheme == Qt.ColorScheme.Dark else LIGHT))

    def build(self) -> None:
        self.resize(760, 640)
        hints = QGuiApplication.styleHints()
        hints.colorSchemeChanged.connect(self.paint)
        self.paint(hints.colorScheme())
        self.status = named("status", qt.QLabel("ready"))
        self.entry = qt.QLineEdit(placeholderText="Write to the concierge")
        self.button = qt.QPushButton("Send")
        self.button.clicked.connect(self.press)
        self.entry.returnPressed.connect(self.send)
        QShortcut(Qt.Key.Key_Escape, self, self.turns.stop)
        page = named("page", qt.QWidget())
        self.lines = qt.QVBoxLayout(page)
        self.lines.setSpacing(10)
        self.lines.setContentsMargins(MARGIN, 20, MARGIN, 20)
        self.lines.addStretch()
        never = Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        self.pane = qt.QScrollArea(widgetResizable=True)
        self.pane.setHorizontalScrollBarPolicy(never)
        self.pane.setWidget(page)
        self.pane.verticalScrollBar().rangeChanged.connect(self.follow_the_end)
        whole = qt.QVBoxLayout(self)
        whole.setSpacing(0)
        whole.setContentsMargins(0, 0, 0, 0)
        title = named("title", qt.QLabel("Concierge"))
        whole.addWidget(self.bar("top", qt.QVBoxLayout(), 3, title, self.status))
        whole.addWidget(self.pane, 1)
        whole.addWidget(self.bar("bottom", qt.QHBoxLayout(), 10, self.entry, self.button))

    def bar(self, name: str, layout: qt.QVBoxLayout | qt.QHBoxLayout, gap: int, *widgets: qt.QWidget) -> qt.QFrame:
        frame = named(name, qt.QFrame())
        frame.setLayout(layout)
        layout.setSpacing(gap)
        layout.setContentsMargins(MARGIN, 12, MARGIN, 12)
        for widget in widgets:
            layout.addWidget(widget)
        return frame


def main() -> None:
    app = qt.QApplication([])
    with (
        conversation() as whom,
        AssistantClient(base_url=whom.base_url) as client,
        client.conversation(whom.assistant_id, whom.thread_id, tools=tools) as talk,
    ):
        window = ChatWindow(talk)
        window.show()
        app.exec()


if __name__ == "__main__":
    main()

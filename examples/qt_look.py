"""The parts of the chat in Qt: its style, bubbles of Markdown, and a field that grows with its text."""

from __future__ import annotations

import re
from math import ceil
from string import Template

from palette import DARK, LIGHT
from PySide6 import QtWidgets as qt
from PySide6.QtCore import Qt, QUrl, Signal
from PySide6.QtGui import (
    QColor,
    QGuiApplication,
    QKeyEvent,
    QPalette,
    QResizeEvent,
    QTextBlockFormat,
    QTextCursor,
    QTextDocument,
    QTextFormat,
)
from transcript import CODE, code_blocks

STYLE = Template("""
* { font-family: Inter, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans'; font-size: 10.5pt; color: $ink; }
QWidget#window, QScrollArea, QWidget#page { background: $page; border: none; }
QLabel#title { font-size: 13pt; font-weight: 600; }
QLabel#status, QLabel#note { color: $faint; font-size: 9pt; }
QFrame#top, QFrame#bottom, QTextBrowser { background: $paper; }
QTextBrowser { border: none; border-radius: 14px; }
QTextBrowser[kind="user"] { background: #3b5bfd; color: white; }
QTextBrowser[kind="error"] { background: $alarm; color: $red; }
QTextBrowser[kind="tool"] { background: $card; border-radius: 10px; font-size: 9pt; }
QPlainTextEdit { background: $field; border: 1px solid $line; border-radius: 17px; padding: 4px 12px; }
QPlainTextEdit:focus { border-color: #3b5bfd; }
QPushButton { background: #3b5bfd; color: white; border: none; border-radius: 16px; padding: 9px 22px; }
QPushButton[running="true"] { background: #d5453b; }
QScrollBar:vertical { background: $page; width: 8px; } QScrollBar::add-line, QScrollBar::sub-line { height: 0; }
QScrollBar::handle { background: $line; border-radius: 4px; }
""")

FEATURES = QTextDocument.MarkdownFeature.MarkdownDialectGitHub | QTextDocument.MarkdownFeature.MarkdownNoHTML
NEVER = Qt.ScrollBarPolicy.ScrollBarAlwaysOff
PADDING = 10  # pixels


def colours(scheme: Qt.ColorScheme) -> dict[str, str]:
    """The colours of a scheme; if the desktop has no scheme, those most similar to its own colours."""
    if scheme == Qt.ColorScheme.Unknown:
        return DARK if QGuiApplication.palette().color(QPalette.ColorRole.Window).lightness() < 128 else LIGHT
    return DARK if scheme == Qt.ColorScheme.Dark else LIGHT


class Bubble(qt.QTextBrowser):
    """A text as wide as it needs to be. Each finished block of code has a link that copies it."""

    copied = Signal()

    def __init__(self, kind: str, colours: dict[str, str]) -> None:
        super().__init__(openLinks=False)
        self.setHorizontalScrollBarPolicy(NEVER)
        self.setVerticalScrollBarPolicy(NEVER)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)
        self.setProperty("kind", kind)
        self.kind, self.text, self.colours = kind, "", colours
        self.document().setDocumentMargin(PADDING)
        self.document().setIndentWidth(20)
        self.anchorClicked.connect(self.copy_code)

    def write(self, text: str) -> None:
        self.text, numbers = text, iter(range(len(text)))
        if self.kind in ("user", "error"):
            self.setPlainText(text)
            return

        def with_link(found: re.Match[str]) -> str:
            return f"{found[0]}\n\n{found[1]}[copy](copy:{next(numbers)})" if found[5] else found[0]

        self.document().setMarkdown(CODE.sub(with_link, text), FEATURES)
        self.dress()

    def dress(self) -> None:
        """Give blocks of code a ground, and let their long lines wrap."""
        ground = QTextBlockFormat()
        ground.setBackground(QColor(self.colours["field" if self.kind == "tool" else "card"]))
        ground.setNonBreakableLines(False)
        block = self.document().begin()
        while block.isValid():
            if block.blockFormat().hasProperty(QTextFormat.Property.BlockCodeFence):
                QTextCursor(block).mergeBlockFormat(ground)
            block = block.next()

    def fit(self, widest: int) -> None:
        self.ensurePolished()  # its font is known
        (paper := self.document()).setTextWidth(-1)
        paper.setTextWidth(width := min(ceil(paper.idealWidth()) + 2, widest))
        self.setFixedSize(width, ceil(paper.size().height()))

    def copy_code(self, link: QUrl) -> None:
        code = dict(enumerate(code_blocks(self.text)))
        if link.scheme() == "copy" and link.path().isdecimal() and int(link.path()) in code:
            QGuiApplication.clipboard().setText(code[int(link.path())])
            self.copied.emit()


PAGES = {Qt.Key.Key_PageUp: -1, Qt.Key.Key_PageDown: 1}


class Entry(qt.QPlainTextEdit):
    """Some lines to write in, at most six to see. Enter asks, Shift+Enter begins a line."""

    asked = Signal()
    scrolled = Signal(int)  # by how many pages

    def __init__(self) -> None:
        super().__init__(placeholderText="Write to the concierge", tabChangesFocus=True)
        self.textChanged.connect(self.fit)

    def fit(self) -> None:
        lines = max(1, min(ceil(self.document().size().height()), 6))
        self.setVerticalScrollBarPolicy(NEVER if lines < 6 else Qt.ScrollBarPolicy.ScrollBarAsNeeded)
        self.setFixedHeight(lines * self.fontMetrics().lineSpacing() + 20)

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self.fit()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        key = Qt.Key(event.key())
        if key in PAGES:
            self.scrolled.emit(PAGES[key])
        elif key in (Qt.Key.Key_Return, Qt.Key.Key_Enter) and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
            self.asked.emit()
        else:
            super().keyPressEvent(event)

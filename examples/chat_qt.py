"""A chat window in Qt that shows snapshots: what is on the screen is a function of the run's state.

    pip install 'rx_assistant[qt]'
    python examples/chat_qt.py

One subscription does it all. Snapshots arrive at most once a frame, and at once when the run wants something.
"""

from __future__ import annotations

import sys
from html import escape

from concierge import WELCOME, Conversation, answer, complaint, conversation, status_line
from PySide6.QtCore import Qt
from PySide6.QtGui import QTextDocument
from PySide6.QtWidgets import (
    QApplication,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from rx_assistant import AsyncAssistantClient, AsyncAssistantStream, RunSnapshot, background, operators as ax
from rx_assistant.gui import QtHost, observe_on_ui
from rx_assistant.loops import Background

STYLE = """
* { font-family: Inter, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans'; font-size: 14px; color: #1d2433; }
QWidget#window, QScrollArea, QWidget#page { background: #eef1f6; border: none; }
QLabel#title { font-size: 17px; font-weight: 600; }
QLabel#status { color: #6b7487; font-size: 12px; }
QFrame#top, QFrame#bottom { background: #ffffff; }
QLabel[kind] { border-radius: 14px; padding: 10px 14px; }
QLabel[kind="user"] { background: #3b5bfd; color: white; }
QLabel[kind="assistant"] { background: #ffffff; }
QLabel[kind="error"] { background: #fdecea; color: #b3261e; }
QLabel[kind="tool"] { background: #e3e8f1; color: #1d2433; border-radius: 10px;
    font-family: 'JetBrains Mono', Consolas, 'DejaVu Sans Mono'; font-size: 12px; }
QLineEdit { background: #f4f6fa; border: 1px solid #dce1ea; border-radius: 17px; padding: 8px 16px; }
QPushButton { background: #3b5bfd; color: white; border: none; border-radius: 16px; padding: 9px 22px; }
QPushButton[running="true"] { background: #d5453b; }
QScrollBar:vertical { background: #eef1f6; width: 8px; }
QScrollBar::handle { background: #c9d0dd; border-radius: 4px; }
QScrollBar::add-line, QScrollBar::sub-line { height: 0; }
"""

FORMATS = {"assistant": Qt.TextFormat.MarkdownText, "tool": Qt.TextFormat.RichText}
PADDING, WIDEST = 14, 540  # pixels, of a bubble
CALL, ANSWER = "<b>{}</b> &nbsp;<span style='color:#6b7487'>{}</span>", "<br><span style='color:#16815d'>→ {}</span>"


class ChatWindow(QWidget):
    """One conversation as bubbles, with an entry below and the run's status above."""

    def __init__(self, bg: Background, client: AsyncAssistantClient, talk: Conversation) -> None:
        super().__init__(objectName="window")
        self.bg, self.client, self.talk = bg, client, talk
        self.host = QtHost(self)
        self.stream: AsyncAssistantStream | None = None
        self.snapshot = RunSnapshot()
        self.bubbles: dict[str, QLabel] = {}  # by the id of what they show
        self.build()
        self.say("assistant", WELCOME)

    # -- a run -----------------------------------------------------------------------------------------------------

    def send(self) -> None:
        """Start a run with what was typed; while one is going on, stop it."""
        if self.stream is not None:
            self.stream.cancel()
            self.status.setText("cancelling …")
            return
        text = self.entry.text().strip()
        if not text:
            return
        self.entry.clear()
        self.say("user", text)
        self.follow(
            self.client.threads.runs.stream(
                self.talk.thread_id,
                assistant_id=self.talk.assistant_id,
                additional_messages=[{"role": "user", "content": text}],
                on_idle="cancel",  # a window that is closed cancels its run
            )
        )

    def follow(self, stream: AsyncAssistantStream) -> None:
        """Show a stream in the window: all that this example is about."""
        self.stream = stream
        stream.pipe(ax.snapshots(), observe_on_ui(self.host)).subscribe(self.show_run, self.fail, self.finish)
        self.bg.start(stream)
        self.show_running(True)

    def show_run(self, snapshot: RunSnapshot) -> None:
        """Let the window show a state of the run."""
        self.snapshot = snapshot
        self.status.setText(status_line(snapshot))
        for call in snapshot.tool_calls:
            if call.type == "function" and call.id and call.function:
                name, arguments, output = call.function.name, call.function.arguments, call.function.output
                card = CALL.format(escape(name or "", quote=False), escape(arguments or "", quote=False))
                self.say("tool", card + (ANSWER.format(escape(output, quote=False)) if output else ""), call.id)
        for message in snapshot.messages:
            self.say("assistant", "".join(p.text.value for p in message.content if p.type == "text"), message.id)

    def finish(self) -> None:
        """The stream has ended: answer the calls that the run waits for, or wait for the next question."""
        self.stream, action, run = None, self.snapshot.required_action, self.snapshot.run
        if action is not None and run is not None:
            runs, outputs = self.client.threads.runs, answer(action)
            self.follow(
                runs.submit_tool_outputs_stream(run.id, self.talk.thread_id, tool_outputs=outputs, on_idle="cancel")
            )
            return
        if problem := complaint(self.snapshot.run):
            self.say("error", problem)
        self.show_running(False)

    def fail(self, error: Exception) -> None:
        self.stream = None
        self.say("error", str(error))
        self.status.setText("broken off")
        self.show_running(False)

    # -- widgets ---------------------------------------------------------------------------------------------------

    def say(self, kind: str, text: str, key: str = "") -> None:
        """Show a text in a bubble: the one of its key, or a new one at the end of the page."""
        key = key or f"bubble {len(self.bubbles)}"
        if key not in self.bubbles:
            label = QLabel(wordWrap=True, indent=0, textInteractionFlags=Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setTextFormat(FORMATS.get(kind, Qt.TextFormat.PlainText))
            label.setProperty("kind", kind)
            side = Qt.AlignmentFlag.AlignRight if kind == "user" else Qt.AlignmentFlag.AlignLeft
            self.lines.insertWidget(self.lines.count() - 1, label, 0, side)
            label.ensurePolished()
            self.bubbles[key] = label
        if (label := self.bubbles[key]).text() == text:
            return
        label.setText(text)
        paper = QTextDocument(defaultFont=label.font(), documentMargin=0)
        {"assistant": paper.setMarkdown, "tool": paper.setHtml}.get(kind, paper.setPlainText)(text)
        width = min(WIDEST, int(paper.idealWidth()) + 2 * PADDING + 2)
        label.setFixedSize(width, label.heightForWidth(width))

    def show_running(self, running: bool) -> None:
        self.button.setText("Stop" if running else "Send")
        self.button.setProperty("running", running)
        self.button.style().polish(self.button)

    def follow_the_end(self, _low: int, high: int) -> None:
        self.pane.verticalScrollBar().setValue(high)

    def build(self) -> None:
        self.setWindowTitle("Concierge")
        self.setStyleSheet(STYLE)
        self.resize(760, 640)
        self.status = QLabel("ready", objectName="status")
        self.entry = QLineEdit(placeholderText="Write to the concierge")
        self.button = QPushButton("Send", clicked=self.send)
        self.entry.returnPressed.connect(self.button.click)
        page = QWidget(objectName="page")
        self.lines = QVBoxLayout(page, spacing=10)
        self.lines.setContentsMargins(24, 20, 24, 20)
        self.lines.addStretch()
        self.pane = QScrollArea(widgetResizable=True, horizontalScrollBarPolicy=Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.pane.setWidget(page)
        self.pane.verticalScrollBar().rangeChanged.connect(self.follow_the_end)
        whole = QVBoxLayout(self, spacing=0)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(self.bar("top", QVBoxLayout(spacing=3), QLabel("Concierge", objectName="title"), self.status))
        whole.addWidget(self.pane, 1)
        whole.addWidget(self.bar("bottom", QHBoxLayout(spacing=10), self.entry, self.button))

    def bar(self, name: str, layout: QVBoxLayout | QHBoxLayout, *widgets: QWidget) -> QFrame:
        frame = QFrame(objectName=name)
        frame.setLayout(layout)
        layout.setContentsMargins(24, 12, 24, 12)
        for widget in widgets:
            layout.addWidget(widget)
        return frame


def main() -> None:
    app = QApplication(sys.argv)
    with conversation() as talk, background() as bg:
        window = ChatWindow(bg, bg.enter(AsyncAssistantClient(base_url=talk.base_url)), talk)
        window.show()
        app.exec()


if __name__ == "__main__":
    main()

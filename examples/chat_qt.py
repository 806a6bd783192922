"""A chat window in Qt that shows snapshots: what is on the screen is a function of the run's state.

    pip install 'rx_assistant[local,qt]' && python examples/chat_qt.py

One subscription does it all. Snapshots arrive at most once a frame, and at once when the run wants something.
"""

from __future__ import annotations

from html import escape

from concierge import WELCOME, Conversation, answer, complaint, conversation, status_line
from PySide6 import QtWidgets as qt
from PySide6.QtCore import Qt
from PySide6.QtGui import QResizeEvent, QTextDocument

from rx_assistant import AsyncAssistantClient, AsyncAssistantStream, RunSnapshot, background, operators as ax
from rx_assistant.gui import QtHost, observe_on_ui
from rx_assistant.loops import Background

STYLE = """
* { font-family: Inter, 'Segoe UI', 'Helvetica Neue', 'DejaVu Sans'; font-size: 10.5pt; color: #1d2433; }
QWidget#window, QScrollArea, QWidget#page { background: #eef1f6; border: none; }
QLabel#title { font-size: 13pt; font-weight: 600; }
QLabel#status { color: #6b7487; font-size: 9pt; }
QFrame#top, QFrame#bottom { background: #ffffff; }
QLabel[kind] { border-radius: 14px; padding: 10px 14px; }
QLabel[kind="user"] { background: #3b5bfd; color: white; }
QLabel[kind="assistant"] { background: #ffffff; }
QLabel[kind="error"] { background: #fdecea; color: #b3261e; }
QLabel[kind="tool"] { background: #e3e8f1; color: #1d2433; border-radius: 10px;
    font-family: 'JetBrains Mono', Consolas, 'DejaVu Sans Mono'; font-size: 9pt; }
QLineEdit { background: #f4f6fa; border: 1px solid #dce1ea; border-radius: 17px; padding: 8px 16px; }
QPushButton { background: #3b5bfd; color: white; border: none; border-radius: 16px; padding: 9px 22px; }
QPushButton[running="true"] { background: #d5453b; }
QScrollBar:vertical { background: #eef1f6; width: 8px; } QScrollBar::add-line, QScrollBar::sub-line { height: 0; }
QScrollBar::handle { background: #c9d0dd; border-radius: 4px; }
"""

FORMATS = {"assistant": Qt.TextFormat.MarkdownText, "tool": Qt.TextFormat.RichText}
MARGIN, PADDING, WIDEST = 24, 14, 540  # pixels
CALL, ANSWER = "<b>{}</b> &nbsp;<span style='color:#6b7487'>{}</span>", "<br><span style='color:#16815d'>→ {}</span>"


class ChatWindow(qt.QWidget):
    """One conversation as bubbles, with an entry below and the run's status above."""

    def __init__(self, bg: Background, client: AsyncAssistantClient, talk: Conversation) -> None:
        super().__init__(objectName="window", windowTitle="Concierge", styleSheet=STYLE)
        self.bg, self.runs, self.talk = bg, client.threads.runs, talk
        self.host = QtHost(self)
        self.stream: AsyncAssistantStream | None = None
        self.snapshot = RunSnapshot()
        self.bubbles, self.end = dict[str, qt.QLabel](), 0  # by the id of what they show; where the page ends
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
            self.runs.stream(
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
            thread, outputs = self.talk.thread_id, answer(action)
            self.follow(self.runs.submit_tool_outputs_stream(run.id, thread, tool_outputs=outputs, on_idle="cancel"))
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
            selectable = Qt.TextInteractionFlag.TextSelectableByMouse
            label = qt.QLabel(wordWrap=True, indent=0, textInteractionFlags=selectable)
            label.setTextFormat(FORMATS.get(kind, Qt.TextFormat.PlainText))
            label.setProperty("kind", kind)
            side = Qt.AlignmentFlag.AlignRight if kind == "user" else Qt.AlignmentFlag.AlignLeft
            self.lines.insertWidget(self.lines.count() - 1, label, 0, side)
            label.ensurePolished()
            self.bubbles[key] = label
        if (bubble := self.bubbles[key]).text() != text:
            bubble.setText(text)
            self.fit(bubble)

    def fit(self, bubble: qt.QLabel) -> None:
        """Make a bubble as wide as its text, but not wider than the page."""
        paper, form = QTextDocument(defaultFont=bubble.font(), documentMargin=0), bubble.textFormat()
        write = {Qt.TextFormat.MarkdownText: paper.setMarkdown, Qt.TextFormat.RichText: paper.setHtml}
        write.get(form, paper.setPlainText)(bubble.text())
        page = self.pane.viewport().width() - 2 * MARGIN
        width = min(int(paper.idealWidth()) + 2 * PADDING + 2, WIDEST, page)
        bubble.setMinimumHeight(0)
        bubble.setFixedSize(width, bubble.heightForWidth(width))

    def resizeEvent(self, _event: QResizeEvent) -> None:
        for bubble in self.bubbles.values():
            self.fit(bubble)

    def show_running(self, running: bool) -> None:
        self.button.setText("Stop" if running else "Send")
        self.button.setProperty("running", running)
        self.button.style().polish(self.button)

    def follow_the_end(self, _low: int, high: int) -> None:
        """Scroll with what is written, unless a person has scrolled back."""
        if (scrollbar := self.pane.verticalScrollBar()).value() >= self.end:
            scrollbar.setValue(high)
        self.end = high

    def build(self) -> None:
        self.resize(760, 640)
        self.status = qt.QLabel("ready", objectName="status")
        self.entry = qt.QLineEdit(placeholderText="Write to the concierge")
        self.button = qt.QPushButton("Send", clicked=self.send)
        self.entry.returnPressed.connect(self.button.click)
        page = qt.QWidget(objectName="page")
        self.lines = qt.QVBoxLayout(page, spacing=10)
        self.lines.setContentsMargins(MARGIN, 20, MARGIN, 20)
        self.lines.addStretch()
        never = Qt.ScrollBarPolicy.ScrollBarAlwaysOff
        self.pane = qt.QScrollArea(widgetResizable=True, horizontalScrollBarPolicy=never)
        self.pane.setWidget(page)
        self.pane.verticalScrollBar().rangeChanged.connect(self.follow_the_end)
        whole = qt.QVBoxLayout(self, spacing=0)
        whole.setContentsMargins(0, 0, 0, 0)
        title = qt.QLabel("Concierge", objectName="title")
        whole.addWidget(self.bar("top", qt.QVBoxLayout(spacing=3), title, self.status))
        whole.addWidget(self.pane, 1)
        whole.addWidget(self.bar("bottom", qt.QHBoxLayout(spacing=10), self.entry, self.button))

    def bar(self, name: str, layout: qt.QVBoxLayout | qt.QHBoxLayout, *widgets: qt.QWidget) -> qt.QFrame:
        frame = qt.QFrame(objectName=name)
        frame.setLayout(layout)
        layout.setContentsMargins(MARGIN, 12, MARGIN, 12)
        for widget in widgets:
            layout.addWidget(widget)
        return frame


def main() -> None:
    app = qt.QApplication([])
    with conversation() as talk, background() as bg:
        window = ChatWindow(bg, bg.enter(AsyncAssistantClient(base_url=talk.base_url)), talk)
        window.show()
        app.exec()


if __name__ == "__main__":
    main()

"""A chat window in Tk, made of substreams: text as it is written, each tool call as it is made, the run's status.

    pip install 'rx_assistant[local]' && python examples/chat_tk.py

One background loop reads; `observe_on_ui` brings every substream to the window, joined to one item per frame.
"""

from __future__ import annotations

import tkinter as tk
from tkinter import font, ttk
from typing import Any

from concierge import WELCOME, Conversation, answer, complaint, conversation, status_line, told_elsewhere

from rx_assistant import AsyncAssistantClient, AsyncAssistantStream, RunSnapshot, background, operators as ax
from rx_assistant.gui import TkHost, observe_on_ui
from rx_assistant.loops import Background
from rx_assistant.operators import AsyncToolCallStream

PAPER, PANEL, INK, FAINT, LINE = "#ffffff", "#f1f3f7", "#1d2433", "#6b7487", "#dce1ea"
BLUE, GREEN, RED = "#3b5bfd", "#16815d", "#d5453b"


class ChatWindow:
    """One conversation: an entry below, the transcript above it, the run's status in between."""

    def __init__(self, root: tk.Tk, bg: Background, client: AsyncAssistantClient, talk: Conversation) -> None:
        self.root, self.bg, self.client, self.talk = root, bg, client, talk
        self.host = TkHost(root)
        self.stream: AsyncAssistantStream | None = None
        self.snapshot = RunSnapshot()
        self.build()
        self.write("Concierge\n", "assistant")
        self.write(f"{WELCOME}\n")

    # -- a run -----------------------------------------------------------------------------------------------------

    def send(self, _event: object = None) -> None:
        """Start a run with what was typed, unless one is going on."""
        text = self.entry.get().strip()
        if not text or self.stream is not None:
            return
        self.entry.delete(0, "end")
        self.write("\nYou\n", "user")
        self.write(f"{text}\n\n")
        self.write("Concierge\n", "assistant")
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
        stream.pipe(ax.text_deltas(), observe_on_ui(self.host)).subscribe(self.write, told_elsewhere)
        stream.pipe(ax.tool_calls("function"), observe_on_ui(self.host)).subscribe(self.show_call, told_elsewhere)
        stream.pipe(ax.snapshots(), observe_on_ui(self.host)).subscribe(self.show_status, self.fail, self.finish)
        self.bg.start(stream)
        self.show_running(True)

    def show_call(self, call: AsyncToolCallStream) -> None:
        """Begin a line for a tool call, which its arguments write themselves into."""
        if call.id in self.paper.mark_names():
            return  # the rest of a run begins with the calls that were answered
        self.write(f"   {call.name}  ", "tool")
        self.paper.mark_set(call.id, "end-1c")
        self.paper.mark_gravity(call.id, "left")
        self.write("\n", "tool")
        self.paper.mark_gravity(call.id, "right")  # so that it stays behind what is written at it

        def write_arguments(text: str) -> None:
            self.write(text, "arguments", at=call.id)

        call.argument_deltas.pipe(observe_on_ui(self.host)).subscribe(write_arguments, told_elsewhere)

    def show_status(self, snapshot: RunSnapshot) -> None:
        self.snapshot = snapshot
        self.status.set(status_line(snapshot))

    def finish(self) -> None:
        """The stream has ended: answer the calls that the run waits for, or wait for the next question."""
        self.stream, action, run = None, self.snapshot.required_action, self.snapshot.run
        if action is not None and run is not None:
            outputs = answer(action)
            for output in outputs:
                self.write(f"  →  {output['output']}", "output", at=output["tool_call_id"])
            self.write("\n")
            self.follow(
                self.client.threads.runs.submit_tool_outputs_stream(
                    run.id, self.talk.thread_id, tool_outputs=outputs, on_idle="cancel"
                )
            )
            return
        problem = complaint(self.snapshot.run)
        self.write(f"\n{problem}\n" if problem else "\n", "error")
        self.show_running(False)

    def fail(self, error: Exception) -> None:
        self.stream = None
        self.write(f"\n{error}\n", "error")
        self.status.set("broken off")
        self.show_running(False)

    def stop(self) -> None:
        """Cancel the run on the server; the stream goes on to the server's own ending."""
        if self.stream is not None:
            self.stream.cancel()
            self.status.set("cancelling …")

    # -- widgets ---------------------------------------------------------------------------------------------------

    def write(self, text: str, tag: str = "text", at: str = "end") -> None:
        """Add to the transcript, at its end or at the mark of a tool call; follow it if its end was in view."""
        at_end = self.paper.yview()[1] > 0.999
        self.paper["state"] = "normal"
        self.paper.insert(at, text, tag)
        self.paper["state"] = "disabled"
        if at_end:
            self.paper.see("end")

    def show_running(self, running: bool) -> None:
        self.button.configure(text="Stop" if running else "Send", command=self.stop if running else self.send)
        self.button.configure(style="Stop.TButton" if running else "Send.TButton")
        self.root.title("Concierge …" if running else "Concierge")

    def build(self) -> None:
        self.root.geometry("760x700")
        self.root.minsize(420, 320)
        self.style()
        self.status = tk.StringVar(value="ready")
        top, bottom = ttk.Frame(self.root, padding=(28, 14, 28, 12)), ttk.Frame(self.root, padding=(28, 14))
        ttk.Label(top, text="Concierge", style="Title.TLabel").pack(anchor="w")
        ttk.Label(top, textvariable=self.status, style="Status.TLabel").pack(anchor="w")
        self.paper = tk.Text(
            self.root, wrap="word", state="disabled", bg=PAPER, fg=INK, font=self.plain, padx=28, pady=18
        )
        self.paper.configure(relief="flat", highlightthickness=1, highlightbackground=LINE, highlightcolor=LINE)
        self.paper.configure(spacing1=3, spacing2=5, spacing3=3, cursor="arrow", selectbackground=LINE)
        for name, options in self.tags().items():
            self.paper.tag_configure(name, **options)
        self.entry = ttk.Entry(bottom, font=self.plain)
        self.button = ttk.Button(bottom, text="Send", command=self.send, style="Send.TButton", width=8)
        top.pack(side="top", fill="x")
        bottom.pack(side="bottom", fill="x")
        self.paper.pack(fill="both", expand=True)
        self.paper.bind("<Configure>", lambda _: self.paper.see("end"))
        self.button.pack(side="right", padx=(12, 0))
        self.entry.pack(side="left", fill="x", expand=True)
        self.entry.bind("<Return>", self.send)
        self.entry.focus()

    def style(self) -> None:
        families = font.families()
        sans = next(
            (name for name in ("Inter", "Segoe UI", "SF Pro Text", "DejaVu Sans") if name in families), "Helvetica"
        )
        mono = next((name for name in ("JetBrains Mono", "Consolas", "Menlo") if name in families), "DejaVu Sans Mono")
        self.plain, self.bold = font.Font(family=sans, size=11), font.Font(family=sans, size=10, weight="bold")
        self.fixed = font.Font(family=mono, size=10)
        style = ttk.Style(self.root)
        style.theme_use("clam")
        style.configure("TFrame", background=PAPER)
        style.configure("TEntry", fieldbackground=PANEL, foreground=INK, bordercolor=LINE, lightcolor=PANEL, padding=9)
        style.map("TEntry", bordercolor=[("focus", BLUE)], lightcolor=[("focus", PANEL)])
        style.configure("Title.TLabel", background=PAPER, foreground=INK, font=(sans, 13, "bold"))
        style.configure("Status.TLabel", background=PAPER, foreground=FAINT, font=(sans, 9))
        for name, colour in (("Send", BLUE), ("Stop", RED)):
            style.configure(
                f"{name}.TButton", background=colour, foreground=PAPER, borderwidth=0, padding=9, font=self.bold
            )
            style.map(f"{name}.TButton", background=[("active", colour)])

    def tags(self) -> dict[str, dict[str, Any]]:
        card = {"font": self.fixed, "background": PANEL, "spacing1": 6, "spacing3": 6, "lmargin2": 24}
        return {
            "text": {},
            "user": {"foreground": BLUE, "font": self.bold, "spacing1": 4},
            "assistant": {"foreground": GREEN, "font": self.bold, "spacing1": 4},
            "tool": {**card, "foreground": INK},
            "arguments": {**card, "foreground": FAINT},
            "output": {**card, "foreground": GREEN},
            "error": {"foreground": RED},
        }


def main() -> None:
    with conversation() as talk, background() as bg:
        root = tk.Tk(className="Concierge")
        ChatWindow(root, bg, bg.enter(AsyncAssistantClient(base_url=talk.base_url)), talk)
        root.mainloop()


if __name__ == "__main__":
    main()

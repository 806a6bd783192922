"""A chat window in Tk: each piece of a run keeps its place in one text, with a little Markdown.

    pip install 'rx_assistant[local]' && python examples/chat_tk.py

`Turns` brings the newest snapshot to the window at most once a frame. Enter asks, also while an answer is written.
Escape stops the run. Control-Shift-C copies the last block of code.
"""

from __future__ import annotations

import tkinter as tk
from tkinter import font, ttk
from typing import Any

from concierge import WELCOME, conversation, tools
from transcript import styled
from turns import Turns

from rx_assistant import AssistantClient, Conversation
from rx_assistant.gui import TkHost

PAPER, PANEL, INK, FAINT, LINE = "#ffffff", "#f1f3f7", "#1d2433", "#6b7487", "#dce1ea"
BLUE, GREEN, RED = "#3b5bfd", "#16815d", "#d5453b"


class ChatWindow:
    """One conversation: an entry below, the transcript above it, the run's status on top."""

    def __init__(self, root: tk.Tk, talk: Conversation) -> None:
        self.root = root
        self.turns = Turns(self, TkHost(root), talk)
        self.shown: dict[str, list[tuple[str, str, str]]] = {}  # by the key of a piece: its texts with their styles
        self.code = ""  # the last block of code that was written
        self.build()
        self.say("assistant", WELCOME)

    def say(self, kind: str, text: str, key: str = "") -> None:
        """Show a text: in the place of its key, from where it has changed, or at the end."""
        key = key or f"piece {len(self.shown)}"
        before = self.shown.setdefault(key, [])
        after = [(f"{text}\n", "text", "")] if kind in ("user", "error") else list(styled(text))
        after.append(("\n", "gap", ""))
        same = next((n for n, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), len(before))
        if before == after:
            return
        self.shown[key] = after
        number = list(self.shown).index(key)
        # scroll with what is written, unless a person has scrolled back
        at_end = self.paper.yview()[1] > 0.999  # pyright: ignore[reportUnknownMemberType]  # as typeshed has it
        self.paper["state"] = "normal"
        if before:
            self.paper.mark_set("insert", f"{number}_{same}.first")
            self.paper.delete("insert", f"{number}_{len(before) - 1}.last")
        else:
            self.paper.mark_set("insert", "end-1c")
        for place, (part, style, code) in enumerate(after[same:], same):
            self.paper.insert("insert", part, (kind, style, f"{number}_{place}"))
            if style == "copy":
                self.code = code
                self.paper.tag_bind(f"{number}_{place}", "<Button-1>", lambda _, code=code: self.copy(code))  # type: ignore[misc]
        self.paper["state"] = "disabled"
        if at_end:
            self.paper.see("end")

    def copy(self, code: str) -> None:
        self.root.clipboard_clear()
        self.root.clipboard_append(code)

    def show_status(self, text: str) -> None:
        self.status.set(text)

    def show_waiting(self, running: bool, waiting: int) -> None:
        self.button.configure(text="Stop" if running else "Send", style="Stop.TButton" if running else "Send.TButton")
        self.root.title(f"Concierge ({waiting} waiting)" if waiting else "Concierge …" if running else "Concierge")

    def send(self, _event: object = None) -> None:
        text = self.entry.get()
        self.entry.delete(0, "end")
        self.paper.see("end")
        self.turns.ask(text)

    def press(self) -> None:
        self.turns.stop() if self.turns.busy else self.send()

    def build(self) -> None:
        self.scale = self.root.winfo_fpixels("1i") / 96  # fonts are in points already
        self.root.geometry(f"{self.px(760)}x{self.px(700)}")
        self.root.minsize(self.px(420), self.px(320))
        self.style()
        self.status = tk.StringVar(value="ready")
        top = ttk.Frame(self.root, padding=(self.px(28), self.px(14)))
        bottom = ttk.Frame(self.root, padding=(self.px(28), self.px(14)))
        ttk.Label(top, text="Concierge", style="Title.TLabel").pack(anchor="w")
        ttk.Label(top, textvariable=self.status, style="Status.TLabel").pack(anchor="w")
        self.paper = tk.Text(self.root, wrap="word", state="disabled", bg=PAPER, fg=INK, font=self.plain)
        self.paper.configure(relief="flat", highlightthickness=1, highlightbackground=LINE, highlightcolor=LINE)
        self.paper.configure(padx=self.px(28), pady=self.px(18), cursor="arrow", selectbackground=LINE)
        for name, options in self.tags().items():
            self.paper.tag_configure(name, **options)
        self.entry = ttk.Entry(bottom, font=self.plain)
        self.button = ttk.Button(bottom, text="Send", command=self.press, style="Send.TButton", width=8)
        top.pack(side="top", fill="x")
        bottom.pack(side="bottom", fill="x")
        self.paper.pack(fill="both", expand=True)
        self.button.pack(side="right", padx=(self.px(12), 0))
        self.entry.pack(side="left", fill="x", expand=True)
        self.entry.bind("<Return>", self.send)
        self.root.bind("<Escape>", lambda _: self.turns.stop())
        self.root.bind("<Control-Shift-C>", lambda _: self.copy(self.code))
        self.entry.focus()

    def px(self, pixels: int) -> int:
        return round(pixels * self.scale)

    def style(self) -> None:
        families = font.families()
        sans = next((name for name in ("Inter", "Segoe UI", "SF Pro Text") if name in families), "DejaVu Sans")
        mono = next((name for name in ("JetBrains Mono", "Consolas", "Menlo") if name in families), "DejaVu Sans Mono")
        self.plain, self.bold = font.Font(family=sans, size=11), font.Font(family=sans, size=11, weight="bold")
        self.fixed, padding = font.Font(family=mono, size=10), self.px(9)
        style = ttk.Style(self.root)
        style.theme_use("clam")
        style.configure("TFrame", background=PAPER)
        style.configure("TEntry", fieldbackground=PANEL, foreground=INK, bordercolor=LINE, padding=padding)
        style.map("TEntry", bordercolor=[("focus", BLUE)], lightcolor=[("focus", PANEL)])
        style.configure("Title.TLabel", background=PAPER, foreground=INK, font=(sans, 13, "bold"))
        style.configure("Status.TLabel", background=PAPER, foreground=FAINT, font=(sans, 9))
        for name, colour in (("Send", BLUE), ("Stop", RED)):
            style.configure(f"{name}.TButton", background=colour, foreground=PAPER, borderwidth=0, padding=padding)
            style.configure(f"{name}.TButton", font=self.bold)
            style.map(f"{name}.TButton", background=[("active", colour)])

    def tags(self) -> dict[str, dict[str, Any]]:
        return {
            "assistant": {"spacing1": self.px(3), "spacing2": self.px(5), "spacing3": self.px(3)},
            "tool": {"font": self.fixed, "background": PANEL, "lmargin1": self.px(12), "lmargin2": self.px(12)},
            "user": {"foreground": BLUE, "font": self.bold, "spacing1": self.px(6)},
            "error": {"foreground": RED},
            "code": {"font": self.fixed, "background": PANEL},
            "bold": {"font": self.bold},
            "copy": {"foreground": BLUE, "underline": True, "justify": "right"},
            "gap": {"background": PAPER},
        }


def main() -> None:
    with (
        conversation() as whom,
        AssistantClient(base_url=whom.base_url) as client,
        client.conversation(whom.assistant_id, whom.thread_id, tools=tools) as talk,
    ):
        root = tk.Tk(className="Concierge")
        ChatWindow(root, talk)
        root.mainloop()


if __name__ == "__main__":
    main()

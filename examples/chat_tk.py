"""A chat window in Tk: each piece of a run keeps its place in one text, with a little Markdown.

    pip install 'rx_assistant[local]' && python examples/chat_tk.py

`Turns` brings the newest snapshot to the window at most once a frame. Enter asks, even while an answer is written; the
line below the entry shows the other keys. The colours are those of the desktop; `--dark` and `--light` override them.
(Tk on X11 writes right-to-left text from left to right.)
"""

from __future__ import annotations

import sys
import tkinter as tk
from pathlib import Path
from tkinter import filedialog, ttk
from typing import Any

from concierge import WELCOME, conversation, tools
from palette import BLUE, prefers_dark
from tk_look import Look
from transcript import styled
from turns import KEYS, Turns

from rx_assistant import AssistantClient, Conversation
from rx_assistant.gui import TkHost


class ChatWindow:
    """One conversation: some lines to write in, the transcript above them, the run's status on top."""

    def __init__(self, root: tk.Tk, client: AssistantClient, talk: Conversation, *, dark: bool = False) -> None:
        self.root, self.look = root, Look(root, dark=dark)
        self.turns = Turns(self, TkHost(root), client, talk)
        self.shown: dict[str, list[tuple[str, str, str]]] = {}  # by the key of a piece: its texts with their styles
        self.code = ""  # the last block of code that was written
        self.build()
        self.bind_keys()
        self.say("assistant", WELCOME)

    def say(self, kind: str, text: str, key: str = "") -> None:
        """Show a text: in the place of its key, from where it has changed, or at the end."""
        key = key or f"piece {len(self.shown)}"
        before = self.shown.setdefault(key, [])
        after = [(f"{text}\n", "text", "")] if kind in ("user", "error") else list(styled(text))
        after.append(("\n", "end", ""))
        same = next((n for n, (old, new) in enumerate(zip(before, after, strict=False)) if old != new), len(before))
        if before == after:
            return
        self.shown[key] = after
        number = list(self.shown).index(key)
        # scroll with what is written, unless a person has scrolled back
        at_end = self.paper.yview()[1] > 0.999  # pyright: ignore[reportUnknownMemberType]  # of the type in typeshed
        self.paper["state"] = "normal"
        if before:
            self.paper.mark_set("insert", f"{number}_{same}.first")
            self.paper.delete("insert", f"{number}_{len(before) - 1}.last")
        else:
            self.paper.mark_set("insert", "end-1c")
        for place, (part, style, code) in enumerate(after[same:], same):
            self.paper.insert("insert", part, (kind, *style.split(), f"{number}_{place}"))
            if style == "copy":
                self.code = code
                self.paper.tag_bind(f"{number}_{place}", "<Button-1>", lambda _, code=code: self.copy(code))  # type: ignore[misc]  # its default
        self.paper["state"] = "disabled"
        if at_end:
            self.paper.see("end")

    def copy(self, text: str) -> None:
        self.root.clipboard_clear()
        self.root.clipboard_append(text)
        self.note.set("copied")

    def copy_code(self, _event: object = None) -> None:
        if self.code:
            self.copy(self.code)

    def copy_selected(self, _event: object = None) -> str | None:
        """Copy what is selected in the transcript, which never has the focus."""
        if self.paper.tag_ranges("sel"):
            self.copy(self.paper.get("sel.first", "sel.last"))
            return "break"
        return None

    def show_status(self, text: str) -> None:
        self.status.set(text)

    def show_waiting(self, running: bool, waiting: int) -> None:
        self.button.configure(text="Stop" if running else "Send", style="Stop.TButton" if running else "Send.TButton")
        self.root.title(f"Concierge ({waiting} waiting)" if waiting else "Concierge …" if running else "Concierge")
        self.note.set(self.turns.note)

    def send(self, _event: object = None) -> str:
        text = self.entry.get("1.0", "end-1c")
        self.entry.delete("1.0", "end")
        self.paper.see("end")
        self.turns.ask(text)
        return "break"

    def press(self) -> None:
        self.turns.stop() if self.turns.busy else self.send()

    def attach(self, _event: object = None) -> str:
        for name in filedialog.askopenfilenames(parent=self.root, title="Attach"):
            self.turns.attach(Path(name))
        self.entry.focus_set()
        return "break"

    def scroll(self, pages: int) -> str:
        self.paper.yview_scroll(pages, "pages")
        return "break"

    def fit_entry(self, _event: object = None) -> None:
        """Show up to six lines of the text that is being written."""
        lines = int(self.root.tk.call(self.entry, "count", "-update", "-displaylines", "1.0", "end"))
        self.entry.configure(height=max(1, min(lines, 6)))
        self.entry.edit_modified(False)

    def bind_keys(self) -> None:
        for key in ("<Return>", "<KP_Enter>"):
            self.entry.bind(key, self.send)
        self.entry.bind("<Shift-Return>", lambda _: None)  # a new line, as Tk has it
        self.entry.bind("<Prior>", lambda _: self.scroll(-1))
        self.entry.bind("<Next>", lambda _: self.scroll(1))
        self.entry.bind("<Control-o>", self.attach)
        self.entry.bind("<<Copy>>", self.copy_selected)
        for event in ("<<Modified>>", "<Configure>"):
            self.entry.bind(event, self.fit_entry)
        self.root.bind("<Escape>", lambda _: self.turns.stop())
        for key in ("<Control-Shift-C>", "<Control-Shift-c>"):  # the latter with Caps Lock
            self.root.bind(key, self.copy_code)

    def build(self) -> None:
        px, colours = self.look.px, self.look.colours
        width = min(px(760), self.root.winfo_screenwidth() - px(20))
        height = min(px(700), self.root.winfo_screenheight() - px(60))  # the desktop needs some of the screen
        self.root.geometry(f"{width}x{height}")
        self.root.minsize(min(px(420), width), min(px(320), height))
        self.status, self.note = tk.StringVar(value="ready"), tk.StringVar(value=KEYS)
        top = ttk.Frame(self.root, padding=(px(28), px(14)))
        bottom = ttk.Frame(self.root, padding=(px(28), px(12)))
        ttk.Label(top, text="Concierge", style="Title.TLabel").pack(anchor="w")
        ttk.Label(top, textvariable=self.status, style="Status.TLabel").pack(anchor="w")
        self.paper = self.text(self.root, "paper", state="disabled", cursor="arrow", padx=px(28))
        for name, options in self.look.tags().items():
            self.paper.tag_configure(name, **options)
        self.entry = self.text(bottom, "field", height=1, undo=True, padx=px(10), pady=px(8))
        self.entry.configure(insertbackground=colours["ink"], highlightcolor=BLUE)
        self.button = ttk.Button(bottom, text="Send", command=self.press, style="Send.TButton", width=8)
        note = ttk.Label(bottom, textvariable=self.note, style="Status.TLabel")
        top.pack(side="top", fill="x")
        bottom.pack(side="bottom", fill="x")
        self.paper.pack(fill="both", expand=True)
        note.pack(side="bottom", anchor="w", pady=(px(8), 0))
        self.button.pack(side="right", anchor="s", padx=(px(12), 0))
        self.entry.pack(side="left", fill="x", expand=True)
        self.entry.focus()

    def text(self, parent: tk.Misc, colour: str, **options: Any) -> tk.Text:
        """A text with a thin line around it."""
        colours = self.look.colours
        made = tk.Text(parent, wrap="word", relief="flat", font=self.look.plain, **options)
        made.configure(bg=colours[colour], fg=colours["ink"], highlightthickness=1, selectbackground=colours["line"])
        made.configure(highlightbackground=colours["line"], highlightcolor=colours["line"])
        made.configure(selectforeground=colours["ink"], inactiveselectbackground=colours["line"])
        return made


def main() -> None:
    dark = "--dark" in sys.argv or ("--light" not in sys.argv and prefers_dark())
    with (
        conversation() as whom,
        AssistantClient(base_url=whom.base_url) as client,
        client.conversation(whom.assistant_id, whom.thread_id, tools=tools) as talk,
    ):
        root = tk.Tk(className="Concierge")
        ChatWindow(root, client, talk, dark=dark)
        root.mainloop()


if __name__ == "__main__":
    main()

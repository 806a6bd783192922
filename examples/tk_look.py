"""The look of the chat in Tk: fonts, colours and distances, for any resolution of the screen."""

from __future__ import annotations

import tkinter as tk
from tkinter import font, ttk
from typing import Any

from palette import BLUE, DARK, LIGHT, RED


class Look:
    """Styles for widgets, and tags for texts."""

    def __init__(self, root: tk.Tk, *, dark: bool) -> None:
        self.colours = DARK if dark else LIGHT
        families = font.families(root)
        self.sans = next((name for name in ("Inter", "Segoe UI", "SF Pro Text") if name in families), "DejaVu Sans")
        fixed = ("JetBrains Mono", "Consolas", "Menlo")
        self.mono = next((name for name in fixed if name in families), "DejaVu Sans Mono")
        self.plain = font.Font(root, family=self.sans, size=11)
        self.scale = self.plain.metrics("linespace") / 18  # at 96 dpi a line is 18 pixels high
        self.style(root)

    def px(self, pixels: int) -> int:
        """Pixels at 96 dpi, as those of this screen. (A desktop may scale fonts where it does not scale Tk's `1i`.)"""
        return round(pixels * self.scale)

    def style(self, root: tk.Tk) -> None:
        paper, ink, faint = (self.colours[name] for name in ("paper", "ink", "faint"))
        style = ttk.Style(root)
        style.theme_use("clam")
        style.configure("TFrame", background=paper)
        style.configure("Title.TLabel", background=paper, foreground=ink, font=(self.sans, 13, "bold"))
        style.configure("Status.TLabel", background=paper, foreground=faint, font=(self.sans, 9))
        for name, colour in (("Send", BLUE), ("Stop", RED)):
            style.configure(f"{name}.TButton", background=colour, foreground="#ffffff", borderwidth=0)
            style.configure(f"{name}.TButton", font=(self.sans, 11, "bold"), padding=self.px(9))
            style.map(f"{name}.TButton", background=[("active", colour)])
        root.configure(background=paper)

    def tags(self) -> dict[str, dict[str, Any]]:
        """By the names of kinds and styles; later ones come before earlier ones."""
        card, faint, link, px = *(self.colours[name] for name in ("card", "faint", "link")), self.px
        inset = {"lmargin1": px(12), "lmargin2": px(12), "rmargin": px(12)}
        code = {"font": (self.mono, 10), "background": card}
        items = {f"item{n}": {"lmargin1": px(8 + 20 * n), "lmargin2": px(22 + 20 * n)} for n in range(3)}
        headings = {f"heading{n}": {"font": (self.sans, 17 - 2 * n, "bold"), "spacing1": px(8)} for n in (1, 2, 3)}
        return {
            "assistant": {"spacing1": px(3), "spacing2": px(5), "spacing3": px(3)},
            "tool": {"background": card, "font": (self.sans, 10), **inset},
            "user": {"foreground": link, "font": (self.sans, 11, "bold"), "spacing1": px(6)},
            "error": {"foreground": self.colours["red"]},
            **items,
            **headings,
            "quote": {"foreground": faint, "lmargin1": px(16), "lmargin2": px(16)},
            "table": {"font": (self.mono, 10)},
            "bold": {"font": (self.sans, 11, "bold")},
            "italic": {"font": (self.sans, 11, "italic")},
            "code": code,
            "block": {**code, **inset, "spacing1": 0, "spacing2": 0, "spacing3": 0},
            "copy": {"foreground": link, "underline": True, "justify": "right", "font": (self.sans, 9)},
            "gap": {"font": (self.sans, 6)},
            "end": {"font": (self.sans, 6), "background": self.colours["paper"]},
        }

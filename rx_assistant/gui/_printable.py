"""Text from other sources, made safe for a terminal."""

from __future__ import annotations

_REPLACED = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\N{REPLACEMENT CHARACTER}")
_KEPT = {ord("\n"): "\n", ord("\t"): "\t", ord("\r"): None}
_TABLE: dict[int, str | None] = {**_REPLACED, **_KEPT}


def printable(text: str) -> str:
    """The text with `�` for each control character, so that it cannot command a terminal (ECMA-48: C0, DEL and C1).

    Line feeds and tabs stay, carriage returns go. A model's text, names and arguments of tools and a server's errors
    can contain escape sequences that write the clipboard or the title of the window; Textual and rich print them. Text
    may come in pieces, because each character is handled separately.
    """
    return text.translate(_TABLE)

"""Text from other sources, made safe for a terminal."""

from __future__ import annotations

_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))
_REORDERING = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_UNSEEN = (0x180E, 0x200B, *range(0x2060, 0x2066), *range(0x206A, 0x2070), 0xFEFF, *range(0xFFF9, 0xFFFC))
_TAGS = range(0xE0000, 0xE0080)
_TABLE: dict[int, str | None] = {
    **dict.fromkeys((*_CONTROLS, *_REORDERING), "\N{REPLACEMENT CHARACTER}"),
    **dict.fromkeys((ord("\r"), *_UNSEEN, *_TAGS)),
    **{ord(mark): mark for mark in "\n\t"},
    **dict.fromkeys((0x2028, 0x2029), "\n"),
}


def printable(text: str) -> str:
    """The text with `�` for each character that commands a terminal or shows other text in a wrong order.

    These are the control characters (ECMA-48: C0, DEL and C1) and Unicode's embeddings, overrides and isolates of text
    direction. Line feeds and tabs stay. Carriage returns and characters that show nothing go, such as the zero-width
    space; joiners stay, because letters and emoji are made of them. U+2028 and U+2029 become line feeds.

    A model's text, names and arguments of tools and a server's errors can contain escape sequences that write the
    clipboard or the title of the window; Textual and rich print them. Text may come in pieces, because each character
    is handled separately.
    """
    return text.translate(_TABLE)

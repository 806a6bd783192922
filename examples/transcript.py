"""A run in a chat: a snapshot → pieces of Markdown; Markdown → styled text, for toolkits without Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rx_assistant import RunSnapshot
from rx_assistant.types import CodeInterpreterOutput, Message, MessageContent, Text, ToolCall

CODE = re.compile(r"^([ \t]*)(`{3,}|~{3,})([^\n`]*)(?:\n|\Z)(.*?)(^[ \t]*\2[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
"""A block of code: its indentation, fence, language, code, and the fence that ends it, empty while it is written."""

LINE = re.compile(r"(#{1,6}) +|( *)(?:([-*+])|(\d+[.)])) +|((?:> ?)+)")
SPAN = re.compile(
    r"(`[^`]+`|\*{3}\S.*?\*{3}|~~\S.*?~~|\*\*\S.*?\*\*|(?<!\w)__\S.*?__(?!\w)|\*[^*\s](?:[^*]*[^*\s])?\*|(?<!\w)_[^_\s](?:[^_]*[^_\s])?_(?!\w)"
    r"|\[[^\]]+\]\([^)\s]+\))"
)
RULED = re.compile(r" *\|?( *:?-+:? *\|)+( *:?-+:?)? *")
TASK = re.compile(r"^\[([ xX])\] ")
WIDEST = 72  # columns of text that fit a window
ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+.!|<>~-])")


@dataclass(frozen=True)
class Piece:
    """One bubble: `key` identifies it, `kind` is assistant or tool, `text` is Markdown."""

    key: str
    kind: str
    text: str


def pieces(snapshot: RunSnapshot) -> Iterator[Piece]:
    """Everything that a person should see of a run so far."""
    for call in snapshot.tool_calls:
        if call.id:
            yield Piece(call.id, "tool", call_text(call))
    for message in snapshot.messages:
        yield Piece(message.id, "assistant", message_text(message))


def message_text(message: Message) -> str:
    return "\n\n".join(filter(None, map(content_text, message.content)))


def content_text(content: MessageContent) -> str:
    match content.type:
        case "text":
            return cited(content.text)
        case "refusal":
            return f"**Refused:** {content.refusal}"
        case "image_file":
            return f"🖼 picture {content.image_file.file_id}"
        case "image_url":
            return f"🖼 picture {content.image_url.url}"
        case _:
            return f"({content.type})"


def cited(text: Text) -> str:
    """A text with numbers in place of its citation marks, and their sources below it."""
    value, sources = text.value or "", list[str]()
    for annotation in text.annotations or ():
        found = getattr(annotation, annotation.type, None)
        source = getattr(found, "file_id", None) or annotation.type
        if source not in sources:
            sources.append(source)
        if annotation.text:
            value = re.sub(f" ?{re.escape(annotation.text)}", f" [{sources.index(source) + 1}]", value)
    return value + "".join(f"\n\n[{number}] {source}" for number, source in enumerate(sources, 1))


def call_text(call: ToolCall) -> str:
    match call.type:
        case "function":
            name, arguments, output = call.function.name, call.function.arguments, call.function.output
            return f"**{name}** {span(arguments)}" + (f"  \n→ {output}" if output else "")
        case "code_interpreter":
            shown = [f"**code**\n\n{block(call.code_interpreter.input)}"]
            shown += map(output_text, call.code_interpreter.outputs or ())
            return "\n\n".join(shown)
        case "file_search":
            names = [result.file_name or result.file_id for result in call.file_search.results or ()]
            return f"**file search** {', '.join(filter(None, names))}"
        case _:
            return f"**{call.type}**"


def output_text(output: CodeInterpreterOutput) -> str:
    match output.type:
        case "logs":
            return block(output.logs)
        case "image":
            return f"🖼 picture {output.image.file_id}"
        case _:
            return f"({output.type})"


def span(code: str | None) -> str:
    return f"`{code}`" if code else ""


def block(code: str | None) -> str:
    return f"```\n{(code or '').rstrip()}\n```"


def code_of(found: re.Match[str]) -> str:
    """The code of a match of `CODE`, without the indentation of its fence."""
    return re.sub(f"^{found[1]}", "", found[4], flags=re.MULTILINE)


def code_blocks(markdown: str) -> list[str]:
    """The code of each block that is finished."""
    return [code_of(found) for found in CODE.finditer(markdown) if found[5]]


def styled(markdown: str) -> Iterator[tuple[str, str, str]]:
    """The text of a little Markdown, the names of its styles, and for the style `copy` the code to copy."""
    end = 0
    for found in CODE.finditer(markdown):
        if before := markdown[end : found.start()].strip("\n"):
            yield from prose(f"{before}\n")
        code, end = code_of(found), found.end()
        yield code if code.endswith("\n") else f"{code}\n", "block", ""
        if found[5]:
            yield "copy\n", "copy", code
    yield from prose(markdown[end:].strip("\n"))


def prose(markdown: str) -> Iterator[tuple[str, str, str]]:
    """Headings, lists, quotes, tables, rules; in them bold, italic, struck out and code."""
    lines = re.sub("\n{3,}", "\n\n", markdown).split("\n") if markdown else []
    item = ""  # the style of the last item of a list, whose text may go on
    while lines:
        if len(lines) > 1 and "|" in lines[0] and RULED.fullmatch(lines[1]):
            end = next((number for number, line in enumerate(lines) if "|" not in line), len(lines))
            yield from table([cells(line) for number, line in enumerate(lines[:end]) if number != 1])
            del lines[:end]
            continue
        line = lines.pop(0)
        start = LINE.match(line)
        rest = line[start.end() :] if start else line
        if re.fullmatch(r"\s*([-*_])(\s*\1){2,}\s*", line):
            yield "─" * 24, "quote", ""
        elif start is None:
            item = item if line.startswith("  ") or not line.strip() else ""
            yield from spans(
                rest.strip() if item else rest,
                item.replace("item", "more") or ("table" if rest.startswith("|") else "text"),
            )
        elif start[1]:
            yield from spans(rest.rstrip("# "), f"heading{min(len(start[1]), 3)}")
        elif start[5]:
            yield from spans(rest, "quote")
        else:
            item = f"item{min(len(start[2]) // 2, 2)}"
            yield f"{start[4] or '•'} ", item, ""
            yield from spans(TASK.sub(lambda found: "☐ " if found[1] == " " else "☑ ", rest), item)
        yield "\n", "text" if line.strip() else "gap", ""


def cells(line: str) -> list[str]:
    """The texts of the cells in a row of a table."""
    inside = re.sub(r"^\||(?<!\\)\|$", "", line.strip())
    return ["".join(part for part, _, _ in spans(cell.strip(), "")) for cell in re.split(r"(?<!\\)\|", inside)]


def table(rows: list[list[str]]) -> Iterator[tuple[str, str, str]]:
    """Columns if they fit a window; else the cells of each row below each other, with the names of their columns."""
    names = rows[0]
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(names))]
    if sum(widths) + 2 * len(widths) > WIDEST:
        for first, *others in rows[1:]:
            yield f"{first}\n", "text bold", ""
            for name, cell in zip(names[1:], others, strict=False):
                yield f"{name}: {cell}\n", "more0", ""
        return
    for row in (names, ["─" * width for width in widths], *rows[1:]):
        padded = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
        yield "  ".join(padded).rstrip() + "\n", "table", ""


def spans(text: str, style: str) -> Iterator[tuple[str, str, str]]:
    """What is bold, italic, struck out or code in a line, and the rest of it."""
    for part in filter(None, SPAN.split(text)):
        match part[:1], part[-1:]:
            case "`", "`":
                yield part[1:-1], f"{style} code", ""
            case ("*", "*") | ("_", "_") | ("~", "~") if len(part) > 2 and SPAN.fullmatch(part):
                wide = next(wide for wide in (3, 2, 1) if part[:wide] == part[0] * wide)
                kind = "gone" if part[0] == "~" else "italic" if wide == 1 else "bold"
                yield ESCAPED.sub(r"\1", part[wide:-wide]), f"{style} {kind}", ""
            case "[", ")" if SPAN.fullmatch(part):
                name, _, address = part[1:-1].partition("](")
                yield name if name == address else f"{name} ({address})", style, ""
            case _:
                yield ESCAPED.sub(r"\1", part), style, ""

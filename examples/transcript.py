"""What a chat shows of a run: a snapshot → pieces of Markdown; Markdown → styled text, for toolkits that know none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rx_assistant import RunSnapshot
from rx_assistant.types import CodeInterpreterOutput, Message, MessageContent, Text, ToolCall

CODE = re.compile(r"^```[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"(\*\*.+?\*\*|`[^`]+`)")


@dataclass(frozen=True)
class Piece:
    """One bubble: `key` tells which, `kind` is assistant or tool, `text` is Markdown."""

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
    """A text with numbers in place of its citation marks, and what they stand for below."""
    value, sources = text.value or "", list[str]()
    for annotation in text.annotations or ():
        found = getattr(annotation, annotation.type, None)
        source = getattr(found, "file_id", None) or annotation.type
        if source not in sources:
            sources.append(source)
        if annotation.text:
            value = value.replace(annotation.text, f" [{sources.index(source) + 1}]")
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


def code_blocks(markdown: str) -> list[str]:
    """The code of each block that is finished."""
    return CODE.findall(markdown)


def styled(markdown: str) -> Iterator[tuple[str, str, str]]:
    """The text of a little Markdown (headings, lists, bold, code), its style, and for the style `copy` what to copy."""
    code: list[str] | None = None
    for line in markdown.split("\n"):
        if line.startswith("```"):
            if code is not None:
                yield "copy\n", "copy", "".join(code)
            code = [] if code is None else None
        elif code is not None:
            code.append(f"{line}\n")
            yield f"{line}\n", "code", ""
        elif line.startswith("#"):
            yield f"{line.lstrip('# ')}\n", "bold", ""
        else:
            for part in SPAN.split(re.sub(r"^(\s*)[-*] ", r"\1• ", line)):
                if part.startswith("**"):
                    yield part.strip("*"), "bold", ""
                elif part.startswith("`"):
                    yield part.strip("`"), "code", ""
                elif part:
                    yield part, "text", ""
            yield "\n", "text", ""

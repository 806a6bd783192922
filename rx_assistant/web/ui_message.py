"""The UI message stream of the Vercel AI SDK, version 1: what `useChat` of the npm package `ai` reads.

    start  start-step  text-start text-delta … text-end  tool-input-start … tool-input-available  tool-output-available
    finish-step  finish  [DONE]

One run is one message of the assistant. Its functions are tools of the page unless their output follows in the stream.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from rx_assistant.events import StreamEvent
from rx_assistant.types._inside import text_in
from rx_assistant.web import pieces

_REASONS: Final = {"completed": "stop", "requires_action": "tool-calls"}
_Chunk = dict[str, Any]


class UiMessageEncoder:
    """Chunks of one UI message."""

    headers: ClassVar[Mapping[str, str]] = {"x-vercel-ai-ui-message-stream": "v1"}
    remembers: ClassVar[bool] = True

    def __init__(self) -> None:
        self._pieces = pieces.Pieces()
        self._sources: set[str] = set()

    def encode(self, event: StreamEvent) -> list[bytes]:
        """The chunks of one event."""
        return self._blocks(pieces.readable(self._pieces, event))

    def end(self, error: Exception | None) -> list[bytes]:
        """The chunks of the ending, then `[DONE]`."""
        return [*self._blocks(self._pieces.finish(error)), b"data: [DONE]\n"]

    def _blocks(self, found: list[pieces.Piece]) -> list[bytes]:
        return [
            b"data: " + json.dumps(chunk, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            for piece in found
            for chunk in self._chunks(piece)
        ]

    def _chunks(self, piece: pieces.Piece) -> Iterator[_Chunk]:
        match piece:
            case pieces.RunBegan(run_id, thread_id):
                named = {"messageId": run_id} if run_id else {}
                yield {"type": "start", **named, "messageMetadata": {"runId": run_id, "threadId": thread_id}}
            case pieces.StepBegan():
                yield {"type": "start-step"}
            case pieces.StepEnded():
                yield {"type": "finish-step"}
            case pieces.TextBegan(id):
                yield {"type": "text-start", "id": id}
            case pieces.TextGrew(id, _, text):
                yield {"type": "text-delta", "id": id, "delta": text}
            case pieces.TextEnded(id):
                yield {"type": "text-end", "id": id}
            case pieces.ThoughtBegan(id):
                yield {"type": "reasoning-start", "id": id}
            case pieces.ThoughtGrew(id, text):
                yield {"type": "reasoning-delta", "id": id, "delta": text}
            case pieces.ThoughtEnded(id):
                yield {"type": "reasoning-end", "id": id}
            case pieces.CallBegan() | pieces.CallGrew() | pieces.CallEnded() | pieces.CallAnswered():
                yield _call(piece)
            case pieces.Picture(_, part):
                yield _picture(part)
            case pieces.Cited(_, annotation):
                yield from self._source(annotation)
            case pieces.RunStopped() | pieces.Failed():
                yield from _ending(piece)

    def _source(self, annotation: _Chunk) -> Iterator[_Chunk]:
        """The document that an annotation names, once."""
        inside = annotation.get(str(annotation.get("type")))
        file_id = inside.get("file_id") if isinstance(inside, dict) else None
        if isinstance(file_id, str) and file_id not in self._sources:
            self._sources.add(file_id)
            yield {
                "type": "source-document",
                "sourceId": file_id,
                "mediaType": "application/octet-stream",
                "title": file_id,
            }


def _call(piece: pieces.CallBegan | pieces.CallGrew | pieces.CallEnded | pieces.CallAnswered) -> _Chunk:
    match piece:
        case pieces.CallBegan(id, name, on_server):
            return {"type": "tool-input-start", "toolCallId": id, "toolName": name, **_executed(on_server)}
        case pieces.CallGrew(id, text):
            return {"type": "tool-input-delta", "toolCallId": id, "inputTextDelta": text}
        case pieces.CallAnswered(id, output):
            return {"type": "tool-output-available", "toolCallId": id, "output": output}
        case pieces.CallEnded(id, name, arguments, on_server):
            known = {"toolCallId": id, "toolName": name, **_executed(on_server)}
            try:
                return {"type": "tool-input-available", **known, "input": json.loads(arguments or "{}")}
            except ValueError as error:
                return {
                    "type": "tool-input-error",
                    **known,
                    "input": arguments,
                    "errorText": f"the arguments must be JSON: {error}",
                }


def _executed(on_server: bool) -> _Chunk:
    return {"providerExecuted": True} if on_server else {}


def _picture(part: _Chunk) -> _Chunk:
    url = part.get("image_url")
    if isinstance(url, dict) and isinstance(url.get("url"), str):
        return {"type": "file", "url": url["url"], "mediaType": "image/*"}
    return {"type": "data-image-file", "data": part.get("image_file")}


def _ending(piece: pieces.RunStopped | pieces.Failed) -> Iterator[_Chunk]:
    if isinstance(piece, pieces.Failed):
        yield {"type": "error", "errorText": str(piece.error)}
        yield {"type": "finish", "finishReason": "error"}
        return
    run = piece.run
    status = "completed" if run is None else run.status
    if run is not None and status in ("failed", "expired"):
        yield {"type": "error", "errorText": text_in(run, "last_error", "message") or f"the run is {status}"}
        yield {"type": "finish", "finishReason": "error"}
    elif status == "cancelled":
        yield {"type": "abort", "reason": "the run was cancelled"}
    elif run is not None and status == "incomplete":
        filtered = text_in(run, "incomplete_details", "reason") == "content_filter"
        yield {"type": "finish", "finishReason": "content-filter" if filtered else "length"}
    else:
        yield {"type": "finish", "finishReason": _REASONS.get(str(status), "other")}

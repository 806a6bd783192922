"""Random Assistants streams, as data: what the recordings do not hold, in every order that a server could invent.

`generate(rng)` follows the protocol's grammar to the letter. With `messy=True` it interleaves steps and messages,
shuffles indices and leaves gaps, repeats ids and puts several pieces into one delta, yet says everything in the end.
With `lossy=True` it also drops events, repeats some, and sends deltas before `created` and after `completed`.
`streams()`, `messy_streams()` and `lossy_streams()` are hypothesis strategies of them. A `Generated` also holds
the final object of everything that the stream completes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from hypothesis import strategies as st

from rx_assistant.events import BY_NAME, StreamEvent, frame

Json = dict[str, Any]
Frame = tuple[str, Json]
"""Event name, payload."""

WORDS = ["a", "B", " the", "\n", '"', "\\", "é", "【4:0†source】", "😀", "", " \r\n", "x" * 40, "{", "\u2028"]


@dataclass
class Generated:
    """A stream: its frames in order, and the final objects by id."""

    frames: list[Frame] = field(default_factory=list)
    messages: dict[str, Json] = field(default_factory=dict)
    steps: dict[str, Json] = field(default_factory=dict)
    run: Json = field(default_factory=dict)
    ascii_only: bool = False

    @property
    def events(self) -> list[StreamEvent]:
        """The frames as events, then `done`."""
        return [self.event(*each) for each in self.frames] + [BY_NAME["done"](b"[DONE]")]

    def event(self, name: str, payload: Json) -> StreamEvent:
        """One frame as an event."""
        return BY_NAME[name](json.dumps(payload, ensure_ascii=self.ascii_only, separators=(",", ":")).encode())

    @property
    def body(self) -> bytes:
        """The whole stream as a server would send it."""
        return b"".join(map(frame, self.events))

    def __repr__(self) -> str:
        return "\n".join(f"{name} {json.dumps(payload, ensure_ascii=False)}" for name, payload in self.frames)


def chunks_of(body: bytes, rng: Random) -> Iterator[bytes]:
    """The body, cut anywhere."""
    while body:
        size = rng.choice([1, 2, 3, 17, 100, 1000, 20_000])
        yield body[:size]
        body = body[size:]


def generate(rng: Random, *, messy: bool = False, lossy: bool = False) -> Generated:
    """A random stream of one run."""
    return _Server(rng, messy or lossy, lossy).run()


def streams() -> st.SearchStrategy[Generated]:
    """Streams that follow the grammar."""
    return st.randoms(use_true_random=False).map(generate)


def messy_streams() -> st.SearchStrategy[Generated]:
    """Streams in every kind of disorder, from which nothing is missing."""
    return st.randoms(use_true_random=False).map(lambda rng: generate(rng, messy=True))


def lossy_streams() -> st.SearchStrategy[Generated]:
    """Streams in disorder from which much is missing."""
    return st.randoms(use_true_random=False).map(lambda rng: generate(rng, lossy=True))


class _Server:
    def __init__(self, rng: Random, messy: bool, lossy: bool) -> None:
        self.rng = rng
        self.messy = messy
        self.lossy = lossy
        self.out = Generated(ascii_only=rng.random() < 0.3)
        self.serial = 0

    def name(self, prefix: str) -> str:
        self.serial += 1
        return f"{prefix}_{self.serial}"

    def text(self) -> str:
        return "".join(self.rng.choices(WORDS, k=self.rng.randint(0, 3)))

    def maybe(self, chance: float = 0.5) -> bool:
        return self.rng.random() < chance

    def maybe_messy(self, chance: float = 0.3) -> bool:
        return self.messy and self.maybe(chance)

    # -- the run ----------------------------------------------------------------------------------------------------

    def run(self) -> Generated:
        run_id = self.name("run")
        base: Json = {"id": run_id, "object": "thread.run", "model": "m", "usage": None, "required_action": None}
        if self.maybe(0.3):
            self.emit("thread.created", {"id": "thread_1", "object": "thread", "tool_resources": {}})
        for name, status in (("created", "queued"), ("queued", "queued"), ("in_progress", "in_progress")):
            self.emit(f"thread.run.{name}", {**base, "status": status})
        tracks = [self.message_track() if self.maybe(0.6) else self.tool_track() for _ in range(self.rng.randint(0, 3))]
        if self.lossy:
            tracks = [self.disturb(track) for track in tracks]
        for each in self.merged(tracks) if self.maybe_messy(0.7) else [f for track in tracks for f in track]:
            self.emit(*each)
        waiting = self.waiting_calls() if self.maybe(0.4) else None
        if waiting:
            self.require_action(base, waiting)
        ending = self.rng.choice(["completed", "completed", "failed", "incomplete", "expired", "cancelled"])
        self.out.run = {**base, "status": ending, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
        self.emit(f"thread.run.{ending}", self.out.run)
        return self.out

    def emit(self, name: str, payload: Json) -> None:
        self.out.frames.append((name, payload))
        if name in ("thread.message.completed", "thread.message.incomplete"):
            self.out.messages[payload["id"]] = payload
        if name in [f"thread.run.step.{end}" for end in ("completed", "failed", "cancelled", "expired")]:
            self.out.steps[payload["id"]] = payload

    def merged(self, tracks: list[list[Frame]]) -> Iterator[Frame]:
        """The tracks, interleaved; each keeps its own order."""
        left = [list(reversed(track)) for track in tracks if track]
        while left:
            track = self.rng.choice(left)
            yield track.pop()
            if not track:
                left.remove(track)

    def disturb(self, track: list[Frame]) -> list[Frame]:
        """The track with events dropped, repeated and moved."""
        track = [each for each in track if not self.maybe(0.1)]
        for at in range(len(track) - 1):
            if self.maybe(0.1):
                track[at], track[at + 1] = track[at + 1], track[at]
        if track and self.maybe(0.2):
            deltas = [each for each in track if each[0].endswith("delta")]
            track.append(self.rng.choice(deltas or track))
        return track

    def waiting_calls(self) -> tuple[Json, list[Frame]] | None:
        step, frames = self.tool_parts("function")
        return (step, frames) if step["step_details"]["tool_calls"] else None

    def require_action(self, base: Json, waiting: tuple[Json, list[Frame]]) -> None:
        step, deltas = waiting
        calls = step["step_details"]["tool_calls"]
        open_step = {**step, "status": "in_progress", "usage": None}
        open_step["step_details"] = {"type": "tool_calls", "tool_calls": []}
        self.emit("thread.run.step.created", open_step)
        for each in deltas:
            self.emit(*each)
        wanted = [{"id": c["id"], "type": "function", "function": _without_output(c["function"])} for c in calls]
        action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": wanted}}
        self.emit("thread.run.requires_action", {**base, "status": "requires_action", "required_action": action})
        self.emit("thread.run.step.completed", step)
        self.emit("thread.run.queued", {**base, "status": "queued"})
        self.emit("thread.run.in_progress", {**base, "status": "in_progress"})
        for each in self.message_track():
            self.emit(*each)

    # -- messages ---------------------------------------------------------------------------------------------------

    def message_track(self) -> list[Frame]:
        step_id, message_id = self.name("step"), self.name("msg")
        details = {"type": "message_creation", "message_creation": {"message_id": message_id}}
        step = {"id": step_id, "object": "thread.run.step", "type": "message_creation", "step_details": details}
        message = {"id": message_id, "object": "thread.message", "role": "assistant", "content": []}
        parts, pieces = self.parts()
        ending = self.rng.choice(["completed", "completed", "incomplete"])
        return [
            ("thread.run.step.created", {**step, "status": "in_progress"}),
            ("thread.run.step.in_progress", {**step, "status": "in_progress"}),
            ("thread.message.created", {**message, "status": "in_progress"}),
            ("thread.message.in_progress", {**message, "status": "in_progress"}),
            *(self.message_delta(message_id, each) for each in self.grouped(pieces)),
            (f"thread.message.{ending}", {**message, "status": ending, "content": parts}),
            ("thread.run.step.completed", {**step, "status": "completed", "usage": {"total_tokens": 3}}),
        ]

    def message_delta(self, message_id: str, pieces: list[Json]) -> Frame:
        delta: Json = {"content": pieces}
        if self.maybe_messy(0.1):
            delta["role"] = "assistant"
        return "thread.message.delta", {"id": message_id, "object": "thread.message.delta", "delta": delta}

    def parts(self) -> tuple[list[Json], list[Json]]:
        """Final parts, and the pieces that build them, in an order to send them."""
        made = [self.rng.choice([self.text_part, self.text_part, self.refusal_part, self.image_part])]
        made += [self.text_part for _ in range(self.rng.randint(0, 2))]
        return self.placed([make() for make in made])

    def placed(self, made: list[tuple[Json, list[Json]]]) -> tuple[list[Json], list[Json]]:
        """Gives each of a list's members its index, and their pieces an order."""
        indices = list(range(len(made)))
        if self.maybe_messy():
            indices = sorted(self.rng.sample(range(10), len(made)))
        tracks = [[{"index": i, **piece} for piece in pieces] for i, (_, pieces) in zip(indices, made, strict=True)]
        if self.maybe_messy():
            self.rng.shuffle(tracks)
        pieces = self.shuffled(tracks) if self.maybe_messy(0.6) else [piece for track in tracks for piece in track]
        return [final for final, _ in made], pieces

    def shuffled(self, tracks: list[list[Json]]) -> list[Json]:
        framed: list[list[Frame]] = [[("", piece) for piece in track] for track in tracks]
        return [piece for _, piece in self.merged(framed)]

    def grouped(self, pieces: list[Json]) -> Iterator[list[Json]]:
        """The pieces, one to a delta, or several."""
        rest = list(pieces)
        while rest:
            count = self.rng.randint(1, 3) if self.maybe_messy() else 1
            yield rest[:count]
            rest = rest[count:]

    def text_part(self) -> tuple[Json, list[Json]]:
        fragments = [self.text() for _ in range(self.rng.randint(1, 6))]
        marks = [self.annotation() for _ in range(self.rng.randint(0, 3) if self.maybe() else 0)]
        pieces: list[Json] = [{"type": "text", "text": {"value": fragment}} for fragment in fragments]
        pieces[0]["text"]["annotations"] = []
        order = list(enumerate(marks))
        if self.maybe_messy():
            self.rng.shuffle(order)
        for index, mark in order:
            piece = self.rng.choice(pieces)["text"]
            piece["annotations"] = [*piece.get("annotations", []), {"index": index, **mark}]
        if not self.messy:
            _renumber(pieces, marks)
        return {"type": "text", "text": {"value": "".join(fragments), "annotations": marks}}, pieces

    def annotation(self) -> Json:
        kind = self.rng.choice(["file_citation", "file_path"])
        return {"type": kind, "text": "【†】", "start_index": 0, "end_index": 3, kind: {"file_id": self.name("file")}}

    def refusal_part(self) -> tuple[Json, list[Json]]:
        fragments = [self.text() for _ in range(self.rng.randint(1, 4))]
        pieces = [{"type": "refusal", "refusal": fragment} for fragment in fragments]
        return {"type": "refusal", "refusal": "".join(fragments)}, pieces

    def image_part(self) -> tuple[Json, list[Json]]:
        kind = self.rng.choice(["image_file", "image_url"])
        key = "file_id" if kind == "image_file" else "url"
        part = {"type": kind, kind: {key: self.name("file"), "detail": "auto"}}
        return part, [part]

    # -- tools ------------------------------------------------------------------------------------------------------

    def tool_track(self) -> list[Frame]:
        step, deltas = self.tool_parts(None)
        ending = self.rng.choice(["completed", "completed", "failed", "cancelled", "expired"])
        empty = {**step, "status": "in_progress", "step_details": {"type": "tool_calls", "tool_calls": []}}
        return [
            ("thread.run.step.created", empty),
            ("thread.run.step.in_progress", empty),
            *deltas,
            (f"thread.run.step.{ending}", {**step, "status": ending}),
        ]

    def tool_parts(self, kind: str | None) -> tuple[Json, list[Frame]]:
        """A finished step that calls tools, and the deltas that build it."""
        makers: dict[str, Callable[[], tuple[Json, list[Json]]]] = {
            "function": self.function_call,
            "code_interpreter": self.code_call,
            "file_search": self.search_call,
        }
        kinds = [kind or self.rng.choice(list(makers)) for _ in range(self.rng.randint(1, 3))]
        calls, pieces = self.placed([makers[kind]() for kind in kinds])
        step_id = self.name("step")
        step = {"id": step_id, "object": "thread.run.step", "type": "tool_calls", "status": "completed"}
        step["step_details"] = {"type": "tool_calls", "tool_calls": calls}
        return step, [self.step_delta(step_id, each) for each in self.grouped(pieces)]

    def step_delta(self, step_id: str, pieces: list[Json]) -> Frame:
        details = {"type": "tool_calls", "tool_calls": pieces}
        payload = {"id": step_id, "object": "thread.run.step.delta", "delta": {"step_details": details}}
        return "thread.run.step.delta", payload

    def fragments_of(self, kind: str, key: str, first: Json) -> tuple[str, str, list[Json]]:
        """Id, whole text, and the pieces of a call whose text grows."""
        call_id = self.name("call")
        fragments = ["", *(self.text() for _ in range(self.rng.randint(0, 5)))]
        pieces: list[Json] = [{"type": kind, kind: {key: fragment}} for fragment in fragments]
        pieces[0] = {"id": call_id, "type": kind, kind: {**first, key: ""}}
        for piece in pieces[1:]:
            if self.maybe_messy(0.2):
                piece["id"] = call_id
                piece[kind] = {**first, **piece[kind]}
        return call_id, "".join(fragments), pieces

    def function_call(self) -> tuple[Json, list[Json]]:
        name = self.name("fn")
        call_id, arguments, pieces = self.fragments_of("function", "arguments", {"name": name, "output": None})
        function = {"name": name, "arguments": arguments, "output": self.text()}
        return {"id": call_id, "type": "function", "function": function}, pieces

    def code_call(self) -> tuple[Json, list[Json]]:
        call_id, code, pieces = self.fragments_of("code_interpreter", "input", {"outputs": []})
        outputs = [self.output() for _ in range(self.rng.randint(0, 2))]
        placed = [{"index": index, **output} for index, output in enumerate(outputs)]
        if self.maybe_messy():
            self.rng.shuffle(placed)
        pieces += [{"type": "code_interpreter", "code_interpreter": {"outputs": [output]}} for output in placed]
        code_interpreter = {"input": code, "outputs": outputs}
        return {"id": call_id, "type": "code_interpreter", "code_interpreter": code_interpreter}, pieces

    def output(self) -> Json:
        if self.maybe():
            return {"type": "logs", "logs": self.text()}
        return {"type": "image", "image": {"file_id": self.name("file")}}

    def search_call(self) -> tuple[Json, list[Json]]:
        call_id = self.name("call")
        rankers = ["auto", "default_2024_08_21"][: self.rng.randint(1, 2)]
        pieces = [
            {
                "id": call_id,
                "type": "file_search",
                "file_search": {"ranking_options": {"ranker": ranker}, "results": []},
            }
            for ranker in rankers
        ]
        final = {"id": call_id, "type": "file_search", "file_search": pieces[-1]["file_search"]}
        return final, pieces


def _without_output(function: Json) -> Json:
    return {"name": function["name"], "arguments": function["arguments"]}


def _renumber(pieces: list[Json], marks: list[Json]) -> None:
    """Numbers the annotations in the order in which the pieces bring them, as a server does."""
    ordered: list[Json] = []
    for piece in pieces:
        for mark in piece["text"].get("annotations", []):
            mark["index"] = len(ordered)
            ordered.append({key: value for key, value in mark.items() if key != "index"})
    marks[:] = ordered

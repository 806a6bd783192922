"""What a handler has to be called with, worked out from the frames alone: dicts and lists, none of the library's code.

Slow and plain on purpose. It states law L5 and the order of callbacks within one event, for streams in any disorder.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
Told = tuple[Any, ...]
"""A callback, and its arguments."""

FINAL = {
    "thread.message.completed",
    "thread.message.incomplete",
    "thread.run.step.completed",
    "thread.run.step.failed",
    "thread.run.step.cancelled",
    "thread.run.step.expired",
}
INSIDE = {"function": "arguments", "code_interpreter": "input"}


class Thing:
    """A message, part, step or call: what has been said of it."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.id: str | None = None
        self.value = ""
        self.marks: set[int] = set()
        self.members: dict[int, Thing] = {}
        self.done = False
        self.answered = False  # a function call that had its output when it was first seen: an earlier stream told it


class Reference:
    """Frames in, calls out."""

    def __init__(self) -> None:
        self.messages: dict[str, Thing] = {}
        self.steps: dict[str, Thing] = {}
        self.status: str | None = None

    def told(self, name: str, payload: Json) -> list[Told]:
        """The calls of one event."""
        calls: list[Told] = [("on_event", name)]
        if name == "thread.message.delta":
            calls += self._delta(self.messages, "message", payload, payload["delta"]["content"])
        elif name == "thread.run.step.delta":
            pieces = payload["delta"]["step_details"]["tool_calls"]
            calls += self._delta(self.steps, "run_step", payload, pieces)
        elif name.startswith("thread.message."):
            calls += self._whole(self.messages, "message", name, payload, payload["content"])
        elif name.startswith("thread.run.step."):
            whole = payload["step_details"].get("tool_calls", [])
            calls += self._whole(self.steps, "run_step", name, payload, whole)
        elif name.startswith("thread.run."):
            calls += self._run(payload)
        return calls

    # -- deltas ------------------------------------------------------------------------------------------------------

    def _delta(self, owners: dict[str, Thing], kind: str, payload: Json, pieces: list[Json]) -> list[Told]:
        created: list[Told] = []
        owner = self._owner(owners, kind, payload["id"], created)
        if owner.done:
            return []
        fresh: list[Thing] = []
        touched: list[tuple[Thing, Json]] = []
        for piece in pieces:
            thing = owner.members.get(piece["index"])
            if thing is None:
                thing = owner.members[piece["index"]] = Thing(piece["type"])
                thing.answered = _is_answered(piece)
                fresh.append(thing)
            if not thing.done:
                self._grow(thing, piece)
                touched.append((thing, piece))
        fresh, touched = [one for one in fresh if not one.answered], [one for one in touched if not one[0].answered]
        created += [told for thing in fresh for told in self._created(thing)]
        deltas = [
            told
            for thing, piece in touched
            if not (thing in fresh and _is_bare(piece))
            for told in self._grown(thing, piece)
        ]
        return [*created, *deltas, (f"on_{kind}_delta", payload["id"], len(pieces))]

    def _grow(self, thing: Thing, piece: Json) -> None:
        inside = piece.get(piece["type"])
        if thing.kind == "text":
            thing.value += inside.get("value") or ""
            thing.marks |= {mark["index"] for mark in inside.get("annotations", [])}
        elif thing.kind == "refusal":
            thing.value += inside
        elif thing.kind in INSIDE:
            thing.value += inside.get(INSIDE[thing.kind]) or ""
            thing.marks |= {output["index"] for output in inside.get("outputs", [])}
        thing.id = piece.get("id") or thing.id

    def _created(self, thing: Thing) -> list[Told]:
        if thing.kind == "text":
            return [("on_text_created", thing.value)]
        if thing.kind in ("function", "code_interpreter", "file_search"):
            return [("on_tool_call_created", thing.kind, thing.id, thing.value)]
        return []

    def _grown(self, thing: Thing, piece: Json) -> list[Told]:
        inside = piece[piece["type"]]
        if thing.kind == "text":
            marks = [("on_annotation", file_of(mark)) for mark in inside.get("annotations", [])]
            return [("on_text_delta", inside.get("value"), thing.value), *marks]
        if thing.kind == "refusal":
            return [("on_refusal_delta", inside, thing.value)]
        if thing.kind in ("image_file", "image_url"):
            return []
        said = inside.get(INSIDE.get(thing.kind, ""))
        outputs = [("on_code_output", output_of(output)) for output in inside.get("outputs", [])]
        return [("on_tool_call_delta", thing.kind, said, thing.value), *outputs]

    # -- whole objects -----------------------------------------------------------------------------------------------

    def _whole(self, owners: dict[str, Thing], kind: str, name: str, payload: Json, finals: list[Json]) -> list[Told]:
        created: list[Told] = []
        owner = self._owner(owners, kind, payload["id"], created)
        if owner.done or name not in FINAL:
            return created
        ended: list[Told] = []
        for thing, final in zip(_placed(owner, finals), finals, strict=True):
            if thing is None:
                told = self._new_whole(owner, final)
                if not _is_answered(final):
                    created += told
                    ended.append(_done(final))
            elif not (thing.done or thing.answered):
                thing.done = True
                ended += [*_contents(final, since=len(thing.marks)), _done(final)]
        owner.done = True
        return [*created, *ended, (f"on_{kind}_done", payload)]

    def _new_whole(self, owner: Thing, final: Json) -> list[Told]:
        thing = owner.members[max(owner.members, default=-1) + 1] = Thing(final["type"])
        inside = final[final["type"]]
        thing.id, thing.done = final.get("id"), True
        if thing.kind == "text":
            thing.value = inside["value"]
        elif thing.kind in INSIDE:
            thing.value = inside[INSIDE[thing.kind]]
        return [*self._created(thing), *_contents(final, since=0)]

    def _owner(self, owners: dict[str, Thing], kind: str, owner_id: str, created: list[Told]) -> Thing:
        if owner_id not in owners:
            owners[owner_id] = Thing(kind)
            created.append((f"on_{kind}_created", owner_id))
        return owners[owner_id]

    def _run(self, run: Json) -> list[Told]:
        calls: list[Told] = []
        if run["status"] == "requires_action":
            known = {thing.id: thing for step in self.steps.values() for thing in step.members.values()}
            for wanted in run["required_action"]["submit_tool_outputs"]["tool_calls"]:
                thing = known[wanted["id"]]
                if not (thing.done or thing.answered):
                    thing.done = True
                    calls.append(_done({**wanted, "function": {**wanted["function"], "output": None}}))
        if run["status"] != self.status:
            self.status = run["status"]
            calls.append(("on_run_status", self.status))
            if self.status == "requires_action":
                calls.append(("on_requires_action", run["id"]))
        return calls


def _placed(owner: Thing, finals: list[Json]) -> list[Thing | None]:
    """For each final member what deltas have shown of it: by id, else by rank if the numbers agree, else by index."""
    known = [owner.members[index] for index in sorted(owner.members)]
    by_id = {thing.id: thing for thing in known if thing.id is not None}
    placed = list(known) if len(known) == len(finals) else [owner.members.get(at) for at in range(len(finals))]
    taken = [by_id[final["id"]] for final in finals if final.get("id") in by_id]
    return [
        by_id[final["id"]] if final.get("id") in by_id else None if thing in taken else thing
        for thing, final in zip(placed, finals, strict=True)
    ]


def _contents(final: Json, since: int) -> list[Told]:
    inside = final[final["type"]]
    if final["type"] == "text":
        return [("on_annotation", file_of(mark)) for mark in inside["annotations"][since:]]
    if final["type"] == "code_interpreter":
        return [("on_code_output", output_of(output)) for output in inside["outputs"][since:]]
    return []


def _done(final: Json) -> Told:
    kind = final["type"]
    if kind in ("text", "image_file", "image_url"):
        return f"on_{kind}_done", final[kind]
    return "on_refusal_done" if kind == "refusal" else "on_tool_call_done", final


def _is_answered(call: Json) -> bool:
    return call["type"] == "function" and call["function"].get("output") is not None


def _is_bare(piece: Json) -> bool:
    inside = piece[piece["type"]]
    if piece["type"] == "function":
        return not (inside.get("arguments") or inside.get("output"))
    return piece["type"] == "code_interpreter" and not (inside.get("input") or inside.get("outputs"))


def file_of(mark: Any) -> str:
    """Which file an annotation is about."""
    kind = mark["type"]
    file_id: str = mark[kind]["file_id"]
    return file_id


def output_of(output: Any) -> str:
    """What an output holds."""
    held: str = output["logs"] if output["type"] == "logs" else output["image"]["file_id"]
    return held

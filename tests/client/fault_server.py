"""Faults of servers and networks, each as a script for a real connection, with what a client has to make of it.

`FAULTS` is the table. A fault's script gets the request and the wire; `events` says how many events have to arrive,
`error` what has to be raised afterwards (None: the stream ends well).
"""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

from loopback import Received, Wire

from rx_assistant import errors
from rx_assistant.http.timeouts import Timeout

Script = Callable[[Received, Wire], Awaitable[None]]


def frame(name: str, data: dict[str, Any]) -> bytes:
    """One event as servers send it."""
    return f"event: {name}\ndata: {json.dumps(data, ensure_ascii=False)}\n\n".encode()


def run(status: str) -> dict[str, Any]:
    return {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "assistant_id": "asst_1", "status": status}


def message(status: str, *texts: str) -> dict[str, Any]:
    content = [{"type": "text", "text": {"value": text, "annotations": []}} for text in texts]
    return {"id": "msg_1", "object": "thread.message", "thread_id": "thread_1", "status": status, "content": content}


def step(status: str) -> dict[str, Any]:
    details = {"type": "message_creation", "message_creation": {"message_id": "msg_1"}}
    return {"id": "step_1", "object": "thread.run.step", "run_id": "run_1", "status": status, "step_details": details}


def delta(text: str) -> dict[str, Any]:
    part = {"index": 0, "type": "text", "text": {"value": text, "annotations": []}}
    return {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": [part]}}


DONE = b"event: done\ndata: [DONE]\n\n"
FRAMES = [
    frame("thread.run.created", run("queued")),
    frame("thread.run.queued", run("queued")),
    frame("thread.run.in_progress", run("in_progress")),
    frame("thread.run.step.created", step("in_progress")),
    frame("thread.message.created", message("in_progress")),
    frame("thread.message.delta", delta("Grüß ")),
    frame("thread.message.delta", delta("dich")),
    frame("thread.message.completed", message("completed", "Grüß dich")),
    frame("thread.run.step.completed", step("completed")),
    frame("thread.run.completed", run("completed")),
    DONE,
]
BODY = b"".join(FRAMES)
TERMINAL = 10
"""So many frames until the run is completed."""

STOPPED = [*FRAMES[:4], frame("thread.run.requires_action", run("requires_action"))]
"""A run that asks for tool outputs."""


@dataclass
class Fault:
    """A script, and what has to come of it."""

    script: Script
    error: type[Exception] | None = None
    events: int = TERMINAL
    requests: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    """For the client."""
    stream: dict[str, Any] = field(default_factory=dict)
    """For the stream."""


FAULTS: dict[str, Fault] = {}


def fault(name: str, error: type[Exception] | None = None, events: int = TERMINAL, **more: Any) -> Any:
    """Put a script into the table."""

    def add(script: Script) -> Script:
        options = {"max_retries": 0} | more.pop("options", {})
        FAULTS[name] = Fault(script, error, events, options=options, **more)
        return script

    return add


def sends(body: bytes, headers: dict[str, str] | None = None, *, size: int = 1 << 20) -> Script:
    """A script that sends these bytes as an event stream, in chunks of a size, and ends it properly."""

    async def script(request: Received, wire: Wire) -> None:
        await wire.events(headers)
        for start in range(0, len(body), size):
            wire.writer.write(b"%x\r\n%s\r\n" % (len(body[start : start + size]), body[start : start + size]))
        await wire.end()

    return script


def unframed(body: bytes, headers: dict[str, str]) -> Script:
    """A script that sends these bytes without saying how many: they end with the connection."""

    async def script(request: Received, wire: Wire) -> None:
        await wire.head(200, headers)
        await wire.send(body)
        wire.hang_up()

    return script


def cut(body: bytes, how: str) -> Script:
    """A script that sends these bytes and then lets the connection die, by a word too few or by RST."""

    async def script(request: Received, wire: Wire) -> None:
        await wire.events()
        await wire.chunk(body)
        await asyncio.sleep(0.005)
        getattr(wire, how)()

    return script


def stalls(body: bytes) -> Script:
    """A script that sends these bytes, and then nothing any more."""

    async def script(request: Received, wire: Wire) -> None:
        await wire.events()
        if body:
            await wire.chunk(body)
        await wire.peer_gone()

    return script


def status(code: int, body: bytes = b"", kind: str = "application/json", **headers: str) -> Script:
    """A script that refuses."""

    async def script(request: Received, wire: Wire) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await wire.reply(code, body, {"content-type": kind, "x-request-id": "req_f", **named})

    return script


def then_well(first: Script) -> Script:
    """A script that goes wrong the first time, and well the second."""
    seen: set[str] = set()

    async def script(request: Received, wire: Wire) -> None:
        key = request.headers["idempotency-key"]
        if key in seen:
            await sends(BODY)(request, wire)
        else:
            seen.add(key)
            await first(request, wire)

    return script


# -- before the head -----------------------------------------------------------------------------------------


@fault("reset before the head", errors.APIConnectionError, 0)
async def reset_before_head(request: Received, wire: Wire) -> None:
    wire.reset()


@fault("hung up before the head", errors.APIConnectionError, 0)
async def hung_up_before_head(request: Received, wire: Wire) -> None:
    wire.hang_up()


@fault("head cut in the middle", errors.APIConnectionError, 0)
async def head_cut(request: Received, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\ncontent-ty")
    wire.hang_up()


@fault("something else than HTTP", errors.APIConnectionError, 0)
async def not_http(request: Received, wire: Wire) -> None:
    await wire.send(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    wire.hang_up()


@fault("an endless head", errors.APIConnectionError, 0)
async def endless_head(request: Received, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 200 OK\r\n" + b"x-long: " + b"x" * 300_000)
    await wire.peer_gone()


async def never_answers(request: Received, wire: Wire) -> None:
    await wire.peer_gone()


for limit, expected in (
    ("read", errors.ReadTimeoutError),
    ("first_event", errors.FirstEventTimeoutError),
    ("total", errors.TotalTimeoutError),
):
    timeout = Timeout(**{limit: 0.25})
    fault(f"no head within {limit}", expected, 0, options={"timeout": timeout})(never_answers)

fault("reset before the head, then well", requests=2, options={"max_retries": 1})(then_well(reset_before_head))
fault("hung up before the head, then well", requests=2, options={"max_retries": 1})(then_well(hung_up_before_head))


@fault("hints before the head")
async def hints(request: Received, wire: Wire) -> None:
    await wire.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
    await sends(BODY)(request, wire)


# -- refusals ------------------------------------------------------------------------------------------------

REASON = json.dumps({"error": {"message": "Because.", "type": "t", "param": None, "code": "c"}}).encode()
HTML = b"<html><body>502 Bad Gateway</body></html>"

for code, expected in (
    (400, errors.BadRequestError),
    (401, errors.AuthenticationError),
    (403, errors.PermissionDeniedError),
    (404, errors.NotFoundError),
    (409, errors.ConflictError),
    (418, errors.APIStatusError),
    (422, errors.UnprocessableEntityError),
    (429, errors.RateLimitError),
    (500, errors.InternalServerError),
    (502, errors.InternalServerError),
    (529, errors.InternalServerError),
):
    fault(f"{code} with JSON", expected, 0)(status(code, REASON))
fault("400 with HTML", errors.BadRequestError, 0)(status(400, HTML, "text/html"))
fault("401 with nothing", errors.AuthenticationError, 0)(status(401))
fault("502 with HTML", errors.InternalServerError, 0)(status(502, HTML, "text/html"))
fault("503 with nothing", errors.InternalServerError, 0)(status(503))
fault("500 with lying JSON", errors.InternalServerError, 0)(status(500, b'{"error": {"mess'))
fault("204 instead of events", errors.NotAnEventStreamError, 0)(status(204))
fault("304 without a request for it", errors.APIStatusError, 0)(status(304))


@fault("a refusal whose body breaks off", errors.InternalServerError, 0)
async def refusal_cut(request: Received, wire: Wire) -> None:
    await wire.head(500, {"content-length": "1000", "content-type": "application/json"})
    await wire.send(b'{"error"')
    wire.hang_up()


AGAIN: dict[str, dict[str, str]] = {
    "retry-after-ms": {"retry_after_ms": "1"},
    "retry-after in seconds": {"retry_after": "0"},
    "retry-after as a date": {"retry_after": formatdate(0, usegmt=True)},
    "a retry-after that is nonsense": {"retry_after": "soon"},
    "no word on when": {},
}
for form, headers in AGAIN.items():
    script = then_well(status(429, REASON, **headers))
    fault(f"429 with {form}, then well", requests=2, options={"max_retries": 1})(script)
fault("500 that is not to be tried again", errors.InternalServerError, 0, options={"max_retries": 1})(
    status(500, REASON, x_should_retry="false")
)
fault("400 that is to be tried again, then well", requests=2, options={"max_retries": 1})(
    then_well(status(400, REASON, x_should_retry="true", retry_after_ms="1"))
)
fault("429 for an hour", errors.RateLimitError, 0, options={"max_retries": 1})(status(429, REASON, retry_after="3600"))


@fault("redirect on the same origin", requests=2)
async def redirect_here(request: Received, wire: Wire) -> None:
    if request.path.endswith("/"):
        await sends(BODY)(request, wire)
    else:
        await wire.reply(307, headers={"location": f"{request.path}/"})


fault("redirect to another origin", errors.APIStatusError, 0)(status(307, location="http://127.0.0.1:9/v1/threads"))
fault("redirect to nowhere", errors.APIStatusError, 0)(status(308))

# -- something else than events ------------------------------------------------------------------------------

fault("HTML with status 200", errors.NotAnEventStreamError, 0)(status(200, HTML, "text/html"))
fault("HTML that says it is events", errors.NotAnEventStreamError, 0)(sends(HTML))
fault("a run instead of its events", errors.NotAnEventStreamError, 0)(status(200, json.dumps(run("queued")).encode()))
fault("plain text with status 200", errors.NotAnEventStreamError, 0)(status(200, b"upstream is busy\n", "text/plain"))
fault("nothing with status 200", errors.NotAnEventStreamError, 0)(status(200, b"", "text/html"))
fault("nothing, as events", errors.StreamTruncatedError, 0)(sends(b""))
fault("events as text/plain")(unframed(BODY, {"content-type": "text/plain"}))
fault("events as JSON")(unframed(BODY, {"content-type": "application/json"}))
fault("events without a type")(unframed(BODY, {}))

# -- encodings and sizes -------------------------------------------------------------------------------------

fault("gzip")(sends(gzip.compress(BODY), {"content-encoding": "gzip"}, size=7))
fault("deflate")(sends(zlib.compress(BODY), {"content-encoding": "deflate"}))
fault("gzip that is none", errors.StreamTruncatedError, 0)(sends(BODY, {"content-encoding": "gzip"}))
fault("gzip that is cut", errors.StreamTruncatedError, 0)(sends(gzip.compress(BODY)[:40], {"content-encoding": "gzip"}))
fault("an unknown compression", errors.APIConnectionError, 0)(sends(BODY, {"content-encoding": "br"}))
for size in (1, 2, 3, 7, 4096):
    fault(f"chunks of {size} bytes")(sends(BODY, size=size))
LARGE = b"".join([*FRAMES[:6], frame("thread.message.delta", delta("x" * 2**20)), *FRAMES[6:]])
fault("chunks of 1 MB", events=TERMINAL + 1)(sends(LARGE))
fault("an endless line", errors.EventTooLargeError, 1, stream={"max_event_bytes": 65536})(
    sends(FRAMES[0] + b"data: " + b"x" * 200_000)
)
fault("an event that is too large", errors.EventTooLargeError, 6, stream={"max_event_bytes": 65536})(sends(LARGE))
fault("invalid UTF-8 in a delta")(sends(BODY.replace("ü".encode(), b"\xfc")))
fault("a delta that is no JSON")(sends(BODY.replace(b'{"id": "msg_1", "object": "thread.message.delta"', b"{oops")))

# -- lengths that lie ----------------------------------------------------------------------------------------

TYPED = {"content-type": "text/event-stream"}
fault("content-length longer than the body, after the end")(unframed(BODY, TYPED | {"content-length": "100000"}))
fault("content-length longer than the body, before the end", errors.StreamTruncatedError, 6)(
    unframed(b"".join(FRAMES[:6]), TYPED | {"content-length": "100000"})
)
fault("content-length shorter than the body", errors.StreamTruncatedError, 2)(
    unframed(BODY, TYPED | {"content-length": str(len(FRAMES[0] + FRAMES[1]) + 9)})
)
fault("no length at all")(unframed(BODY, TYPED))


@fault("a chunk size that is none", errors.StreamTruncatedError, 3)
async def bad_chunk(request: Received, wire: Wire) -> None:
    await wire.events()
    await wire.chunk(b"".join(FRAMES[:3]))
    await wire.send(b"zz\r\nwhat\r\n")
    wire.hang_up()


@fault("trickling byte by byte")
async def trickles(request: Received, wire: Wire) -> None:
    await wire.events()
    for start in range(0, len(BODY), 16):
        await wire.chunk(BODY[start : start + 16])
        if start % 512 == 0:
            await asyncio.sleep(0)
    await wire.end()


# -- endings -------------------------------------------------------------------------------------------------

ERROR = {"message": "The server had an error.", "type": "server_error", "param": None, "code": "x"}
fault("error event, nested", errors.ServerErrorEvent, 6)(sends(b"".join(FRAMES[:6]) + frame("error", {"error": ERROR})))
fault("error event, flat", errors.ServerErrorEvent, 6)(sends(b"".join(FRAMES[:6]) + frame("error", ERROR)))
fault("error event as the very first", errors.ServerErrorEvent, 0)(sends(frame("error", ERROR)))
fault("error event without its blank line", errors.ServerErrorEvent, 6)(
    sends(b"".join(FRAMES[:6]) + frame("error", {"error": ERROR})[:-1])
)
fault("error event, then reset", errors.ServerErrorEvent, 6)(cut(b"".join(FRAMES[:6]) + frame("error", ERROR), "reset"))
fault("no [DONE] after the end of the run", events=TERMINAL)(sends(b"".join(FRAMES[:TERMINAL])))
fault("no [DONE] after requires_action", events=len(STOPPED))(sends(b"".join(STOPPED)))
fault("requires_action, then reset", events=len(STOPPED))(cut(b"".join(STOPPED), "reset"))
fault("silence after the end of the run", events=TERMINAL, options={"timeout": Timeout(read=0.25)})(
    stalls(b"".join(FRAMES[:TERMINAL]))
)
fault("[DONE] without its blank line", events=TERMINAL)(sends(BODY[:-1]))
fault("[DONE] before the end of the run", events=6)(sends(b"".join(FRAMES[:6]) + DONE))
fault("events after [DONE]")(sends(BODY + FRAMES[5] + frame("error", ERROR)))
fault("rubbish after [DONE]")(sends(BODY + b"\xff\x00<html>" * 100))
fault("silence after [DONE]")(stalls(BODY))
fault("reset after [DONE]")(cut(BODY, "reset"))
fault("a run that fails", events=5)(sends(b"".join(FRAMES[:4]) + frame("thread.run.failed", run("failed")) + DONE))

# -- odd but healthy -----------------------------------------------------------------------------------------

fault("comments between the events")(sends(b": keep-alive\n\n".join(FRAMES)))
fault("only comments", errors.StreamTruncatedError, 0)(sends(b": keep-alive\n\n" * 20))
fault("retry and id blocks")(sends(b"retry: 10\n\nid: 7\n\n: ping\n\n" + BODY))
fault("an id in every event")(sends(b"".join(b"id: %d\n" % n + part for n, part in enumerate(FRAMES))))
fault("byte order mark")(sends(b"\xef\xbb\xbf" + BODY, size=2))
fault("CRLF")(sends(BODY.replace(b"\n", b"\r\n"), size=5))
fault("CR alone")(sends(BODY.replace(b"\n", b"\r")))
fault("empty data", events=TERMINAL + 1)(sends(b"data:\n\n" + BODY))
fault("an unknown event", events=TERMINAL + 1)(
    sends(FRAMES[0] + frame("thread.dreamt", {"a": 1}) + b"".join(FRAMES[1:]))
)
fault("no event: lines, as proxies send them")(
    sends(
        b"".join(
            f"data: {json.dumps({'event': name, 'data': data})}\n\n".encode()
            for name, data in (
                (part.split(b"\n")[0][7:].decode(), json.loads(part.split(b"\n")[1][6:])) for part in FRAMES[:TERMINAL]
            )
        )
        + b"data: [DONE]\n\n"
    )
)

# -- silence -------------------------------------------------------------------------------------------------

for where, sent in (("before the first event", 0), ("between events", 6)):
    body = b"".join(FRAMES[:sent])
    for limit in ("read", "total", "idle" if sent else "first_event"):
        kinds = {"read": "Read", "total": "Total", "idle": "Idle", "first_event": "FirstEvent"}
        expected = getattr(errors, f"{kinds[limit]}TimeoutError")
        timeout = Timeout(**{limit: 0.25})  # a busy machine needs time to connect, and to send what comes before
        fault(f"silence {where} beyond {limit}", expected, sent, options={"timeout": timeout})(stalls(body))


@fault("comments beyond idle", errors.IdleTimeoutError, 3, options={"timeout": Timeout(idle=0.05)})
async def pings(request: Received, wire: Wire) -> None:
    await wire.events()
    await wire.chunk(b"".join(FRAMES[:3]))
    while True:
        await wire.chunk(b": ping\n\n")
        await asyncio.sleep(0.01)


# -- death at every frame boundary, and inside each frame ----------------------------------------------------

for count in range(TERMINAL):
    whole = b"".join(FRAMES[:count])
    fault(f"reset after {count} events", errors.StreamTruncatedError, count)(cut(whole + b": x\n", "reset"))
    fault(f"hung up inside event {count + 1}", errors.StreamTruncatedError, count)(
        cut(whole + FRAMES[count][: len(FRAMES[count]) // 2], "hang_up")
    )

"""`rx-assistant ask`: a question, the streamed answer, and a tool that is called on the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from reactivex import operators as ops

from rx_assistant import operators as ax
from rx_assistant.cli.failure import RunFailed
from rx_assistant.cli.output import Output
from rx_assistant.cli.show import describe_end, show
from rx_assistant.client import AssistantClient
from rx_assistant.errors import RxAssistantError
from rx_assistant.types._inside import inside, models_in, text_in

if TYPE_CHECKING:
    from rx_assistant.local.upstreams import UpstreamOptions
    from rx_assistant.streams import AssistantStream
    from rx_assistant.types import Run

LOCAL_TIME: Any = {
    "type": "function",
    "function": {
        "name": "get_local_time",
        "description": "The current local time: what time is it, what is the date today.",
        "parameters": {
            "type": "object",
            "properties": {"timezone": {"type": "string", "description": "IANA name such as Europe/Paris."}},
        },
    },
}


def local_time(arguments: str) -> str:
    """Answer a call of `get_local_time`: the time in ISO form, or what is wrong with the arguments."""
    try:
        name = json.loads(arguments or "{}").get("timezone")
        now = datetime.now(_zone(name)) if name else datetime.now().astimezone()
    except (ValueError, AttributeError, ZoneInfoNotFoundError, OSError):
        return f"error: {arguments!r} names no time zone"
    return now.isoformat(timespec="seconds")


def _zone(name: str) -> ZoneInfo:
    """Give the zone of an IANA name, or of a city that is the last part of one."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        city = "/" + name.strip().replace(" ", "_").casefold()
        found = next((zone for zone in sorted(available_timezones()) if zone.casefold().endswith(city)), name)
        return ZoneInfo(found)


@contextmanager
def open_client(base_url: str | None, api_key: str | None, upstream: UpstreamOptions) -> Iterator[AssistantClient]:
    """Give a client for the server named, or else for a local one that lives as long as the block."""
    if base_url:
        with AssistantClient(base_url=base_url, api_key=api_key) as client:
            yield client
        return
    from rx_assistant import local

    with local.serve(**upstream) as server, AssistantClient(base_url=server.base_url, api_key=api_key) as client:
        yield client


def ask(
    text: str,
    *,
    assistant_id: str | None,
    thread_id: str | None,
    base_url: str | None,
    api_key: str | None,
    instructions: str | None,
    record: Path | None,
    upstream: UpstreamOptions,
) -> None:
    """Ask, print what comes, and answer the tool calls until the run needs nothing more.

    The ids are shown if the server keeps them. A model server that the local server asks is offered no tool: many
    models cannot call one.
    """
    output = Output()
    model = upstream.get("model")
    with open_client(base_url, api_key, upstream) as client:
        asks_model = not base_url and any(upstream.get(name) for name in ("upstream", "model", "model_map"))
        if api_key and not base_url and not asks_model:
            output.note("! no --base-url: an assistant without a model answers here, and the key is not used", "yellow")
        tools = [] if asks_model else [LOCAL_TIME]
        assistant = assistant_id or _create_assistant(client, model or "local", instructions, tools)
        thread = thread_id or client.threads.create().id
        if base_url:
            output.note(f"· assistant {assistant}, thread {thread}")
        client.threads.messages.create(thread_id=thread, role="user", content=text)
        of_run: Any = {"instructions": instructions, "model": model} if assistant_id else {}
        stream = client.threads.runs.stream(thread_id=thread, assistant_id=assistant, **of_run)
        if base_url:
            stream.pipe(ax.runs(), ops.take(1)).subscribe(lambda run: output.note(f"· run {run.id}"))
        recording = None if record is None else stream.record(record)
        run = _follow(stream, output)
        while run.status == "requires_action" and run.required_action is not None:
            outputs: list[Any] = []
            for call in models_in(inside(run.required_action, "submit_tool_outputs", "tool_calls")):
                answer = _answer(text_in(call.function, "name"), text_in(call.function, "arguments"))
                outputs.append({"tool_call_id": call.id, "output": answer})
                output.answer(outputs[-1]["output"])
            stream = client.threads.runs.submit_tool_outputs_stream(
                thread_id=thread, run_id=run.id, tool_outputs=outputs
            )
            if recording is not None:
                stream.record(recording)
            run = _follow(stream, output)
        output.finish()
    if recording is not None and recording.error is not None:
        output.note(f"the recording ended early: {recording.error}", "yellow")
    failure = describe_end(run)
    if failure is not None:
        raise RunFailed(failure)


def _create_assistant(client: AssistantClient, model: str, instructions: str | None, tools: list[Any]) -> str:
    return client.assistants.create(model=model, name="rx-assistant", instructions=instructions, tools=tools).id


def _answer(name: str, arguments: str) -> str:
    return local_time(arguments) if name == "get_local_time" else f"error: there is no tool named {name!r} here"


def _follow(stream: AssistantStream, output: Output) -> Run:
    """Print one stream to its end and give the run; on Ctrl-C cancel the run on the server first."""
    with stream:
        show(stream, output)
        try:
            return stream.get_final_run()
        except KeyboardInterrupt:
            output.finish()
            output.note("cancelling the run …", "yellow")
            stream.cancel()
            raise
        except RxAssistantError:
            output.finish()
            raise

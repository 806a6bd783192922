"""`rx-assistant ask`: a question, the streamed answer, and a tool that is called on the way."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from reactivex import operators as ops

from rx_assistant import operators as ax
from rx_assistant.cli.failure import RunFailed
from rx_assistant.cli.output import Output
from rx_assistant.cli.show import describe_end, show
from rx_assistant.client import AssistantClient
from rx_assistant.errors import ConfigurationError, RxAssistantError, ToolError
from rx_assistant.tools import ToolSet

if TYPE_CHECKING:
    from rx_assistant.client.conversation import Conversation
    from rx_assistant.local.upstreams import UpstreamOptions
    from rx_assistant.streams import AssistantStream
    from rx_assistant.types import Run


LOCAL = ToolSet()
"""The tools of `ask` and `chat`, unless `--tools` names others."""


@LOCAL.tool(strict=False)
def get_local_time(timezone: str | None = None) -> str:
    """The current local time: what time is it, what is the date today.

    Args:
        timezone: IANA name such as Europe/Paris.
    """
    try:
        now = datetime.now(_zone(timezone)) if timezone else datetime.now().astimezone()
    except (ValueError, ZoneInfoNotFoundError, OSError):
        raise ToolError(f"{timezone!r} is not the name of a time zone") from None
    return now.isoformat(timespec="seconds")


def tools_named(name: str | None) -> ToolSet:
    """The tools that `module:object` names: a ToolSet, or a list of functions; the local ones for None.

    Raises:
        ConfigurationError: there are no such tools.
    """
    if name is None:
        return LOCAL
    module, _, attribute = name.partition(":")
    try:
        sys.path.insert(0, "")  # as `python -m` does: modules of the current folder are found
        return ToolSet.of(getattr(import_module(module), attribute))
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"--tools must be module:object with a ToolSet, got {name!r}: {error}") from error
    finally:
        sys.path.remove("")


def _zone(name: str) -> ZoneInfo:
    """The zone of an IANA name, or of a city that is the last part of one."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        city = "/" + name.strip().replace(" ", "_").casefold()
        found = next((zone for zone in sorted(available_timezones()) if zone.casefold().endswith(city)), name)
        return ZoneInfo(found)


@contextmanager
def open_client(base_url: str | None, api_key: str | None, upstream: UpstreamOptions) -> Iterator[AssistantClient]:
    """A client for the named server, or else for a local server that lives as long as the block."""
    if base_url:
        with AssistantClient(base_url=base_url, api_key=api_key) as client:
            yield client
        return
    from rx_assistant import local

    with local.serve(**upstream) as server, AssistantClient(base_url=server.base_url, api_key=api_key) as client:
        yield client


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """The common options of `ask` and `chat`: the server, the assistant and the thread."""

    base_url: str | None
    api_key: str | None
    assistant_id: str | None
    thread_id: str | None
    instructions: str | None
    tools: str | None
    upstream: UpstreamOptions

    @property
    def asks_model(self) -> bool:
        """Whether the server is a local one with a model server behind it."""
        return not self.base_url and any(self.upstream.get(name) for name in ("upstream", "model", "model_map"))


@contextmanager
def open_conversation(where: Where) -> Iterator[tuple[AssistantClient, Conversation]]:
    """A client, and a conversation with the named assistant or else with a new one.

    A model server behind the local server gets no tools unless `--tools` names some, because many models cannot call
    one.
    """
    tools, upstream = tools_named(where.tools), where.upstream
    with open_client(where.base_url, where.api_key, upstream) as client:
        instructions = where.instructions and readable(where.instructions)
        of_run: Any = {}
        assistant_id = where.assistant_id
        if assistant_id is not None:
            given = {"instructions": instructions, "model": upstream.get("model")}
            of_run = {name: value for name, value in given.items() if value is not None}
        else:
            assistant_id = client.assistants.create(
                model=upstream.get("model") or "local",
                name="rx-assistant",
                instructions=instructions,
                tools=[] if where.asks_model and where.tools is None else tools.definitions(),
            ).id
        with client.conversation(assistant_id, where.thread_id, tools=tools, **of_run) as conversation:
            yield client, conversation


def ask(text: str, *, where: Where, record: Path | None) -> None:
    """Ask, print the answer, and answer the tool calls until the run needs no more outputs.

    The ids are shown if the server keeps them.
    """
    output = Output()
    if where.api_key and not where.base_url and not where.asks_model:
        output.note("! no --base-url: an assistant without a model answers here, and the key is not used", "yellow")
    with open_conversation(where) as (_, conversation):
        stream = conversation.ask(readable(text))
        if where.base_url:
            stream.pipe(ax.runs(), ops.take(1)).subscribe(
                lambda run: output.note(f"· assistant {run.assistant_id}, thread {run.thread_id}, run {run.id}"),
                ignore,
            )
        recording = None if record is None else stream.record(record)
        run = follow(stream, output)
        output.finish()
    if recording is not None and recording.error is not None:
        output.note(f"the recording ended early: {recording.error}", "yellow")
    failure = describe_end(run)
    if failure is not None:
        raise RunFailed(failure)


def readable(argument: str) -> str:
    """A word of the command line as UTF-8, in any locale: in the C locale Python leaves its bytes undecoded."""
    return os.fsencode(argument).decode("utf-8", "replace")


def follow(stream: AssistantStream, output: Output) -> Run:
    """Print one stream to its end and return the run; on Ctrl-C cancel the run on the server first."""
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


def ignore(_error: Exception) -> None:
    """Handle an error that ends the whole stream: it is printed elsewhere, once."""

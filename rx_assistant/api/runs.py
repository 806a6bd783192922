"""Requests on `/threads/{thread_id}/runs`.

Submitting tool outputs is the only request that must not simply be repeated when its reply is lost: the run may have
continued, and would refuse. So the request includes `confirm`: how to find out whether it arrived.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterable, Mapping
from dataclasses import replace

from rx_assistant.api import request as ask, threads
from rx_assistant.api.request import Confirm, Params, Request, segment


def create(thread_id: str, params: Params) -> Request:
    body, query = ask.split(params, ("include",))
    return ask.post(_runs(thread_id), ask.of_assistant(body), query)


def retrieve(run_id: str, thread_id: str) -> Request:
    return ask.get(path(run_id, thread_id))


def update(run_id: str, thread_id: str, params: Params) -> Request:
    return ask.post(path(run_id, thread_id), params)


def list(thread_id: str, params: Params) -> Request:
    return ask.get(_runs(thread_id), params)


def cancel(run_id: str, thread_id: str) -> Request:
    return ask.post(f"{path(run_id, thread_id)}/cancel", None)


def submit_tool_outputs(run_id: str, thread_id: str, params: Params) -> Request:
    outputs = _listed(params.get("tool_outputs"))
    request = ask.post(f"{path(run_id, thread_id)}/submit_tool_outputs", {**params, "tool_outputs": outputs})
    calls = [_member(output, "tool_call_id") for output in outputs]
    return replace(request, confirm=Confirm(retrieve(run_id, thread_id), lambda run: _asks_for(run, calls)))


def path(run_id: str, thread_id: str) -> str:
    """The path of one run."""
    return f"{_runs(thread_id)}/{segment('run_id', run_id)}"


def _runs(thread_id: str) -> str:
    return f"{threads.path(thread_id)}/runs"


def _asks_for(run: object, calls: builtins.list[object]) -> bool:
    """Whether the run still waits for these calls. It may already wait for other calls, one step later."""
    if _member(run, "status") != "requires_action":
        return False
    action = _member(_member(run, "required_action"), "submit_tool_outputs")
    asked = [_member(call, "id") for call in _listed(_member(action, "tool_calls"))]
    return not asked or any(call in calls for call in asked)


def _member(value: object, name: str) -> object:
    return value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)


def _listed(value: object) -> builtins.list[object]:
    return [*value] if isinstance(value, Iterable) else []

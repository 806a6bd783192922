"""Requests on `/threads/{thread_id}/runs/{run_id}/steps`."""

from __future__ import annotations

from rx_assistant.api import request as ask, runs
from rx_assistant.api.request import Params, Request, segment


def retrieve(step_id: str, thread_id: str, run_id: str, params: Params) -> Request:
    return ask.get(f"{_steps(run_id, thread_id)}/{segment('step_id', step_id)}", params)


def list(run_id: str, thread_id: str, params: Params) -> Request:
    return ask.get(_steps(run_id, thread_id), params)


def _steps(run_id: str, thread_id: str) -> str:
    return f"{runs.path(run_id, thread_id)}/steps"

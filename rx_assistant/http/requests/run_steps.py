"""Requests on `/threads/{thread_id}/runs/{run_id}/steps`."""

from __future__ import annotations

from rx_assistant.http import request as http
from rx_assistant.http.request import Params, Request, segment
from rx_assistant.http.requests import runs


def retrieve(step_id: str, thread_id: str, run_id: str, params: Params) -> Request:
    return http.get(f"{_steps(run_id, thread_id)}/{segment('step_id', step_id)}", params)


def list(run_id: str, thread_id: str, params: Params) -> Request:
    return http.get(_steps(run_id, thread_id), params)


def _steps(run_id: str, thread_id: str) -> str:
    return f"{runs.path(run_id, thread_id)}/steps"

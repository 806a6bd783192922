"""/threads/{thread_id}/runs/{run_id}/steps"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.exchange import CheckedRequest, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.runs.steps import shown_step


async def retrieve(request: CheckedRequest) -> JsonObject:
    """The step in its current state."""
    run_id = _run_id(request)
    step = request.state.find("step", request.ids["step_id"], run_id, noun="run step")
    return shown_step(step, bool(request.query.get("include")))


async def index(request: CheckedRequest) -> JsonObject:
    """A page of the run's steps."""
    run_id = _run_id(request)
    steps, has_more = request.state.store.page("step", run_id, objects.page_of(request.query))
    return objects.listing([shown_step(step, bool(request.query.get("include"))) for step in steps], has_more)


def _run_id(request: CheckedRequest) -> str:
    thread_id, run_id = request.ids["thread_id"], request.ids["run_id"]
    request.state.require("thread", thread_id)
    request.state.require("run", run_id, thread_id)
    request.state.flush(thread_id)
    return run_id


_ALL = "/threads/{thread_id}/runs/{run_id}/steps"

OPERATIONS = (
    Operation("GET", _ALL, index, query={**bodies.LIST, **bodies.INCLUDE}),
    Operation("GET", _ALL + "/{step_id}", retrieve, query=bodies.INCLUDE),
)

"""/threads/{thread_id}/runs/{run_id}/steps"""

from __future__ import annotations

from rx_assistant.local import bodies, objects
from rx_assistant.local.exchange import Call, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.runs.steps import shown_step


async def retrieve(call: Call) -> JsonObject:
    """The step, as far as it came."""
    run_id = _run_id(call)
    step = call.state.find("step", call.ids["step_id"], run_id, noun="run step")
    return shown_step(step, bool(call.query.get("include")))


async def index(call: Call) -> JsonObject:
    """A page of the run's steps."""
    run_id = _run_id(call)
    steps, has_more = call.state.store.page("step", run_id, objects.page_of(call.query))
    return objects.listing([shown_step(step, bool(call.query.get("include"))) for step in steps], has_more)


def _run_id(call: Call) -> str:
    thread_id, run_id = call.ids["thread_id"], call.ids["run_id"]
    call.state.find("thread", thread_id)
    call.state.find("run", run_id, thread_id)
    call.state.flush(thread_id)
    return run_id


_ALL = "/threads/{thread_id}/runs/{run_id}/steps"

OPERATIONS = (
    Operation("GET", _ALL, index, query={**bodies.LIST, **bodies.INCLUDE}),
    Operation("GET", _ALL + "/{step_id}", retrieve, query=bodies.INCLUDE),
)

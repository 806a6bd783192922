"""/threads/runs and /threads/{thread_id}/runs"""

from __future__ import annotations

from rx_assistant import lifecycle
from rx_assistant.local import bodies, objects
from rx_assistant.local.adoption import assistant_for, thread_for
from rx_assistant.local.conversation import add_messages, add_thread, check_files
from rx_assistant.local.errors import bad_request
from rx_assistant.local.exchange import CheckedRequest, Operation
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.replies import Encoded, EventStream, Reply
from rx_assistant.local.resources import new_resources
from rx_assistant.local.runs.execution import Execution


async def create(request: CheckedRequest) -> Reply:
    """A new run on a thread that has no active one."""
    async with request.state.starts:
        return await _create(request)


async def _create(request: CheckedRequest) -> Reply:
    state, body = request.state, request.body
    thread = thread_for(state, request.ids["thread_id"])
    assistant = assistant_for(state, body)
    active = state.active_run(thread["id"])
    if active is not None:
        raise bad_request(f"Thread {thread['id']} already has an active run {active}.")
    run = objects.run(assistant, thread, body, state.run_ttl)
    messages = body.get("additional_messages") or []
    if not (run["instructions"] or messages or state.store.has_any("message", thread["id"])):
        message = "Run creation requires a Thread with a user message or an assistant with instructions."
        raise bad_request(message, code="invalid_thread")
    check_files(state, messages)
    with state.preparing(run):
        if messages:
            await add_messages(state, thread, messages)
            state.find("thread", thread["id"])
        run["tool_resources"] = thread["tool_resources"]
        return _reply(request, state.start_run(run, _include_content(request)))


async def create_with_thread(request: CheckedRequest) -> Reply:
    """A new thread with a run on it."""
    state, body = request.state, request.body
    async with state.starts:
        assistant = assistant_for(state, body)
        resources = await new_resources(state, body.get("tool_resources"))
        thread = await add_thread(state, body.get("thread") or {})
        run = objects.run(assistant, thread, {**body, "tool_resources": resources}, state.run_ttl)
        return _reply(request, state.start_run(run, _include_content(request), thread))


async def retrieve(request: CheckedRequest) -> JsonObject:
    """The run in its current state."""
    thread_id = request.ids["thread_id"]
    request.state.require("thread", thread_id)
    return request.state.find("run", request.ids["run_id"], thread_id)


async def modify(request: CheckedRequest) -> JsonObject:
    """Change the metadata of a finished run."""
    run = await retrieve(request)
    if run["status"] not in lifecycle.RUN.terminal:
        raise bad_request(f"Cannot update run with status '{run['status']}'.")
    if "metadata" in request.body:
        run["metadata"] = request.body["metadata"] or {}
    request.state.store.put("run", run, run["thread_id"])
    return run


async def index(request: CheckedRequest) -> Encoded:
    """A page of the thread's runs."""
    thread_id = request.ids["thread_id"]
    request.state.require("thread", thread_id)
    return objects.stored_listing(*request.state.store.stored_page("run", thread_id, objects.page_of(request.query)))


async def cancel(request: CheckedRequest) -> JsonObject:
    """Cancel the run."""
    run = await retrieve(request)
    execution = request.state.execution(run["id"])
    if execution is None or run["status"] == "cancelling":
        raise bad_request(f"Cannot cancel run with status '{run['status']}'.")
    execution.cancel()
    return dict(execution.run)


async def submit_tool_outputs(request: CheckedRequest) -> Reply:
    """Continue the run with the outputs of all calls that it waits for."""
    async with request.state.starts:
        run = await retrieve(request)
        execution = request.state.execution(run["id"])
        if execution is None or run["status"] != "requires_action":
            raise bad_request(f'Runs in status "{run["status"]}" do not accept tool outputs.')
        execution.submit(_outputs(request.body["tool_outputs"], execution))
        return _reply(request, execution)


def _outputs(given: list[JsonObject], execution: Execution) -> dict[str, str]:
    outputs = {item["tool_call_id"]: item.get("output", "") for item in given}
    wanted = [tool_call["id"] for tool_call in execution.pending_calls()]
    if len(outputs) != len(given) or set(outputs) != set(wanted):
        message = f"Expected tool outputs for call_ids {wanted}, got {[item['tool_call_id'] for item in given]}"
        raise bad_request(message, "tool_outputs")
    return outputs


def _reply(request: CheckedRequest, execution: Execution) -> Reply:
    return EventStream(execution.frames) if request.body.get("stream") else dict(execution.run)


def _include_content(request: CheckedRequest) -> bool:
    return bool(request.query.get("include"))


_ALL = "/threads/{thread_id}/runs"
_ONE = _ALL + "/{run_id}"

OPERATIONS = (
    Operation("POST", "/threads/runs", create_with_thread, bodies.CREATE_THREAD_AND_RUN, polled=True),
    Operation("GET", _ALL, index, query=bodies.LIST),
    Operation("POST", _ALL, create, bodies.CREATE_RUN, bodies.INCLUDE, polled=True),
    Operation("GET", _ONE, retrieve, polled=True),
    Operation("POST", _ONE, modify, bodies.MODIFY_METADATA),
    Operation("POST", f"{_ONE}/cancel", cancel, polled=True),
    Operation("POST", f"{_ONE}/submit_tool_outputs", submit_tool_outputs, bodies.SUBMIT_TOOL_OUTPUTS, polled=True),
)

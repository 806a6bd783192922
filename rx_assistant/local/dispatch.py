"""From a request to a reply, for every operation: check the key, read the body, check its shape, run the handler."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, Response

from rx_assistant.local import json_text, v1
from rx_assistant.local.admission import check_content_type
from rx_assistant.local.errors import ApiError, bad_request, disk_full, is_full, server_error
from rx_assistant.local.exchange import CheckedRequest, Operation
from rx_assistant.local.ids import new_id
from rx_assistant.local.json_text import JsonObject
from rx_assistant.local.replies import Encoded, EventStream, FileContent, Reply
from rx_assistant.local.responses import EventStreamReply, json_reply, sign
from rx_assistant.local.schema import Items, Shape, Whole
from rx_assistant.local.state import RequestRecord, State
from rx_assistant.local.store import UnknownCursorError
from rx_assistant.local.uploads import read_upload

_log = logging.getLogger("rx_assistant.local")
_LONGEST_KEY = 255
_LONG_BODY = 64 * 2**10

Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(state: State, operation: Operation) -> Endpoint:
    """The ASGI side of one operation."""

    async def answer(request: Request) -> Response:
        started = time.perf_counter()
        request_id = new_id("req_")
        try:
            response = await _answer(state, operation, request)
            if request.method != "GET":
                await state.synced()
        except ApiError as error:
            response = error_reply(error)
        except UnknownCursorError as error:
            response = error_reply(_unknown_cursor(error))
        except ClientDisconnect:
            response = Response(status_code=499)
        except Exception as error:
            full = is_full(error)
            _log.log(
                logging.WARNING if full else logging.ERROR,
                "%s %s failed%s",
                request.method,
                request.url.path,
                ": the disk is full" if full else "",
                exc_info=None if full else error,
            )
            response = error_reply(disk_full() if full else server_error(request_id))
        sign(response, request_id, started)
        if operation.polled:
            response.headers["openai-poll-after-ms"] = str(state.settings.poll_after_ms)
        return response

    return answer


def error_reply(error: ApiError) -> Response:
    """The error in the form that the service uses."""
    return json_reply(error.body(), error.status, error.headers)


async def _answer(state: State, operation: Operation, request: Request) -> Response:
    if operation.upload:
        return await _answer_upload(state, operation, request)
    data = await _read(request, state.settings.max_body_bytes)
    _record(state, request, data)
    fault = state.faults.take(request)
    if fault is not None:
        return fault
    admit(state, request)
    if data and operation.body is not None:
        check_content_type(request.scope)
    query = checked_query(operation.query, request)
    checked = CheckedRequest(state, request.path_params, query, await checked_body(operation, data))
    return await _respond(operation, checked, request, lambda: _digest(checked.body))


async def _answer_upload(state: State, operation: Operation, request: Request) -> Response:
    _record(state, request, b"")
    fault = state.faults.take(request)
    if fault is not None:
        return fault
    admit(state, request)
    upload = await read_upload(request, state.files.directory, state.settings.max_file_bytes)
    try:
        await state.files.synced(upload.path)
        checked = CheckedRequest(state, request.path_params, {}, {}, upload)
        return await _respond(
            operation, checked, request, lambda: f"{upload.sha256} {upload.filename} {_digest(upload.fields)}"
        )
    finally:
        upload.discard()


def admit(state: State, request: Request) -> None:
    """Raise ApiError for a request without the key, for version 1 of the API, or while the server stops."""
    if state.draining:
        raise ApiError(503, "The server is shutting down.", type="server_error", headers={"connection": "close"})
    check_key(state.settings.api_key, request.headers)
    v1.refuse(request.headers)


def _digest(value: JsonObject) -> str:
    return hashlib.sha256(json_text.canonical(value)).hexdigest()


async def _respond(
    operation: Operation, checked: CheckedRequest, request: Request, fingerprint: Callable[[], str]
) -> Response:
    """Run the handler, or repeat the reply to the same Idempotency-Key."""
    key = request.headers.get("idempotency-key")
    if not key or request.method != "POST":
        return _response(checked.state, await operation.handler(checked))
    if len(key) > _LONGEST_KEY:
        message = f"Invalid 'Idempotency-Key': it is longer than {_LONGEST_KEY} characters."
        raise bad_request(message, "Idempotency-Key", "string_above_max_length")
    scope = f"{request.url.path} {key}"
    reply, repeated = await checked.state.replays.answer(scope, fingerprint(), lambda: operation.handler(checked))
    if isinstance(reply, EventStream) and not repeated and checked.state.data is not None:
        checked.state.data.renamed()  # the file of its frames is kept with the reply, so its name must be on disk
    response = _response(checked.state, reply)
    if repeated:
        response.headers["idempotent-replayed"] = "true"
    return response


def _response(state: State, reply: Reply) -> Response:
    if isinstance(reply, EventStream):
        return EventStreamReply(reply.frames, state.readers, state.settings.write_timeout)
    if isinstance(reply, FileContent):
        return FileResponse(reply.path, media_type="application/octet-stream", filename=reply.filename)
    if isinstance(reply, Encoded):
        return Response(reply.data, media_type="application/json")
    return json_reply(reply)


_NO_KEY = "You didn't provide an API key: give your client one, which it sends in the Authorization header."


def check_key(api_key: str | None, headers: Headers) -> None:
    """Raise 401 unless the request has the configured key. Azure's clients send it as `api-key`."""
    if api_key is None:
        return
    scheme, _, bearer = headers.get("authorization", "").partition(" ")
    given = bearer.strip() if scheme.lower() == "bearer" else headers.get("api-key", "")
    if hmac.compare_digest(given.encode(), api_key.encode()):
        return
    if given:
        message, code = f"Incorrect API key provided: {_masked(given)}.", "invalid_api_key"
    else:
        message, code = _NO_KEY, None
    raise ApiError(401, message, code=code, headers={"www-authenticate": 'Bearer realm="OpenAI API"'})


def _masked(key: str) -> str:
    return "*" * len(key) if len(key) < 12 else f"{key[:4]}{'*' * 8}{key[-4:]}"


async def _read(request: Request, limit: int) -> bytes:
    """The whole body. Raises 413 past the limit, and never holds more than the limit."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limit:
            raise ApiError(413, f"The request body is larger than {limit} bytes.", code="request_too_large")
        parts.append(part)
    return b"".join(parts)


def _record(state: State, request: Request, body: bytes) -> None:
    if state.settings.recorded_requests:
        url = request.url
        state.record(RequestRecord(request.method, url.path, url.query, dict(request.headers), body))


async def checked_body(operation: Operation, data: bytes) -> JsonObject:
    """The body as an object of the operation's shape. An empty body means `{}`. A long body is parsed in a thread."""
    if operation.body is None:
        return {}
    if len(data) > _LONG_BODY:
        return await asyncio.to_thread(_parsed, operation.body, data)
    return _parsed(operation.body, data)


def _parsed(shape: Shape, data: bytes) -> JsonObject:
    try:
        value = json_text.decode(data) if data.strip() else {}
    except ValueError as error:
        message = f"We could not parse the JSON body of your request: {error}."
        raise bad_request(message, code="invalid_json") from error
    try:
        shape.check(value, "")
    except ApiError as error:
        raise v1.explained(error) from None
    assert isinstance(value, dict)
    return value


def checked_query(shapes: Mapping[str, Shape], request: Request) -> dict[str, object]:
    """The query's known parameters, with numbers as numbers. Others are ignored, such as Azure's `api-version`."""
    found: dict[str, object] = {}
    for name, shape in shapes.items():
        plain = name.removesuffix("[]")
        texts = [value for key, value in request.query_params.multi_items() if key in (plain, f"{plain}[]")]
        if not texts:
            continue
        value: object = texts if isinstance(shape, Items) else texts[-1]
        if isinstance(shape, Whole):
            value = _number(texts[-1], plain)
        shape.check(value, plain)
        found[plain] = value
    return found


def _number(text: str, name: str) -> int:
    try:
        return int(text)
    except ValueError:
        message = f"Invalid type for {name!r}: expected an integer, but got a string instead."
        raise bad_request(message, name, "invalid_type") from None


def _unknown_cursor(error: UnknownCursorError) -> ApiError:
    message = f"Invalid '{error.name}': no object with id {error.id!r} is in this list."
    return bad_request(message, error.name, "invalid_value")

"""The ways to start the local server: `serve` in a thread, `run` in the foreground, `app` for another ASGI server,
`transport` without a port.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp
from typing_extensions import Unpack

from rx_assistant.errors import ConfigurationError
from rx_assistant.local.admission import allowed_hosts, allowed_origins, given_key
from rx_assistant.local.adoption import Given, add_assistants
from rx_assistant.local.application import build
from rx_assistant.local.code.interpreters import CodePolicy, chosen_code
from rx_assistant.local.embeddings import chosen as chosen_embeddings
from rx_assistant.local.engine import Engine
from rx_assistant.local.engines import ScriptedEngine, load_engine
from rx_assistant.local.faults import Faults
from rx_assistant.local.in_process import Transport
from rx_assistant.local.server import Listener, Server, base_url, listening_socket, refuse_open_host
from rx_assistant.local.state import Settings, State
from rx_assistant.local.upstreams import PROTOCOLS, UpstreamOptions, chosen

_log = logging.getLogger("rx_assistant.local")

Script = str | Path | Mapping[str, object]

_LAST_PORT = 65535
_LOG_LEVELS = ("critical", "error", "warning", "info", "debug", "trace")
_NUMBERS = ("run_ttl", "poll_after_ms", "ingestion_delay", "max_body_bytes", "max_file_bytes", "write_timeout")


def serve(
    host: str = "127.0.0.1",
    port: int = 0,
    engine: Engine | str | None = None,
    script: Script | None = None,
    *,
    api_key: str | None = None,
    allow_hosts: Iterable[str] = (),
    allow_origins: Iterable[str] = (),
    log_level: str = "error",
    run_ttl: float = 600.0,
    poll_after_ms: int = 100,
    ingestion_delay: float = 0.0,
    max_body_bytes: int = 8 * 2**20,
    max_file_bytes: int = 512 * 2**20,
    write_timeout: float = 60.0,
    adopt: bool = False,
    data: str | os.PathLike[str] | None = None,
    assistants: Mapping[str, Given] | None = None,
    embeddings: str | None = None,
    embeddings_model: str | None = None,
    embeddings_key_env: str | None = None,
    code: CodePolicy | None = None,
    **upstream: Unpack[UpstreamOptions],
) -> Server:
    """A server in its own thread, for a `with` or `async with` block. By default it uses a free port.

    Runs are answered by `engine` (an object, `builtin`, or `module:object`), by `script` (a scenario or its path, with
    or without `engine="scripted"`), or by a model server, which `upstream=`, `model=` and the other options of
    `rx_assistant.local.upstreams.UpstreamOptions` select. The default is the built-in assistant. With a model server,
    `engine` may be `chat` (Chat Completions, the default) or `responses`. In seconds: `run_ttl` limits a run,
    `ingestion_delay` is the wait before each file's ingestion, and `write_timeout` limits how long a reader may take
    nothing.

    An empty `api_key` means no key. Without a key, the `Host` of a request must be a loopback address, the address at
    which the request arrived, or one of `allow_hosts` (names without a port, such as `web` in a network of containers).
    Requests from pages of other origins are refused, except from `allow_origins` (such as `http://localhost:3000`),
    which get CORS replies.

    With `adopt`, an unknown assistant or thread is created empty when a run or message names it. `assistants` creates
    assistants with given ids: their fields, or the path of a JSON file.

    With `data`, a directory, all objects survive the server: a reply to a change is sent when the change is on disk,
    and the next server on the directory continues from there. Without it all objects are in memory, and are lost when
    the server stops.

    With `embeddings`, a search ranks by meaning as well as by words: the base URL of a server with OpenAI's
    `/embeddings`, which usually ends in `/v1`, or `local` for the model of the extra `embeddings-local`.
    `embeddings_model` names the server's model, and `embeddings_key_env` the environment variable with its key. While
    the model fails, searches rank by words.

    With `code="confined"`, the Python code of assistants with the tool `code_interpreter` runs in separate processes:
    without a network, without the server's files, and within limits. `code="unconfined"` gives it the rights of this
    server. By default no code runs.

    The server requests the upstream's list of models once, when it starts.

    ConfigurationError: a host that others can reach and no `api_key`; a name or origin that is malformed; an engine or
    script that cannot be loaded; an upstream that cannot be reached, refuses its key or does not have the model; no
    server on this machine that has the model; a data directory that another server uses, or that a newer version wrote;
    code that cannot be confined on this machine.
    """
    settings = Settings(
        api_key=given_key(api_key),
        allow_hosts=allowed_hosts(allow_hosts),
        allow_origins=allowed_origins(allow_origins),
        run_ttl=run_ttl,
        poll_after_ms=poll_after_ms,
        ingestion_delay=ingestion_delay,
        max_body_bytes=max_body_bytes,
        max_file_bytes=max_file_bytes,
        write_timeout=write_timeout,
        adopt=adopt,
        data=data,
        **_chosen(upstream, engine, (embeddings, embeddings_model, embeddings_key_env), code),
    )
    _check_address(host, port, log_level)
    return Server(_state(settings, engine, script, assistants), host, port, log_level)


def run(
    host: str = "127.0.0.1",
    port: int = 8000,
    engine: Engine | str | None = None,
    script: Script | None = None,
    *,
    api_key: str | None = None,
    allow_hosts: Iterable[str] = (),
    allow_origins: Iterable[str] = (),
    log_level: str = "info",
    run_ttl: float = 600.0,
    grace: float = 5.0,
    on_listening: Callable[[str], None] | None = None,
    adopt: bool = False,
    data: str | os.PathLike[str] | None = None,
    assistants: Mapping[str, Given] | None = None,
    embeddings: str | None = None,
    embeddings_model: str | None = None,
    embeddings_key_env: str | None = None,
    code: CodePolicy | None = None,
    **upstream: Unpack[UpstreamOptions],
) -> None:
    """Serve in the foreground until SIGINT, SIGTERM or SIGHUP.

    `on_listening` is called with the base URL, ending in `/v1`. Open streams get `grace` seconds to end; a second
    signal breaks them. If an engine still blocks the main thread 4 seconds after that, the process ends with exit code
    1. After the server has stopped, SIGTERM and SIGHUP have the effect that they had before the call: by default they
    end the process.

    If the program has not configured logging, the log goes to stderr; level `info` includes requests. `adopt`, `data`,
    `assistants`, `embeddings…`, `code` and the options of the upstream are those of `serve`. Raises the errors of
    `serve`, and OSError if the port cannot be used. Only for the main thread.
    """
    _check_address(host, port, log_level)
    logging.basicConfig(level=log_level.upper(), format="%(levelname)-8s %(message)s")
    settings = Settings(
        api_key=given_key(api_key),
        allow_hosts=allowed_hosts(allow_hosts),
        allow_origins=allowed_origins(allow_origins),
        run_ttl=run_ttl,
        recorded_requests=0,
        adopt=adopt,
        data=data,
        **_chosen(upstream, engine, (embeddings, embeddings_model, embeddings_key_env), code),
    )
    refuse_open_host(host, settings.api_key)
    state = _state(settings, engine, script, assistants)
    if settings.upstream is not None:
        settings.upstream.check()
    _serve(state, host, port, Listener(state, log_level, grace, access_log=True), on_listening)


def _serve(state: State, host: str, port: int, listener: Listener, on_listening: Callable[[str], None] | None) -> None:
    with listening_socket(host, port) as bound:
        url = base_url(host, bound.getsockname()[1])
        _log.info("the Assistants server listens on %s", url)
        if state.data is not None:
            _log.info("its data is in %s", state.data.path)
        if on_listening is not None:
            on_listening(url)
        try:
            listener.foreground(bound)
        except KeyboardInterrupt:
            pass


def app(
    engine: Engine | str | None = None,
    script: Script | None = None,
    *,
    api_key: str | None = None,
    allow_hosts: Iterable[str] = (),
    allow_origins: Iterable[str] = (),
    run_ttl: float = 600.0,
    adopt: bool = False,
    data: str | os.PathLike[str] | None = None,
    assistants: Mapping[str, Given] | None = None,
    embeddings: str | None = None,
    embeddings_model: str | None = None,
    embeddings_key_env: str | None = None,
    code: CodePolicy | None = None,
    **upstream: Unpack[UpstreamOptions],
) -> ASGIApp:
    """The server as an ASGI application, for one process and one event loop. Its lifespan ends the runs.

    Set `api_key` if other machines can reach it; `allow_hosts`, `allow_origins`, `adopt`, `data`, `assistants`,
    `embeddings…`, `code` and the options of the upstream are those of `serve`. The lifespan checks the upstream.
    In-process transports, such as `httpx.ASGITransport`, may use any host name.
    """
    settings = Settings(
        api_key=given_key(api_key),
        allow_hosts=allowed_hosts(allow_hosts),
        allow_origins=allowed_origins(allow_origins),
        run_ttl=run_ttl,
        recorded_requests=0,
        adopt=adopt,
        data=data,
        **_chosen(upstream, engine, (embeddings, embeddings_model, embeddings_key_env), code),
    )
    return build(_state(settings, engine, script, assistants))


def transport(
    engine: Engine | str | None = None,
    script: Script | None = None,
    *,
    run_ttl: float = 600.0,
    adopt: bool = False,
    data: str | os.PathLike[str] | None = None,
    assistants: Mapping[str, Given] | None = None,
    embeddings: str | None = None,
    embeddings_model: str | None = None,
    embeddings_key_env: str | None = None,
    code: CodePolicy | None = None,
    **upstream: Unpack[UpstreamOptions],
) -> Transport:
    """A transport to a server in this process, for clients of httpx and httpx2, synchronous and asynchronous.

        client = OpenAI(api_key="any", http_client=httpx2.Client(transport=rx_assistant.local.transport()))

    Replies stream. There is no port; the server runs in one thread, from the first request until the client or the
    transport is closed. The host in the URL is ignored; the path begins with `/v1`. The arguments are those of `serve`;
    the upstream is not checked.
    """
    settings = Settings(
        run_ttl=run_ttl,
        recorded_requests=0,
        adopt=adopt,
        data=data,
        **_chosen(upstream, engine, (embeddings, embeddings_model, embeddings_key_env), code),
    )
    return Transport(_state(settings, engine, script, assistants), build)


def _chosen(
    upstream: UpstreamOptions,
    engine: Engine | str | None,
    embeddings: tuple[str | None, str | None, str | None],
    code: CodePolicy | None,
) -> dict[str, Any]:
    """The settings that several options choose together."""
    return {
        "upstream": chosen(upstream, engine),
        "embeddings": chosen_embeddings(*embeddings),
        "code": chosen_code(code),
    }


def _state(
    settings: Settings, engine: Engine | str | None, script: Script | None, assistants: Mapping[str, Given] | None
) -> State:
    _check_numbers(settings)
    state = _answering(settings, engine, script)
    add_assistants(state, {} if assistants is None else assistants)
    return state


def _check_address(host: object, port: object, log_level: object) -> None:
    if not isinstance(host, str):
        raise ConfigurationError(f"host must be a name or an address, got {host!r:.80}")
    if not (isinstance(port, int) and 0 <= port <= _LAST_PORT):
        raise ConfigurationError(f"port must be a whole number from 0 to {_LAST_PORT}, got {port!r:.80}")
    if log_level not in _LOG_LEVELS:
        raise ConfigurationError(f"log_level must be one of {', '.join(_LOG_LEVELS)}, got {log_level!r:.80}")


def _check_numbers(settings: Settings) -> None:
    for name in _NUMBERS:
        value = getattr(settings, name)
        if not (isinstance(value, int | float) and value >= 0):
            raise ConfigurationError(f"{name} must be a number, 0 or more, got {value!r:.80}")


def _answering(settings: Settings, engine: Engine | str | None, script: Script | None) -> State:
    if script is None and engine == "scripted":
        raise ConfigurationError("script must be given for engine='scripted', got None")
    if settings.upstream is not None:
        if engine not in (None, *PROTOCOLS) or script is not None:
            raise ConfigurationError("only one of upstream, engine and script may be given, got several")
        asking = settings.upstream.engine()
        state = State(settings, asking, Faults([]))
        state.at_close.append(asking.aclose)
        return state
    if script is not None:
        if engine not in (None, "scripted"):
            raise ConfigurationError("only one of engine and script may be given, got both")
        if not isinstance(script, str | os.PathLike | Mapping):
            raise ConfigurationError(f"script must be a scenario or the path of one, got {script!r:.80}")
        scripted = ScriptedEngine(script)
        return State(settings, scripted, Faults(scripted.faults))
    answering = load_engine(engine or "builtin") if isinstance(engine, str | None) else engine
    if not callable(getattr(answering, "run", None)):
        raise ConfigurationError(
            f"engine must be 'builtin', 'module:object' or an object with run(), got {engine!r:.80}"
        )
    return State(settings, answering, Faults([]))

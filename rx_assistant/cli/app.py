"""The commands and their options. What a command does stands in a module of its own."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

import rx_assistant
from rx_assistant.cli.failure import RunFailed
from rx_assistant.errors import ConfigurationError, RxAssistantError

if TYPE_CHECKING:
    from rx_assistant.cli.ask import Where
    from rx_assistant.local.code.interpreters import CodePolicy
    from rx_assistant.local.upstreams import UpstreamOptions

F = TypeVar("F", bound=Callable[..., Any])

OK, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def run(arguments: list[str] | None = None) -> int:
    """Run a command line and give its exit code: 0 done, 1 failed or broke, 2 usage, 130 interrupted."""
    debug = "--debug" in (sys.argv[1:] if arguments is None else arguments)
    _open_what_is_closed()
    _let_any_text_through()
    try:
        code = cli.main(args=arguments, prog_name="rx-assistant", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        return INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except BrokenPipeError:  # the reader of the pipe, such as `head`, has closed it
        _forget_stdout()
        return FAILED
    except ConfigurationError as error:
        return _complain(error, USAGE, debug)
    except (RxAssistantError, RunFailed, OSError) as error:
        return _complain(error, FAILED, debug)
    return code if isinstance(code, int) else OK


def _complain(error: Exception, code: int, debug: bool) -> int:
    import traceback

    from rx_assistant.gui import printable

    message = " ".join(str(error).split()) or type(error).__name__
    text = "".join(traceback.format_exception(error)).rstrip() if debug else f"rx-assistant: {message}"
    lines = [text] if debug else [text, *getattr(error, "__notes__", ())]
    for line in lines:
        click.echo(printable(line) if sys.stderr.isatty() else line, err=True)
    return code


def _open_what_is_closed() -> None:
    """Read nothing and write nowhere in place of a standard stream that was closed before the start (`>&-`)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - lives as long as the process


def _let_any_text_through() -> None:
    """Show what a stream's encoding has no character for as `?`, instead of losing the text; log lines in a terminal
    without control characters."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if sys.stderr.isatty():
        import logging

        from rx_assistant.cli.output import PrintableFormatter

        if logging.lastResort is not None:
            logging.lastResort.setFormatter(PrintableFormatter())


def _forget_stdout() -> None:
    """Let what is still buffered go nowhere, so that the interpreter's last flush says nothing."""
    with suppress(OSError, ValueError):  # no descriptor
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _named(context: click.Context, _option: click.Parameter, base_url: str | None) -> str:
    """Refuse to look for what is there already on no server."""
    if not base_url:
        raise click.UsageError(
            "no server to ask: give --base-url or set OPENAI_BASE_URL; `rx-assistant serve` is one on this machine",
            context,
        )
    return base_url


def server_options(command: F) -> F:
    """Where the server is; without it a local one is started."""
    command = click.option("--api-key", envvar="OPENAI_API_KEY", help="Key for the server (OPENAI_API_KEY).")(command)
    return click.option(
        "--base-url",
        envvar="OPENAI_BASE_URL",
        help="Server to talk to (OPENAI_BASE_URL); without it a local one is started for the occasion.",
    )(command)


def remote_options(command: F) -> F:
    """Where the server is, for commands about what is there already."""
    command = click.option("--api-key", envvar="OPENAI_API_KEY", help="Key for the server (OPENAI_API_KEY).")(command)
    return click.option(
        "--base-url", envvar="OPENAI_BASE_URL", callback=_named, help="Server to talk to (OPENAI_BASE_URL)."
    )(command)


def _show_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    """Print the version. It is looked up here only, because that takes longer than all of `--help`."""
    if wanted and not context.resilient_parsing:
        click.echo(f"rx-assistant {rx_assistant.__version__}")
        context.exit()


def _mapped(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """`APPLICATION=UPSTREAM` as a mapping."""
    return _pairs(given, "the application's name and the upstream's, such as gpt-4o=qwen3:8b")


def _assistants(_context: click.Context, _option: click.Parameter, given: tuple[str, ...]) -> dict[str, Path]:
    """`ID=FILE` as a mapping."""
    return {id: Path(file) for id, file in _pairs(given, "an id and a file, such as asst_1=support.json").items()}


def _pairs(given: tuple[str, ...], what: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        name, _, value = text.partition("=")
        if not (name and value):
            raise click.BadParameter(f"must be {what}, got {text!r}")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice")
        found[name] = value
    return found


def upstream_options(command: F) -> F:
    """Which model server answers."""
    for option in reversed(_UPSTREAM_OPTIONS):
        command = option(command)
    return command


_UPSTREAM_OPTIONS = (
    click.option("--upstream", metavar="URL", help="Model server that answers; its address usually ends in /v1."),
    click.option(
        "--upstream-key-env", metavar="VAR", help="Environment variable that holds the key of the model server."
    ),
    click.option(
        "--map",
        "model_map",
        multiple=True,
        metavar="NAME=MODEL",
        callback=_mapped,
        help="Answer the application's NAME with the server's MODEL; may be repeated.",
    ),
    click.option(
        "--thinking",
        type=click.Choice(["reasoning", "text"]),
        default="reasoning",
        show_default=True,
        help="Keep a model's reasoning apart, or in the text.",
    ),
    click.option(
        "--file-search",
        type=click.Choice(["context", "tool"]),
        default="context",
        show_default=True,
        help="Give passages to the model, or let it call the search.",
    ),
    click.option(
        "--upstream-timeout",
        type=click.FloatRange(min=0, min_open=True),
        default=600.0,
        show_default=True,
        help="Seconds that the model server may be silent.",
    ),
)


def timeout_option(command: F) -> F:
    """How long to wait."""
    return click.option("--timeout", type=click.FloatRange(min=0), help="Seconds to wait at most; by default, any.")(
        command
    )


def debug_option(command: F) -> F:
    """Accept --debug after the command, too."""
    return click.option("--debug", is_flag=True, expose_value=False, help="Show tracebacks.")(command)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_show_version,
    help="Show the version and exit.",
)
@debug_option
def cli() -> None:
    """Talk to an Assistants server, replay its streams, or be one.

    A first try, which needs no server: rx-assistant ask "What time is it?"

    With a model of this machine: rx-assistant models, then rx-assistant serve --model NAME
    """


def conversation_options(command: F) -> F:
    """Whom to ask, for commands that ask something."""
    for option in reversed(_CONVERSATION_OPTIONS):
        command = option(command)
    return server_options(upstream_options(command))


_CONVERSATION_OPTIONS = (
    click.option("--assistant", "assistant_id", metavar="ID", help="Assistant that answers; by default a new one."),
    click.option("--thread", "thread_id", metavar="ID", help="Thread to go on with; by default a new one."),
    click.option(
        "--model", help="Model that answers; without --base-url and --upstream it is looked for on this machine."
    ),
    click.option("--instructions", help="Instructions for a new assistant."),
    click.option(
        "--tools", metavar="MODULE:OBJECT", help="A ToolSet or a list of functions that the assistant may call."
    ),
)


def _where(options: dict[str, Any]) -> Where:
    """The options of `conversation_options` as one value."""
    from rx_assistant.cli.ask import Where

    names = ("base_url", "api_key", "assistant_id", "thread_id", "instructions", "tools")
    own = {name: options.pop(name) for name in names}
    if options["upstream"] is not None:
        _refuse_other_server(own["base_url"])
        own["base_url"] = None
    if not own["base_url"]:
        _refuse_what_needs_a_server(own["assistant_id"], own["thread_id"])
    return Where(**own, upstream=cast("UpstreamOptions", options))


@cli.command(short_help="Ask a question, and print the answer as it is written.")
@click.argument("text")
@conversation_options
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), help="Keep the stream in this file.")
@debug_option
def ask(text: str, record: Path | None, **options: Any) -> None:
    """Ask TEXT, or what stdin holds if TEXT is -, and print the answer as it is written."""
    from rx_assistant.cli.ask import ask as ask_server

    ask_server(_question(text), where=_where(options), record=record)


@cli.command()
@conversation_options
@click.option(
    "--file",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File that goes with the first question; may be repeated.",
)
@debug_option
def chat(files: tuple[Path, ...], **options: Any) -> None:
    """Talk with an assistant, question after question.

    Enter asks, also during an answer; Ctrl-J begins a new line. Esc or Ctrl-C stops the answer. Ctrl-D leaves. /help
    lists the commands. Without a terminal each line of the standard input is a question.
    """
    from rx_assistant.cli.chat import chat as talk

    talk(_where(options), files=files)


def _question(text: str) -> str:
    """The question that TEXT is, or that stdin holds."""
    question = sys.stdin.buffer.read().decode("utf-8", "replace").strip() if text == "-" else text
    if not question.strip():
        raise click.UsageError(f"TEXT must be a question, got {'an empty stdin' if text == '-' else repr(text)}")
    return question


def _refuse_what_needs_a_server(assistant: str | None, thread: str | None) -> None:
    """A local server starts without assistants and threads, and needs no key."""
    if assistant or thread:
        raise click.UsageError("--assistant and --thread need the server that has them: give --base-url")
    source = click.get_current_context().get_parameter_source("api_key")
    if source is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError(
            "--api-key needs the server that it is for: give --base-url; for a model server use --upstream-key-env"
        )


def _refuse_other_server(base_url: str | None) -> None:
    """A server of the environment gives way to --upstream; one of the command line contradicts it."""
    source = click.get_current_context().get_parameter_source("base_url")
    if base_url and source is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("give --base-url (an Assistants server) or --upstream (a model server), not both")


@cli.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One event a line, as JSON.")
@click.option("--events-per-second", type=click.FloatRange(min=0, min_open=True), help="Play at this pace.")
@debug_option
def replay(file: Path, as_json: bool, events_per_second: float | None) -> None:
    """Play back the stream that FILE holds, or stdin if FILE is -."""
    from rx_assistant.cli.replay import replay as play

    play(file, as_json=as_json, events_per_second=events_per_second)


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0: any free one.")
@click.option(
    "--engine", help="What answers: builtin, scripted, a plug-in as module:object, or chat or responses of an upstream."
)
@click.option("--script", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Scenario to play.")
@click.option("--model", metavar="NAME", help="Model that answers every run; without --upstream it is looked for.")
@upstream_options
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Keep everything in this directory, for the next start; else it is in memory and gone at the end.",
)
@click.option(
    "--embeddings",
    metavar="URL|local",
    help="Search by meaning, too: a server with /embeddings, or the model of the extra embeddings-local.",
)
@click.option("--embeddings-model", metavar="NAME", help="Model of the embeddings server.")
@click.option(
    "--embeddings-key-env", metavar="VAR", help="Environment variable that holds the key of the embeddings server."
)
@click.option(
    "--code",
    is_flag=False,
    flag_value="confined",
    type=click.Choice(["confined", "unconfined"]),
    help="Run the Python code of assistants, without network and within limits; unconfined: with the server's rights.",
)
@click.option("--adopt", is_flag=True, help="Create assistants and threads that runs and messages name, when unknown.")
@click.option(
    "--assistant",
    "assistants",
    multiple=True,
    metavar="ID=FILE",
    callback=_assistants,
    help="Create an assistant under this id from a JSON file; may be repeated.",
)
@click.option("--api-key", help="Refuse requests without this key; needed for any host but this machine.")
@click.option(
    "--allow-host",
    "allow_hosts",
    multiple=True,
    metavar="NAME",
    help="Answer to this host name, too, such as that of a container; may be repeated.",
)
@click.option(
    "--allow-origin",
    "allow_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let pages of this origin, such as http://localhost:3000, use the server; may be repeated.",
)
@click.option(
    "--log-level",
    default="info",
    show_default=True,
    type=click.Choice(["critical", "error", "warning", "info", "debug"]),
    help="What is logged on stderr; info includes requests.",
)
@debug_option
def serve(
    host: str,
    port: int,
    engine: str | None,
    script: Path | None,
    api_key: str | None,
    allow_hosts: tuple[str, ...],
    allow_origins: tuple[str, ...],
    log_level: str,
    adopt: bool,
    data: Path | None,
    assistants: dict[str, Path],
    embeddings: str | None,
    embeddings_model: str | None,
    embeddings_key_env: str | None,
    code: CodePolicy | None,
    **upstream: Any,
) -> None:
    """Be an Assistants server on this machine, until Ctrl-C."""
    from rx_assistant import local

    if sys.stderr.isatty():
        import logging

        from rx_assistant.cli.output import PrintableFormatter

        handler = logging.StreamHandler()
        handler.setFormatter(PrintableFormatter("%(levelname)-8s %(message)s"))
        logging.basicConfig(level=log_level.upper(), handlers=[handler])
    local.run(
        host=host,
        port=port,
        engine=engine,
        script=script,
        api_key=api_key,
        allow_hosts=allow_hosts,
        allow_origins=allow_origins,
        log_level=log_level,
        adopt=adopt,
        data=data,
        assistants=assistants,
        embeddings=embeddings,
        embeddings_model=embeddings_model,
        embeddings_key_env=embeddings_key_env,
        code=code,
        **upstream,
    )


@cli.command(short_help="Copy a data directory, also one in use.")
@click.argument("data", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("target", metavar="TARGET", type=click.Path(path_type=Path))
@debug_option
def backup(data: Path, target: Path) -> None:
    """Copy the data directory DIR of a server, which may be running, to the new directory TARGET."""
    from rx_assistant.local.directory import back_up

    back_up(data, target)


def data_option(command: F) -> F:
    """The data directory of a local server."""
    return click.option(
        "--data",
        required=True,
        metavar="DIR",
        type=click.Path(file_okay=False, path_type=Path),
        help="Data directory of `rx-assistant serve --data DIR`.",
    )(command)


@cli.command("import", short_help="Add the objects in each FILE to a data directory.")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@data_option
@debug_option
def import_(files: tuple[Path, ...], data: Path) -> None:
    """Add the assistants, threads, messages, runs, files and vector stores in each FILE to the data directory DIR.

    A FILE is JSON or JSON Lines: objects in the API's own shapes, pages of its lists, or an export. No server may use
    DIR meanwhile. Exit code 1: something was skipped.
    """
    from rx_assistant.cli.moving import move_in

    move_in(files, data)


@cli.command(short_help="Write all objects of a data directory as JSON Lines.")
@click.argument("out", required=False, metavar="[OUT]", type=click.Path(dir_okay=False, path_type=Path))
@data_option
@debug_option
def export(out: Path | None, data: Path) -> None:
    """Write everything in the data directory DIR to OUT as JSON Lines, also while a server uses it.

    Without OUT it goes to stdout, without the bytes of files.
    """
    from rx_assistant.cli.moving import move_out

    move_out(out, data)


@cli.command()
@click.option("-v", "--verbose", is_flag=True, help="Show addresses, and the ports where no model server answers.")
@debug_option
def models(verbose: bool) -> None:
    """List the model servers on this machine: server, model, context."""
    from rx_assistant.cli.models import models as list_models

    list_models(verbose=verbose)


@cli.command()
@click.argument("run_id")
@click.option("--thread", "thread_id", required=True, help="The run's thread.")
@remote_options
@click.option(
    "--interval", type=click.IntRange(min=0), help="Milliseconds between two requests; else as the server asks."
)
@timeout_option
@debug_option
def watch(
    run_id: str,
    thread_id: str,
    base_url: str | None,
    api_key: str | None,
    interval: int | None,
    timeout: float | None,
) -> None:
    """Follow the run RUN_ID until it has ended or requires action."""
    from rx_assistant.cli.watch import watch as follow

    follow(run_id, thread_id=thread_id, base_url=base_url, api_key=api_key, interval=interval, timeout=timeout)


@cli.command(short_help="Upload each FILE into a vector store.")
@click.argument(
    "files", nargs=-1, required=True, metavar="FILE...", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--vector-store", "vector_store_id", required=True, help="The vector store that takes them in.")
@remote_options
@click.option("--max-concurrency", default=5, show_default=True, type=click.IntRange(min=1), help="Uploads at once.")
@timeout_option
@debug_option
def upload(
    files: tuple[Path, ...],
    vector_store_id: str,
    base_url: str | None,
    api_key: str | None,
    max_concurrency: int,
    timeout: float | None,
) -> None:
    """Upload each FILE, and wait until the vector store has taken them in."""
    from rx_assistant.cli.upload import upload as send

    send(
        files,
        vector_store_id=vector_store_id,
        base_url=base_url,
        api_key=api_key,
        max_concurrency=max_concurrency,
        timeout=timeout,
    )

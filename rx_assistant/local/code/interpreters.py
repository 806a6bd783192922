"""Runs the code of assistants in separate processes, one for each run: variables and files live as long as the run.

A process starts with the run's first code. At most `Limits.at_once` pieces run at the same time; the others wait. At
most `Limits.kept` processes wait for more code; past that, the one that has waited longest ends, and its run continues
without its variables and files. The run always gets the result of the code, even a failure, so no code makes a run
fail.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path, PurePath
from typing import IO, Any, Final, Literal, TypeAlias, get_args

from rx_assistant.errors import ConfigurationError
from rx_assistant.local.code import confinement
from rx_assistant.local.processes import KilledError, SeparateProcess

CodePolicy: TypeAlias = Literal["confined", "unconfined"]
"""Whether code is confined or has the rights of the server."""

_log = logging.getLogger("rx_assistant.local")

_STARTING: Final = 30.0
_GRACE: Final = 15.0  # seconds after the time limit: then the supervisor itself is stuck
_LOST: Final = "The variables and files of the earlier code are gone."
_NEEDED: Final = ("network", "memory", "processes")
_LONGEST_NAME: Final = 200  # bytes
_IMAGES: Final = (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a")
_THREADS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_ENVIRONMENT: Final = {
    **dict.fromkeys(_THREADS, "1"),
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "MPLBACKEND": "Agg",
    "MPLCONFIGDIR": "/tmp",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of one run's code: seconds for each piece, bytes, numbers of processes and files."""

    cpu: int = 60
    wall: int = 120
    memory: int = 2**30
    disk: int = 2**28
    processes: int = 64
    logs: int = 2**16
    """The output of a piece that is kept."""
    flood: int = 2**24
    """The output that ends a piece."""
    files: int = 20
    returned: int = 2**26
    """The bytes of all files that a piece returns."""
    given: int = 2**27
    """The bytes of the files that the code may read."""
    at_once: int = 4
    kept: int = 16


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A file of the conversation: its id, its name, and where its bytes are."""

    id: str
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Executed:
    """What a piece of code printed, and the files that it wrote: name and content."""

    logs: str
    files: tuple[tuple[str, bytes], ...] = ()


class Interpreters:
    """The processes of one server.

    `hidden` are directories that confined code must not see. ConfigurationError if code cannot be confined here.
    """

    def __init__(self, policy: CodePolicy, hidden: Iterable[str | Path] = (), limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._options = {
            **asdict(self._limits),
            "confined": policy == "confined",
            "hidden": [os.path.realpath(path) for path in hidden],
        }
        self._sessions: dict[str, _Session] = {}
        self._lost: set[str] = set()
        self._closed = False
        self._announce(self._limits_that_hold())
        self._threads = ThreadPoolExecutor(self._limits.at_once, thread_name_prefix="rx_assistant.local code")

    async def run(self, run_id: str, code: str, files: Sequence[GivenFile]) -> Executed:
        """Run a piece of code with the variables of the run's earlier pieces. The first piece gets the files."""
        session = self._session(run_id)
        async with session.turn:
            try:
                loop = asyncio.get_running_loop()
                done = await loop.run_in_executor(self._threads, session.run, code, files)
            except KilledError:
                raise asyncio.CancelledError from None
            except (OSError, ValueError) as error:
                _log.warning("run %s: the process of its code has failed: %r", run_id, error)
                self.end(run_id)
                return Executed(f"The code was ended: its process has failed. {_LOST}")
            except BaseException:
                self.end(run_id)
                raise
        if run_id in self._lost:
            self._lost.discard(run_id)
            done = replace(done, logs=f"{_LOST}\n{done.logs}")
        return done

    def end(self, run_id: str) -> None:
        """The run has ended: end its process."""
        self._lost.discard(run_id)
        session = self._sessions.pop(run_id, None)
        if session is not None:
            session.end()
            with suppress(RuntimeError):  # closed
                self._threads.submit(session.reap)

    def close(self) -> None:
        """End all processes. Later code is cancelled."""
        self._closed = True
        for run_id in list(self._sessions):
            self.end(run_id)
        self._threads.shutdown(wait=False)

    def _session(self, run_id: str) -> _Session:
        if self._closed:
            raise asyncio.CancelledError
        session = self._sessions.pop(run_id, None)
        if session is None:
            waiting = [id for id, other in self._sessions.items() if not other.turn.locked()]
            if len(self._sessions) >= self._limits.kept and waiting:
                self.end(waiting[0])
                self._lost.add(waiting[0])
            session = _Session(self._options, self._limits)
        self._sessions[run_id] = session  # as the most recently used one
        return session

    def _limits_that_hold(self) -> list[str]:
        """Check the limits that a process reports. ConfigurationError if one is missing."""
        confined = bool(self._options["confined"])
        reason = confinement.impossible(confined)
        told = {} if reason else self._first_reply()
        held = [str(name) for name in told.get("holds", ())]
        missing = [name for name in _NEEDED if name not in held]
        reason = reason or str(told.get("refused") or told.get("ended") or "")
        if not reason and confined and missing:
            reason = f"these limits do not hold: {', '.join(missing)}"
        if reason and confined:
            raise ConfigurationError(
                f"code cannot be confined on this machine: {reason}. docs/local.md has what it needs; without it only"
                " --code=unconfined (code='unconfined') is possible, which gives code the rights of this server"
            )
        if reason:
            raise ConfigurationError(f"code cannot run on this machine: {reason}")
        return held

    def _first_reply(self) -> dict[str, Any]:
        session = _Session(self._options, self._limits)
        try:
            return session.start()
        except (OSError, ValueError) as error:
            return {"refused": f"its process has failed ({error})"}
        finally:
            session.end()
            session.reap()

    def _announce(self, held: Sequence[str]) -> None:
        limits = self._limits
        told = f"{limits.cpu} s of processor time, {limits.wall} s, {limits.flood // 2**20} MiB of output"
        if "memory" in held:
            told += f", {limits.memory // 2**20} MiB of memory"
        if self._options["confined"]:
            told += f", {limits.processes} processes, {limits.disk // 2**20} MiB of files"
            _log.info("code runs confined: no network, a file system of its own; each piece has at most %s", told)
        else:
            _log.warning("code runs unconfined, with the rights of this server; each piece has at most %s", told)


def chosen_code(policy: CodePolicy | None) -> CodePolicy | None:
    """The policy that a program gave. ConfigurationError if it is unknown."""
    if policy not in (None, *get_args(CodePolicy)):
        raise ConfigurationError(f"code must be 'confined', 'unconfined' or None, got {policy!r}")
    return policy


class _Session:
    """The process of one run. One piece runs at a time; `turn` is held meanwhile."""

    def __init__(self, options: Mapping[str, Any], limits: Limits) -> None:
        self.turn = asyncio.Lock()
        self._limits = limits
        self._gently = not options["confined"]
        environment = {**_ENVIRONMENT, "PATH": os.environ.get("PATH", os.defpath)}
        self._process = SeparateProcess("rx_assistant.local.code.supervisor", options, environment)
        self._pipes: tuple[IO[bytes], IO[bytes]] | None = None

    def start(self) -> dict[str, Any]:
        """Start the process. Returns its first reply."""
        process = self._process.start()
        assert process.stdin is not None
        assert process.stdout is not None
        self._pipes = process.stdin, process.stdout
        with self._process.within(_STARTING):
            return _reply(process.stdout)[0]

    def run(self, code: str, files: Sequence[GivenFile]) -> Executed:
        """Run a piece, which takes at most the time limit. OSError or ValueError if the process has failed."""
        contents: list[tuple[list[str | int], bytes]] = []
        notes: list[str] = []
        if self._pipes is None:
            self.start()
            contents, notes = _contents(files, self._limits.given)
        assert self._pipes is not None
        requests, replies = self._pipes
        with self._process.within(self._limits.wall + _GRACE):
            head = {"code": code, "files": [told for told, _ in contents]}
            requests.write(json.dumps(head).encode() + b"\n" + b"".join(content for _, content in contents))
            requests.flush()
            told, found = _reply(replies)
        return Executed("\n".join([*notes, *_logs(told)]), tuple(found))

    def end(self) -> None:
        """End the process and everything in it. The supervisor of unconfined code has to do that itself."""
        self._process.kill(gently=self._gently)

    def reap(self) -> None:
        """Wait until the process has ended."""
        self._process.reap()


def _reply(replies: IO[bytes]) -> tuple[dict[str, Any], list[tuple[str, bytes]]]:
    """A reply and its files. ValueError if it is incomplete."""
    told = json.loads(replies.readline() or b"incomplete")
    return told, [(name, replies.read(size)) for name, size in told["files"]]


def named(files: Sequence[GivenFile]) -> list[tuple[str, GivenFile]]:
    """Each file with its name for the code: its own name, or its id if that name is unsuitable or taken."""
    found: list[tuple[str, GivenFile]] = []
    taken = {given.id for given in files}
    for given in files:
        name = PurePath(given.name).name
        fits = name and name[0] != "." and "\0" not in name and len(os.fsencode(name)) <= _LONGEST_NAME
        if not fits or name in taken:
            name = given.id
        taken.add(name)
        found.append((name, given))
    return found


def is_image(content: bytes) -> bool:
    """Whether the file is an image that clients can show."""
    return content.startswith(_IMAGES) or (content[:4] == b"RIFF" and content[8:12] == b"WEBP")


def _contents(files: Sequence[GivenFile], room: int) -> tuple[list[tuple[list[str | int], bytes]], list[str]]:
    """Name, size, id and content of the files that fit, and a note about each of the others."""
    found: list[tuple[list[str | int], bytes]] = []
    notes: list[str] = []
    for name, given in named(files):
        try:
            size = given.path.stat().st_size
            content = given.path.read_bytes() if size <= room else None
        except OSError:
            notes.append(f"The file {given.name} cannot be read on the server.")
            continue
        if content is None:
            notes.append(f"The file {given.name} is left out: it is too large.")
            continue
        room -= len(content)
        found.append(([name, len(content), given.id], content))
    return found, notes


def _logs(told: Mapping[str, Any]) -> Iterator[str]:
    """The output, then the notes about the code."""
    output = str(told["output"])
    if output:
        yield output.removesuffix("\n")
    if told["cut"] > 0:
        yield f"({told['cut']} more bytes of output are left out.)"
    if told["ended"]:
        yield f"The code was ended: {told['ended']}. Its variables are gone."
    if told["left"]:
        yield f"Processes that the code had left running were ended: {told['left']}."
    for name in told["left_out"]:
        yield f"The file {name} is not returned: there are too many files, or they are too large."

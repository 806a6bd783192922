"""The supervisor of one run's code.

    python -m rx_assistant.local.code.supervisor '{"confined": true, "cpu": 60, …}'

The server writes requests to stdin and reads replies from stdout: a line of JSON each, then the bytes of the files that
it lists. The first reply says which limits hold. Each request has a piece of code for the interpreter (`pieces.py`), a
child process that keeps its variables until it ends. The supervisor reads the output and watches time and memory.
Afterwards it stops the interpreter until the next request, ends every other process that the code has left, and
collects the files. The supervisor only reads bytes from the code.

    server ──requests──► supervisor ──code──► interpreter ──► processes that the code starts
           ◄──replies───            ◄─output─
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, NoReturn

from rx_assistant.local.code import confinement, pieces
from rx_assistant.local.code.collecting import Collected
from rx_assistant.local.processes import limit

_TICK: Final = 0.05  # seconds between two looks at time and memory
_PASSES: Final = 100  # attempts to end the processes that the code has left
_CODE, _DONE = 98, 99  # the interpreter's ends of its pipes


class Place(NamedTuple):
    """Where the code runs: its directory, and the number of the user that it becomes, if the server is root."""

    folder: str
    user: int | None = None


class Interpreter:
    """The child process that runs the code, and the supervisor's ends of its pipes."""

    def __init__(self, options: Mapping[str, Any], place: Place) -> None:
        self.output = bytearray()
        self.written = 0
        self._most = options["logs"]
        code, self._code = os.pipe()
        self._done, done = os.pipe()
        self._output, output = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            self._be(options, place, (code, done, output))
        for end in (code, done, output):
            os.close(end)
        os.set_blocking(self._output, False)

    def _be(self, options: Mapping[str, Any], place: Place, pipes: tuple[int, int, int]) -> NoReturn:
        """The child: it gives up its rights before it reads any code."""
        code, done, output = pipes
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.setsid()
            nothing = os.open(os.devnull, os.O_RDWR)
            for source, target in ((nothing, 0), (output, 1), (output, 2), (code, _CODE), (done, _DONE)):
                os.dup2(source, target, inheritable=target < 3)
            os.closerange(3, _CODE)
            os.closerange(_DONE + 1, 4096)
            os.nice(10)
            limit(AS=options["memory"], NOFILE=256, CORE=0, MEMLOCK=2**16)
            if options["confined"]:
                limit(NPROC=options["processes"])
                confinement.give_up(place.user, _CODE)
            else:
                limit(FSIZE=options["disk"])
                confinement.end_with_parent(_CODE)
            os.chdir(place.folder)
            pieces.serve(_CODE, _DONE, options["cpu"])
        except BaseException as error:
            os.write(2, f"the code cannot run: {error}\n".encode("utf-8", "replace"))
        os._exit(1)

    def hand_over(self, code: bytes) -> None:
        """Run this code in it. OSError if it has ended."""
        self.output.clear()
        self.written = 0
        os.kill(self.pid, signal.SIGCONT)
        message = memoryview(len(code).to_bytes(8, "big") + code)
        while message:
            message = message[os.write(self._code, message) :]

    def is_done(self) -> bool:
        """Read the output for a moment. Returns whether the code is done."""
        ready = select.select([self._output, self._done], [], [], _TICK)[0]
        if self._output in ready:
            self.hear(2**16)
        return self._done in ready and os.read(self._done, 1) != b""

    def hear(self, most: int) -> None:
        """Read at most this much of the waiting output. Only the beginning of all output is kept."""
        with suppress(BlockingIOError):
            while most > 0 and (piece := os.read(self._output, 2**16)):
                most -= len(piece)
                self.written += len(piece)
                self.output += piece[: max(self._most - len(self.output), 0)]

    def close(self) -> None:
        """Close the pipes."""
        for end in (self._code, self._done, self._output):
            os.close(end)


class Supervisor:
    """Answers the requests of the server."""

    def __init__(self, options: Mapping[str, Any], place: Place, requests: BinaryIO, replies: BinaryIO) -> None:
        self._options, self._place = options, place
        self._requests, self._replies = requests, replies
        self._collected = Collected(place.folder, options["files"], options["returned"])
        self._interpreter = Interpreter(options, place)
        self._statuses: dict[int, int] = {}

    def serve(self) -> None:
        """Serve until the server closes its end."""
        try:
            self._serve()
        finally:
            self._end("")

    def _serve(self) -> None:
        ended = self._run(pieces.PROBE)
        self._reply({"holds": self._output().split(), "ended": ended})
        while line := self._requests.readline():
            request = json.loads(line)
            os.makedirs(self._place.folder, exist_ok=True)
            for name, size, id in request["files"]:
                self._put(name, self._requests.read(size), id)
            self._collected.forget()
            if self._is_gone():
                self._interpreter.close()
                self._interpreter = Interpreter(self._options, self._place)
            ended = self._run(request["code"])
            left = self._end_others()
            if not self._is_gone() and _below(self._options["confined"]) - {self._interpreter.pid}:
                ended = self._end("it went on starting processes")
            cut = self._interpreter.written - len(self._interpreter.output)
            self._reply({"output": self._output(), "cut": cut, "ended": ended, "left": left})

    def _is_gone(self) -> bool:
        return self._interpreter.pid in self._statuses

    def _output(self) -> str:
        return bytes(self._interpreter.output).decode("utf-8", "replace")

    def _reply(self, told: dict[str, Any]) -> None:
        found, left_out = self._collected.take()
        told |= {"files": [[name, len(content)] for name, content in found], "left_out": left_out}
        self._replies.write(json.dumps(told).encode() + b"\n" + b"".join(content for _, content in found))
        self._replies.flush()

    def _put(self, name: str, content: bytes, id: str) -> None:
        """A file of the conversation, under its name, and a link to it with its id."""
        with suppress(OSError):
            path = Path(self._place.folder, name)
            path.write_bytes(content)
            path.chmod(0o666)
            Path(self._place.folder, id).symlink_to(name)

    def _run(self, code: str) -> str:
        """Run the code. Returns the reason why the interpreter has ended; empty if it continues."""
        until = time.monotonic() + self._options["wall"]
        try:
            self._interpreter.hand_over(code.encode("utf-8", "replace"))
        except OSError:
            return self._end(self._death())
        while not self._interpreter.is_done():
            self._reap()
            problem = self._problem(until)
            if problem:
                return self._end(problem)
            if select.select([self._requests], [], [], 0)[0]:
                sys.exit(0)
        with suppress(ProcessLookupError):
            os.kill(self._interpreter.pid, signal.SIGSTOP)
        self._interpreter.hear(self._options["flood"])
        return ""

    def _problem(self, until: float) -> str:
        options = self._options
        if self._is_gone():
            return self._death()
        if time.monotonic() > until:
            return f"it took longer than {options['wall']} seconds"
        if self._interpreter.written > options["flood"]:
            return f"it wrote more than {options['flood'] // 2**20} MiB of output"
        if _memory(options["confined"]) > options["memory"]:
            return f"it needed more than {options['memory'] // 2**20} MiB of memory"
        return ""

    def _death(self) -> str:
        self._reap()
        status = os.waitstatus_to_exitcode(self._statuses.get(self._interpreter.pid, 0))
        if status == -signal.SIGXCPU:
            return f"it needed more than {self._options['cpu']} seconds of processor time"
        how = f"by signal {-status}" if status < 0 else f"with exit code {status}"
        return f"its process has ended {how}"

    def _end(self, problem: str) -> str:
        """End the interpreter and everything that it has started."""
        self._interpreter.hear(self._options["flood"])
        with suppress(ProcessLookupError, PermissionError):
            if self._options["confined"]:
                os.kill(-1, signal.SIGKILL)  # every process of the namespace but this one, at once
            else:
                os.killpg(self._interpreter.pid, signal.SIGKILL)
        if not self._is_gone():
            pid, status = os.waitpid(self._interpreter.pid, 0)
            self._statuses[pid] = status
        self._end_others()
        return problem

    def _end_others(self) -> int:
        """End the processes that the code has left. Returns how many there were."""
        seen: set[int] = set()
        for _ in range(_PASSES):
            self._reap()
            left = _below(self._options["confined"]) - {self._interpreter.pid}
            if not left:
                break
            seen |= left
            for pid in left:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)
        return len(seen)

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0]:
                self._statuses[found[0]] = found[1]


def _processes() -> Iterator[tuple[int, int]]:
    """The processes that have not ended, each with its parent. None on systems without /proc."""
    for name in os.listdir("/proc") if sys.platform == "linux" else ():
        with suppress(OSError):
            if name.isdecimal():
                state, parent = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()[:2]
                if state not in (b"Z", b"X"):
                    yield int(name), int(parent)


def _below(confined: bool) -> set[int]:
    """The processes of the code: all others in the namespace, or those that descend from this one."""
    own = os.getpid()
    if confined:
        return {pid for pid, _ in _processes()} - {own}
    found, children = {own}, dict(_processes())
    while more := {pid for pid, parent in children.items() if parent in found} - found:
        found |= more
    return found - {own}


def _memory(confined: bool) -> int:
    """The memory of the code's processes together, in bytes."""
    pages = 0
    for pid in _below(confined):
        with suppress(OSError):
            pages += int(Path(f"/proc/{pid}/statm").read_bytes().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    """Confine this process, then supervise. If it cannot be confined, the only reply says why."""
    options = json.loads(sys.argv[1])
    requests, replies = sys.stdin.buffer, sys.stdout.buffer
    if not options["confined"]:
        confinement.adopt_orphans()
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
        with tempfile.TemporaryDirectory(prefix="rx_assistant-code-", ignore_cleanup_errors=True) as folder:
            Supervisor(options, Place(folder), requests, replies).serve()
        return
    try:
        user = os.getpid() if confinement.enter() else None
        pipe, parents = os.pipe()
        child = os.fork()
        if child:
            os.close(0)
            os.close(1)
            os._exit(min(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0) and 1)
        os.close(parents)
        confinement.end_with_parent(pipe)
        os.close(pipe)
        confinement.new_root(options["hidden"], options["disk"])
        confinement.keep_little(user is not None)
    except OSError as error:
        replies.write(json.dumps({"refused": str(error), "files": []}).encode() + b"\n")
        replies.flush()
        os._exit(0)
    Supervisor(options, Place(confinement.DATA, user), requests, replies).serve()


if __name__ == "__main__":
    main()

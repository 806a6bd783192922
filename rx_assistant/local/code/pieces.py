"""Pieces of Python code, run one after the other with the same variables, as in a notebook.

This runs inside the confined process. Its output is what the code writes to stdout and stderr, then the value of the
last expression or the traceback. Open figures of matplotlib become files, `figure-1.png` and so on. The code can do
anything to this process, so nothing outside may trust it.
"""

from __future__ import annotations

import ast
import io
import linecache
import os
import sys
import traceback
import warnings
from contextlib import suppress
from typing import Any, Final

PROBE: Final = """
import errno, mmap, os, resource, socket
try:
    socket.create_connection(("127.0.0.1", 9), 0.2)
except OSError as error:
    if error.errno in (errno.EPERM, errno.ENETUNREACH):
        print("network")
try:
    mmap.mmap(-1, resource.getrlimit(resource.RLIMIT_AS)[0] + 2**20)
except (OSError, OverflowError, ValueError):
    print("memory")
soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
resource.setrlimit(resource.RLIMIT_NPROC, (1, hard))
try:
    if os.fork() == 0:
        os._exit(0)
except OSError:
    print("processes")
resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
"""
"""Prints the limits that the process meets. It runs before any other code, with variables of its own."""


def serve(code: int, done: int, cpu: int) -> None:
    """Read each piece from `code`, run it with at most `cpu` seconds of processor time, and report to `done`."""
    own = os.getpid()
    sys.stdin, sys.stdout, sys.stderr = _text(0, "r"), _text(1, "w"), _text(2, "w")
    warnings.filterwarnings("ignore", "FigureCanvasAgg is non-interactive")
    sys.argv, sys.path[:] = [""], ["", *filter(os.path.isdir, sys.path)]
    for name in ("PYTHONPATH", "PYTHONSAFEPATH"):
        os.environ.pop(name, None)
    number = 0
    variables: dict[str, Any] = {"__name__": "__main__"}
    while True:
        size = int.from_bytes(_read(code, 8), "big")
        piece = _read(code, size).decode("utf-8", "replace")
        _reap()
        _allow(cpu)
        number += piece != PROBE
        run(piece, f"<code {number}>", variables if number else {})
        if os.getpid() != own:  # a child process that the piece has forked, and that has reached its end
            os._exit(0)
        os.write(done, b".")


def _text(descriptor: int, mode: str) -> io.TextIOWrapper:
    """A new stream: the old ones belong to the supervisor."""
    raw = io.FileIO(descriptor, mode, closefd=False)
    buffer = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, "utf-8", "backslashreplace", line_buffering=True)


def _read(source: int, size: int) -> bytes:
    """Exactly that many bytes. The process ends when the supervisor does."""
    parts = bytearray()
    while len(parts) < size:
        part = os.read(source, size - len(parts))
        if not part:
            os._exit(0)
        parts += part
    return bytes(parts)


def _reap() -> None:
    """Forget the processes that an earlier piece has started and that were ended: they count against the limit."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _allow(cpu: int) -> None:
    """Processor time for one piece, on top of what the earlier ones have used."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + 1 + cpu, hard))


def run(piece: str, name: str, variables: dict[str, Any]) -> None:
    """Run a piece. Its exception is printed."""
    linecache.cache[name] = (len(piece), None, piece.splitlines(keepends=True), name)
    try:
        tree = ast.parse(piece, name)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        exec(compile(tree, name, "exec"), variables)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), name, "eval"), variables)
            if value is not None:
                print(repr(value))
        _save_figures()
    except BaseException as error:
        _show(error)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()


def _show(error: BaseException) -> None:
    """Print the traceback without the lines of this module."""
    with suppress(BaseException):
        sys.stdout.flush()
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    with suppress(BaseException):
        lines = traceback.format_exception(type(error), error, frames, chain=not isinstance(error, MemoryError))
        os.write(2, "".join(lines).encode("utf-8", "backslashreplace"))


def _save_figures() -> None:
    """Save the open figures of matplotlib, and close them."""
    plots = sys.modules.get("matplotlib.pyplot")
    if plots is None:
        return
    for figure in plots.get_fignums():
        plots.figure(figure).savefig(_free_name())
    plots.close("all")


def _free_name() -> str:
    number = 1
    while os.path.lexists(f"figure-{number}.png"):
        number += 1
    return f"figure-{number}.png"

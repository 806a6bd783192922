"""The code interpreter: what code can do, and what it cannot, whatever it tries."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import pytest

import rx_assistant.local
from local.test_local_upstream_responses import events, item, message as spoken
from local.upstreams import answer_of, calls, rest, says
from rx_assistant.cli.app import run as command
from rx_assistant.dialects.citing import Links
from rx_assistant.errors import ConfigurationError
from rx_assistant.local.code import confinement, interpreters
from rx_assistant.local.code.collecting import Collected
from rx_assistant.local.code.interpreters import Executed, GivenFile, Interpreters, Limits
from rx_assistant.local.engine import CodeCall, CodeInput, CodeLogs, CodeResult, EndStep, RunContext, Text
from rx_assistant.local.engines.upstream import UpstreamEngine

SMALL = Limits(wall=100, cpu=100, memory=2**29, disk=2**24, processes=24, flood=2**21, logs=10_000)
CODE = {"type": "code_interpreter"}
PNG = b"\x89PNG\r\n\x1a\nrest"

HURRIED = replace(SMALL, wall=1)


def possible() -> str:
    """Why this machine cannot confine code; empty if it can."""
    try:
        Interpreters("confined").close()
    except ConfigurationError as error:
        return str(error)
    return ""


WHY_NOT = possible()
confined = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)
unix = pytest.mark.skipif(not hasattr(os, "fork"), reason="code needs fork")


class Code:
    """Pieces of code of one run."""

    def __init__(self, policy: interpreters.CodePolicy, limits: Limits = SMALL, hidden: tuple[Path, ...] = ()) -> None:
        self.all = Interpreters(policy, hidden, limits)

    def run(self, *pieces: str, run_id: str = "run_1", files: tuple[GivenFile, ...] = ()) -> Executed:
        """What the last of these pieces gave."""

        async def each() -> Executed:
            done = [await self.all.run(run_id, piece, files) for piece in pieces]
            return done[-1]

        return asyncio.run(each())

    def __call__(self, *pieces: str, **options: Any) -> str:
        return self.run(*pieces, **options).logs


@pytest.fixture
def start() -> Iterator[Callable[..., Code]]:
    started: list[Code] = []

    def begin(*given: Any, **options: Any) -> Code:
        started.append(Code(*given, **options))
        return started[-1]

    yield begin
    for code in started:
        code.all.close()
    gone(processes())


@pytest.fixture
def code(start) -> Code:
    return start("confined")


def processes() -> list[psutil.Process]:
    """The processes that run code, and what they have started."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE and "rx_assistant.local.code.supervisor" in child.cmdline():
                found += [child, *child.children(recursive=True)]
        except psutil.NoSuchProcess:
            continue
    return found


def gone(left: list[psutil.Process]) -> None:
    """Returns when these processes have ended."""
    psutil.wait_procs(left, timeout=60)
    assert not [process for process in left if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


# -- what code can do ------------------------------------------------------------------------------------------------


@confined
def test_output_and_the_last_expression_are_logs_and_variables_stay(code) -> None:
    assert code("x = 20\nprint('a')\nimport sys; print('b', file=sys.stderr)\nx + 1") == "a\nb\n21"
    assert code("x = x + 2", "x") == "22"
    assert code("x", run_id="run_2").endswith("NameError: name 'x' is not defined")
    code("def f():\n    raise ValueError('no')")
    assert [line.strip() for line in code("f()").splitlines()[-2:]] == ["raise ValueError('no')", "ValueError: no"]


@confined
def test_files_of_the_conversation_are_there_under_their_names_and_ids(code, tmp_path) -> None:
    names = ("a.csv", "a.csv", "../../etc/passwd", ".hidden", "x" * 250, "with space.txt")
    files = tuple(GivenFile(f"file-{number}", name, tmp_path / str(number)) for number, name in enumerate(names))
    for number, file in enumerate(files):
        file.path.write_text(f"content {number}")
    told = code("import os, json\njson.dumps({n: open(n).read() for n in sorted(os.listdir())})", files=files)
    by_name = json.loads(told.strip("'"))
    assert by_name == {
        **{f"file-{number}": f"content {number}" for number in range(6)},
        "a.csv": "content 0",
        "passwd": "content 2",
        "with space.txt": "content 5",
    }


@confined
def test_files_that_are_gone_or_too_large_are_reported(start, tmp_path) -> None:
    code = start("confined", Limits(given=10))
    (tmp_path / "big").write_bytes(bytes(11))
    files = (GivenFile("file-1", "gone.txt", tmp_path / "gone"), GivenFile("file-2", "big.txt", tmp_path / "big"))
    assert code("import os; os.listdir()", files=files).splitlines() == [
        "The file gone.txt cannot be read on the server.",
        "The file big.txt is left out: it is too large.",
        "[]",
    ]


@confined
def test_new_and_changed_files_come_back_once(code, tmp_path) -> None:
    (tmp_path / "a").write_text("old")
    given = (GivenFile("file-1", "a.txt", tmp_path / "a"),)
    made = "import os; os.makedirs('sub'); open('sub/b.txt', 'w').write('b'); open('.c', 'w'); os.symlink('/etc', 'd')"
    assert dict(code.run(made, files=given).files) == {"sub/b.txt": b"b"}
    assert code.run("1").files == ()
    assert dict(code.run("open('a.txt', 'a').write('er')").files) == {"a.txt": b"older"}


def test_names_of_files_have_no_control_characters(tmp_path) -> None:
    for name in ("a\x1b[2J.txt", "b\u202etxt.exe", "c\nd.txt", "é 文.txt", os.fsdecode(b"e\xff.txt")):
        (tmp_path / name).write_text("x")
    files, left_out = Collected(str(tmp_path), 4, 100).take()
    names = sorted([name for name, _ in files] + left_out)
    assert names == ["a\ufffd[2J.txt", "b\ufffdtxt.exe", "c\ufffdd.txt", "e\ufffd.txt", "é 文.txt"]


@confined
def test_figures_of_matplotlib_become_images(start) -> None:
    pytest.importorskip("matplotlib")
    code = start("confined", Limits())
    drawn = "import matplotlib.pyplot as plt\nfor n in 1, 2:\n    plt.figure(); plt.plot([n, 2]); plt.show()"
    done = code.run(drawn)
    assert [(name, interpreters.is_image(content)) for name, content in done.files] == [
        ("figure-1.png", True),
        ("figure-2.png", True),
    ]
    assert done.logs == ""
    assert [name for name, _ in code.run("plt.plot([3])").files] == ["figure-3.png"]


# -- what code cannot do ---------------------------------------------------------------------------------------------

THREADS = """
import threading, time
for _ in range(99):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
"""
BOMB = "import os\nwhile True:\n    os.fork()"
STUBBORN = """
import os, signal
for number in range(1, 32):
    if number not in (9, 19):
        signal.signal(number, signal.SIG_IGN)
while True:
    try:
        os.fork()
    except BaseException:
        pass
"""
OUTSIDE = """
for path in ("/etc/x", "/usr/x", "/proc/x", "/dev/x", "/x", "/bin/x", "../x"):
    try:
        open(path, "w")
        print("wrote", path)
    except OSError as error:
        print(error.errno)
"""
SYSTEM_CALLS = """
import ctypes
library = ctypes.CDLL(None, use_errno=True)
for name, arguments in (
    ("unshare", (0x10000000,)), ("mount", (b"none", b"/tmp", b"tmpfs", 0, None)), ("chroot", (b"/tmp",)),
    ("memfd_create", (b"x", 0)), ("shmget", (0, 4096, 0o1600)), ("ptrace", (16, 1, 0, 0)), ("setuid", (0,)),
    ("syscall", (425, 8, 0)), ("syscall", (56 if "x86" in __import__("os").uname().machine else 220, 0x10000011, 0)),
):
    print(name, getattr(library, name)(*arguments), end="; ")
"""
MEMORY = (
    "import os, time\nfor _ in range(12):\n    os.fork() or (b := bytearray(10**8)) and time.sleep(60)\ntime.sleep(60)"
)
DAEMON = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            time.sleep(60)
    os._exit(0)
ended = os.wait()
"""
SECRETS = """
import os
seen = str(dict(os.environ))
for name in os.listdir("/proc"):
    for file in ("environ", "cmdline", "maps", "mem"):
        try:
            seen += open(f"/proc/{name}/{file}", errors="replace").read(100_000)
        except (OSError, ValueError):
            pass
print("sesame" in seen)
"""

HOSTILE = [
    ("a fork bomb", BOMB, "BlockingIOError"),
    ("much memory", "b = []\nwhile True:\n    b.append(bytearray(10**7))", "MemoryError"),
    ("much memory in many processes", MEMORY, "The code was ended: it needed more than 512 MiB of memory."),
    ("many bytes on the disk", "open('big', 'wb').write(bytes(10**8))", "No space left on device"),
    ("many bytes in /tmp", "open('/tmp/big', 'wb').write(bytes(10**8))", "No space left on device"),
    ("much output", "while True: print('x' * 1000)", "The code was ended: it wrote more than 2 MiB of output."),
    ("much output of a child", "import os\nwhile True: os.system('echo ' + 'x' * 9999)", "more than 2 MiB of output"),
    ("a connection", "import socket; socket.create_connection(('127.0.0.1', 1))", "Operation not permitted"),
    ("a server", "import socket; socket.create_server(('', 0))", "Operation not permitted"),
    ("a download", "import urllib.request as r; r.urlopen('http://example.com')", "URLError"),
    ("its own end", "import os; os._exit(3)", "The code was ended: its process has ended with exit code 3."),
    ("a crash", "import ctypes; ctypes.string_at(0)", "The code was ended: its process has ended by signal 11."),
    ("an exit", "import sys; sys.exit(4)", "SystemExit: 4"),
    ("an interrupt", "raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("closed pipes", "import os; os.closerange(0, 999)", "The code was ended"),
    ("input", "input()", "EOFError"),
    ("signals to everything", "import os, signal; os.kill(1, 9); os.kill(-1, signal.SIGTERM)", ""),
    ("a syntax error", "x = = 1", "SyntaxError"),
    ("deep recursion", "def f(): f()\nf()", "RecursionError"),
    ("an unprintable value", "class A:\n    def __repr__(self): raise ValueError('no')\nA()", "ValueError: no"),
    ("a lone surrogate", "print('\\ud800')", "\\ud800"),
    ("a deleted directory", "import shutil, os; shutil.rmtree(os.getcwd())", "Read-only file system"),
    ("daemons", DAEMON, "Processes that the code had left running were ended: 1."),
    ("secrets", SECRETS, "False"),
    ("many threads", THREADS, "can't start new thread"),
]  # fmt: skip


@confined
@pytest.mark.parametrize(("text", "told"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_hostile_code_is_stopped_and_the_run_is_told(code, monkeypatch, text, told) -> None:
    monkeypatch.setenv("SERVER_KEY", "open sesame")
    assert told in code(text)
    code("import os\nfor path in ('big', '/tmp/big'): os.path.exists(path) and os.remove(path)")
    assert code("len([name for name in os.listdir('/proc') if name.isdecimal()])") == "2"
    assert dict(code.run("open('after.txt', 'w').write('fine')").files)["after.txt"] == b"fine"


@confined
@pytest.mark.parametrize("text", ["while True: pass", "import time; time.sleep(10**6)", STUBBORN])
def test_code_that_takes_too_long_is_ended(start, text) -> None:
    code = start("confined", HURRIED)
    assert "The code was ended: it took longer than 1 seconds. Its variables are gone." in code(text)
    assert code("1 + 1") == "2"


@confined
def test_processor_time_is_limited(start) -> None:
    code = start("confined", Limits(cpu=1, wall=60))
    assert "The code was ended: it needed more than 1 seconds of processor time." in code("while True: pass")


@confined
def test_nothing_outside_its_directories_can_be_written(code) -> None:
    errors = code(OUTSIDE).split()
    assert len(errors) == 7
    assert set(errors) <= {"30", "13", "2", "1"}
    assert not Path("/x").exists()


@confined
def test_system_calls_that_would_lift_the_limits_are_refused(code) -> None:
    assert code(SYSTEM_CALLS).count(" -1;") == 9


@confined
def test_the_servers_files_cannot_be_seen(start) -> None:
    with TemporaryDirectory(dir=sys.prefix) as inside, TemporaryDirectory() as outside:
        for folder in (inside, outside):
            Path(folder, "secret").write_text("sesame")
        code = start("confined", hidden=(Path(inside), Path(outside)))
        look = "import os, glob\nfor d in {!r}, {!r}:\n    print(os.path.exists(d + '/secret'), glob.glob(d + '/*'))"
        assert code(look.format(inside, outside)) == "False []\nFalse []"
        assert code("import os; sorted(set(os.listdir('/')) & {'home', 'var', 'sys', 'srv', 'opt'})") == "[]"


@confined
def test_links_and_pipes_are_not_followed_when_files_are_collected(code) -> None:
    made = "import os\nos.symlink('/proc/1/environ', 'a'); os.mkfifo('b'); os.symlink('/', 'c')"
    done = code.run(made)
    assert (done.files, done.logs) == ((), "")


@confined
def test_many_files_and_long_output_are_cut_and_told(start) -> None:
    code = start("confined", Limits(files=2, returned=10, logs=30))
    done = code.run("for n in 'abc': open(n, 'w').write(n)\nprint('x' * 40)")
    assert [name for name, _ in done.files] == ["a", "b"]
    assert done.logs.splitlines() == [
        "x" * 30,
        "(11 more bytes of output are left out.)",
        "The file c is not returned: there are too many files, or they are too large.",
    ]
    assert "The file big is not returned" in code("open('big', 'w').write('x' * 11)")


@confined
def test_code_stands_still_between_two_pieces(code) -> None:
    """A thread that the code has left uses no processor time until the next piece."""
    code("import threading\nn = 0\ndef count():\n    global n\n    while True: n += 1\n"
         "threading.Thread(target=count, daemon=True).start()")  # fmt: skip

    def is_stopped() -> bool:
        return any(process.status() == psutil.STATUS_STOPPED for process in processes())

    end = time.monotonic() + 20
    while not is_stopped():  # the system may take a moment to stop it
        assert time.monotonic() < end
        time.sleep(0.01)
    assert int(code("n")) > 0


@confined
def test_the_run_that_waited_longest_loses_its_process_and_is_told(start) -> None:
    code = start("confined", Limits(kept=2))
    for number in (1, 2, 3):
        code(f"x = {number}", run_id=f"run_{number}")
    assert code("x", run_id="run_3") == "3"
    told = code("x", run_id="run_1")
    assert told.startswith("The variables and files of the earlier code are gone.")
    assert told.endswith("NameError: name 'x' is not defined")


@confined
def test_a_process_that_is_killed_from_outside_is_told(code) -> None:
    code("x = 1")
    left = processes()
    left[0].kill()
    gone(left)  # else it may answer once more
    assert "its process has failed" in code("x")
    assert "NameError" in code("x")


# -- unconfined ------------------------------------------------------------------------------------------------------


@unix
def test_unconfined_code_has_limits_and_leaves_nothing(start) -> None:
    code, hurried = start("unconfined"), start("unconfined", HURRIED)
    assert code("x = 1", "import os; x, os.environ.get('HOME')") == "(1, '/tmp')"
    assert "longer than 1 seconds" in hurried(f"{DAEMON}\nwhile True: pass")
    folder = code("import os; print(os.getcwd())")
    assert "ended" not in code("import shutil; shutil.rmtree('.', ignore_errors=True)")
    assert dict(code.run("open('b.txt', 'w').write('b')").files) == {"b.txt": b"b"}
    if sys.platform == "linux":
        assert code(DAEMON) == "Processes that the code had left running were ended: 1."
    left = processes()
    code.all.close()
    hurried.all.close()
    gone(left)
    assert not Path(folder).exists()


@unix
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_unconfined_code_ends_with_its_supervisor(start) -> None:
    code = start("unconfined")
    code("x = 1")
    left = processes()
    left[0].kill()
    gone(left)
    assert "its process has failed" in code("x")


# -- ends ------------------------------------------------------------------------------------------------------------


LATE = """
import sys, time
from rx_assistant.local.code import confinement, supervisor
arm = confinement.end_with_parent
def late(pipe):
    time.sleep(1)
    arm(pipe)
confinement.end_with_parent = late
supervisor.main()
"""


@confined
def test_a_process_whose_parent_was_killed_before_it_knew_ends(code) -> None:
    arguments = [sys.executable, "-c", LATE, json.dumps(code.all._options)]
    process = subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    parent = psutil.Process(process.pid)
    while not (children := parent.children()):
        time.sleep(0.01)
    process.kill()
    process.wait()
    gone(children)
    with process:
        pass


@confined
def test_code_that_is_cancelled_ends_at_once(code) -> None:
    async def cancelled() -> None:
        running = asyncio.ensure_future(code.all.run("run_1", "while True: pass", ()))
        while len(processes()) < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(cancelled())
    gone(processes())


@unix
@pytest.mark.parametrize("policy", [pytest.param("confined", marks=confined), "unconfined"])
def test_the_processes_end_after_the_server_was_killed(policy) -> None:
    program = f"""
import asyncio
from rx_assistant.local.code.interpreters import Interpreters
asyncio.run(Interpreters({policy!r}).run("run_1", {DAEMON!r} + "\\nwhile True: pass", ()))
"""
    server = subprocess.Popen([sys.executable, "-c", program])
    try:
        while len(left := processes()) < 4:
            assert server.poll() is None
            time.sleep(0.005)
    finally:
        os.kill(server.pid, signal.SIGKILL)
        server.wait()
    gone(left)


# -- in the server ---------------------------------------------------------------------------------------------------


class Coder:
    """Runs the question as code, in one of several ways."""

    def __init__(self) -> None:
        self.contexts: list[RunContext] = []
        self.results: list[CodeResult] = []

    async def run(self, context: RunContext):
        self.contexts.append(context)
        if context.question.startswith("own"):
            for action in (CodeCall(), CodeInput("1 + 1"), CodeLogs("three")):
                yield action
        elif context.question.startswith("ask") and context.run_code is not None:
            self.results.append(await context.run_code(context.question.removeprefix("ask ")))
        else:
            for index, piece in enumerate(context.question.split(";;")):
                yield CodeCall(index)
                yield CodeInput(piece, index)
            yield EndStep()
        yield Text("done")


@pytest.fixture
def coding(connect) -> tuple[Any, Coder]:
    coder = Coder()
    return connect(engine=coder, code="confined"), coder


@confined
def test_a_code_call_without_outputs_is_executed(coding) -> None:
    api, _ = coding
    text = f"x = 6;;open('a.png', 'wb').write({PNG!r}); open('b.csv', 'w').write('1,2')\nprint(x * 7)"
    run = rest(api, text, {"tools": [CODE]})
    assert run["status"] == "completed", run
    outputs = [call["code_interpreter"]["outputs"] for call in api.steps(run)[0]["step_details"]["tool_calls"]]
    image = outputs[1][1]["image"]["file_id"]
    assert outputs == [
        [{"type": "logs", "logs": ""}],
        [{"type": "logs", "logs": "42"}, {"type": "image", "image": {"file_id": image}}],
    ]
    assert api.http.get(f"/files/{image}/content").content == PNG
    attached = api.messages(run["thread_id"])[-1]["attachments"]
    assert attached == [{"file_id": attached[0]["file_id"], "tools": [CODE]}]
    assert api("GET", f"/files/{attached[0]['file_id']}")["filename"] == "b.csv"
    assert api.http.get(f"/files/{attached[0]['file_id']}/content").text == "1,2"
    gone(processes())


@confined
def test_a_stream_has_the_outputs_as_deltas(coding) -> None:
    api, _ = coding
    body = {"assistant_id": api.assistant(tools=[CODE])}
    events = api.stream(f"/threads/{api.thread('print(5)')}/runs", body)
    deltas = [
        data["delta"]["step_details"]["tool_calls"][0] for name, data in events if name == "thread.run.step.delta"
    ]
    assert deltas[-1]["code_interpreter"] == {"outputs": [{"index": 0, "type": "logs", "logs": "5"}]}


@confined
def test_outputs_of_the_engine_stay_and_engines_can_run_code_themselves(coding) -> None:
    api, coder = coding
    run = rest(api, "own", {"tools": [CODE]})
    assert api.steps(run)[0]["step_details"]["tool_calls"][0]["code_interpreter"]["outputs"][0]["logs"] == "three"
    rest(api, "ask 2 + 2", {"tools": [CODE]})
    assert coder.results == [CodeResult("4")]


@confined
def test_code_of_an_assistant_without_the_tool_does_not_run(coding) -> None:
    api, coder = coding
    for fields in ({}, {"tools": [CODE], "tool_choice": "none"}):
        choice = {name: value for name, value in fields.items() if name == "tool_choice"}
        run = rest(api, "print(1)", {"tools": fields.get("tools", [])}, **choice)
        assert api.steps(run)[0]["step_details"]["tool_calls"][0]["code_interpreter"]["outputs"] == []
        assert coder.contexts[-1].run_code is None


@confined
def test_attached_files_can_be_read(coding) -> None:
    api, coder = coding
    first, second = (api.upload(name, name)["id"] for name in ("mine.txt", "yours.txt"))
    message = {"role": "user", "content": "print(open('mine.txt').read(), open('yours.txt').read())"}
    thread = api("POST", "/threads", {"messages": [{**message, "attachments": [{"file_id": first, "tools": [CODE]}]}]})
    resources = {"code_interpreter": {"file_ids": [second]}}
    run = api.wait(api.start(api.assistant(tools=[CODE], tool_resources=resources), thread["id"]))
    call = api.steps(run)[0]["step_details"]["tool_calls"][0]
    assert call["code_interpreter"]["outputs"][0]["logs"] == "mine.txt yours.txt"
    assert coder.contexts[-1].code_files == ("mine.txt", "yours.txt")


@confined
def test_a_cancelled_run_ends_its_code(coding) -> None:
    api, _ = coding
    run = api.start(api.assistant(tools=[CODE]), api.thread("while True: pass"))
    while len(left := processes()) < 3:
        time.sleep(0.005)
    api("POST", f"/threads/{run['thread_id']}/runs/{run['id']}/cancel", {})
    assert api.wait(run)["status"] == "cancelled"
    gone(left)


@confined
def test_a_server_that_stops_ends_the_code(connect) -> None:
    with rx_assistant.local.serve(engine=Coder(), code="confined") as server:
        from local.conftest import Api

        api = Api(server)
        with api.http:
            api.start(api.assistant(tools=[CODE]), api.thread("while True: pass"))
            while len(left := processes()) < 3:
                time.sleep(0.005)
    gone(left)


def test_without_the_option_no_code_runs(connect) -> None:
    coder = Coder()
    api = connect(engine=coder)
    run = rest(api, "print(1)", {"tools": [CODE]})
    assert api.steps(run)[0]["step_details"]["tool_calls"][0]["code_interpreter"]["outputs"] == []
    assert coder.contexts[0].run_code is None


# -- with a model ----------------------------------------------------------------------------------------------------


def python(code: str, id: str = "a") -> bytes:
    """A model's call of the function that runs code."""
    return calls((id, "python", json.dumps({"code": code})), content="")


@pytest.fixture
def ask_code(model, connect):
    """Starts a model server with the given answers, and an Assistants server that asks it and runs code."""

    def start(*answers, **options):
        found = model(*answers)
        return connect(engine=UpstreamEngine(found.url, **options), code="confined"), found

    return start


@confined
def test_a_models_code_is_run_and_its_output_goes_back(ask_code) -> None:
    api, upstream = ask_code(
        python("x = 6 * 7\nx"),
        python("print(x); size = open('sum.csv', 'w').write('42')"),
        says("It is in [the file](sandbox:/mn", "t/data/sum.c", "sv). Bye"),
    )
    run = rest(api, "?", {"tools": [CODE]})
    assert run["status"] == "completed", run
    bodies = upstream.bodies
    assert [tool["function"]["name"] for tool in bodies[0]["tools"]] == ["python"]
    assert bodies[1]["messages"][-1]["content"] == "42"
    assert bodies[2]["messages"][-1]["content"] == (
        "42\nThe file sum.csv is ready: link to it as sandbox:/mnt/data/sum.csv."
    )
    steps = api.steps(run)
    assert [call["code_interpreter"]["input"] for call in steps[0]["step_details"]["tool_calls"]] == ["x = 6 * 7\nx"]
    assert steps[0]["step_details"]["tool_calls"][0]["code_interpreter"]["outputs"] == [{"type": "logs", "logs": "42"}]
    text = api.messages(run["thread_id"])[-1]["content"][0]["text"]
    assert text["value"] == "It is in [the file](sandbox:/mnt/data/sum.csv). Bye"
    (annotation,) = text["annotations"]
    assert annotation["type"] == "file_path"
    assert text["value"][annotation["start_index"] : annotation["end_index"]] == "sandbox:/mnt/data/sum.csv"
    assert api.http.get(f"/files/{annotation['file_path']['file_id']}/content").text == "42"


@confined
def test_code_beside_a_function_call_and_its_files_in_the_next_turn(ask_code) -> None:
    function = {"type": "function", "function": {"name": "python", "parameters": {}}}
    both = calls(("a", "python", "{}"), ("b", "run_python", "{\"code\": \"open('a.txt', 'w').write('a')\"}"))
    api, upstream = ask_code(both, says("See sandbox:/mnt/data/a.txt."))
    run = rest(api, "?", {"tools": [CODE, function]})
    assert [call["function"]["name"] for call in run["required_action"]["submit_tool_outputs"]["tool_calls"]] == [
        "python"
    ]
    run = api.wait(api.answer(run))
    assert run["status"] == "completed", run
    assert [message["role"] for message in upstream.bodies[1]["messages"]].count("tool") == 2
    assert api.messages(run["thread_id"])[-1]["content"][0]["text"]["annotations"][0]["type"] == "file_path"


@confined
def test_a_forced_code_interpreter_is_forced_once_and_code_may_come_without_json(ask_code) -> None:
    api, upstream = ask_code(calls(("a", "python", "print(3)")), says("three"))
    run = rest(api, "?", {"tools": [CODE]}, tool_choice=CODE)
    assert answer_of(api, run) == "three"
    assert upstream.bodies[0]["tool_choice"] == {"type": "function", "function": {"name": "python"}}
    assert upstream.bodies[1].get("tool_choice", "auto") == "auto"
    assert upstream.bodies[1]["messages"][-1]["content"] == "3"


@confined
def test_a_model_that_runs_code_for_ever_has_to_answer(ask_code) -> None:
    api, upstream = ask_code(*[python("1")] * 15, says("enough"))
    run = rest(api, "?", {"tools": [CODE]})
    assert (run["status"], len(upstream.bodies)) == ("completed", 16)
    assert "tools" not in upstream.bodies[-1]


@confined
def test_code_runs_for_a_server_of_responses(ask_code) -> None:
    call = item(0, type="function_call", id="fc_1", call_id="c_1", name="python", arguments='{"code": "6 * 7"}')
    api, upstream = ask_code(events(*call), events(*spoken(0, "It is 42.")), protocol="responses")
    run = rest(api, "?", {"tools": [CODE]})
    assert answer_of(api, run) == "It is 42."
    assert [tool["name"] for tool in upstream.bodies[0]["tools"]] == ["python"]
    assert upstream.bodies[1]["input"][-1]["output"] == "42"


def test_links_are_found_wherever_the_text_is_cut() -> None:
    links = {"sandbox:/mnt/data/a.csv": "1", "sandbox:/mnt/data/a.csv.gz": "2"}
    text = "sandbox:/mnt/data/b sandbox:/mnt/data/a.csv, sandbox:/mnt/data/a.csv.gz sandbox:/mnt/data/a.cs"
    for size in range(1, len(text)):
        finder = Links(links)
        found = [piece for at in range(0, len(text), size) for piece in finder.push(text[at : at + size])]
        found += finder.end()
        assert "".join(piece for piece, _ in found) == text
        assert [value for _, value in found if value is not None] == ["1", "2"]


# -- where code cannot be confined -----------------------------------------------------------------------------------


def test_code_is_refused_where_it_cannot_be_confined(monkeypatch, capsys) -> None:
    monkeypatch.setattr(confinement, "impossible", lambda confined: "no luck" if confined else "")
    with pytest.raises(ConfigurationError, match=r"cannot be confined on this machine: no luck.*--code=unconfined"):
        rx_assistant.local.serve(code="confined")
    assert command(["serve", "--port", "0", "--code"]) == 2
    assert "cannot be confined" in capsys.readouterr().err


@confined
def test_code_is_refused_if_a_limit_does_not_hold(monkeypatch) -> None:
    monkeypatch.setattr(interpreters, "_NEEDED", ("network", "gravity"))
    with pytest.raises(ConfigurationError, match="these limits do not hold: gravity"):
        Interpreters("confined")


@confined
@pytest.mark.skipif(not Path("/usr/bin/setpriv").exists() or os.geteuid() != 0, reason="needs root and setpriv")
def test_the_refusal_of_the_system_is_the_reason() -> None:
    """Without the right to make namespaces, the command says which call was refused, and ends with exit code 2."""
    program = "from rx_assistant.cli.app import run; raise SystemExit(run(['serve', '--port', '0', '--code']))"
    without = "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-sys_admin"
    line = ["unshare", "-Ur", "sh", "-c", f'{without} --inh-caps=-sys_admin "$0" -c "$1"', sys.executable, program]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    assert "unshare: " in done.stderr


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="code must be 'confined', 'unconfined' or None, got True"):
        rx_assistant.local.serve(code=True)  # type: ignore[arg-type]


@unix
def test_what_holds_is_said_at_the_start(caplog) -> None:
    caplog.set_level("INFO", "rx_assistant.local")
    Interpreters("unconfined").close()
    assert "code runs unconfined, with the rights of this server; each piece has at most 60 s" in caplog.text
    if not WHY_NOT:
        Interpreters("confined").close()
        assert "code runs confined: no network, a file system of its own; each piece has at most" in caplog.text

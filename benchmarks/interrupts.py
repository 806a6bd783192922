"""KeyboardInterrupt at random moments: after each, every lock is free, no thread hangs, and the next request works.

    python -m benchmarks.interrupts [--interrupts 10000] [--seed 1] [--recorded] [--only NAME]

`signal.setitimer` interrupts the main thread after a random time, while it iterates, waits, handles, subscribes or
connects. A round that hangs prints the stacks of all threads, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import gc
import random
import signal
import socketserver
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from types import FrameType

import reactivex as rx
from reactivex import operators as ops

from benchmarks._server import ASSISTANTS, HEAD, chunk
from benchmarks._streams import frame, text_delta, words
from rx_assistant import AssistantClient, AssistantEventHandler, operators as ax, replay
from rx_assistant.streams import AssistantStream, HandledStream

HANG = 15.0
"""Seconds after which a round counts as hanging."""
TEXTS = list(words(12))
FRAMES = [*ASSISTANTS.begin, *(frame("thread.message.delta", text_delta(word)) for word in TEXTS), *ASSISTANTS.end]

Open = Callable[[AssistantEventHandler | None], AssistantStream]


class Interrupts:
    """Raises KeyboardInterrupt in the main thread, once, after a random time."""

    def __init__(self, seed: int) -> None:
        self.count = 0
        self._random = random.Random(seed)
        self._armed = False
        signal.signal(signal.SIGALRM, self._raise)

    def _raise(self, _number: int, _frame: FrameType | None) -> None:
        if self._armed:
            self._armed = False
            self.count += 1
            raise KeyboardInterrupt

    def during(self, work: Callable[[], object], seconds: float) -> None:
        """Run `work`, and interrupt it within `seconds`, if it takes as long."""
        self._armed = True
        try:
            signal.setitimer(signal.ITIMER_REAL, max(self._random.random() * seconds, 1e-6))
            work()
            self._armed = False
        except KeyboardInterrupt:
            pass
        finally:
            self._armed = False
            signal.setitimer(signal.ITIMER_REAL, 0)


class Quiet(AssistantEventHandler):
    """A handler with callbacks, so that interrupts come inside them."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def on_text_delta(self, delta: object, snapshot: object) -> None:
        self.texts.append(str(getattr(delta, "value", "")))


def loop(open: Open) -> None:
    with open(None) as stream:
        for _ in stream:
            pass


def loop_without_a_block(open: Open) -> None:
    for _ in open(None).text_deltas:
        pass


def wait(open: Open) -> None:
    with open(None) as stream:
        stream.subscribe(lambda _: None)
        stream.get_final_run()


def handle(open: Open) -> None:
    with open(Quiet()) as handler:
        handler.until_done()


def connect(open: Open) -> None:
    with open(None) as stream:
        stream.pipe(ax.text_deltas(), ax.coalesce(0.001)).subscribe(lambda _: None)
        stream.connect()
        stream.until_done()


def connect_and_loop(open: Open) -> None:
    with open(None) as stream:
        stream.connect()
        for _ in stream.text_deltas:
            pass


def combine(open: Open) -> None:
    with open(None) as stream:  # waits here: the `run()` of reactivex waits on an Event, which an interrupt may break
        rx.merge(stream.text_deltas, stream.pipe(ax.run_statuses())).pipe(ops.count()).subscribe()
        stream.until_done()


def substreams(open: Open) -> None:
    with open(None) as stream:
        for text in stream.pipe(ax.texts()):
            for _ in text.deltas:
                pass


def one_after_the_other(open: Open) -> None:
    with open(None) as stream:
        while next(stream, None) is not None:
            pass


def leave(open: Open) -> None:
    with open(None) as stream:
        next(stream.text_deltas)


WORKS = (
    loop,
    loop_without_a_block,
    wait,
    handle,
    connect,
    connect_and_loop,
    combine,
    substreams,
    one_after_the_other,
    leave,
)


def whole(open: Open) -> None:
    """Read a stream undisturbed, on this thread and in the background; RuntimeError when something is missing."""
    for in_background in (False, True):
        with open(None) as stream:
            if in_background:
                stream.connect()
            text = "".join(stream.text_deltas)
        if text != "".join(TEXTS):
            raise RuntimeError(f"the text is not whole: {text!r}")


def recorded(handler: AssistantEventHandler | None) -> AssistantStream:
    """A stream from memory: every bytecode that is interrupted is ours."""
    body = b"".join(FRAMES)
    if handler is None:
        return replay(body, chunk_size=1000)
    inner = replay(body, chunk_size=1000)
    return HandledStream(inner.driver._open, handler=handler)


@contextlib.contextmanager
def served() -> Iterator[str]:
    """A server on threads of this process; gives its base_url."""

    class Answering(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError):
                while line := self.rfile.readline():
                    length = 0
                    while (header := self.rfile.readline().strip()) != b"":
                        name, _, value = header.lower().partition(b":")
                        length = int(value) if name == b"content-length" else length
                    self.rfile.read(length)
                    if line.startswith(b"POST"):
                        self.wfile.write(HEAD)
                        for each in FRAMES:
                            self.wfile.write(chunk(each))
                        self.wfile.write(b"0\r\n\r\n")

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True

    with Server(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def run(open: Open, interrupts: Interrupts, wanted: int, works: tuple[Callable[[Open], None], ...]) -> float:
    """Interrupt each kind of work in turn until there were `wanted` interrupts; gives the seconds it took.

    Work without interrupts is timed first, so that interrupts are spread over all of it.
    """
    spans: dict[Callable[[Open], None], float] = {}
    for work in works:
        begun = time.perf_counter()
        for _ in range(3):
            work(open)
        spans[work] = (time.perf_counter() - begun) / 3
    begun = time.perf_counter()
    rounds, goal = 0, interrupts.count + wanted
    while interrupts.count < goal:
        for work in works:
            faulthandler.dump_traceback_later(HANG, exit=True)
            interrupts.during(lambda work=work: work(open), spans[work] * 1.1)
        rounds += 1
        if rounds % 10 == 0:
            whole(open)
    whole(open)
    faulthandler.cancel_dump_traceback_later()
    return time.perf_counter() - begun


def settled(threads: int) -> bool:
    """Whether no more than so many threads are left, after a moment."""
    deadline = time.monotonic() + HANG
    while time.monotonic() < deadline:
        gc.collect()
        if sum(thread.name.startswith("rx-assistant") for thread in threading.enumerate()) <= threads:
            return True
        time.sleep(0.05)
    return False


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--interrupts", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--recorded", action="store_true", help="only streams from memory, no sockets")
    parser.add_argument("--only", help="only this kind of work")
    given = parser.parse_args()
    works = tuple(work for work in WORKS if given.only in (None, work.__name__))
    warnings.simplefilter("ignore", ResourceWarning)
    interrupts = Interrupts(given.seed)
    half = given.interrupts if given.recorded else given.interrupts // 2
    seconds = run(recorded, interrupts, half, works)
    print(f"recorded: {half} interrupts, {seconds:.0f} s, no hang")
    if not given.recorded:
        with served() as url, AssistantClient(base_url=url, api_key="k", max_retries=0) as client:

            def open(handler: AssistantEventHandler | None) -> AssistantStream:
                runs = client.threads.runs
                if handler is None:
                    return runs.stream("t", assistant_id="a")
                return runs.stream("t", assistant_id="a", event_handler=handler)

            seconds = run(open, interrupts, given.interrupts - half, works)
            print(f"loopback: {given.interrupts - half} interrupts, {seconds:.0f} s, no hang")
    left = settled(0)
    print("no thread is left" if left else f"threads are left: {[t.name for t in threading.enumerate()]}")
    return 0 if left else 1


if __name__ == "__main__":
    raise SystemExit(main())

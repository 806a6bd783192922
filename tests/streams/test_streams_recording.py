"""`record()`: what arrived is on disk as it arrived, whatever becomes of the stream or of the disk."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cases import in_one_test
from streams_bodies import (
    DONE,
    AsyncFedBody,
    FedBody,
    answer,
    async_stream,
    delta,
    elsewhere,
    error,
    joined,
    message,
    run,
    sync_stream,
    until,
)

from rx_assistant import replay
from rx_assistant.errors import APIConnectionError, ServerErrorEvent, StreamTruncatedError
from rx_assistant.hot import HotLog

BEGUN = [run("queued"), run("in_progress"), message("created"), delta("a"), delta("b")]


def played(stream: Any) -> tuple[list[Any], type | None]:
    """A stream's events, and the type of its ending."""
    got: list[Any] = []
    endings: list[Any] = []
    with stream:
        stream.subscribe(got.append, endings.append, lambda: endings.append(None))
        stream.connect()
        until(lambda: endings)
    [ending] = endings
    return got, ending and type(ending)


ENDINGS: dict[str, tuple[list[Any], type | None]] = {
    "well": (answer("a", "b"), None),
    "after a terminal status": ([*BEGUN, run("failed"), b""], None),
    "pending done": ([*BEGUN, DONE[:-1], b""], None),
    "pending error": ([*BEGUN, error(message="Sorry.")[:-1], b""], ServerErrorEvent),
    "pending delta": ([*BEGUN, delta("c")[:-1], b""], StreamTruncatedError),
    "cut": ([*BEGUN, delta("c")[:25], b""], StreamTruncatedError),
    "torn": ([*BEGUN, APIConnectionError()], StreamTruncatedError),
    "error": ([*BEGUN, error(message="Sorry.")], ServerErrorEvent),
    "malformed error": ([*BEGUN, b"event: error\ndata: {\n\n"], ServerErrorEvent),
    "error as text": ([*BEGUN, b"event: error\ndata: Sorry.\ndata: Really.\n\n"], ServerErrorEvent),
    "error without a name": ([*BEGUN, b'data: {"error":"Sorry."}\n\n'], ServerErrorEvent),
    "error behind half a frame": ([*BEGUN, delta("c")[:25], error(message="Sorry.")], ServerErrorEvent),
    "html at the end": ([*BEGUN, b"<html>502</html>", b""], StreamTruncatedError),
    "unknown events and odd payloads": (
        [b'event: thread.new\r\ndata: {"a":\r\ndata: 1}\r\n\r\n', b"event: x y\ndata:\n\n", b"data: what\n\n", DONE],
        None,
    ),
}


@in_one_test("name", ENDINGS)
@in_one_test("whole", [False, True], ids=["in chunks", "at once"])
def test_a_recording_replays_to_equal_events_and_the_same_ending(name: str, whole: bool, tmp_path: Path) -> None:
    chunks, ending = ENDINGS[name]
    if whole:
        bodies = b"".join(chunk for chunk in chunks if isinstance(chunk, bytes))
        chunks = [bodies, *(chunk for chunk in chunks if isinstance(chunk, Exception)), b""]
    stream = sync_stream(FedBody(*chunks))
    recording = stream.record(tmp_path / "run.sse")
    events, ended = played(stream)
    assert ended is ending
    assert recording.error is None
    for size in (None, 1, 7):
        assert played(replay(recording.path, chunk_size=size)) == (events, ending)
    again = replay(recording.path)
    second = again.record(tmp_path / "again.sse")
    played(again)
    assert second.path.read_bytes() == recording.path.read_bytes()


def test_frames_are_on_disk_before_anybody_is_told(tmp_path: Path) -> None:
    path = tmp_path / "run.sse"
    sizes: list[int] = []
    with sync_stream(FedBody(*answer("a"))) as stream:
        stream.record(str(path))
        stream.subscribe(lambda event: sizes.append(path.stat().st_size), on_completed=lambda: sizes.append(-1))
        stream.subscribe(on_completed=lambda: sizes.append(path.stat().st_size))
        stream.until_done()
    *items, ended, last = sizes
    assert items == sorted(items)
    assert items[0] == len(run("queued"))
    assert ended == -1
    assert last == len(b"".join(answer("a")))


def test_a_late_recording_holds_what_the_stream_holds(tmp_path: Path) -> None:
    with sync_stream(FedBody(*answer("a", "b"))) as stream:
        for text in stream.text_deltas:
            if text == "a":
                break
        late = stream.record(tmp_path / "late.sse")
        stream.until_done()
        after = stream.record(tmp_path / "after.sse")
    assert late.path.read_bytes() == after.path.read_bytes() == b"".join(answer("a", "b"))


def test_a_late_recording_of_a_stream_that_keeps_nothing_begins_where_the_stream_does(tmp_path: Path) -> None:
    with sync_stream(FedBody(*[delta(str(n)) for n in range(1000)], *answer()), replay="none") as stream:
        got: list[Any] = []
        stream.subscribe(got.append)
        for _ in stream.take(800):
            pass
        late = stream.record(tmp_path / "late.sse")
        stream.until_done()
    events, _ = played(replay(late.path))
    assert events == got[-len(events) :]
    assert 206 <= len(events) < 1000


def test_two_recordings_of_one_stream_are_equal(tmp_path: Path) -> None:
    with sync_stream(FedBody(*answer("a"))) as stream:
        one, other = stream.record(tmp_path / "one.sse"), stream.record(tmp_path / "other.sse")
        stream.until_done()
    assert one.path.read_bytes() == other.path.read_bytes() == b"".join(answer("a"))


def test_recording_while_another_thread_reads_misses_nothing(tmp_path: Path) -> None:
    chunks = [*[delta(str(n)) for n in range(300)], *answer()]
    for round_ in range(5):
        with sync_stream(FedBody(*chunks)) as stream:
            stream.connect()
            recordings = [stream.record(tmp_path / f"{round_}-{number}.sse") for number in range(5)]
            stream.until_done()
        for recording in recordings:
            assert recording.path.read_bytes() == b"".join(chunks)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
@pytest.mark.parametrize(
    "stop",
    [
        lambda stream, body: stream.close(),
        lambda stream, body: joined(elsewhere(stream.close)),
        lambda stream, body: stream.until_done(),
        lambda stream, body: [each for each in stream],  # noqa: C416
    ],
    ids=["close", "close elsewhere", "end", "loop"],
)
def test_the_file_is_closed_with_the_stream(stop: Callable[[Any, Any], object], tmp_path: Path) -> None:
    before = open_files()
    body = FedBody(*answer("a"))
    with sync_stream(body) as stream:
        stream.record(tmp_path / "one.sse")
        stream.record(tmp_path / "other.sse")
        assert open_files() == before + 2
        next(iter(stream))
        stop(stream, body)
        assert open_files() == before
        stream.record(tmp_path / "late.sse")
        assert open_files() == before


def test_a_closed_stream_leaves_a_recording_that_is_cut(tmp_path: Path) -> None:
    with sync_stream(FedBody(*answer("a", "b"))) as stream:
        recording = stream.record(tmp_path / "run.sse")
        for _ in stream.take(4):
            pass
    events, ending = played(replay(recording.path))
    assert len(events) == 4
    assert ending is StreamTruncatedError


def test_closing_while_frames_are_written_harms_nobody(tmp_path: Path) -> None:
    for round_ in range(20):
        body = FedBody(*[delta(str(n)) for n in range(200)], *answer())
        with sync_stream(body) as stream:
            recording = stream.record(tmp_path / f"{round_}.sse")
            stream.connect()
            until(lambda body=body: body.reads > 5)
            stream.close()
        kept = b"".join(delta(str(n)) for n in range(200)) + b"".join(answer())
        written = recording.path.read_bytes()
        assert written
        assert kept.startswith(written)
        assert recording.error is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_ends_the_recording_and_not_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    with sync_stream(FedBody(*answer("a", "b"))) as stream:
        recording = stream.record("/dev/full")
        assert list(stream.text_deltas) == ["a", "b"]
        assert stream.get_final_run().status == "completed"
    assert isinstance(recording.error, OSError)
    assert len([record for record in caplog.records if "/dev/full" in record.message]) == 1


def test_a_file_that_cannot_be_opened_is_an_error_at_once(tmp_path: Path) -> None:
    with sync_stream(FedBody(*answer("a"))) as stream:
        with pytest.raises(FileNotFoundError):
            stream.record(tmp_path / "nowhere" / "run.sse")
        assert list(stream.text_deltas) == ["a"]


@pytest.mark.anyio
async def test_an_async_stream_is_recorded_too(anyio_backend: str, tmp_path: Path) -> None:
    async with async_stream(AsyncFedBody(*answer("a", "b"))) as stream:
        whole = stream.record(tmp_path / "whole.sse")
        await stream.until_done()
    async with async_stream(AsyncFedBody(*answer("a", "b"))) as stream:
        part = stream.record(tmp_path / "part.sse")
        await anext(aiter(stream))
        await stream.close()
    assert whole.path.read_bytes() == b"".join(answer("a", "b"))
    assert part.path.read_bytes() == run("queued")


# -- several streams in one file ---------------------------------------------------------------------------------------

WAITING = [*BEGUN, run("requires_action")]
REST = [run("queued"), run("in_progress"), delta("c"), run("completed")]


@pytest.mark.parametrize("ends_first", [True, False], ids=["one after the other", "the second within the first"])
def test_two_streams_are_one_recording_with_one_done_at_its_end(ends_first: bool, tmp_path: Path) -> None:
    """`submit_tool_outputs_stream` is mostly called inside a callback, before the first stream's `done` has come."""
    first, second = FedBody(*WAITING), FedBody(*REST)
    with sync_stream(first) as one, sync_stream(second) as two:
        recording = one.record(tmp_path / "run.sse")
        one.driver.advance(len(WAITING) - 1)
        if ends_first:
            first.feed(DONE)
            one.until_done()
        two.record(recording)
        two.driver.advance(1)
        first.feed(DONE)
        one.until_done()
        second.feed(DONE)
        two.until_done()
    assert recording.path.read_bytes() == b"".join([*WAITING, *REST, DONE])


def test_a_stream_that_continues_after_a_break_removes_the_incomplete_end(tmp_path: Path) -> None:
    with sync_stream(FedBody(*WAITING[:-1], b"<html>", b"")) as one, pytest.raises(StreamTruncatedError):
        recording = one.record(tmp_path / "run.sse")
        one.until_done()
    assert recording.path.read_bytes().endswith(b"<html>\n")
    with sync_stream(FedBody(*REST, b"")) as two:
        two.record(recording)
        two.until_done()
    assert recording.path.read_bytes() == b"".join([*WAITING[:-1], *REST, DONE])


@pytest.mark.parametrize("name", ENDINGS)
def test_a_recording_that_is_made_after_the_end_has_the_ending(name: str, tmp_path: Path) -> None:
    chunks, ending = ENDINGS[name]
    stream = sync_stream(FedBody(*chunks))
    early = stream.record(tmp_path / "early.sse")
    events, ended = played(stream)
    late = stream.record(tmp_path / "late.sse")
    assert ended is ending
    assert late.path.read_bytes() == early.path.read_bytes()
    assert played(replay(late.path)) == (events, ending)


@pytest.mark.parametrize("moment", ["append", "take"])
def test_a_recording_that_begins_while_a_chunk_arrives_holds_each_event_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Between the chunk's arrival and its place in the log, and between its place there and the files."""
    stream, path, original = sync_stream(FedBody(*answer("a", "b"))), tmp_path / "run.sse", HotLog.append
    begun: list[Any] = []

    def append(log: HotLog[Any], kinds: list[Any], payloads: list[Any]) -> bool:
        if moment == "take" and not begun and log is stream.log and log.length == 4:
            joined(elsewhere(lambda: begun.append(stream.record(path))))
        appended = original(log, kinds, payloads)
        if moment == "append" and not begun and log is stream.log and log.length == 4:
            joined(elsewhere(lambda: begun.append(stream.record(path))))
        return appended

    monkeypatch.setattr(HotLog, "append", append)
    events, ending = played(stream)
    assert len(begun) == 1
    monkeypatch.undo()
    assert played(replay(path)) == (events, ending)


@pytest.mark.parametrize("how", ["collector", "last reference"])
def test_a_stream_that_is_dropped_while_another_one_writes_leaves_the_recording(how: str, tmp_path: Path) -> None:
    streams: list[Any] = [sync_stream(FedBody(*WAITING[:-1]))]
    recording = streams[0].record(tmp_path / "run.sse")
    streams[0].driver.advance(len(WAITING) - 2)
    if how == "collector":
        streams[0].cycle = streams[0]

    class File:
        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, frames: bytes) -> int:
            streams.clear()
            gc.collect()
            return int(self._file.write(frames))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    gc.disable()
    try:
        with sync_stream(FedBody(*REST, DONE)) as other:
            other.record(recording)
            recording._file = File(recording._file)
            joined(elsewhere(other.until_done))
    finally:
        gc.enable()
    until(lambda: recording._file.closed)
    frames = recording.path.read_bytes().removesuffix(DONE)  # written if the stream that has ended leaves last
    assert frames == b"".join([*WAITING[:-1], *REST])

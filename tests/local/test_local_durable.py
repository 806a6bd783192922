"""A server with a data directory: what was answered outlives it, and what was going on goes on or ends truly."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest
from guard import GUARD

from local.conftest import Api, parsed
from local.durable import OPENED, Process, at
from local.kill_rounds import rounds
from local.run_durable import Counting
from rx_assistant import AssistantClient, local
from rx_assistant.cli import run as command_line
from rx_assistant.errors import ConfigurationError
from rx_assistant.local import directory, store
from rx_assistant.local.directory import DataDirectory
from rx_assistant.local.engine import Gate, Text

pytestmark = pytest.mark.unjudged
KEY = {"idempotency-key": "k1"}


@pytest.fixture
def data(tmp_path):
    """A data directory."""
    return tmp_path / "data"


@pytest.fixture
def process(data) -> Iterator[Process]:
    """A durable server in a process of its own."""
    process = Process(data)
    yield process
    process.kill()


@pytest.fixture(autouse=True)
def _close_connections() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().http.close()


def serving(data, engine=None, **options) -> local.Server:
    """A durable server in this process."""
    return local.serve(engine=engine or Counting(), data=data, **options)


def command(*arguments: str) -> int:
    """The exit code of the command line."""
    return command_line(list(arguments))


def text_of(message: dict) -> str:
    return "".join(part["text"]["value"] for part in message["content"])


# What was answered


def test_objects_files_and_lists_outlive_the_server(data):
    with serving(data) as server:
        api = at(server)
        assistant = api.assistant(name="Ada", metadata={"a": "b"})
        thread = api.thread("say 3", "say 4")
        file = api.upload("a.txt", "The sky is blue.")
        vector_store = api.store(("b.txt", "Grass is green."))
        run = api.wait(api.start(assistant, thread))
        gone = api.thread("x")
        api("DELETE", f"/threads/{gone}")
        before = everything(api, assistant, thread, file["id"], run, vector_store["id"])
    with serving(data) as server:
        api = at(server)
        assert everything(api, assistant, thread, file["id"], run, vector_store["id"]) == before
        api.refused("GET", f"/threads/{gone}", None, 404)
        found = api("POST", f"/vector_stores/{vector_store['id']}/search", {"query": "grass"})["data"]
        assert [item["filename"] for item in found] == ["b.txt"]
        assert text_of(api.messages(thread)[-1]) == "1 2 3 4 "
        api("POST", f"/threads/{thread}/messages", USER[0])
        assert api.wait(api.start(assistant, thread))["status"] == "completed"


def everything(api: Api, assistant: str, thread: str, file: str, run: dict, vector_store: str) -> list[object]:
    return [
        api("GET", f"/assistants/{assistant}"),
        api("GET", f"/threads/{thread}"),
        api.messages(thread),
        api("GET", f"/threads/{thread}/runs/{run['id']}"),
        api.steps(run),
        api("GET", "/files"),
        api.http.get(f"/files/{file}/content").content,
        api("GET", f"/vector_stores/{vector_store}/files"),
    ]


def test_a_key_gives_the_same_reply_after_a_restart(data):
    with serving(data) as server:
        api = at(server)
        assistant, thread = api.assistant(), api.thread("say 3")
        first = api("POST", "/threads", {}, headers=KEY)
        body = {"assistant_id": assistant, "stream": True}
        streamed = api.http.post(f"/threads/{thread}/runs", json=body, headers=KEY)
    with serving(data) as server:
        api = at(server)
        assert api("POST", "/threads", {}, headers=KEY) == first
        again = api.http.post(f"/threads/{thread}/runs", json=body, headers=KEY)
        assert again.headers["idempotent-replayed"] == "true"
        assert again.content == streamed.content
        assert len(api("GET", f"/threads/{thread}/runs")["data"]) == 1
        error = api.refused("POST", "/threads", {"metadata": {"a": "b"}}, 422, headers=KEY)
        assert error["code"] == "idempotency_key_reused"


def test_the_streams_that_no_key_refers_to_leave_no_file(data):
    with serving(data) as server:
        api = at(server)
        for _ in range(3):
            api.stream("/threads/runs", {"assistant_id": api.assistant(), "thread": {"messages": USER}})
        assert list((data / "streams").iterdir()) == []


USER = [{"role": "user", "content": "say 3"}]


def test_a_reply_is_sent_after_the_sync(data, monkeypatch):
    synced, order = directory.sync_file, []

    def noted(path) -> None:
        synced(path)
        order.append(path.name)

    monkeypatch.setattr(directory, "sync_file", noted)
    with serving(data) as server:
        api = at(server)
        for method, path, body in (
            ("POST", "/threads", {}),
            ("POST", "/assistants", {"model": "any"}),
            ("POST", "/vector_stores", {}),
        ):
            order.clear()
            made = api(method, path, body)
            assert "objects.sqlite-wal" in order
            order.clear()
            api("GET", f"{path}/{made['id']}")
            assert order == []
            api("DELETE", f"{path}/{made['id']}")
            assert "objects.sqlite-wal" in order


def test_a_log_is_copied_into_its_database_once_for_each_time_that_it_has_grown_large(data, monkeypatch):
    monkeypatch.setattr(directory, "_CHECKPOINT_BYTES", 2**20)
    with closing(DataDirectory(data)) as opened, closing(store.Store(opened.objects)) as objects:
        copies, connect = [], sqlite3.connect
        monkeypatch.setattr(directory.sqlite3, "connect", lambda path: copies.append(path) or connect(path))
        for number in range(300):
            objects.put("thread", {"id": "thread_1", "metadata": {"number": str(number), "text": "x" * 10_000}})
            opened.sync()
        assert copies == [opened.objects] * len(copies)
        assert 2 <= len(copies) <= 300 * 40_000 // 2**20


# What was going on


def test_a_killed_run_fails_and_keeps_the_text_that_its_readers_had_seen(process):
    api = process.start()
    assistant, thread = api.assistant(), api.thread("count")
    seen = read_some(api, assistant, thread, process)
    api = process.start()
    (run,) = api("GET", f"/threads/{thread}/runs")["data"]
    assert (run["status"], run["last_error"]["code"]) == ("failed", "server_error")
    assert run["last_error"]["message"] == "The server was stopped while the run was in progress."
    message = api.messages(thread)[-1]
    assert (message["status"], message["incomplete_details"]) == ("incomplete", {"reason": "run_failed"})
    assert text_of(message).startswith(seen)
    assert [step["status"] for step in api.steps(run)] == ["failed"]
    assert api.start(assistant, thread)["status"] == "queued"


def read_some(api: Api, assistant: str, thread: str, process: Process, **options) -> str:
    """The text of the first deltas of a run whose server is then killed."""
    body = {"assistant_id": assistant, "stream": True}
    read = b""
    with api.http.stream("POST", f"/threads/{thread}/runs", json=body, **options) as response:
        for chunk in response.iter_raw():
            read += chunk
            if b"20 " in read:
                break
        process.kill()
    whole = read[: read.rfind(b"\n\n") + 2]
    return "".join(
        data["delta"]["content"][0]["text"]["value"] for name, data in parsed(whole) if name == "thread.message.delta"
    )


def test_the_stream_of_a_killed_run_can_be_had_again_with_its_ending(process):
    api = process.start()
    assistant, thread = api.assistant(), api.thread("count")
    seen = read_some(api, assistant, thread, process, headers=KEY)
    api = process.start()
    events = api.stream(f"/threads/{thread}/runs", {"assistant_id": assistant}, headers=KEY)
    names = [name for name, _ in events]
    assert names[0] == "thread.run.created"
    assert names[-4:] == ["thread.message.incomplete", "thread.run.step.failed", "thread.run.failed", "done"]
    texts = [data["delta"]["content"][0]["text"]["value"] for name, data in events if name == "thread.message.delta"]
    assert "".join(texts) == text_of(api.messages(thread)[-1])
    assert "".join(texts).startswith(seen)


def test_a_stopped_server_keeps_the_text_too(data):
    with serving(data) as server:
        api = at(server)
        assistant, thread = api.assistant(), api.thread("count")
        run = api.start(assistant, thread)
        while not api.messages(thread)[-1]["content"]:
            time.sleep(0.01)
        seen = text_of(api.messages(thread)[-1])
    with serving(data) as server:
        api = at(server)
        assert api.wait(run)["status"] == "failed"
        assert text_of(api.messages(thread)[-1]).startswith(seen)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_requires_action_waits_on(process, kill):
    api = process.start()
    thread = api.thread("call it")
    run = api.wait(api.start(api.assistant(tools=[FUNCTION]), thread))
    assert run["status"] == "requires_action"
    process.kill(kill)
    api = process.start()
    assert api.wait(run) == run
    api.refused("POST", f"/threads/{thread}/messages", {"role": "user", "content": "x"})
    run = api.wait(api.answer(run))
    assert run["status"] == "completed"
    assert (run["usage"]["prompt_tokens"], run["usage"]["completion_tokens"]) == (18, 8)
    calls, message = api.steps(run)
    function = calls["step_details"]["tool_calls"][0]["function"]
    assert function == {"name": "look_up", "arguments": '{"what": "it"}', "output": "ok"}
    assert (calls["status"], message["status"]) == ("completed", "completed")
    assert text_of(api.messages(thread)[-1]) == "It is ok."


FUNCTION = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}}


def test_a_run_that_is_queued_starts(data):
    with serving(data) as server:
        api = at(server)
        thread = api.thread("call it")
        run = api.wait(api.start(api.assistant(tools=[FUNCTION]), thread))
    change(data, run, status="queued", required_action=None)
    with serving(data) as server:
        assert at(server).wait(run, "requires_action")["status"] == "requires_action"


def test_a_run_that_was_being_cancelled_is_cancelled(data):
    with serving(data) as server:
        api = at(server)
        run = api.wait(api.start(api.assistant(tools=[FUNCTION]), api.thread("call it")))
    change(data, run, status="cancelling", required_action=None)
    with serving(data) as server:
        api = at(server)
        run = api.wait(run, "cancelled")
        assert (run["status"], run["cancelled_at"] is None) == ("cancelled", False)
        assert [step["status"] for step in api.steps(run)] == ["cancelled"]


def test_the_time_of_a_run_goes_on_while_no_server_runs(data):
    with serving(data) as server:
        api = at(server)
        run = api.wait(api.start(api.assistant(tools=[FUNCTION]), api.thread("call it")))
    change(data, run, expires_at=int(time.time()) - 10)
    with serving(data) as server:
        assert at(server).wait(run, "expired")["status"] == "expired"


def change(data, run: dict, **fields: object) -> None:
    """Changes a run in the store of a server that is stopped."""
    kept = store.Store(data / "objects.sqlite")
    kept.put("run", {**run, **fields}, run["thread_id"])
    kept.close()


def test_files_that_were_being_taken_in_are_taken_in(data):
    with serving(data, ingestion_delay=60) as server:
        api = at(server)
        file = api.upload("a.txt", "The sky is blue.")
        made = api("POST", "/vector_stores", {"file_ids": [file["id"]]})
        assert made["status"] == "in_progress"
    with serving(data) as server:
        api = at(server)
        while api("GET", f"/vector_stores/{made['id']}")["status"] != "completed":
            time.sleep(0.01)
        found = api("POST", f"/vector_stores/{made['id']}/search", {"query": "sky"})["data"]
        assert [item["filename"] for item in found] == ["a.txt"]


def test_a_lost_index_is_made_again(data):
    with serving(data) as server:
        made = at(server).store(("a.txt", "The sky is blue."))
    for path in data.glob("index.sqlite*"):
        path.unlink()
    with serving(data) as server:
        api, found = at(server), []
        while not found:
            time.sleep(0.005)
            found = api("POST", f"/vector_stores/{made['id']}/search", {"query": "sky"})["data"]
        assert found[0]["filename"] == "a.txt"


def test_what_a_killed_server_left_half_done_is_tidied(data):
    with serving(data) as server:
        api = at(server)
        thread, file = api.thread("x"), api.upload("a.txt", "x")
    (data / "files" / "tmp_half").write_bytes(b"half an upload")
    (data / "streams" / "run_unknown.1").write_bytes(b"event: x\n")
    with closing(sqlite3.connect(data / "objects.sqlite")) as connection, connection:
        connection.execute("DELETE FROM objects WHERE id = ?", (thread,))
    (data / "files" / file["id"]).write_bytes(b"")
    with serving(data) as server:
        api = at(server)
        assert [path.name for path in (data / "files").iterdir()] == [file["id"]]
        assert list((data / "streams").iterdir()) == []
        assert api("GET", f"/files/{file['id']}")["status"] == "error"
        while server._state.store.has_any("message", thread):
            time.sleep(0.01)


# Following over a restart


def test_a_client_that_polls_over_the_restart_ends_with_what_the_server_holds(process):
    api = process.start()
    assistant, thread = api.assistant(), api.thread("count")
    client = AssistantClient(base_url=process.base_url, api_key="any", max_retries=20)
    with (
        client,
        client.threads.runs.stream(thread_id=thread, assistant_id=assistant, on_disconnect="poll") as stream,
    ):
        for text in stream.text_deltas:
            if text == "20 ":
                break
        killing = threading.Thread(target=lambda: (process.kill(), process.start()))
        killing.start()
        run = stream.get_final_run()
        killing.join()
        snapshot = stream.snapshot
    api = at(process)
    assert run.status == "failed"
    assert snapshot.messages[0].content[0].text.value == text_of(api.messages(thread)[-1])
    assert [step.status for step in snapshot.steps] == ["failed"]


# The directory


def test_a_second_server_is_refused_by_name(data):
    with serving(data), pytest.raises(ConfigurationError, match=r"used by another server \(process \d+, .+\)"):
        serving(data)
    with serving(data):
        pass


def test_the_command_says_where_the_data_is_and_refuses_a_second_one(data):
    command = [sys.executable, "-m", "rx_assistant", "serve", "--port", "0", "--data", str(data)]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert first.stderr is not None
        lines = [first.stderr.readline(), first.stderr.readline()]
        assert str(data) in lines[1]
        second = subprocess.run(command, capture_output=True, text=True, timeout=60)
        assert second.returncode != 0
        assert f"process {first.pid}" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        first.terminate()
        first.communicate(timeout=20)


def test_a_newer_schema_is_a_clear_error(data):
    with serving(data):
        pass
    with closing(sqlite3.connect(data / "objects.sqlite")) as connection, connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(ConfigurationError, match=r"version 99 .* use the newer rx_assistant"):
        serving(data)


def test_an_older_schema_is_brought_forward(data, monkeypatch):
    with serving(data) as server:
        assistant = at(server).assistant()
    more = "ALTER TABLE objects ADD COLUMN colour TEXT; UPDATE objects SET colour = 'blue';"
    monkeypatch.setattr(store, "_MIGRATIONS", (*store._MIGRATIONS, more))
    with serving(data) as server:
        at(server)("GET", f"/assistants/{assistant}")
        found = server._state.store.connection.execute("SELECT colour FROM objects").fetchall()
    assert found == [("blue",)]


def test_a_file_that_is_no_database_is_a_clear_error(data):
    data.mkdir()
    (data / "objects.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(ConfigurationError, match=r"objects\.sqlite cannot be opened as a database") as held:
        serving(data)
    (data / "objects.sqlite").unlink()
    with serving(data):  # the lock was let go, although the error is kept
        assert held


def test_a_directory_that_cannot_be_made_is_a_clear_error(data):
    data.write_text("a file")
    with pytest.raises(ConfigurationError, match="cannot be used"):
        serving(data)


def test_health_tells_the_directory_and_the_room_on_its_disk(data):
    with serving(data) as server:
        api = at(server)
        told = api.http.get(server.base_url.removesuffix("v1") + "healthz").json()
    assert told["status"] == "ok"
    assert told["data"]["directory"] == str(data)
    assert 0 < told["data"]["free_bytes"] <= shutil.disk_usage(data).total


# A full disk


class Pausing:
    """Says a word, waits at a gate, and goes on."""

    async def run(self, context):
        yield Text("before ")
        yield Gate("go on")
        for _ in range(100):
            yield Text("after " * 500)


def limit(server: local.Server, more_pages: int | None) -> None:
    """Lets the database grow by so many pages only; None: without a limit again."""
    done = threading.Event()

    def set_limit() -> None:
        connection = server._state.store.connection
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {2**30 if more_pages is None else pages + more_pages}")
        done.set()

    server._listener.tell(set_limit)
    assert done.wait(GUARD)


def test_a_full_disk_is_507_fails_the_runs_and_is_over_when_there_is_room(data):
    with serving(data, Pausing()) as server:
        api = at(server)
        assistant, thread = api.assistant(), api.thread("x")
        run = api.start(assistant, thread)
        while not api.messages(thread)[-1]["content"] or api.messages(thread)[-1]["role"] == "user":
            time.sleep(0.01)
        limit(server, 0)
        fill = {"messages": [{"role": "user", "content": "x" * 50_000}]}
        error = api.refused("POST", "/threads", fill, 507)
        assert (error["code"], error["message"]) == ("insufficient_storage", "The server's disk is full.")
        server.release("go on")
        run = api.wait(run)
        assert (run["status"], run["last_error"]["message"]) == ("failed", "The server's disk is full.")
        assert api.messages(thread)[-1]["status"] == "incomplete"
        api("GET", f"/assistants/{assistant}")
        limit(server, None)
        api("POST", "/threads", fill)
        before = [api.wait(run), api.messages(thread), api.steps(run)]
    with serving(data, Pausing()) as server:
        api = at(server)
        assert [api.wait(run), api.messages(thread), api.steps(run)] == before


# Copies


def test_a_copy_made_under_load_is_the_state_of_one_moment(data, tmp_path):
    with serving(data) as server:
        api, stop = at(server), threading.Event()
        file, thread = api.upload("a.txt", "The sky is blue."), api.thread()

        def write() -> None:
            mine, number = at(server), 0
            while not stop.is_set():
                mine("POST", f"/threads/{thread}/messages", {"role": "user", "content": str(number)})
                mine("DELETE", f"/files/{mine.upload('b.txt', 'x')['id']}")
                number += 1

        writing = threading.Thread(target=write)
        writing.start()
        while len(api.messages(thread)) < 5:
            time.sleep(0.01)
        assert command("backup", str(data), str(tmp_path / "copy")) == 0
        stop.set()
        writing.join()
    with serving(tmp_path / "copy") as server:
        api = at(server)
        texts = [text_of(message) for message in api.messages(thread, limit=100)]
        assert texts == [str(number) for number in range(len(texts))]
        assert len(texts) >= 5
        assert api.http.get(f"/files/{file['id']}/content").text == "The sky is blue."
        assert {found["status"] for found in api("GET", "/files")["data"]} == {"processed"}


def test_a_copy_needs_a_data_directory_and_a_new_one(data, tmp_path):
    with serving(data):
        pass
    for source, target in ((tmp_path, tmp_path / "copy"), (data, tmp_path)):
        with pytest.raises(ConfigurationError, match="must"):
            directory.back_up(source, target)


# Killed at random


def test_nothing_that_was_answered_is_lost_when_the_server_is_killed_at_random(data):
    assert rounds(data, number=4, seed=1)["made"] > 0


def test_the_names_of_files_are_synced_for_streams_that_are_kept(connect, tmp_path, monkeypatch):
    synced: list[bool] = []
    sync = DataDirectory.sync
    monkeypatch.setattr(DataDirectory, "sync", lambda self, names: (synced.append(names), sync(self, names)))
    api = connect(data=tmp_path / "data")
    body = {"assistant_id": api.assistant()}
    synced.clear()
    api.stream(f"/threads/{api.thread('hi')}/runs", body)
    assert set(synced) == {False}
    api.stream(f"/threads/{api.thread('hi')}/runs", body, headers={"idempotency-key": "one"})
    assert True in synced

"""Moving in and out: objects that people saved are on the server as they were, and an export holds them all."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from reference import SHARED

from local.conftest import Api
from local.durable import OPENED, at
from local.run_durable import Counting
from rx_assistant import local
from rx_assistant.cli import run as command_line
from rx_assistant.errors import ConfigurationError
from rx_assistant.local import moving
from rx_assistant.local.moving import reading

pytestmark = pytest.mark.unjudged
EXCHANGES = SHARED / "wire" / "json"


@pytest.fixture(autouse=True)
def _close_connections() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().http.close()


@pytest.fixture
def data(tmp_path):
    """A data directory."""
    return tmp_path / "data"


def serving(data, **options) -> local.Server:
    return local.serve(engine=Counting(), data=data, **options)


def written(path: Path, *values: object) -> Path:
    """The values as JSON Lines."""
    path.write_text("".join(json.dumps(value) + "\n" for value in values), "utf-8")
    return path


def lines(path: Path) -> dict[tuple[str, ...], str]:
    """The lines of an export by what names an object."""
    found = {}
    for line in path.read_text("utf-8").splitlines()[1:]:
        value = json.loads(line)
        batch = value.get("rx_assistant", {}).get("batch", "")
        found[value["object"], value.get("vector_store_id", ""), batch, value["id"]] = line
    return found


def exported(data: Path, path: Path) -> dict[tuple[str, ...], str]:
    moving.export(data, path)
    return lines(path)


def message(id: str, created: object = 1_700_000_000, thread: str = "thread_1", text: str = "Hello", **fields) -> dict:
    return {
        "id": id,
        "object": "thread.message",
        "created_at": created,
        "assistant_id": None,
        "thread_id": thread,
        "run_id": None,
        "role": "user",
        "content": [{"type": "text", "text": {"value": text, "annotations": []}}],
        "attachments": [],
        "metadata": {},
        **fields,
    }


def page(*values: dict, **fields) -> dict:
    return {"object": "list", "data": list(values), "first_id": None, "last_id": None, "has_more": False, **fields}


def file(id: str, name: str, size: int, **fields) -> dict:
    return {
        "object": "file",
        "id": id,
        "purpose": "assistants",
        "filename": name,
        "bytes": size,
        "created_at": 1_700_000_000,
        "expires_at": None,
        "status": "processed",
        "status_details": None,
        **fields,
    }


# Round trips


def test_an_export_of_a_server_is_the_same_after_import_and_restart(data, tmp_path):
    with serving(data) as server:
        api = at(server)
        assistant = api.assistant(name="Ada", tools=[{"type": "file_search"}], metadata={"a": "ü"})
        threads = [api.thread("say 2", "say 3") for _ in range(2)]
        runs = [api.wait(api.start(assistant, thread)) for thread in threads]
        called = api.thread("call me")
        runs.append(api.wait(api.answer(api.wait(api.start(assistant, called)))))
        api.upload("notes.txt", "The sky is blue.")
        store = api.store(("b.txt", "Grass is green."))
        ids = [api.upload(f"{number}.txt", f"number {number}")["id"] for number in range(3)]
        batch = api("POST", f"/vector_stores/{store['id']}/file_batches", {"file_ids": ids})
        while batch["status"] == "in_progress":
            batch = api("GET", f"/vector_stores/{store['id']}/file_batches/{batch['id']}")
        before = exported(data, tmp_path / "while running.jsonl")
        shown = seen(api, assistant, [*threads, called], runs, store["id"], batch["id"])
    assert exported(data, tmp_path / "one.jsonl") == before
    report = moving.import_files(tmp_path / "other", [tmp_path / "one.jsonl"])
    assert (report.skipped, report.kept, report.remarks) == ({}, {}, {})
    with serving(tmp_path / "other") as server:
        api = at(server)
        while api("GET", f"/vector_stores/{store['id']}")["status"] == "in_progress":
            time.sleep(0.005)
        assert seen(api, assistant, [*threads, called], runs, store["id"], batch["id"]) == shown
        found = api("POST", f"/vector_stores/{store['id']}/search", {"query": "grass"})["data"]
        assert [item["filename"] for item in found] == ["b.txt"]
        after = exported(tmp_path / "other", tmp_path / "two.jsonl")
    searched = ("vector_store", "", "", store["id"])
    assert {**after, searched: ""} == {**before, searched: ""}
    assert list(after) == list(before)
    again = moving.import_files(tmp_path / "other", [tmp_path / "two.jsonl"])
    assert not again.moved
    assert not again.skipped
    assert exported(tmp_path / "other", tmp_path / "three.jsonl") == after


def seen(api: Api, assistant: str, threads: list[str], runs: list[dict], store: str, batch: str) -> list[object]:
    return [
        api("GET", f"/assistants/{assistant}"),
        [api("GET", f"/threads/{thread}") for thread in threads],
        [api("GET", f"/threads/{thread}/messages") for thread in threads],
        [api("GET", f"/threads/{run['thread_id']}/runs/{run['id']}") for run in runs],
        [api.steps(run) for run in runs],
        api("GET", "/files"),
        [api.http.get(f"/files/{item['id']}/content").content for item in api("GET", "/files")["data"]],
        api("GET", f"/vector_stores/{store}/files"),
        api("GET", f"/vector_stores/{store}/file_batches/{batch}/files"),
    ]


def recorded(*names: str) -> list[dict]:
    """The objects and pages in the replies of recorded exchanges with the service."""
    found = []
    for name in names:
        for path in sorted(EXCHANGES.glob(f"*{name}*.json")):
            for exchange in json.loads(path.read_text("utf-8"))["exchanges"]:
                body = exchange["response"]["body"]
                if exchange["response"]["status"] == 200 and isinstance(body, dict) and not body.get("deleted"):
                    found.append(body)
    return found


@pytest.mark.skipif(not EXCHANGES.is_dir(), reason="the recorded exchanges are not at hand")
@pytest.mark.parametrize("names", [("openai-dotnet",), ("ruby-openai__2024", "ruby-openai__2025")], ids=["net", "ruby"])
def test_what_the_service_sent_is_the_same_after_import_restart_export_and_import(names, data, tmp_path):
    values = recorded(*names)
    assert len(values) > 100
    report = moving.import_files(data, [written(tmp_path / "service.jsonl", *values)])
    refused = {reason for reason in report.skipped if "are not kept by this server" not in reason}
    assert refused <= {"the field object is missing", "the value is not an object"}
    assert report.moved["assistant"] > 5
    assert report.moved["message"] > 5
    assert report.moved["run"] > 5
    first = exported(data, tmp_path / "first.jsonl")
    originals = {value["id"]: value for value in values if value.get("object") in ("assistant", "thread")}
    for (_, _, _, id), line in first.items():
        if id in originals:  # nothing that the service said is lost or changed
            told = {name: item for name, item in originals[id].items() if item is not None}
            assert json.loads(line) | told == json.loads(line)
    with serving(data) as server:
        api = at(server)
        for kind, _, _, id in first:
            if kind in ("assistant", "thread"):
                api("GET", f"/{kind}s/{id}")
            if kind == "thread":
                api("GET", f"/threads/{id}/messages")
                for run in api("GET", f"/threads/{id}/runs")["data"]:
                    api.steps(run)
                assistant = api.assistant()
                api("POST", f"/threads/{id}/messages", {"role": "user", "content": "say 2"})
                assert api.wait(api.start(assistant, id))["status"] == "completed"
                api("DELETE", f"/assistants/{assistant}")
    second = exported(data, tmp_path / "second.jsonl")
    assert first.items() <= second.items()
    moving.import_files(tmp_path / "other", [tmp_path / "second.jsonl"])
    with serving(tmp_path / "other"):
        pass
    assert exported(tmp_path / "other", tmp_path / "third.jsonl") == second


# Order, and what is there already


def order(data: Path, tmp_path: Path, kind: str = "thread.message") -> list[str]:
    return [id for name, _, _, id in exported(data, tmp_path / "order.jsonl") if name == kind]


@pytest.mark.parametrize(
    "files",
    [
        [[message("a", 1), message("b", 1), message("c", 2)]],
        [[message("c", 2), message("b", 1), message("a", 1)]],
        [[page(message("c", 2), message("b", 1)), page(message("a", 1))]],
        [[message("a", 1)], [page(message("b", 1))], [page(message("c", 2))]],
        [[message("x", 5, "thread_2"), message("a", 1), message("b", 1), message("c", 2)]],
    ],
    ids=["oldest first", "newest first", "pages", "several files", "two threads"],
)
def test_messages_get_the_order_of_their_times(files, data, tmp_path):
    paths = [written(tmp_path / f"{number}.jsonl", *values) for number, values in enumerate(files)]
    moving.import_files(data, paths)
    assert [id for id in order(data, tmp_path) if id != "x"] == ["a", "b", "c"]


def test_older_objects_go_before_those_of_the_directory_and_cursors_stay(data, tmp_path):
    with serving(data) as server:
        api = at(server)
        new, gone, newest = api.thread("x"), api.thread("y"), api.thread("z")
        api("DELETE", f"/threads/{gone}")
    threads = [{"id": f"thread_{at}", "object": "thread", "created_at": at} for at in (3, 1)]
    future = {"id": "thread_9", "object": "thread", "created_at": 9_000_000_000}
    moving.import_files(data, [written(tmp_path / "old.jsonl", *threads, future)])
    assert order(data, tmp_path, "thread") == ["thread_1", "thread_3", new, newest, "thread_9"]
    with serving(data) as server:
        api = at(server)
        later = api.thread("later")
        assert api.messages(new)[0]["content"][0]["text"]["value"] == "x"
        azure = f"{server.base_url.removesuffix('/v1')}/api/projects/p/threads"
        following = api.http.get(azure, params={"order": "asc", "after": gone}).json()["data"]
        assert [thread["id"] for thread in following] == [newest, "thread_9", later]


def test_a_second_import_changes_nothing_and_says_so(data, tmp_path):
    path = written(tmp_path / "a.jsonl", message("msg_1"), message("msg_2"))
    first = moving.import_files(data, [path])
    assert dict(first.moved) == {"message": 2, "thread": 1}
    before = exported(data, tmp_path / "before.jsonl")
    again = moving.import_files(data, [path])
    assert not again.moved
    assert {reason: tally.count for reason, tally in again.kept.items()} == {"already there": 2}
    changed = moving.import_files(data, [written(tmp_path / "b.jsonl", message("msg_1", text="Other"))])
    assert [tally.count for tally in changed.kept.values()] == [1]
    assert "other content" in next(iter(changed.kept))
    assert exported(data, tmp_path / "after.jsonl") == before


def test_the_last_of_equal_ids_is_taken_and_a_whole_object_before_a_flat_record(data, tmp_path):
    flat = {"thread_id": "thread_1", "message_id": "msg_1", "role": "user", "text": "flat", "created_at": 5}
    values = [message("msg_1", text="first"), message("msg_1", text="last", metadata={"a": "b"}), flat]
    report = moving.import_files(data, [written(tmp_path / "a.jsonl", *values)])
    assert report.moved["message"] == 1
    (line,) = [line for (kind, *_), line in exported(data, tmp_path / "x.jsonl").items() if kind == "thread.message"]
    assert json.loads(line) == values[1]


# Formats


def test_every_kind_of_file_is_read(data, tmp_path):
    one = json.dumps(message("msg_1"), indent=2)
    two = json.dumps(message("msg_2"), indent=2)
    (tmp_path / "several values.json").write_text(one + "\n" + two, "utf-8")
    (tmp_path / "array.json").write_text(json.dumps([message("msg_3"), message("msg_4")], indent=1), "utf-8-sig")
    (tmp_path / "page.json").write_text(json.dumps(page(message("msg_5"))), "utf-8")
    (tmp_path / "utf-16.jsonl").write_text(json.dumps(message("msg_6", text="ü")) + "\n", "utf-16")
    nested = {"threads": [{"id": "thread_2", "object": "thread", "created_at": 1, "messages": [message("msg_7")]}]}
    (tmp_path / "nested.json").write_text(json.dumps(nested), "utf-8")
    del nested["threads"][0]["messages"][0]["thread_id"]
    sdk = {"data": [message("msg_8")], "has_more": False}
    (tmp_path / "sdk.txt").write_text(json.dumps(sdk), "utf-8")
    report = moving.import_files(data, sorted(path for path in tmp_path.iterdir() if path.is_file()))
    assert report.skipped == {}
    assert dict(report.moved) == {"message": 8, "thread": 2}


@pytest.mark.parametrize(
    "created", [1_700_000_000, 1_700_000_000.5, "1700000000", 1_700_000_000_000, "2023-11-14T22:13:20Z"]
)
def test_flat_records_become_messages_with_their_times(created, data, tmp_path):
    question = {"thread_id": "thread_1", "assistant_id": None, "message_id": "msg_1", "role": "user", "text": "Hi"}
    answer = {"thread_id": "thread_1", "assistant_id": "asst_1", "role": "assistant", "text": "Hello"}
    path = written(tmp_path / "a.ndjson", {**question, "created_at": created}, {**answer, "created_at": created})
    for expected in ({"message": 2, "thread": 1}, {}):
        assert dict(moving.import_files(data, [path]).moved) == expected
    with serving(data) as server:
        api = at(server)
        assert [(item["created_at"], item["role"], item["assistant_id"]) for item in api.messages("thread_1")] == [
            (1_700_000_000, "user", None),
            (1_700_000_000, "assistant", "asst_1"),
        ]


ODD = [
    ("{broken", "the line is not JSON"),
    ('"text"', "the value is not an object"),
    (json.dumps({"id": "x"}), "the field object is missing"),
    (json.dumps({"object": "model", "id": "x"}), "objects of the kind 'model'"),
    (json.dumps(message("../../etc/passwd")), "id must be 1 to 255 letters"),
    (json.dumps(message("msg_1", thread="a/b")), "thread_id must be 1 to 255 letters"),
    (json.dumps(message("a" * 256)), "id must be 1 to 255 letters"),
    (json.dumps(message("msg_1\n")), "id must be 1 to 255 letters"),
    (json.dumps({"object": "thread", "created_at": 1}), "id is missing"),
    (json.dumps(message("msg_1", content=7)), "content must be an array, got a number"),
    (json.dumps(message("msg_1", content=[{"type": "text"}])), "each of content must be a part"),
    (json.dumps(message("msg_1", run_id=[])), "run_id must be a text"),
    (json.dumps(message("msg_1", attachments=["x"])), "each of attachments must be"),
    (json.dumps(message("msg_1", metadata=[])), "metadata must be an object"),
    (json.dumps(message("msg_1"))[:-1] + ', "n": NaN}', "the line is not JSON"),
    (json.dumps(message("msg_1", metadata={"a": [0] * 60_000})), "the object is more than 50000 values"),
    ("[" * 200_000, "the line is not JSON"),
    (json.dumps({"thread_id": "thread_1", "text": None}), "text must be a text"),
    (json.dumps(message("msg_1", role="system")), "role must be user or assistant, got 'system'"),
    (json.dumps(message("msg_1", usage_bytes=2**80)), "usage_bytes must be a number"),
    (json.dumps(message("msg_1", purpose={})), "purpose must be a text"),
    (json.dumps(message("msg_1", rx_assistant={"notes": {"engine": 5}})), "rx_assistant.notes must be"),
    (json.dumps({"object": "assistant", "id": "asst_1", "instructions": []}), "instructions must be a text"),
    (json.dumps({"object": "assistant", "id": "asst_1", "tools": [{"type": "function"}]}), "each of tools must be"),
    (json.dumps({"object": "file", "id": "file-1", "expires_at": "soon"}), "expires_at must be a time"),
    (json.dumps({"object": "file", "id": "file-1", "content": "not base64!"}), "content must be base64"),
    (json.dumps({"object": "thread.run.step", "id": "s", "run_id": "r", "thread_id": "t"}), "step_details must be"),
]


@pytest.mark.parametrize(("line", "reason"), ODD, ids=range(len(ODD)))
def test_what_cannot_be_imported_is_skipped_with_a_reason_and_the_rest_is_there(line, reason, data, tmp_path, capsys):
    path = tmp_path / "a.jsonl"
    path.write_text(f"{line}\n{json.dumps(message('msg_9'))}\n", "utf-8")
    assert command_line(["import", "--data", str(data), str(path)]) == 1
    said = capsys.readouterr().err
    assert f"skipped: 1 × {reason}" in said
    assert "a.jsonl:1" in said
    assert "imported: 1 message, 1 thread" in said
    with serving(data) as server:
        assert [item["id"] for item in at(server).messages("thread_1")] == ["msg_9"]


def test_a_line_or_text_above_the_limit_is_skipped(data, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_BYTES", 2000)
    lines = written(tmp_path / "a.jsonl", message("msg_1", text="x" * 9000), message("msg_2"))
    text = tmp_path / "b.json"
    text.write_text(json.dumps([message(f"msg_{number}") for number in range(3, 99)], indent=2), "utf-8")
    report = moving.import_files(data, [lines, text])
    assert report.moved["message"] == 1
    assert [tally.examples for tally in report.skipped.values()] == [["a.jsonl:1"], ["b.json"]]


def test_objects_of_the_sdk_and_of_version_1_are_completed(data, tmp_path):
    assistant = {
        "id": "asst_1",
        "object": "assistant",
        "created_at": 1,
        "model": "gpt-4",
        "name": None,
        "tools": [{"type": "retrieval"}, {"type": "file_search", "file_search": {"max_num_results": None}}],
        "tool_resources": {"code_interpreter": None, "file_search": {"vector_store_ids": None}},
        "file_ids": [],
    }
    thread = {"id": "thread_1", "object": "thread", "created_at": 1, "metadata": None, "tool_resources": None}
    old = message("msg_1", file_ids=[], content=[{"type": "text", "text": "say 2"}])
    del old["attachments"]
    run = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "assistant_id": "asst_1", "created_at": 2}
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    step = {
        "id": "step_1",
        "object": "thread.run.step",
        "run_id": "run_1",
        "thread_id": "thread_1",
        "created_at": 2,
        "status": "completed",
        "step_details": {"type": "tool_calls", "tool_calls": [call]},
    }
    path = written(tmp_path / "a.jsonl", assistant, thread, old, {**run, "status": "completed"}, step)
    assert moving.import_files(data, [path]).skipped == {}
    with serving(data) as server:
        api = at(server)
        assert [tool["type"] for tool in api("GET", "/assistants/asst_1")["tools"]] == ["file_search"] * 2
        assert api.wait(api.start("asst_1", "thread_1"))["status"] == "completed"
        assert api.steps({"thread_id": "thread_1", "id": "run_1"})[0]["type"] == "tool_calls"


# Parents, runs, files


def test_missing_parents_are_created_and_named(data, tmp_path):
    step = {
        "id": "step_1",
        "object": "thread.run.step",
        "run_id": "run_1",
        "thread_id": "thread_2",
        "assistant_id": "asst_1",
        "created_at": 7,
        "status": "completed",
        "step_details": {"type": "message_creation", "message_creation": {"message_id": "msg_2"}},
    }
    member = {"id": "file-1", "object": "vector_store.file", "vector_store_id": "vs_1", "created_at": 8}
    report = moving.import_files(data, [written(tmp_path / "a.jsonl", message("msg_1", 5), step, member)])
    assert report.skipped == {}
    assert sum(tally.count for reason, tally in report.remarks.items() if "is created" in reason) == 4
    with serving(data) as server:
        api = at(server)
        assert api("GET", "/threads/thread_1")["created_at"] == 5
        assert api("GET", "/threads/thread_2/runs/run_1")["status"] == "completed"
        assert api("GET", "/vector_stores/vs_1")["file_counts"]["failed"] == 1


@pytest.mark.parametrize("status", ["queued", "in_progress", "requires_action", "cancelling"])
def test_a_run_that_was_not_over_has_expired(status, data, tmp_path):
    run = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "assistant_id": "asst_1", "created_at": 2}
    run |= {"status": status, "required_action": {"type": "submit_tool_outputs"}, "expires_at": 9_000_000_000}
    open_message = message("msg_1", status="in_progress", run_id="run_1", role="assistant")
    report = moving.import_files(data, [written(tmp_path / "a.jsonl", run, open_message)])
    assert [tally.examples for reason, tally in report.remarks.items() if "expired" in reason] == [
        ["a.jsonl:1 (run_1)"]
    ]
    with serving(data) as server:
        api = at(server)
        kept = api("GET", "/threads/thread_1/runs/run_1")
        assert (kept["status"], kept["required_action"], kept["created_at"]) == ("expired", None, 2)
        assert api.messages("thread_1")[0]["status"] == "incomplete"
        api("POST", "/threads/thread_1/messages", {"role": "user", "content": "say 1"})
        assert api.wait(api.start(api.assistant(), "thread_1"))["status"] == "completed"


def test_the_bytes_of_files_are_found_beside_the_json_or_in_it(data, tmp_path):
    texts = {f"file-{number}": f"The word is w{number}.".encode() for number in range(5)}
    size = len(texts["file-0"])
    (tmp_path / "a-files").mkdir()
    (tmp_path / "files").mkdir()
    (tmp_path / "a-files" / "file-0").write_bytes(texts["file-0"])
    (tmp_path / "files" / "file-1.txt").write_bytes(texts["file-1"])
    (tmp_path / "two.txt").write_bytes(texts["file-2"])
    (tmp_path / "four.txt").write_bytes(b"another size")
    values = [file("file-0", "zero.txt", size), file("file-1", "one.txt", size), file("file-2", "two.txt", size)]
    values.append(file("file-3", "three.txt", size, content=base64.b64encode(texts["file-3"]).decode()))
    values.append(file("file-4", "four.txt", size))
    values.append({"id": "vs_1", "object": "vector_store", "created_at": 1, "expires_after": None})
    for id in texts:
        member = {"id": id, "object": "vector_store.file", "vector_store_id": "vs_1", "created_at": 2, "usage_bytes": 9}
        strategy = {"type": "other"}
        values.append({**member, "status": "completed", "last_error": None, "chunking_strategy": strategy})
    path = written(tmp_path / "a.jsonl", *values)
    moving.import_files(data, [path])
    with serving(data) as server:
        api = at(server)
        while (store := api("GET", "/vector_stores/vs_1"))["status"] == "in_progress":
            time.sleep(0.005)
        assert (store["file_counts"]["completed"], store["file_counts"]["failed"]) == (4, 1)
        assert {id: api.http.get(f"/files/{id}/content").content for id in list(texts)[:4]} == dict(
            list(texts.items())[:4]
        )
        assert api("GET", "/files/file-4")["status"] == "error"
        assert "not imported" in api("GET", "/vector_stores/vs_1/files/file-4")["last_error"]["message"]
        assert "bytes" in api.refused("GET", "/files/file-4/content", None, 404)["message"]
    (tmp_path / "four.txt").write_bytes(texts["file-4"])
    report = moving.import_files(data, [path])
    assert any("are added" in remark for remark in report.remarks)
    with serving(data) as server:
        api = at(server)
        while (store := api("GET", "/vector_stores/vs_1"))["status"] == "in_progress":
            time.sleep(0.005)
        assert store["file_counts"]["completed"] == 5
        found = api("POST", "/vector_stores/vs_1/search", {"query": "w4"})["data"]
        assert found[0]["file_id"] == "file-4"


@pytest.mark.parametrize("name", ["a\0b.txt", "x" * 500, "ü" * 200 + ".txt", "half \ud83d.txt", "a\nb.txt", "..", ""])
def test_a_file_with_an_odd_name_is_imported(name, data, tmp_path):
    value = file("file-1", name, 5, content=base64.b64encode(b"Hello").decode())
    lost = file("f" * 254, name, 5)
    report = moving.import_files(data, [written(tmp_path / "a.jsonl", value, lost)])
    assert report.moved["file"] == 2
    with serving(data) as server:
        assert at(server).http.get("/files/file-1/content").content == b"Hello"


def test_a_name_with_a_path_does_not_reach_other_folders(data, tmp_path):
    (tmp_path / "secret.txt").write_text("secret", "utf-8")
    (tmp_path / "in").mkdir()
    path = written(tmp_path / "in" / "a.jsonl", file("file-1", "../secret.txt", 6), file("..", "x", 1))
    report = moving.import_files(data, [path])
    assert report.moved["file"] == 1
    assert list((data / "files").iterdir()) == []


# The directory


def test_a_directory_that_a_server_uses_is_refused_with_its_process(data, tmp_path, capsys):
    path = written(tmp_path / "a.jsonl", message("msg_1"))
    with serving(data):
        assert command_line(["import", "--data", str(data), str(path)]) == 2
        assert f"process {os.getpid()}" in capsys.readouterr().err
        assert command_line(["export", "--data", str(data), str(tmp_path / "out.jsonl")]) == 0


def test_a_failed_import_changes_nothing(data, tmp_path, monkeypatch):
    before = moving.import_files(data, [written(tmp_path / "a.jsonl", message("msg_1"))])
    assert before.moved["message"] == 1
    first = exported(data, tmp_path / "one.jsonl")

    def fail(self) -> None:
        self._connection.execute("INSERT INTO objects SELECT * FROM objects")

    monkeypatch.setattr(moving.importing.Staging, "move", fail)
    with pytest.raises(Exception, match="UNIQUE"):
        moving.import_files(data, [written(tmp_path / "b.jsonl", message("msg_2", thread="thread_2"))])
    monkeypatch.undo()
    assert exported(data, tmp_path / "two.jsonl") == first
    assert moving.import_files(data, [tmp_path / "b.jsonl"]).moved["message"] == 1


def test_a_newer_export_and_a_directory_without_data_are_refused(data, tmp_path):
    path = written(tmp_path / "a.jsonl", {"object": "rx_assistant.export", "version": 99}, message("msg_1"))
    with pytest.raises(ConfigurationError, match="use the newer rx_assistant"):
        moving.import_files(data, [path])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigurationError, match="must be a data directory"):
        moving.export(tmp_path / "empty", tmp_path / "out.jsonl")
    with pytest.raises(ConfigurationError, match="got a path that does not exist"):
        moving.export(tmp_path / "nowhere", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_place_that_does_not_exist_is_named_as_it_was_given(data, tmp_path):
    moving.import_files(data, [written(tmp_path / "a.jsonl", message("msg_1"))])
    with pytest.raises(ConfigurationError, match=r"existing directory, got .*/nowhere/out.jsonl"):
        moving.export(data, tmp_path / "nowhere" / "out.jsonl")


@pytest.mark.parametrize(("version", "said"), [(99, "use the newer rx_assistant"), (0, "start a server on it once")])
def test_an_export_refuses_the_schema_of_another_version(version, said, data, tmp_path):
    moving.import_files(data, [written(tmp_path / "a.jsonl", message("msg_1"))])
    with closing(sqlite3.connect(data / "objects.sqlite")) as connection:
        connection.execute(f"PRAGMA user_version = {version}")
    with pytest.raises(ConfigurationError, match=said):
        moving.export(data, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_the_commands_move_everything_over_a_pipe(data, tmp_path):
    path = written(tmp_path / "a.jsonl", message("msg_1"), message("msg_2"))
    moved = rx_assistant("import", "--data", data, path)
    assert "imported: 2 messages, 1 thread" in moved.stderr
    out = rx_assistant("export", "--data", data)
    (tmp_path / "out.jsonl").write_text(out.stdout, "utf-8")
    assert lines(tmp_path / "out.jsonl") == exported(data, tmp_path / "x.jsonl")
    assert "exported: 2 messages, 1 thread" in out.stderr


def rx_assistant(*arguments: object) -> subprocess.CompletedProcess[str]:
    """A command that must succeed."""
    return subprocess.run(
        [sys.executable, "-m", "rx_assistant", *map(str, arguments)],
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=True,
    )


def test_the_order_of_an_export_is_kept_although_a_clock_was_set_back(data, tmp_path):
    header = {"object": "rx_assistant.export", "version": 1}
    values = [message("msg_1", 9), message("msg_2", 5), message("msg_3", 7), message("msg_4", 12)]
    moving.import_files(data, [written(tmp_path / "a.jsonl", header, *values)])
    assert order(data, tmp_path) == ["msg_1", "msg_2", "msg_3", "msg_4"]


def test_memory_does_not_grow_with_the_number_of_objects(data, tmp_path):
    path = tmp_path / "a.jsonl"
    with path.open("w", encoding="utf-8") as target:
        for number in range(3000):
            value = message(f"msg_{number}", number, f"thread_{number}", "x" * 4000)
            target.write(json.dumps(value) + "\n")
    assert path.stat().st_size > 12 * 2**20
    tracemalloc.start()
    try:
        report = moving.import_files(data, [path])
        moving.export(data, tmp_path / "out.jsonl")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert dict(report.moved) == {"message": 3000, "thread": 3000}
    assert peak < 4 * 2**20


def test_steps_of_runs_that_are_there_need_no_new_run(data, tmp_path):
    with serving(data) as server:
        api = at(server)
        run = api.wait(api.start(api.assistant(), api.thread("say 1")))
        (step,) = api.steps(run)
    more = {**step, "id": "step_more"}
    report = moving.import_files(data, [written(tmp_path / "a.jsonl", more)])
    assert (dict(report.moved), report.remarks) == ({"step": 1}, {})

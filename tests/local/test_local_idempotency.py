"""The same key with the same request gives the first reply again; nothing happens twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

KEY = {"idempotency-key": "k1"}


def test_the_same_key_and_body_give_the_first_reply_again(api):
    first = api.http.post("/threads", json={"metadata": {"a": "b", "c": "d"}}, headers=KEY)
    again = api.http.post("/threads", json={"metadata": {"c": "d", "a": "b"}}, headers=KEY)
    assert again.content == first.content
    assert "idempotent-replayed" not in first.headers
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["x-request-id"] != first.headers["x-request-id"]


def test_another_key_path_or_no_key_are_other_requests(api):
    ids = [api("POST", "/threads", {}, headers=headers)["id"] for headers in (KEY, {"idempotency-key": "k2"}, {}, {})]
    assert len(set(ids)) == 4
    api("POST", "/vector_stores", {}, headers=KEY)


def test_the_same_key_with_another_body_is_refused(api):
    api("POST", "/threads", {}, headers=KEY)
    error = api.refused("POST", "/threads", {"metadata": {"a": "b"}}, 422, headers=KEY)
    assert (error["type"], error["code"]) == ("idempotency_error", "idempotency_key_reused")


def test_a_refused_request_leaves_the_key_free(api):
    thread = api.thread()
    path = f"/threads/{thread}/runs"
    api.refused("POST", path, {"assistant_id": "asst_none"}, 404, headers=KEY)
    body = {"assistant_id": api.assistant(instructions="x")}
    assert api("POST", path, body, headers=KEY)["object"] == "thread.run"


def test_a_stream_is_given_again_from_its_first_event(play):
    api = play([{"text": "one"}, {"gate": "go"}, {"text": "two"}])
    thread = api.thread("hi")
    body, path = {"assistant_id": api.assistant()}, f"/threads/{thread}/runs"
    with api.http.stream("POST", path, json={**body, "stream": True}, headers=KEY) as broken:
        next(broken.iter_raw())
    api.server.release("go")
    again = api.stream(path, body, headers=KEY)
    assert again[0][0] == "thread.run.created"
    assert again[-1] == ("done", "[DONE]")
    assert len(api("GET", path)["data"]) == 1


def test_an_upload_is_kept_once_whatever_its_boundary(api):
    ids = {
        api("POST", "/files", files={"file": ("a.txt", b"a")}, data={"purpose": "assistants"}, headers=KEY)["id"]
        for _ in range(3)
    }
    assert len(ids) == 1
    assert len(api("GET", "/files")["data"]) == 1
    error = api.refused(
        "POST", "/files", expect=422, files={"file": ("a.txt", b"b")}, data={"purpose": "assistants"}, headers=KEY
    )
    assert error["code"] == "idempotency_key_reused"


def test_many_at_once_get_one_reply(api):
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: api("POST", "/threads", {}, headers=KEY)["id"], range(24)))
    assert len(ids) == 1


def test_a_key_has_a_longest_length(api):
    error = api.refused("POST", "/threads", {}, headers={"idempotency-key": "k" * 256})
    assert error["param"] == "Idempotency-Key"


def test_a_stream_that_ended_with_calls_is_given_again_as_it_was(play):
    api = play([{"calls": [{"function": "f"}]}])
    path = f"/threads/{api.thread('hi')}/runs"
    body = {"assistant_id": api.assistant()}
    first = api.stream(path, body, headers=KEY)
    run = first[-2][1]
    api.wait(api("POST", f"{path}/{run['id']}/cancel"), "cancelled")
    assert api.stream(path, body, headers=KEY) == first

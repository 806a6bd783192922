"""Text out of files, chunks out of text, passages out of chunks: what is asked for is found."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from cases import in_one_test

from rx_assistant.local.directory import connect
from rx_assistant.local.retrieval import index as index_module
from rx_assistant.local.retrieval.chunking import chunks
from rx_assistant.local.retrieval.extraction import ExtractionError, extract
from rx_assistant.local.retrieval.filters import matches
from rx_assistant.local.retrieval.index import ChunkIndex, analysed
from rx_assistant.local.retrieval.terms import query_terms, terms
from rx_assistant.local.tokens import count, pieces


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.txt", b"one\r\ntwo", "one\ntwo"),
        ("a.md", "# Tîtle".encode(), "# Tîtle"),
        ("a.txt", "\ufeffBOM".encode(), "BOM"),
        ("a.txt", "wide".encode("utf-16"), "wide"),
        ("a.py", b"def f(): ...", "def f(): ..."),
        ("README", b"no ending", "no ending"),
        ("a.csv", b"name,age\nAnn,7\n\n,8\n", "name: Ann; age: 7\nage: 8"),
        ("a.csv", b"name,age\n", "name; age"),
        ("a.tsv", b"a\tb\n1\t2\t3", "a: 1; b: 2; 3"),
        ("a.json", b'{"a":[1,"\xc3\xa9"]}', '{\n "a": [\n  1,\n  "é"\n ]\n}'),
        (
            "a.HTML",
            b"<title>T</title><style>p{}</style><p>One &amp; <b>two</b></p><script>x<y</script><ul><li>a<li>b</ul>",
            "T\n\nOne & two\n\na\nb",
        ),
    ],
)
def test_text_is_read_out_of_files(name, content, text):
    assert extract(name, content) == text


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.exe", b"MZ", "unsupported_file"),
        ("a.txt", b"\xff\xfe\x00", "invalid_file"),
        ("a.txt", b"\x80abc", "invalid_file"),
        ("a.txt", b"a\x00b", "invalid_file"),
        ("a.txt", b"  \n", "invalid_file"),
        ("a.html", b"<script>only()</script>", "invalid_file"),
        ("a.json", b"{", "invalid_file"),
        ("a.json", b"[" * 100_000, "invalid_file"),
        ("a.csv", b"", "invalid_file"),
    ],
)
def test_files_without_text_say_why(name, content, code):
    with pytest.raises(ExtractionError) as caught:
        extract(name, content)
    assert caught.value.code == code


def test_tokens_join_to_the_text():
    for text in ("", "Hello, world!", "  a\n\nb ", "日本語 🎉🎉🎉🎉🎉", "x" * 1000):
        assert "".join(pieces(text)) == text


@in_one_test("seed", range(20))
def test_chunks_cover_the_text_and_keep_to_their_size(seed):
    chance = random.Random(seed)
    words = ["word", "Sentence.", "\n", "\n\n", " ", "naïve ", "x" * 30, "日本"]
    text = "".join(chance.choice(words) + chance.choice(["", " "]) for _ in range(2000))
    size = chance.randint(5, 200)
    found = list(chunks(text, size, chance.randint(0, size // 2)))
    end = 0
    for chunk in found:
        assert chunk.text == text[chunk.start : chunk.end]
        assert count(chunk.text) <= size + 1
        assert not text[end : chunk.start].strip()
        assert chunk.end > end
        end = chunk.end
    assert not text[end:].strip()


def test_chunks_end_at_sentences_where_they_can():
    text = "This is one sentence of some length. " * 50
    assert all(chunk.text.rstrip().endswith(".") for chunk in chunks(text, 30, 10))


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("Cats", "a cat"),
        ("sleeping", "it sleeps"),
        ("stories", "one story"),
        ("boxes", "a box"),
        ("STRASSE", "Straße"),
        ("cafe", "Café"),
        ("making", "it was made, to make"),
        ("parse request", "def parseRequest(): ..."),
        ("get_user", "getUser"),
        ("東京タワー", "東京タワーは高い"),
        ("version 3", "version 3 of it"),
    ],
)
def test_a_query_finds_other_forms_of_its_words(query, text):
    assert set(query_terms(query)) <= set(terms(text))


def test_a_query_of_common_words_still_looks_for_them():
    assert query_terms("to be or not to be") != []
    assert query_terms("who is the cat") == ["cat"]


@pytest.fixture
def index() -> Iterator[ChunkIndex]:
    connection = connect(":memory:", index_module.MIGRATIONS)
    yield ChunkIndex(connection)
    connection.close()


def put(index: ChunkIndex, store: str, **texts: str) -> None:
    for name, text in texts.items():
        index.add(store, name, analysed(chunks(text, 800, 400)))


def found(index: ChunkIndex, query: str, stores=("vs_1",), **options) -> list[str]:
    return [passage.file_id for passage in index.search(stores, query, options.pop("most", 10), **options)]


def test_the_passage_with_more_and_rarer_words_comes_first(index):
    put(
        index,
        "vs_1",
        both="The blue whale sings.",
        rare="A whale.",
        common="Blue things are blue.",
        long="One whale, among many other things that swim, and a blue sky over all of it. " + "Water. " * 50,
        none="Nothing of that.",
    )
    assert found(index, "blue whale")[0] == "both"
    assert "none" not in found(index, "blue whale")
    assert found(index, "whale", most=1) == ["rare"]
    scores = [passage.score for passage in index.search(["vs_1"], "blue whale", 10)]
    assert scores == sorted(scores, reverse=True)
    assert all(0 < score <= 1 for score in scores)


def test_scores_do_not_depend_on_other_stores(index):
    put(index, "vs_1", a="The blue whale sings.", b="Something else.")
    before = index.search(["vs_1"], "whale", 1)
    put(index, "vs_2", **{f"f{number}": "whale whale" for number in range(50)})
    assert index.search(["vs_1"], "whale", 1) == before
    assert found(index, "whale", stores=("vs_1",)) == ["a"]
    assert set(found(index, "whale", stores=("vs_1", "vs_2"), most=100)) >= {"a", "f0"}


def test_a_single_file_is_found_with_a_decent_score(index):
    put(index, "vs_1", only="The favorite food of Filip is cake.")
    assert index.search(["vs_1"], "What is Filip's favorite food?", 1)[0].score > 0.5


def test_files_can_be_left_out_and_taken_away(index):
    put(index, "vs_1", a="whale", b="whale")
    assert found(index, "whale", files=["b"]) == ["b"]
    assert found(index, "whale", files=[]) == []
    index.remove("vs_1", "a")
    assert found(index, "whale") == ["b"]
    index.remove("vs_1", "b")
    put(index, "vs_1", b="shark")
    assert found(index, "whale") == []
    assert found(index, "shark") == ["b"]
    index.remove("vs_1")
    assert found(index, "shark") == []


@pytest.mark.parametrize("query", ["", "?!", '"', "a\x00b", "' OR 1=1 --", "NEAR(", "\ud800", "*", "x" * 10_000])
def test_no_query_is_too_odd(index, query):
    put(index, "vs_1", a="whale")
    assert found(index, query) in ([], ["a"])


def test_the_text_of_a_file_comes_back_whole(index):
    text = "".join(f"Line {number} of the text.\n" for number in range(1000))
    index.add("vs_1", "a", analysed(chunks(text, 100, 50)))
    assert index.text("vs_1", "a") == text


ATTRIBUTES = {"year": 2020, "lang": "en", "draft": True}


@in_one_test(
    ("kind", "key", "value", "passes"),
    [
        ("eq", "year", 2020, True),
        ("eq", "year", 2020.0, True),
        ("eq", "year", "2020", False),
        ("ne", "year", 2021, True),
        ("gt", "year", 2019, True),
        ("gte", "year", 2020, True),
        ("lt", "year", 2020, False),
        ("lte", "year", 2020, True),
        ("gt", "lang", "de", True),
        ("gt", "lang", 1, False),
        ("in", "lang", ["de", "en"], True),
        ("nin", "lang", ["de"], True),
        ("eq", "draft", True, True),
        ("eq", "draft", 1, False),
        ("gt", "draft", 0, False),
        ("eq", "missing", 1, False),
        ("ne", "missing", 1, True),
        ("nin", "missing", [1], True),
        ("lt", "missing", 1, False),
    ],
)
def test_comparisons(kind, key, value, passes):
    comparison = {"type": kind, "key": key, "value": value}
    assert matches(comparison, ATTRIBUTES) is passes
    no = {"type": "eq", "key": "year", "value": 0}
    assert matches({"type": "and", "filters": [comparison, no]}, ATTRIBUTES) is False
    assert matches({"type": "or", "filters": [no, comparison]}, ATTRIBUTES) is passes


@pytest.mark.parametrize("name", ["a.png", "a.XLS", "archive.tar.gz", "a.mp3"])
def test_files_that_cannot_be_searched_are_refused_where_they_are_attached(api, name):
    file = api.upload(name, b"\x89PNG", purpose="vision")["id"]
    thread, assistant = api.thread("hi"), api.assistant()
    message = {"role": "user", "content": "x", "attachments": [{"file_id": file, "tools": [{"type": "file_search"}]}]}
    new_store = {"file_search": {"vector_stores": [{"file_ids": [file]}]}}
    for path, body in (
        ("/threads", {"messages": [message]}),
        ("/threads", {"tool_resources": new_store}),
        (f"/threads/{thread}/messages", message),
        (f"/threads/{thread}/runs", {"assistant_id": assistant, "additional_messages": [message]}),
        ("/threads/runs", {"assistant_id": assistant, "thread": {"messages": [message]}}),
        ("/assistants", {"model": "any", "tool_resources": new_store}),
        ("/vector_stores", {"file_ids": [file]}),
    ):
        error = api.refused("POST", path, body)
        ending = name[name.rindex(".") :]
        assert error["message"] == f"Files with extensions [{ending}] are not supported for retrieval."
        assert error["code"] == "unsupported_file"
    assert len(api("GET", "/threads")["data"]) == 1
    assert len(api.messages(thread)) == 1
    assert api("GET", "/vector_stores")["data"] == []


def test_files_that_the_service_searches_are_taken(api):
    for name in ("a.txt", "a.MD", "a.pdf", "a.docx", "a.pptx", "a.doc", "a.XLSX", "no ending"):
        file = api.upload(name, b"text")["id"]
        attachment = {"file_id": file, "tools": [{"type": "file_search"}]}
        api("POST", "/threads", {"messages": [{"role": "user", "content": "x", "attachments": [attachment]}]})


def test_a_file_for_code_alone_may_be_of_any_kind(api):
    file = api.upload("a.png", b"\x89PNG")["id"]
    attachment = {"file_id": file, "tools": [{"type": "code_interpreter"}]}
    api("POST", "/threads", {"messages": [{"role": "user", "content": "x", "attachments": [attachment]}]})


def test_a_file_that_is_put_into_a_store_afterwards_fails_there(api):
    store = api("POST", "/vector_stores", {})["id"]
    file = api.upload("a.png", b"\x89PNG")["id"]
    member = api("POST", f"/vector_stores/{store}/files", {"file_id": file})
    while member["status"] == "in_progress":
        member = api("GET", f"/vector_stores/{store}/files/{file}")
    assert (member["status"], member["last_error"]["code"]) == ("failed", "unsupported_file")

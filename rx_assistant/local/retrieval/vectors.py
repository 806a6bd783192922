"""Vectors as bytes: how they are stored, and which are most like the vector of a query.

A vector is stored as little-endian float32 with length 1, so that the dot product of two of them is their cosine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[np.float64]

_SLICE = 4096
_DTYPE = np.dtype("<f4")


def packed(rows: object) -> list[bytes]:
    """One vector for each row of numbers. ValueError if the numbers are not finite or the rows differ in length."""
    matrix = np.asarray(rows, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise ValueError(f"embeddings must be rows of finite numbers of one length, got the shape {matrix.shape}")
    scaled = matrix / _divisor(np.abs(matrix).max(axis=1))  # squares of huge numbers would overflow
    unit = scaled / _divisor(np.linalg.norm(scaled, axis=1))
    return [row.tobytes() for row in unit.astype(_DTYPE)]


def _divisor(lengths: Matrix) -> Matrix:
    return np.where(lengths == 0, 1, lengths)[:, np.newaxis]


def nearest(query: bytes, rows: Iterable[tuple[int, bytes]], most: int) -> list[int]:
    """The keys of the vectors with the largest cosine, largest first. A cosine of 0 or less does not count."""
    wanted = np.frombuffer(query, _DTYPE)
    best: list[tuple[float, int]] = []
    for some in _slices(rows):
        vectors = np.frombuffer(b"".join(vector for _, vector in some), _DTYPE).reshape(len(some), -1)
        cosines = vectors @ wanted
        order = np.argsort(-cosines, kind="stable")[:most]
        best += [(-float(cosines[place]), some[place][0]) for place in order if cosines[place] > 0]
        best = sorted(best)[:most]
    return [key for _, key in best]


def _slices(rows: Iterable[tuple[int, bytes]]) -> Iterator[Sequence[tuple[int, bytes]]]:
    """The rows in slices of a bounded size, so that large stores need little memory."""
    left = iter(rows)
    while some := list(islice(left, _SLICE)):
        yield some

"""Nearest neighbours: of every held-out study the training study that is most like it.

Who copies that study's report has learnt nothing and reads nothing; where reports repeat each other
it is hard to beat. By words, studies are as alike as the cosine of their TF-IDF vectors (Salton and
Buckley, "Term-weighting approaches in automatic text retrieval", 1988); by pictures, as the
correlation of their pixels.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from chexjax.data.images import open_image
from chexjax.evaluate.significance import Array

_SIDE = 32
"""Pixels of a picture's sides when it is compared: ribs are gone, heart and lungs are there."""


def word_vectors(known: Sequence[str], asked: Sequence[str]) -> tuple[sparse.csr_array, ...]:
    """TF-IDF vectors of length one, of texts whose words are weighted by `known`, and of others.

    Returns:
      `f64[M, V]` and `f64[B, V]`; words that no known text has do not count.
    """
    counts = [Counter(_words(text)) for text in known]
    held = Counter(word for one in counts for word in one)
    places = {word: place for place, word in enumerate(held)}
    rarity = np.log((1 + len(known)) / (1 + np.asarray([*held.values()]))) + 1
    others = [Counter(_words(text)) for text in asked]
    return _vectors(counts, places, rarity), _vectors(others, places, rarity)


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text.lower())


def _vectors(
    counts: Sequence[Counter[str]], places: dict[str, int], rarity: Array
) -> sparse.csr_array:
    cells = [
        (row, places[word], times)
        for row, one in enumerate(counts)
        for word, times in one.items()
        if word in places
    ]
    rows, columns, times = np.asarray(cells, np.int64).reshape(-1, 3).T
    values = sparse.csr_array(
        (times * rarity[columns], (rows, columns)), shape=(len(counts), len(places))
    )
    lengths = np.sqrt((values * values).sum(1))
    return sparse.csr_array(values / np.where(lengths > 0, lengths, 1.0)[:, None])


def picture_vector(files: Sequence[bytes]) -> Array:
    """A study's first picture as a vector of length one, `f64[P]`: small, grey, mean zero."""
    small = open_image(files[0]).convert("L").resize((_SIDE, _SIDE))
    pixels = np.asarray(small, np.float64).ravel()
    pixels -= pixels.mean()
    return pixels / np.linalg.norm(pixels)


def nearest(asked: Array | sparse.csr_array, known: Array | sparse.csr_array) -> list[int]:
    """Of each row of `asked: f64[B, V]` the row of `known: f64[M, V]` most like it, the first of
    equals."""
    alike = asked @ known.T
    dense = alike if isinstance(alike, np.ndarray) else alike.toarray()
    return [int(row) for row in dense.argmax(1)]

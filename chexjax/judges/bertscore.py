"""BERTScore: greedy matching of contextual embeddings (Zhang et al., 2020, arXiv:1904.09675)."""

from __future__ import annotations

import collections
import csv
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from chexjax.artefacts.files import sha256
from chexjax.config import local, nearest
from chexjax.judges.base import Judgement, check_pairs
from chexjax.judges.encoding import TextEncoder, batches, encoder_digest, program_width

_FIELD = "judge.bertscore"
_CHUNK = 512  # pairs whose embeddings are in memory together

BASELINES: Mapping[str, tuple[int, tuple[float, float, float]]] = {
    "distilbert-base-uncased": (5, (0.6666034, 0.66660464, 0.66620487)),
    "distilroberta-base": (5, (0.84732, 0.84759504, 0.8473319)),
}
"""Published encoder -> its usual layer, and what precision, recall and F1 of unrelated sentences
are there, as the paper's authors measured."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BertScoreConfig:
    """Which encoder compares two reports, and how.

    Attributes:
      encoder: Folder of a BERT, RoBERTa or DistilBERT with its tokenizer. What it holds, not where
        it lies, decides the scores.
      layer: The layer whose output is compared, from 1. Of DistilBERT and DistilRoBERTa the fifth
        is usual.
      idf: Weigh word pieces by how rare they are in references; without it all weigh the same.
      corpus: File with one reference a line that `idf` counts in. Where it is empty, the
        references that are judged together are counted, and so a score depends on its company.
      rescale: A published encoder, one of `BASELINES`, by whose baseline scores are rescaled, such
        that unrelated sentences have 0. Scores below the baseline become negative.
      baseline: File with baselines of another encoder, lines of layer, precision, recall and F1
        with commas between, below a heading.
    """

    encoder: str = local("")
    layer: int = 5
    idf: bool = False
    corpus: str = local("")
    rescale: str = ""
    baseline: str = local("")

    def __post_init__(self) -> None:
        """Checks what can be checked without a file."""
        if self.layer < 1:
            raise ValueError(f"{_FIELD}.layer={self.layer}: layers are counted from 1")
        if self.corpus and not self.idf:
            raise ValueError(f"{_FIELD}.corpus is read for idf alone; set {_FIELD}.idf=True")
        if self.rescale and self.baseline:
            raise ValueError(f"{_FIELD}: give rescale or baseline, not both")
        if self.rescale and self.rescale not in BASELINES:
            raise ValueError(f"{_FIELD}.rescale={self.rescale!r}{nearest(self.rescale, BASELINES)}")
        if self.rescale and self.layer != (usual := BASELINES[self.rescale][0]):
            raise ValueError(
                f"{_FIELD}.layer={self.layer}: of {self.rescale} the baseline of layer {usual} is "
                f"known here; give {_FIELD}.baseline, a file that has the other"
            )

    def build(self) -> BertScore:
        """The judge.

        Raises:
          ValueError: a file or folder is missing or is not what it should be.
        """
        if not self.encoder:
            raise ValueError(
                f"{_FIELD}.encoder='': set it to the folder of an encoder, such as one that has "
                "distilbert-base-uncased"
            )
        encoder = TextEncoder(Path(self.encoder), self.layer)
        corpus = _read_corpus(Path(self.corpus)) if self.corpus else None
        return BertScore(encoder, self.layer, self.idf, corpus, self._baseline())

    def files(self) -> dict[str, str]:
        """Digests of the encoder and of what else is read.

        Raises:
          ValueError: a file cannot be read.
        """
        self.build()
        named = {"corpus": self.corpus, "baseline": self.baseline}
        found = {name: sha256(Path(file)) for name, file in named.items() if file}
        return {"encoder": encoder_digest(Path(self.encoder)), **found}

    def _baseline(self) -> np.ndarray | None:
        if self.baseline:
            return _read_baseline(Path(self.baseline), self.layer)
        return np.array(BASELINES[self.rescale][1]) if self.rescale else None


class BertScore:
    """Precision, recall and F1 of the best matches between two reports' word pieces.

    Each distinct text goes through the encoder once a call. What stands around every text, such as
    `[CLS]`, can be matched and weighs nothing. A report that is longer than the encoder reads is
    cut, and its judgement says so.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        layer: int,
        idf: bool = False,
        corpus: Sequence[str] | None = None,
        baseline: np.ndarray | None = None,
    ) -> None:
        """Puts the parts together.

        Args:
          encoder: Up to the layer whose output is compared.
          layer: Its number, for the name.
          idf: Weigh word pieces by their rarity.
          corpus: References to count in; None for those that are judged together.
          baseline: Precision, recall and F1 that become 0, `f64[3]`; None leaves scores raw.
        """
        self._encoder, self._idf, self._corpus, self._baseline = encoder, idf, corpus, baseline
        scale = "raw" if baseline is None else "rescaled"
        self.name = (
            f"BERTScore F1 ({encoder.folder.name}, layer {layer}, "
            f"{'idf' if idf else 'no idf'}, {scale})"
        )

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """One judgement a pair; details hold `precision`, `recall`, `f1`, and `cut` where it is so.

        Raises:
          ValueError: The two differ in length, a reference is empty, or IDF has fewer than two
            different references to count in.
        """
        check_pairs(references, candidates)
        texts = list(dict.fromkeys([*references, *candidates]))
        ids = dict(zip(texts, self._encoder.ids(texts), strict=True))
        weigh = self._weights([ids[reference] for reference in references])
        pairs = list(zip(references, candidates, strict=True))
        matched = _Matcher(self._encoder, ids, weigh).match(list(dict.fromkeys(pairs)))
        return [self._judgement(pair, matched[pair], ids) for pair in pairs]

    def _weights(self, references: Sequence[Sequence[int]]) -> _Weights:
        if not self._idf:
            return _Weights(dict.fromkeys(self._encoder.special, 0.0), 1.0)
        documents = references if self._corpus is None else self._encoder.ids(self._corpus)
        return _idf([self._encoder.cut(one) for one in documents])

    def _judgement(
        self, pair: tuple[str, str], matched: np.ndarray, ids: Mapping[str, Sequence[int]]
    ) -> Judgement:
        scores = matched
        if self._baseline is not None:
            scores = (matched - self._baseline) / (1 - self._baseline)
        found = dict(zip(("precision", "recall", "f1"), scores.tolist(), strict=True))
        cut = any(len(ids[text]) > self._encoder.limit for text in pair)
        return Judgement(found["f1"], {**found, "cut": True} if cut else found)


@dataclasses.dataclass(frozen=True)
class _Weights:
    """What a word piece weighs: by its id, and of all others."""

    known: Mapping[int, float]
    other: float

    def __call__(self, ids: Sequence[int]) -> list[float]:
        return [self.known.get(one, self.other) for one in ids]


def _idf(documents: Sequence[Sequence[int]]) -> _Weights:
    """log((N + 1) / (documents with the piece + 1)).

    Raises:
      ValueError: the documents are all the same, so that whatever is in them weighs 0.
    """
    if len({tuple(one) for one in documents}) < 2:
        raise ValueError(
            f"{_FIELD}.idf=True needs two different references to count in, or all that is in the "
            f"reference weighs 0; judge more together, or give {_FIELD}.corpus"
        )
    count = collections.Counter(piece for one in documents for piece in set(one))
    total = len(documents) + 1
    return _Weights({k: math.log(total / (n + 1)) for k, n in count.items()}, math.log(total))


class _Matcher:
    """Matches pairs of texts, with as few embeddings in memory as their order allows."""

    def __init__(
        self, encoder: TextEncoder, ids: Mapping[str, Sequence[int]], weigh: _Weights
    ) -> None:
        self._encoder, self._weigh, self._limit = encoder, weigh, encoder.limit
        self._ids = {text: encoder.cut(one) for text, one in ids.items()}
        self._nothing = len(encoder.special)

    def match(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], np.ndarray]:
        """Raw precision, recall and F1 of each pair, `f64[3]`."""
        last = {text: k for k, pair in enumerate(pairs) for text in pair}
        hidden: dict[str, np.ndarray] = {}
        found: dict[tuple[str, str], np.ndarray] = {}
        for first in range(0, len(pairs), _CHUNK):
            chunk = pairs[first : first + _CHUNK]
            new = [t for t in dict.fromkeys(t for p in chunk for t in p) if t not in hidden]
            states = self._encoder.hidden([self._ids[text] for text in new])
            hidden |= dict(zip(new, states, strict=True))
            found |= dict(self._matched(chunk, hidden))
            hidden = {t: h for t, h in hidden.items() if last[t] >= first + len(chunk)}
        return found

    def _matched(
        self, pairs: Sequence[tuple[str, str]], hidden: Mapping[str, np.ndarray]
    ) -> Iterator[tuple[tuple[str, str], np.ndarray]]:
        lengths = [max(len(self._ids[text]) for text in pair) for pair in pairs]
        widths = [(program_width(length, self._limit),) for length in lengths]
        for (width,), rows, items in batches(widths):
            sides = [
                self._side([pairs[k][side] for k in items], hidden, rows, width) for side in (0, 1)
            ]
            precision, recall = (
                np.asarray(one, np.float64) for one in _match(*sides[0], *sides[1])
            )
            for row, k in enumerate(items):
                yield pairs[k], self._scores(pairs[k], precision[row], recall[row])

    def _side(
        self, texts: Sequence[str], hidden: Mapping[str, np.ndarray], rows: int, width: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Embeddings `f32[B, T, D]`, weights `f32[B, T]` and lengths `i32[B]`."""
        states = np.zeros((rows, width, hidden[texts[0]].shape[-1]), np.float32)
        weights, lengths = np.zeros((rows, width), np.float32), np.ones(rows, np.int32)
        for row, text in enumerate(texts):
            ids = self._ids[text]
            lengths[row] = len(ids)
            states[row, : len(ids)] = hidden[text]
            weights[row, : len(ids)] = self._weigh(ids)
        return states, weights, lengths

    def _scores(self, pair: tuple[str, str], precision: float, recall: float) -> np.ndarray:
        if any(len(self._ids[text]) == self._nothing for text in pair):
            return np.zeros(3)  # an empty candidate
        total = precision + recall
        return np.array([precision, recall, 2 * precision * recall / total if total else 0.0])


@jax.jit
def _match(
    references: jax.Array,
    reference_weights: jax.Array,
    reference_lengths: jax.Array,
    candidates: jax.Array,
    candidate_weights: jax.Array,
    candidate_lengths: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Precision and recall `f32[B]`: weighted means of each piece's cosine with its best match."""
    cosines = jnp.einsum("bcd,brd->bcr", candidates, references, precision="highest")
    there = [
        jnp.arange(cosines.shape[axis]) < lengths[:, None]
        for axis, lengths in ((1, candidate_lengths), (2, reference_lengths))
    ]
    cosines = jnp.where(there[0][:, :, None] & there[1][:, None], cosines, -2.0)
    return (
        _mean(cosines.max(2), candidate_weights),
        _mean(cosines.max(1), reference_weights),
    )


def _mean(values: jax.Array, weights: jax.Array) -> jax.Array:
    """Over the last axis; 0 where nothing weighs anything."""
    total = weights.sum(-1)
    return (values * weights).sum(-1) / jnp.where(total, total, 1.0)


def _read_corpus(file: Path) -> list[str]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ValueError(f"{_FIELD}.corpus: {file} cannot be read as text: {error}") from error
    found = [line for line in lines if line.strip()]
    if len(set(found)) < 2:
        raise ValueError(f"{_FIELD}.corpus: {file} has no two different references, one a line")
    return found


def _read_baseline(file: Path, layer: int) -> np.ndarray:
    """Precision, recall and F1 of a layer, `f64[3]`."""
    try:
        with open(file, newline="", encoding="utf-8") as lines:
            rows = list(csv.reader(lines))[1:]
        table = {int(row[0]): [float(cell) for cell in row[1:4]] for row in rows if row}
        found = np.array(table[layer])
    except (OSError, ValueError, IndexError) as error:
        raise ValueError(
            f"{_FIELD}.baseline: {file} cannot be read: {error}; its lines are layer, precision, "
            "recall and F1, with commas between, below a heading"
        ) from error
    except KeyError as error:
        raise ValueError(f"{_FIELD}.baseline: {file} has no layer {layer}") from error
    if found.shape != (3,) or not (found < 1).all():
        raise ValueError(f"{_FIELD}.baseline: {file}: layer {layer} has no three numbers below 1")
    return found

"""From reports to graphs: words, word pieces, batches of few shapes, and scores read out."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chexjax.families import SpanSpec
from chexjax.judges.encoding import Shape, batches, program_width
from chexjax.judges.graph import Entity, Graph
from chexjax.judges.program import program
from chexjax.judges.remembered import Remembered
from chexjax.judges.words import SPLITS, Split, as_read
from chexjax.models import SpanModel, SpanScores

_SEGMENTS = (1, 2, 4)
"""Segments of a text; what is longer than the most of them is cut."""


@dataclasses.dataclass(frozen=True)
class Extracted:
    """What is in a report.

    Attributes:
      graph: Its entities and relations.
      left_out: Words at its end that were too many to be read.
    """

    graph: Graph
    left_out: int = 0


@dataclasses.dataclass(frozen=True)
class _Text:
    """A report's words with the pieces of each."""

    words: Sequence[str]
    pieces: Sequence[Sequence[int]]
    left_out: int

    @property
    def length(self) -> int:
        return sum(map(len, self.pieces))


class Extractor:
    """Reads reports with a model of DyGIE++ as RadGraph's own package does, many at a time."""

    def __init__(self, model: SpanModel, tokenizer: Any, *, split: Split, segment: int) -> None:
        """Takes the parts.

        Args:
          model: With its parameters.
          tokenizer: Of its encoder, from transformers.
          split: What a word is.
          segment: Most pieces that the encoder reads at a time, special tokens included.

        Raises:
          ValueError: the tokenizer is not the encoder's, or the encoder reads fewer pieces.
        """
        spec = model.spec.encoder
        if segment + spec.offset > spec.positions or len(tokenizer) > spec.vocabulary:
            raise ValueError(
                f"an encoder of {spec.positions} positions and {spec.vocabulary} embedding rows "
                f"cannot read {segment} pieces of a tokenizer of {len(tokenizer)}; give the folder "
                "of the encoder that the archive names"
            )
        self._spec, self._tokenizer, self._split = model.spec, tokenizer, SPLITS[split]
        self._segment = segment
        self._run = program(model, lambda model, *batch: model(*batch))
        self._known = Remembered(self._read)

    def __call__(self, reports: Sequence[str]) -> list[Extracted]:
        """The graph of each report, in order; none in an empty one."""
        return self._known(reports)

    def _read(self, reports: Sequence[str]) -> list[Extracted]:
        texts = [self._text(report) for report in reports]
        found = [Extracted(())] * len(texts)
        for shape, rows, items in batches([self._shape(text) for text in texts]):
            scores = self._scored([texts[k] for k in items], rows, shape)
            for row, k in enumerate(items):
                own = SpanScores(*(part[row] for part in scores))
                graph = read_out(texts[k].words, own, self._spec)
                found[k] = Extracted(graph, texts[k].left_out)
        return found

    def _text(self, report: str) -> _Text:
        words = self._split(report)
        read = [as_read(word) for word in words]
        # Each word by itself, as the package does: its pieces depend on no neighbour.
        pieces = self._tokenizer(read, add_special_tokens=False)["input_ids"] if words else []
        most = _SEGMENTS[-1] * (self._segment - 2)
        fitting = np.cumsum([len(of_word) for of_word in pieces]) <= most
        kept = min(int(fitting.sum()), most)
        return _Text(words[:kept], pieces[:kept], len(words) - kept)

    def _shape(self, text: _Text) -> Shape:
        """Segments and pieces of each, the fewest with room for the pieces and for the words.

        Some words have no pieces.
        """
        needed = max(text.length + 2, len(text.words))
        if needed <= self._segment:
            return 1, program_width(needed, self._segment)
        room = self._segment - 2
        return next(
            (k, self._segment)
            for k in _SEGMENTS
            if text.length <= k * room and len(text.words) <= k * self._segment
        )

    def _scored(self, texts: Sequence[_Text], rows: int, shape: Shape) -> SpanScores:
        segments, length = shape
        pieces = np.zeros((rows, segments, length), np.int32)
        valid = np.zeros(pieces.shape, bool)
        word = np.full(pieces.shape, -1, np.int32)
        words = np.zeros(rows, np.int32)
        for row, text in enumerate(texts):
            words[row] = len(text.words)
            ids = [one for of_word in text.pieces for one in of_word]
            owners = [k for k, of_word in enumerate(text.pieces) for _ in of_word]
            for k in range(segments):
                part = slice(k * (length - 2), (k + 1) * (length - 2))
                self._write(pieces[row, k], valid[row, k], word[row, k], ids[part], owners[part])
        # Nothing may read from nothing: rows without a text have one token.
        valid[:, :, 0] = True
        scores: SpanScores = self._run(pieces, valid, word, words)
        return scores

    def _write(
        self,
        pieces: np.ndarray,
        valid: np.ndarray,
        word: np.ndarray,
        ids: Sequence[int],
        owners: Sequence[int],
    ) -> None:
        """One segment: its pieces between the special tokens."""
        whole = [self._tokenizer.cls_token_id, *ids, self._tokenizer.sep_token_id]
        pieces[: len(whole)], valid[: len(whole)] = whole, True
        word[1 : 1 + len(owners)] = owners


def read_out(words: Sequence[str], scores: SpanScores, spec: SpanSpec) -> Graph:
    """The graph that one report's scores say: each span and each pair is what scores best.

    Relations between spans that are no entities are left out, as the published package does.
    """
    kinds = np.argmax(scores.entities, axis=-1)
    first, more = np.divmod(np.arange(len(kinds)), spec.longest)
    found = np.flatnonzero((kinds > 0) & (first + more < len(words)))
    numbers = {int(span): number for number, span in enumerate(found)}
    related = _related(scores, numbers, spec)
    return tuple(
        Entity(
            " ".join(words[first[span] : first[span] + more[span] + 1]),
            spec.entities[kinds[span] - 1],
            tuple(related.get(number, ())),
            int(first[span]),
            int(first[span] + more[span]),
        )
        for span, number in numbers.items()
    )


def _related(
    scores: SpanScores, numbers: Mapping[int, int], spec: SpanSpec
) -> dict[int, list[tuple[str, int]]]:
    """Relations by the number of the entity that they start at."""
    kinds = np.argmax(scores.relations, axis=-1)
    at = [numbers.get(int(span)) for span in scores.kept]
    related: dict[int, list[tuple[str, int]]] = {}
    for i, j in np.argwhere(kinds > 0):
        one, other = at[i], at[j]
        if one is not None and other is not None:
            related.setdefault(one, []).append((spec.relations[kinds[i, j] - 1], other))
    return related

"""CheXbert: the 14 labels by a BERT with a head for each (Smit et al., 2020, arXiv:2004.09167)."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from transformers import PreTrainedTokenizerBase

from chexjax.config import local
from chexjax.data.chexpert_labels import ABSENT, CHEXPERT_14, PRESENT, UNCERTAIN
from chexjax.families import EncoderFamily, preset
from chexjax.judges.encoding import cut, padded, tokenizer_of, word_files
from chexjax.judges.label_judge import LabelConfig, Labeling
from chexjax.judges.program import Program, program
from chexjax.judges.remembered import Remembered
from chexjax.judges.store import key_of_files
from chexjax.mesh import current_mesh
from chexjax.models import Encoder
from chexjax.weights import check_model, load_model, open_checkpoint

_FIELD = "judge.chexbert"
_PUBLISHED = "chexbert.pth"

MEANING = (None, PRESENT, ABSENT, UNCERTAIN)
"""Of each class: blank is not spoken of. `No Finding` has the first two alone."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheXbertConfig(LabelConfig):
    """Where CheXbert lies. What its files hold, not where they lie, decides the labels.

    Attributes:
      weights: `chexbert.pth` as it is published, or the same parameters as safetensors: the file,
        or its folder.
      tokenizer: Folder of bert-base-uncased's tokenizer, of which `vocab.txt` will do; empty for
        the folder of the weights. CheXbert's authors publish none of their own.
    """

    weights: str = local("")
    tokenizer: str = local("")

    def network(self) -> CheXbert:
        """The network, one for all who ask; its parameters are loaded when the first report comes.

        Raises:
          ValueError: a file is missing or is not what it should be.
        """
        places = self._places()
        return _network(*places, digest_of(*places))

    def _places(self) -> tuple[Path, Path]:
        """Of weights and tokenizer."""
        if not self.weights:
            raise ValueError(f"{_FIELD}.weights='': set it to CheXbert's {_PUBLISHED}")
        given = Path(self.weights)
        folder = given if given.is_dir() else given.parent
        weights = given / _PUBLISHED if (given / _PUBLISHED).is_file() else given
        return weights, Path(self.tokenizer) if self.tokenizer else folder

    def labeling(self) -> Labeling:
        """The labeler.

        Raises:
          ValueError: as `network`.
        """
        return Labeling("CheXbert", self.network(), self.uncertain)

    def files(self) -> dict[str, str]:
        """A digest of parameters and tokenizer.

        Raises:
          ValueError: as `network`.
        """
        self.network()
        return {"weights": digest_of(*self._places())}


class CheXbert:
    """Labels of reports; a labeler, see `label_judge`."""

    def __init__(self, weights: Path, tokenizer: Path, family: EncoderFamily | None = None) -> None:
        """Checks that weights and tokenizer are there, from headers alone.

        Args:
          weights: A `.pth` or safetensors file, or a folder with the latter.
          tokenizer: Folder with `vocab.txt` or `tokenizer.json`.
          family: The network; the published one where it is left out.

        Raises:
          ValueError: they are not, or are another model's.
        """
        self._weights, self._folder = weights, tokenizer
        self._family = family or preset("chexbert", EncoderFamily)
        check_model(weights, self._family)
        word_files(tokenizer)
        self._known = Remembered(self._read)

    def __call__(self, reports: Sequence[str]) -> list[dict[str, int]]:
        """What each report says of the 14, as CheXbert's classes; blank labels are left out."""
        return [
            {
                name: meaning
                for name, one in zip(CHEXPERT_14, found, strict=True)
                if (meaning := MEANING[one]) is not None
            }
            for found in self.read(reports)[0]
        ]

    def vectors(self, reports: Sequence[str]) -> np.ndarray:
        """The first token's hidden state, on which the heads stand, `f32[B, D]`.

        The cosine of two reports' vectors is RadCliQ's semantic embedding score.
        """
        return self.read(reports)[1]

    def read(self, reports: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest class of each label, `i32[B, 14]`, and the vectors, `f32[B, D]`."""
        found = self._known(reports)
        classes = np.array([one for one, _ in found], np.int32).reshape(-1, len(CHEXPERT_14))
        vectors = np.array([vector for _, vector in found], np.float32)
        return classes, vectors.reshape(-1, self._family.encoder.block.width)

    def _read(self, reports: Sequence[str]) -> list[tuple[np.ndarray, np.ndarray]]:
        """Classes and vector of each report."""
        ids = self.ids(reports)
        found = [(np.empty(0), np.empty(0))] * len(ids)
        for items, tokens, lengths in padded(ids, self._limit):
            rows = zip(*self._run(tokens, lengths), strict=True)
            for item, row in zip(items, rows, strict=False):
                found[item] = row
        return found

    def ids(self, reports: Sequence[str]) -> list[list[int]]:
        """Token ids of each report, white space squeezed; a long one keeps its first and last.

        Special tokens in a report are plain text.
        """
        found: list[list[int]] = self._tokenizer(
            [" ".join(report.split()) for report in reports],
            split_special_tokens=True,
            verbose=False,
        )["input_ids"]
        return [cut(one, self._limit) for one in found]

    @property
    def _limit(self) -> int:
        return self._family.encoder.positions

    @functools.cached_property
    def _tokenizer(self) -> PreTrainedTokenizerBase:
        found = tokenizer_of(self._folder)
        rows = self._family.encoder.vocabulary
        if len(found) != rows or found.tokenize("EDEMA") != found.tokenize("edema"):
            raise ValueError(
                f"{_FIELD}.tokenizer: {self._folder} is not that of bert-base-uncased, which has "
                f"{rows:,} tokens and knows no capitals"
            )
        return found

    @functools.cached_property
    def _run(self) -> Program:
        """Token ids `i32[B, T]` and lengths `i32[B]` to classes and vectors."""
        return program(
            load_model(self._weights, self._family, mesh=current_mesh()), _classes_and_vectors
        )


def _classes_and_vectors(
    model: Encoder, tokens: jax.Array, lengths: jax.Array
) -> tuple[jax.Array, jax.Array]:
    vectors = model.token(tokens, jnp.arange(tokens.shape[1]) < lengths[:, None])
    heads = [jnp.argmax(head(vectors), axis=-1) for head in model.heads]
    return jnp.stack(heads, axis=-1), vectors


@functools.lru_cache(maxsize=1)
def _network(weights: Path, tokenizer: Path, digest: str) -> CheXbert:
    """What is loaded and compiled once for the labeler, the metric and RadCliQ."""
    return CheXbert(weights, tokenizer)


def digest_of(weights: Path, tokenizer: Path) -> str:
    """A digest of all bytes that decide the labels.

    Raises:
      ValueError: a file is missing.
    """
    stored = [weights] if weights.is_file() else open_checkpoint(weights).files
    return key_of_files(*stored, *word_files(tokenizer))

"""RadGraph F1: how far the entities and relations of two reports agree."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from pathlib import Path

import jax.numpy as jnp

from chexjax.config import local
from chexjax.judges.base import Judgement, check_pairs
from chexjax.judges.encoding import tokenizer_of, word_files
from chexjax.judges.extraction import Extractor
from chexjax.judges.graph import LEVELS
from chexjax.judges.store import key_of_files
from chexjax.judges.words import SPLITS, Split
from chexjax.mesh import current_mesh
from chexjax.weights import place_model
from chexjax.weights.dygie import Archive, archive_files
from chexjax.weights.encoders import encoder_spec

_FIELD = "judge.radgraph"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RadGraphConfig:
    """Where RadGraph's model is.

    Attributes:
      archive: Its archive as released, `config.json`, `vocabulary/` and `weights.th` in a
        `.tar.gz`, or the folder that it was unpacked to.
      encoder: Folder with `config.json` and tokenizer of the encoder that the archive's config
        names; the encoder's weights are in the archive.
      dataset: Whose labels, where the archive has those of several data sets.
      words: How reports are cut into words: as for the first RadGraph, or for RadGraph-XL.
    """

    archive: str = local("")
    encoder: str = local("")
    dataset: str = ""
    words: Split = "radgraph"

    def build(self, level: str) -> RadGraph:
        """The judge that compares graphs on a level, one of `graph.LEVELS`.

        Raises:
          ValueError: a path leads nowhere or to what is no BERT with a tokenizer, or there are no
            such words.
        """
        if self.words not in SPLITS:
            raise ValueError(f"{_FIELD}.words={self.words!r}: choose one of {sorted(SPLITS)}")
        for field, wanted in (("archive", "RadGraph's .tar.gz"), ("encoder", "a folder with BERT")):
            path = getattr(self, field)
            if not path or not Path(path).exists():
                raise ValueError(f"{_FIELD}.{field}={path!r} is not there; give {wanted}")
        encoder_spec(Path(self.encoder))
        word_files(Path(self.encoder))
        return RadGraph(self, level)

    def files(self) -> dict[str, str]:
        """Digests of the archive and of the encoder's config and tokenizer.

        Raises:
          ValueError: as `build`.
        """
        self.build("partial")
        folder = Path(self.encoder)
        return {
            "archive": key_of_files(*archive_files(Path(self.archive))),
            "encoder": key_of_files(folder / "config.json", *word_files(folder)),
        }


class RadGraph:
    """RadGraph F1 of each pair, in 0..1 (Jain et al., 2021; levels by Delbrouck et al., 2022)."""

    def __init__(self, config: RadGraphConfig, level: str) -> None:
        """Loads nothing yet."""
        self._config, self._level = config, level
        self.name = f"RadGraph F1 ({level}, {config.dataset or config.words})"

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """One judgement a pair; details hold the F1 of every level.

        Of a report of more than some 2,000 word pieces the end is not read; then details say how
        many words were `left_out` of both.

        Raises:
          ValueError: the two differ in length, or a reference is empty; or the model cannot be
            loaded.
        """
        check_pairs(references, candidates)
        extractor = extractor_of(self._config)
        found = extractor([*references, *candidates])
        wanted, said = found[: len(references)], found[len(references) :]
        judgements = []
        for one, other in zip(wanted, said, strict=True):
            scores = {level: f1(one.graph, other.graph) for level, f1 in LEVELS.items()}
            left = one.left_out + other.left_out
            details = scores | ({"left_out": left} if left else {})
            judgements.append(Judgement(scores[self._level], details))
        return judgements


def extractor_of(config: RadGraphConfig) -> Extractor:
    """The model of a config, loaded once for all levels, as long as its files stay the same.

    Raises:
      ValueError: the archive or the encoder's folder cannot be used.
    """
    return _extractor(config, **config.files())


@functools.lru_cache(maxsize=1)
def _extractor(config: RadGraphConfig, **digests: str) -> Extractor:
    archive, folder = Archive(Path(config.archive)), Path(config.encoder)
    family = archive.family(config.dataset, encoder_spec(folder))
    model = place_model(archive.checkpoint(), family, mesh=current_mesh(), dtype=jnp.float32)
    return Extractor(model, tokenizer_of(folder), split=config.words, segment=archive.segment)

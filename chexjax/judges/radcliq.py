"""RadCliQ: how many errors radiologists would find, from four other metrics (Yu et al., Patterns
2023): a straight line through RadGraph F1, BERTScore, the similarity of CheXbert's embeddings and
BLEU-2, fitted to the errors that six of them counted in ReXVal's 200 pairs of reports.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from chexjax.judges.base import Judge, Judgement, check_pairs
from chexjax.judges.bertscore import BertScoreConfig
from chexjax.judges.chexbert import CheXbertConfig
from chexjax.judges.radgraph import RadGraphConfig

PARTS = ("radgraph", "bertscore", "chexbert", "bleu_2")
"""What is read, in the order of the numbers below.

`radgraph` is the mean F1 of entities and of relations (`graph.combined`); `bertscore` F of
distilroberta-base's fifth layer, rescaled; `chexbert` the cosine of two [CLS] vectors; `bleu_2`
that of `bleu_2` below.
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """A published version: parts are normalised, weighted and added up.

    Attributes:
      weights: Of each part, normalised.
      means: Of each part over the pairs that it was fitted to.
      scales: Standard deviations over the same.
      intercept: Where every part is at its mean.
    """

    weights: tuple[float, float, float, float]
    means: tuple[float, float, float, float]
    scales: tuple[float, float, float, float]
    intercept: float

    def __call__(self, parts: Mapping[str, Sequence[float] | np.ndarray]) -> np.ndarray:
        """RadCliQ of pairs, the lower the better; below 0 for the best ones.

        Args:
          parts: Values of each of `PARTS`, one a pair.

        Returns:
          `f64[B]`.
        """
        values = np.stack([np.asarray(parts[name], np.float64) for name in PARTS], axis=-1)
        return self.intercept + (values - self.means) / self.scales @ np.asarray(self.weights)


VERSIONS: Mapping[str, Line] = {
    "v0": Line(
        weights=(
            -0.4796252644863446,
            -0.6762170542369337,
            -0.46366575161751994,
            0.2165861905287535,
        ),
        means=(0.5398376019082272, 0.6312549595000001, 0.7716797866672277, 0.4607372064809605),
        scales=(0.3018344440559102, 0.22466950746141123, 0.24750333805236252, 0.30336670936092264),
        intercept=1.641666666666666,
    ),
    # Its weights cannot be positive, which leaves nothing of BLEU; and its errors are standardised.
    "v1": Line(
        weights=(
            -0.37708368261038905,
            -0.37030009974480316,
            -0.25261621789593225,
            4.315048405024756e-12,
        ),
        means=(0.5379231241355762, 0.6175725628125001, 0.7647942121140658, 0.44738335396242174),
        scales=(0.3028258411486429, 0.22430938459304575, 0.2539439110169773, 0.2989271671041838),
        intercept=2.466552561323256e-10,
    ),
}
"""The numbers that its authors published (CXR-Report-Metric), by version."""


def bleu_2(references: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
    """The BLEU-2 that RadCliQ was fitted with, `f64[B]`: of each pair, in 0..1.

    Reports are put in lower case, full stops are set apart, and words are what blanks part; where
    no pair of words is shared, a tenth of one is.

    Raises:
      ValueError: The two differ in length, or a reference is empty.
    """
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    check_pairs(references, candidates)
    smooth = SmoothingFunction(epsilon=0.1).method1
    pairs = zip(references, candidates, strict=True)
    return np.array(
        [
            sentence_bleu([_tokens(one)], _tokens(other), (0.5, 0.5), smoothing_function=smooth)
            for one, other in pairs
        ],
        np.float64,
    )


def _tokens(report: str) -> list[str]:
    return [word for word in report.lower().replace(".", " .").split(" ") if word]


Vectors = Callable[[Sequence[str]], np.ndarray]
"""Reports to a vector of each, `f32[B, D]`."""


class RadCliQ:
    """A pair's RadCliQ with its sign turned, so that the higher is the better."""

    def __init__(self, version: str, radgraph: Judge, bertscore: Judge, vectors: Vectors) -> None:
        """Puts the parts together.

        Args:
          version: One of `VERSIONS`.
          radgraph: Its scores are the level `combined`.
          bertscore: Its scores are F of distilroberta-base, rescaled.
          vectors: CheXbert's of reports.
        """
        self._line, self._vectors = VERSIONS[version], vectors
        self._judges = {"radgraph": radgraph, "bertscore": bertscore}
        self.name = f"RadCliQ-{version}, sign turned"

    def judge(self, references: Sequence[str], candidates: Sequence[str]) -> list[Judgement]:
        """One judgement a pair; details hold `radcliq` as published, lower is better, and `PARTS`.

        Raises:
          ValueError: The two differ in length, or a reference is empty; or a part's model cannot
            be loaded.
        """
        parts = {"bleu_2": bleu_2(references, candidates)}
        for name, judge in self._judges.items():
            found = judge.judge(references, candidates)
            parts[name] = np.array([one.score for one in found], np.float64)
        parts["chexbert"] = self._similarity(references, candidates)
        return [
            Judgement(-value, {"radcliq": value, **{name: float(parts[name][k]) for name in PARTS}})
            for k, value in enumerate(self._line(parts).tolist())
        ]

    def _similarity(self, references: Sequence[str], candidates: Sequence[str]) -> np.ndarray:
        """Cosine of the vectors of each pair."""
        vectors = self._vectors([*references, *candidates]).astype(np.float64)
        vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
        wanted, said = np.split(vectors, 2)
        return np.einsum("bd,bd->b", wanted, said)


_ENCODER = "distilroberta-base"


@dataclasses.dataclass(frozen=True, kw_only=True)
class RadCliQConfig:
    """RadCliQ's parts but for RadGraph and CheXbert, which are those of the judges of these names.

    Attributes:
      bertscore: Its `encoder` is a folder that has distilroberta-base. RadCliQ was fitted to
        rescaled scores without IDF; IDF is for comparison with who counts it.
    """

    bertscore: BertScoreConfig = BertScoreConfig(rescale=_ENCODER)

    def build(self, radgraph: RadGraphConfig, chexbert: CheXbertConfig, *, version: str) -> RadCliQ:
        """The judge of one of `VERSIONS`.

        Raises:
          ValueError: a part is not set, or BERTScore is another one than RadCliQ was fitted to.
        """
        if self.bertscore.rescale != _ENCODER:
            raise ValueError(
                f"judge.radcliq.bertscore.rescale={self.bertscore.rescale!r}: RadCliQ was fitted "
                f"to {_ENCODER!r}; leave it at that"
            )
        return RadCliQ(
            version,
            radgraph.build("combined"),
            self.bertscore.build(),
            chexbert.network().vectors,
        )

    def files(self) -> dict[str, str]:
        """Digests of BERTScore's files.

        Raises:
          ValueError: a file cannot be read.
        """
        return {f"bertscore.{name}": digest for name, digest in self.bertscore.files().items()}

"""From studies and systems' reports to one `Evaluation`: every number that a report shows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from chexjax.data.study import Study
from chexjax.evaluate.labels import LabelScores, label_scores
from chexjax.evaluate.significance import Array, Interval, mean_intervals
from chexjax.judges import Judge, Judgement, Labeling, length_controlled
from chexjax.judges.base import CorpusMetric
from chexjax.judges.overlap import Bleu, Rouge

METRICS: Mapping[str, Judge] = {"rouge_l": Rouge(), "bleu": Bleu()}
"""What is measured beside the judge's score, where nothing else is said."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class System:
    """Something that wrote one report a study.

    Attributes:
      name: How tables and pictures call it.
      reports: Its reports, in the order of the studies.
      shuffled: Reports it wrote for the same studies when shown images of other studies.
      note: What sets it apart, in a few words.
    """

    name: str
    reports: Sequence[str]
    shuffled: Sequence[str] | None = None
    note: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SystemResult:
    """One system measured.

    Attributes:
      columns: `column -> f64[B]`, one value a study: `score`, `lc_score`, each metric by its name,
        `words` and `over_long`.
      means: `column -> mean with its interval`.
      corpus: `metric -> value of all reports together`, which is not the mean of its column.
      judgements: What the judge said, one a study.
      labels: F1 per label, or None without a labeler.
      shuffled: Scores `f64[B]` of reports written from other studies' images, or None.
      shuffled_mean: Mean of `shuffled`.
      image_gain: Mean of score - shuffled, study by study: what the right image is worth.
    """

    name: str
    note: str
    reports: tuple[str, ...]
    judgements: tuple[Judgement, ...]
    columns: Mapping[str, Array]
    means: Mapping[str, Interval]
    corpus: Mapping[str, float]
    labels: LabelScores | None
    shuffled: Array | None
    shuffled_mean: Interval | None
    image_gain: Interval | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """Mean of `of` - `minus` in one column, study by study, with its interval."""

    of: str
    minus: str
    column: str
    interval: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Systems measured on the same studies: baseline first, the one under test last.

    Attributes:
      judge: Name of the judge behind `score`.
      metrics: What each metric is in full, `corpus_` before the name for its value of all reports.
      ids: Study ids, in the order of every per-study array.
      references: The radiologists' reports.
      unreadable: Ids of studies that are left out, since the judge or a metric gave some report
        on them no score.
      differences: Each system against each before it, in each column.
    """

    judge: str
    metrics: Mapping[str, str]
    ids: tuple[str, ...]
    references: tuple[str, ...]
    unreadable: tuple[str, ...]
    systems: tuple[SystemResult, ...]
    differences: tuple[Difference, ...]
    long_ratio: float
    seed: int

    @property
    def baseline(self) -> SystemResult:
        """The system that the others are held against."""
        return self.systems[0]

    @property
    def test(self) -> SystemResult:
        """The system under test."""
        return self.systems[-1]

    def difference(self, of: str, minus: str, column: str = "score") -> Interval:
        """The interval of one difference; KeyError where the evaluation has no such pair."""
        for one in self.differences:
            if (one.of, one.minus, one.column) == (of, minus, column):
                return one.interval
        raise KeyError(f"no difference {of!r} - {minus!r} in column {column!r}")


def evaluate(
    studies: Sequence[Study],
    systems: Sequence[System],
    judge: Judge,
    labeler: Labeling | None,
    *,
    seed: int,
    long_ratio: float = 1.5,
    metrics: Mapping[str, Judge] = METRICS,
) -> Evaluation:
    """Measures systems on held-out studies.

    Args:
      studies: B studies with their reference reports.
      systems: Baseline first, the system under test last.
      judge: Gives `score`.
      labeler: Reads labels from both sides, for F1 per label; None leaves it out.
      seed: Seed of the bootstrap draws, which all intervals share.
      long_ratio: A report with more than this many times the reference's words is over-long.
      metrics: `name -> judge` of what is measured beside the score.

    Raises:
      ValueError: No studies, no systems, two of one name, not one report a study, or no study
        that the judge and the metrics gave all reports a score on.
    """
    _check(studies, systems)
    asked = [study.findings for study in studies]
    judged = [_Judged.of(system, asked, judge, metrics) for system in systems]
    scored = [all(one.scored(k) for one in judged) for k in range(len(studies))]
    if not any(scored):
        raise ValueError(f"{judge.name} gave no study's reports a score each: nothing to measure")
    kept = [k for k, fine in enumerate(scored) if fine]
    references = tuple(asked[k] for k in kept)
    results = tuple(
        _measure(one.at(kept), references, labeler, metrics, seed=seed, long_ratio=long_ratio)
        for one in judged
    )
    return Evaluation(
        judge=judge.name,
        metrics=dict(_variants(metrics)),
        ids=tuple(studies[k].id for k in kept),
        references=references,
        unreadable=tuple(study.id for study, fine in zip(studies, scored, strict=True) if not fine),
        systems=results,
        differences=tuple(_differences(results, seed)),
        long_ratio=long_ratio,
        seed=seed,
    )


def _variants(metrics: Mapping[str, Judge]) -> Iterator[tuple[str, str]]:
    for name, metric in metrics.items():
        yield name, metric.name
        if isinstance(metric, CorpusMetric):
            yield f"corpus_{name}", metric.corpus_name


def _check(studies: Sequence[Study], systems: Sequence[System]) -> None:
    names = [system.name for system in systems]
    if not studies or not systems:
        raise ValueError(
            f"{len(studies)} studies and {len(systems)} systems: evaluation needs one of each"
        )
    if len(set(names)) < len(names):
        raise ValueError(f"systems {names}: give each a name of its own")
    for system in systems:
        for field in ("reports", "shuffled"):
            reports = getattr(system, field)
            if reports is not None and len(reports) != len(studies):
                raise ValueError(
                    f"system {system.name!r}: {len(reports)} {field} for {len(studies)} studies; "
                    "give one a study, in their order"
                )


@dataclasses.dataclass(frozen=True)
class _Judged:
    """A system with what the judge said of its reports, own and shuffled, and the metrics."""

    system: System
    own: Sequence[Judgement]
    shuffled: Sequence[Judgement] | None
    metrics: Mapping[str, Array]

    @classmethod
    def of(
        cls,
        system: System,
        references: Sequence[str],
        judge: Judge,
        metrics: Mapping[str, Judge],
    ) -> _Judged:
        given, reports = system.shuffled, list(system.reports)
        shuffled = None if given is None else judge.judge(references, list(given))
        found = {name: _scores(one.judge(references, reports)) for name, one in metrics.items()}
        return cls(system, judge.judge(references, reports), shuffled, found)

    def scored(self, study: int) -> bool:
        """Whether all reports on a study have a score."""
        judged = [one[study].score for one in (self.own, self.shuffled or self.own)]
        return all(map(math.isfinite, [*judged, *(of[study] for of in self.metrics.values())]))

    def at(self, kept: Sequence[int]) -> _Judged:
        """The same of some studies alone."""
        system, shuffled = self.system, self.system.shuffled
        chosen = dataclasses.replace(
            system,
            reports=[system.reports[k] for k in kept],
            shuffled=None if shuffled is None else [shuffled[k] for k in kept],
        )
        judged = None if self.shuffled is None else [self.shuffled[k] for k in kept]
        metrics = {name: scores[list(kept)] for name, scores in self.metrics.items()}
        return _Judged(chosen, [self.own[k] for k in kept], judged, metrics)


def _measure(
    judged: _Judged,
    references: tuple[str, ...],
    labeler: Labeling | None,
    metrics: Mapping[str, Judge],
    *,
    seed: int,
    long_ratio: float,
) -> SystemResult:
    system, judgements = judged.system, tuple(judged.own)
    reports = tuple(system.reports)
    columns = _columns(references, judged, long_ratio)
    measured = dict(columns)
    if judged.shuffled is not None:
        measured["shuffled"] = _scores(judged.shuffled)
        measured["image_gain"] = columns["score"] - measured["shuffled"]
    means = mean_intervals(measured, seed=seed)
    return SystemResult(
        name=system.name,
        note=system.note,
        reports=reports,
        judgements=judgements,
        columns=columns,
        means={name: means[name] for name in columns},
        corpus={
            name: metric.corpus(references, reports)
            for name, metric in metrics.items()
            if isinstance(metric, CorpusMetric)
        },
        labels=None if labeler is None else label_scores(references, reports, labeler, seed=seed),
        shuffled=measured.get("shuffled"),
        shuffled_mean=means.get("shuffled"),
        image_gain=means.get("image_gain"),
    )


def _columns(references: tuple[str, ...], judged: _Judged, long_ratio: float) -> dict[str, Array]:
    reports = judged.system.reports
    pairs = list(zip(references, reports, strict=True))
    words = np.array([len(report.split()) for report in reports], np.float64)
    limit = long_ratio * np.array([len(reference.split()) for reference in references])
    controlled = [
        length_controlled(one.score, report, reference)
        for one, (reference, report) in zip(judged.own, pairs, strict=True)
    ]
    return {
        "score": _scores(judged.own),
        "lc_score": np.array(controlled, np.float64),
        **judged.metrics,
        "words": words,
        "over_long": (words > limit).astype(np.float64),
    }


def _scores(judgements: Sequence[Judgement]) -> Array:
    return np.array([one.score for one in judgements], np.float64)


def _differences(results: tuple[SystemResult, ...], seed: int) -> list[Difference]:
    found = []
    for of, minus in ((of, minus) for k, of in enumerate(results) for minus in results[:k]):
        gaps = {name: of.columns[name] - minus.columns[name] for name in of.columns}
        found += [
            Difference(of=of.name, minus=minus.name, column=column, interval=gap)
            for column, gap in mean_intervals(gaps, seed=seed).items()
        ]
    return found

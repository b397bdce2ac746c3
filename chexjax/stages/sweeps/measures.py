"""What a sweep can measure of its policies, study by study, and which artefacts that takes."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path
from typing import Protocol

import numpy as np

from chexjax import judges
from chexjax.artefacts import Artefact
from chexjax.config import ConfigError, nearest
from chexjax.data.chexbench.questions import PERCEPTION
from chexjax.evaluate.claims import Column, Scale
from chexjax.judges import JUDGES, Judge, JudgeSettings, uncontrolled
from chexjax.judges.examination import tau
from chexjax.rows import Rows
from chexjax.stages.chexbench import answered, right_answers
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.ingest import INGEST
from chexjax.stages.judge import JUDGE
from chexjax.stages.likelihood import likelihood
from chexjax.stages.predict import studies_elsewhere
from chexjax.stages.questions import is_asked
from chexjax.stages.systems import ELSEWHERE, ENDS, MADE_BY, OWN, trained_prompts

_ALIGNED = ENDS[-1]
_AWAY, _FRESH = "elsewhere_", "fresh_"


@dataclasses.dataclass(frozen=True)
class Subject:
    """A system of a run: a policy, at its end or as it was at a step on the way, or who copies."""

    system: str
    step: int | None = None


class Measure(Protocol):
    """One number a study of a policy."""

    @property
    def scale(self) -> Scale:
        """How it is told."""
        ...

    def refuses(self, config: RunConfig, subject: Subject) -> str:
        """Why a run with this config has no such number of the policy; empty where it has."""
        ...

    def stages(self, subject: Subject) -> Sequence[Stage]:
        """The stages whose artefacts it reads, in their order."""
        ...

    def column(self, context: Context, subject: Subject) -> Column:
        """The numbers, from these artefacts."""
        ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Known:
    """What is asked for in measures of studies.

    Attributes:
      findings: References by study.
      fresh: Studies whose prompt is that of no training study.
    """

    findings: Mapping[str, str]
    fresh: Set[str]


@functools.lru_cache(maxsize=16)
def _known(folder: Path, identity: str) -> _Known:
    """Read once, though many policies are held against it."""
    rows = Rows(sorted(folder.glob("*.arrayrecord")))
    trained = trained_prompts(rows)
    return _Known(
        findings={row["id"]: row["findings"] for row in rows},
        fresh={row["id"] for row in rows if row["indication"] not in trained},
    )


def reports(context: Context, stage: Stage, studies: Artefact) -> dict[str, tuple[str, str]]:
    """Study id -> its reference, and the report that a stage has written about it."""
    known = _known(studies.path, studies.identity).findings
    return {
        row["id"]: (known[row["id"]], row["candidates"][0]["report"])
        for row in context.artefact(stage).rows()
    }


Judged = Callable[[Sequence[str], Sequence[str]], Sequence[float]]
"""References and reports in, a number for each pair out."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _OfReports:
    """Something about held-out reports: all, those of fresh prompts, or those elsewhere."""

    scale: Scale
    judged: Judged
    among: str

    @property
    def away(self) -> bool:
        return self.among == _AWAY

    def refuses(self, config: RunConfig, subject: Subject) -> str:
        if subject.system not in config.evaluate.names:
            return f"it writes no reports; name {subject.system} in config.evaluate.systems"
        if self.away and subject.system not in ELSEWHERE:
            return f"{subject.system} copies from the run's own studies alone"
        if self.among == _FRESH and config.policy.family.max_images:
            return "prompts are told apart by their text, and this policy is shown images"
        if subject.step is not None:
            return "a step on the way has written no reports; set its likelihoods against the end's"
        if self.away and not (config.sweep.elsewhere or config.evaluate.elsewhere):
            return "there is no other source; set config.sweep.elsewhere"
        return ""

    def stages(self, subject: Subject) -> Sequence[Stage]:
        return ((ELSEWHERE if self.away else OWN)[subject.system],)

    def column(self, context: Context, subject: Subject) -> Column:
        away, [stage] = self.away, self.stages(subject)
        studies = studies_elsewhere(context.config.evaluate) if away else context.artefact(INGEST)
        found = reports(context, stage, studies)
        if self.among == _FRESH:
            fresh = _known(studies.path, studies.identity).fresh
            found = {name: pair for name, pair in found.items() if name in fresh}
        references, told = ([pair[k] for pair in found.values()] for k in range(2))
        values = dict(zip(found, self.judged(references, told), strict=True))
        return Column(values=values, texts=dict(zip(found, references, strict=True)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class _OfLikelihood:
    """Something about the log-probabilities of held-out references, right and falsified."""

    scale: Scale
    value: Callable[[Mapping[str, float]], float]

    def refuses(self, config: RunConfig, subject: Subject) -> str:
        if subject.system not in MADE_BY:
            return f"{subject.system} gives no text a likelihood"
        every, step = config.sft.keep_every, subject.step
        if step is not None and not (every and step and step % every == 0):
            return (
                f"config.sft.keep_every={every} keeps no step {step}; set it to a divisor of that"
            )
        return ""

    def stages(self, subject: Subject) -> Sequence[Stage]:
        return (likelihood(MADE_BY[subject.system], subject.step),)

    def column(self, context: Context, subject: Subject) -> Column:
        [stage] = self.stages(subject)
        rows = context.artefact(stage).rows()
        return Column(values={row["id"]: self.value(row) for row in rows})


@dataclasses.dataclass(frozen=True, kw_only=True)
class _OfQuestions:
    """Right answers to the questions of some tasks of the alignment tax, each weighing the same."""

    tasks: Sequence[str]
    scale = Scale(unit="share of answers")

    def refuses(self, config: RunConfig, subject: Subject) -> str:
        if subject.step is not None or subject.system not in MADE_BY:
            return "it has answered no questions; name a policy at its end"
        return "" if is_asked(config) else "no questions are asked; set config.chexbench.questions"

    def stages(self, subject: Subject) -> Sequence[Stage]:
        return answered(subject.system)

    def column(self, context: Context, subject: Subject) -> Column:
        """A right answer counts so much that the mean over questions is that over tasks."""
        found = right_answers(context, subject.system)
        asked = {task: found[task] for task in self.tasks if task in found}
        total = sum(map(len, asked.values()))
        return Column(
            values={
                question: right * total / (len(asked) * len(answers))
                for answers in asked.values()
                for question, right in answers.items()
            }
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _OfRanking:
    """How the scores of a run rank each training study's candidates, against a judge's ranking."""

    judged: Judged
    scale = Scale(unit="Kendall's tau-b")

    def refuses(self, config: RunConfig, subject: Subject) -> str:
        if subject.system != _ALIGNED:
            return "no candidates are ranked for it; name an aligned policy"
        return "its pairs come from elsewhere, and no judge ranked" if config.pair.source else ""

    def stages(self, subject: Subject) -> Sequence[Stage]:
        return (JUDGE,)

    def column(self, context: Context, subject: Subject) -> Column:
        """NaN of a study all of whose candidates are as good."""
        rows = list(context.artefact(JUDGE).rows())
        pairs = [(row["reference"], one["report"]) for row in rows for one in row["candidates"]]
        right = iter(self.judged([r for r, _ in pairs], [c for _, c in pairs]))
        values = {}
        for row in rows:
            better = np.asarray([next(right) for _ in row["candidates"]])
            said = [one["score"] for one in row["judgements"]]
            values[row["id"]] = tau(better, said) if np.ptp(better) > 0 else math.nan
        return Column(values=values)


_REPORT, _TOKEN = Scale(unit="nats a report", digits=2), Scale(unit="nats a token")
_LIKELIHOODS: Mapping[str, tuple[Scale, Callable[[Mapping[str, float]], float]]] = {
    "logp_true": (_REPORT, lambda row: row["logp_true"]),
    "logp_false": (_REPORT, lambda row: row["logp_false"]),
    "logp_gap": (_REPORT, lambda row: row["logp_true"] - row["logp_false"]),
    "logp_true_per_token": (_TOKEN, lambda row: row["logp_true"] / row["tokens_true"]),
    "logp_false_per_token": (_TOKEN, lambda row: row["logp_false"] / row["tokens_false"]),
}
_LENGTHS: Mapping[str, tuple[Scale, Callable[[str, str], float]]] = {
    "words": (Scale(unit="words a report", digits=1), lambda _, report: len(report.split())),
    "length": (
        Scale(unit="words \u00f7 reference\u2019s", digits=2),
        lambda reference, report: len(report.split()) / max(len(reference.split()), 1),
    ),
}
_TASKS = {"accuracy": PERCEPTION} | {
    f"accuracy_{task.lower().replace(' ', '_').replace('-', '_')}": (task,) for task in PERCEPTION
}
_OWN_JUDGE = {"score": "", "lc_score": "lc_"}


def make_measure(
    name: str, judge: str, settings: JudgeSettings, build: Callable[[str], Judge]
) -> Measure:
    """The measure of that name.

    `score` is by the judge that compares the runs and `lc_score` by that controlled for length; any
    judge's name is a measure, as are `words` and `length`, the words over those of the reference.
    All of these can have `elsewhere_` before them, for the other source, or `fresh_`, for studies
    whose prompt is that of no training study. `accuracy`, or
    `accuracy_TASK`, is that of the alignment tax. `logp_true` and `logp_false` are of held-out
    references, as they are and with an error put in, `logp_gap` is what lies between, and with
    `_per_token` behind them both are divided by their tokens. `tau` is of the ranking that a run's
    pairs came from.

    Args:
      name: Of the measure.
      judge: Name of the judge that compares the runs.
      settings: Of judges, which are looked at now.
      build: Makes the judge of a name, when it is asked.

    Raises:
      ConfigError: there is no such measure; names the nearest one.
      ValueError: its judge cannot be made with these settings.
    """
    if name in _LIKELIHOODS:
        scale, value = _LIKELIHOODS[name]
        return _OfLikelihood(scale=scale, value=value)
    if name in _TASKS:
        return _OfQuestions(tasks=_TASKS[name])
    if name == "tau":
        return _OfRanking(judged=_scores(judge, build))
    among = next((prefix for prefix in (_AWAY, _FRESH) if name.startswith(prefix)), "")
    own = name.removeprefix(among)
    if own in _LENGTHS:
        unit, count = _LENGTHS[own]
        return _OfReports(scale=unit, judged=_each(count), among=among)
    known = [*_OWN_JUDGE, *JUDGES, *_LENGTHS, *_LIKELIHOODS, *_TASKS, "tau"]
    if uncontrolled(own) not in (*_OWN_JUDGE, *JUDGES):
        raise ConfigError(f"no measure {name!r}{nearest(name, known)}")
    asked = _OWN_JUDGE[own] + judge if own in _OWN_JUDGE else own
    judges.build(asked, settings)
    return _OfReports(scale=Scale(unit=f"by {asked}"), judged=_scores(asked, build), among=among)


def _scores(name: str, build: Callable[[str], Judge]) -> Judged:
    def judged(references: Sequence[str], told: Sequence[str]) -> list[float]:
        return [one.score for one in build(name).judge(references, told)]

    return judged


def _each(count: Callable[[str, str], float]) -> Judged:
    return lambda references, told: [count(*pair) for pair in zip(references, told, strict=True)]

"""The alignment tax: what a policy loses, by alignment, on questions that it was not aligned for.

Three protocols say which option a policy chooses. `sum` takes the one whose tokens have the largest
summed log-probability behind the question, as CheXbench's first version did for every model;
`mean` divides by their number, as its likelihood scripts do; `generate` lists the options with
letters and reads the answer that the policy writes, as its scripts do for CheXagent.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from chexjax.config import local
from chexjax.data.chexbench.questions import PERCEPTION, TEXT, Question, chosen
from chexjax.data.text import plain_findings
from chexjax.evaluate.significance import Array, Interval, interval, resampled_means
from chexjax.judges import Judge, Labeling, label_f1
from chexjax.judges.label_judge import LabelJudge

Protocol = Literal["sum", "mean", "generate"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ChexbenchConfig:
    """The alignment tax on CheXbench, or on questions like its own.

    Attributes:
      questions: Where they come from: `none`, the `official` file, or the held-out `studies`, which
        are asked about as far as their truth is known.
      path: The official JSON file. What it holds, not where it lies, decides the content.
      images: Folder that its image paths start from; empty for the file's own. They become what
        `source.image` says.
      tasks: Names of tasks; empty for all.
      count: Questions of each task, from the first; None for all.
      protocols: How a policy's choice is read.
      judges: Who scores the tasks that ask for a text, which only the official file has. The F1 of
        these texts' labels is beside them, by whom the config has read labels from reports.
      max_new_tokens: Longest answer that is written; 512 in the official scripts.
      unit: Questions that are answered together.
    """

    questions: Literal["none", "official", "studies"] = "none"
    path: str = local("")
    images: str = local("")
    tasks: tuple[str, ...] = ()
    count: int | None = None
    protocols: tuple[Protocol, ...] = ("sum", "mean", "generate")
    judges: tuple[str, ...] = ("rouge_l",)
    max_new_tokens: int = 512
    unit: int = 64

    def __post_init__(self) -> None:
        """Checks what only belongs to the official file, and that something is measured."""
        if self.questions == "official" and not self.path:
            raise ValueError("chexbench.path is empty: say where the official JSON file lies")
        if self.questions == "studies" and self.path:
            raise ValueError(
                f"chexbench.path={self.path} is not read with questions='studies'; "
                "set chexbench.questions to 'official'"
            )
        if not self.protocols:
            raise ValueError("chexbench.protocols is empty; give some of sum, mean, generate")
        for name in ("count", "max_new_tokens", "unit"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"chexbench.{name}={value} must be at least 1")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What one policy answered to one question.

    Attributes:
      logps: Log-probability of each option, summed over its own tokens; empty where not scored.
      tokens: Number of these tokens.
      text: What it wrote; None where it was not asked to.
    """

    logps: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    text: str | None = None

    def choice(self, protocol: Protocol, options: int) -> int | None:
        """Index of the option that it chooses, the first of equals; None where that is unreadable.

        A log-probability that is no number belongs to no option that could be chosen.
        """
        if protocol == "generate":
            return chosen(self.text or "", options)
        by = self.logps if protocol == "sum" else np.divide(self.logps, self.tokens).tolist()
        finite = [value if math.isfinite(value) else -math.inf for value in by]
        best = max(finite)
        return None if best == -math.inf else finite.index(best)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskResult:
    """One task under one protocol.

    Attributes:
      task: Its name; `MEAN` for the mean over tasks, each weighing the same.
      averaged: The tasks that a mean is over.
      questions: How many.
      chance: Accuracy of a blind guess.
      accuracy: System -> share that is right, with its interval over questions.
      unreadable: System -> share of answers that could not be read, and so are wrong.
      difference: Accuracy of the system under test - that of the baseline.
      parts: Data set, and data set with slice -> system -> accuracy.
    """

    task: str
    questions: int
    chance: float
    accuracy: dict[str, Interval]
    unreadable: dict[str, float]
    difference: Interval
    parts: dict[str, dict[str, float]]
    averaged: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextResult:
    """One task that asks for a text, by one judge: system -> its score, and the difference.

    A judge's score is the mean over texts, and the labels' F1 that of all together. Both sides are
    compared as the official script does, in plain lower case.
    """

    task: str
    judge: str
    texts: int
    score: dict[str, Interval]
    difference: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bench:
    """All that was measured.

    Attributes:
      source: Where the questions come from.
      baseline: The system that the other is held against.
      test: The system under test.
      protocols: Protocol -> its tasks, then a mean where there are several.
      texts: The tasks that ask for a text.
      left_out: Questions that could not be asked.
      ignored: Tasks of the file that were not asked.
      seed: Of the bootstrap.
    """

    source: str
    baseline: str
    test: str
    protocols: dict[str, tuple[TaskResult, ...]]
    texts: tuple[TextResult, ...]
    left_out: int
    ignored: tuple[str, ...]
    seed: int


MEAN = "Mean of the tasks"

AVERAGED = (*PERCEPTION, "Fine-Grained Reasoning")
"""Tasks of the mean: the six of perception, the last of which newer files call otherwise."""

Answers = Mapping[str, Mapping[str, Answer]]
"""System -> question id -> answer; the baseline first, the system under test last."""


def choices(
    questions: Sequence[Question], answers: Answers, protocol: Protocol, *, seed: int
) -> tuple[TaskResult, ...]:
    """Accuracy in each task with options, under one protocol, and their mean.

    That is over the tasks of perception, as far as they were asked; over all tasks where fewer than
    two of these were.

    Args:
      questions: All, each of which all systems have answered.
      answers: What the systems said.
      protocol: How that is read.
      seed: Of the bootstrap draws, which are others for each task.
    """
    found, drawn = [], []
    for number, (task, asked) in enumerate(_by_task(questions, text=False).items()):
        values = _values(asked, answers, protocol)
        draws = resampled_means(values, seed=seed + number)
        drawn.append(draws)
        found.append(_task(task, asked, list(answers), values, draws))
    if len(found) > 1:
        held = [k for k, one in enumerate(found) if one.task in AVERAGED]
        held = held if len(held) > 1 else list(range(len(found)))
        draws = np.mean([drawn[k] for k in held], axis=0)
        found.append(_mean([found[k] for k in held], list(answers), draws))
    return tuple(found)


def texts(
    questions: Sequence[Question],
    answers: Answers,
    judges: Sequence[Judge],
    labeling: Labeling | None,
    *,
    seed: int,
) -> tuple[TextResult, ...]:
    """Scores of the texts that tasks ask for; those that a judge gave no score are left out.

    Args:
      questions: All, each of which all systems have answered.
      answers: What the systems wrote.
      judges: Who scores each text.
      labeling: Who reads labels from both sides, for the F1 of all texts of a task together; None
        leaves it out.
      seed: Of the bootstrap draws.
    """
    found = []
    for task, asked in _by_task(questions, text=True).items():
        references = [plain_findings(question.reference) for question in asked]
        written = [
            [plain_findings(said[question.id].text or "") for question in asked]
            for said in answers.values()
        ]
        measured = [_scored(references, written, judge, seed) for judge in judges]
        if labeling is not None:
            measured.append(_labelled(references, written, labeling, seed))
        for judge, count, means, draws in measured:
            if count:
                score, gap = _compared(list(answers), means, draws)
                found.append(
                    TextResult(task=task, judge=judge, texts=count, score=score, difference=gap)
                )
    return tuple(found)


_Measured = tuple[str, int, Array, Array]
"""By whom, of how many texts, the value of each system `f64[S]`, and of draws `f64[R, S]`."""


def _scored(
    references: Sequence[str], written: Sequence[Sequence[str]], judge: Judge, seed: int
) -> _Measured:
    """Means of a judge's scores."""
    columns = [[one.score for one in judge.judge(references, reports)] for reports in written]
    values = np.asarray(columns, np.float64).T
    values = values[np.isfinite(values).all(1)]
    if not len(values):
        return judge.name, 0, values, values
    return judge.name, len(values), values.mean(0), resampled_means(values, seed=seed)


def _labelled(
    references: Sequence[str], written: Sequence[Sequence[str]], labeling: Labeling, seed: int
) -> _Measured:
    """F1 of the labels of all texts together, which is no mean of theirs."""
    rows = [label_f1.counted(*labeling.present(references, reports)) for reports in written]

    def f1(means: Iterable[Array]) -> Array:
        return np.stack([label_f1.averages(one)[label_f1.MEAN_OF_FOUR] for one in means], axis=-1)

    means = f1(row.mean(0, keepdims=True) for row in rows)
    draws = f1(resampled_means(row, seed=seed) for row in rows)
    return LabelJudge(labeling).corpus_name, len(references), means[0], draws


def _by_task(questions: Sequence[Question], *, text: bool) -> dict[str, list[Question]]:
    """Questions of the tasks that ask for a text, or of the others."""
    found: dict[str, list[Question]] = {}
    for question in questions:
        if (question.task in TEXT) == text:
            found.setdefault(question.task, []).append(question)
    return found


def _values(asked: Sequence[Question], answers: Answers, protocol: Protocol) -> Array:
    """Right or not, then unreadable or not, of each system, `f64[Q, 2 S]`."""
    picks = [
        [said[q.id].choice(protocol, len(q.options)) for said in answers.values()] for q in asked
    ]
    right = [[pick == q.answer for pick in row] for q, row in zip(asked, picks, strict=True)]
    unread = [[pick is None for pick in row] for row in picks]
    return np.concatenate([np.asarray(right, np.float64), np.asarray(unread, np.float64)], axis=1)


def _task(
    task: str, asked: Sequence[Question], names: Sequence[str], values: Array, draws: Array
) -> TaskResult:
    means = values.mean(0)
    accuracy, gap = _compared(names, means, draws)
    return TaskResult(
        task=task,
        questions=len(asked),
        chance=float(np.mean([question.chance for question in asked])),
        accuracy=accuracy,
        unreadable=dict(zip(names, means[len(names) :].tolist(), strict=True)),
        difference=gap,
        parts=_parts(asked, names, values),
    )


def _compared(
    names: Sequence[str], means: Array, draws: Array
) -> tuple[dict[str, Interval], Interval]:
    """Mean of each system, and that of the last minus the first's."""
    last = len(names) - 1
    each = {name: interval(means[k], draws[:, k]) for k, name in enumerate(names)}
    return each, interval(means[last] - means[0], draws[:, last] - draws[:, 0])


def _parts(
    asked: Sequence[Question], names: Sequence[str], values: Array
) -> dict[str, dict[str, float]]:
    rows: dict[str, list[int]] = {}
    for row, question in enumerate(asked):
        for part in (question.source, f"{question.source}: {question.slice}"):
            rows.setdefault(part, []).append(row)
    return {
        part: {name: float(values[held, k].mean()) for k, name in enumerate(names)}
        for part, held in rows.items()
    }


def _mean(found: Sequence[TaskResult], names: Sequence[str], draws: Array) -> TaskResult:
    """Over tasks, each of which weighs the same."""
    means = np.asarray([np.mean([one.accuracy[name].mean for one in found]) for name in names])
    accuracy, gap = _compared(names, means, draws)
    return TaskResult(
        task=MEAN,
        questions=sum(one.questions for one in found),
        chance=float(np.mean([one.chance for one in found])),
        accuracy=accuracy,
        unreadable={
            name: float(np.mean([one.unreadable[name] for one in found])) for name in names
        },
        difference=gap,
        parts={},
        averaged=tuple(one.task for one in found),
    )

"""What a reader study came to: win rates, agreement, and what length had to do with it."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy.special import expit

from chexjax.evaluate.gallery import ERRORS
from chexjax.evaluate.readers.agreement import cohen, fleiss, krippendorff
from chexjax.evaluate.readers.answers import Answers, read_answers
from chexjax.evaluate.readers.crossed import Draws, spread
from chexjax.evaluate.readers.study import PREFERENCES, SIDES, ReaderKey
from chexjax.evaluate.significance import Array, Interval

_STEP = 10  # words; what the effect of length is given for
_PRIOR = 0.01  # weight of a standard normal on the two numbers of `_logistic`, in answers
_ITERATIONS = 25


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wins:
    """Answers of one reader, or of all.

    Attributes:
      wins: For the system under test.
      ties: No difference.
      losses: For the baseline.
      rate: Wins and half of the ties, over all answers.
      decided: Wins over wins and losses.
      p: Two-sided binomial (sign) test of wins against losses, ties left out.
    """

    wins: int
    ties: int
    losses: int
    rate: Interval
    decided: Interval
    p: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Agreement:
    """Beyond chance, over the three answers.

    Attributes:
      pairs: Two readers' names -> Cohen's kappa.
      fleiss: Over the cases that all have answered.
      alpha: Krippendorff's, over all cases with two answers.
      again: Reader -> cases shown again, share of the same answer, Cohen's kappa with himself.
    """

    pairs: Mapping[str, float]
    fleiss: float
    alpha: float
    again: Mapping[str, tuple[int, float, float]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Length:
    """Whether readers prefer long reports.

    Attributes:
      words: Mean words of the two systems' reports, baseline first.
      longer: Share of decided answers for the longer report, where lengths differ.
      effect: Log-odds that the system under test wins for every 10 words its report is longer.
      equal: Its win rate between reports of equal length, by the same logistic regression.
    """

    words: tuple[float, float]
    longer: Interval
    effect: Interval
    equal: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReaderResults:
    """Everything that the answers say.

    Attributes:
      systems: The baseline and the system under test.
      cases: Different studies.
      identical: Studies left out beforehand, for two equal reports.
      readers: Of each reader.
      overall: Of all answers; its `p` is of one vote a case, the sign of the sum of its answers.
      left: Decided answers for side A, decided answers, and the binomial test of no preference.
      agreement: Between readers, and of each with himself.
      length: The effect of length.
      errors: System -> category -> share of its reports that a reader marked with it.
      seconds: Median time a case.
      amiss: What was wrong with the answers, in words.
    """

    systems: tuple[str, str]
    cases: int
    identical: int
    readers: Mapping[str, Wins]
    overall: Wins
    left: tuple[int, int, float]
    agreement: Agreement
    length: Length
    errors: Mapping[str, Mapping[str, Interval]]
    seconds: float
    amiss: Sequence[str]


def analyse(key: ReaderKey, files: Sequence[Path]) -> ReaderResults:
    """Reads the answers and works them out.

    Raises:
      ValueError: a file cannot be used, or there is no answer at all.
    """
    answers = read_answers(files, key.page, key.cases, {"preference": PREFERENCES})
    if not answers.rows:
        raise ValueError(f"no answer in {', '.join(map(str, files))}; give the readers' CSVs")
    outcomes = _outcomes(key, answers, [name for name, one in key.cases.items() if not one.repeats])
    draws = Draws.of(*outcomes.shape, seed=key.seed)
    names = answers.readers
    alone = Draws.of(len(outcomes), 1, seed=key.seed)
    readers = {n: _wins(outcomes[:, [k]], alone) for k, n in enumerate(names)}
    votes = np.sign(np.nansum(outcomes, axis=1))
    seen = np.isfinite(outcomes).any(axis=1)
    overall = dataclasses.replace(_wins(outcomes, draws), p=_sign_test(votes[seen]))
    return ReaderResults(
        systems=key.systems,
        cases=int(seen.sum()),
        identical=len(key.identical),
        readers=readers,
        overall=overall,
        left=_left(answers),
        agreement=_agreement(key, answers, outcomes),
        length=_length(key, outcomes, draws),
        errors=_errors(key, answers, draws),
        seconds=float(np.median([row.seconds for row in answers.rows])),
        amiss=answers.amiss,
    )


def _outcomes(key: ReaderKey, answers: Answers, cases: Sequence[str]) -> Array:
    """1 for the system under test, -1 for the baseline, 0 for neither, `f64[cases, readers]`."""
    table = np.full((len(cases), len(answers.readers)), np.nan)
    rows, columns = ({n: k for k, n in enumerate(names)} for names in (cases, answers.readers))
    for answer in answers.rows:
        if answer.case in rows:
            side = {"A": 1, "tie": 0, "B": -1}[answer.values["preference"]]
            turned = 1 if key.cases[answer.case].a == key.systems[1] else -1
            table[rows[answer.case], columns[answer.reader]] = side * turned
    return table


def _wins(outcomes: Array, draws: Draws) -> Wins:
    wins, ties, losses = (int((outcomes == value).sum()) for value in (1, 0, -1))
    return Wins(
        wins=wins,
        ties=ties,
        losses=losses,
        rate=draws.mean((outcomes + 1) / 2),
        decided=draws.mean(np.where(outcomes == 0, np.nan, (outcomes + 1) / 2)),
        p=_sign_test(outcomes),
    )


def _sign_test(outcomes: Array) -> float:
    """Exact and two-sided; ties say nothing. NaN where there are only ties."""
    return _binomial(int((outcomes > 0).sum()), int((outcomes < 0).sum()))


def _left(answers: Answers) -> tuple[int, int, float]:
    sides = [row.values["preference"] for row in answers.rows]
    left, right = sides.count("A"), sides.count("B")
    return left, left + right, _binomial(left, right)


def _binomial(one: int, other: int) -> float:
    """How likely two counts lie as far apart or further where both are as likely; NaN of none."""
    from scipy.stats import binomtest  # a second to import, and few need it

    return float(binomtest(one, one + other).pvalue) if one + other else float("nan")


def _agreement(key: ReaderKey, answers: Answers, outcomes: Array) -> Agreement:
    ratings = _ratings(outcomes)
    names = answers.readers
    again = [name for name, one in key.cases.items() if one.repeats]
    firsts = [key.cases[name].repeats for name in again]
    first, second = (_ratings(_outcomes(key, answers, cases)) for cases in (firsts, again))
    own: dict[str, tuple[int, float, float]] = {}
    for k, name in enumerate(names):
        both = (first[:, k] >= 0) & (second[:, k] >= 0)
        if both.any():
            same = float((first[both, k] == second[both, k]).mean())
            own[name] = (int(both.sum()), same, cohen(first[:, k], second[:, k]))
    return Agreement(
        pairs={
            f"{names[a]} and {names[b]}": cohen(ratings[:, a], ratings[:, b])
            for a, b in itertools.combinations(range(len(names)), 2)
        },
        fleiss=fleiss(ratings),
        alpha=krippendorff(ratings),
        again=own,
    )


def _ratings(outcomes: Array) -> np.ndarray:
    """Categories 0, 1, 2 for loss, tie and win, -1 for no answer."""
    return np.where(np.isfinite(outcomes), outcomes + 1, -1).astype(np.int64)


def _length(key: ReaderKey, outcomes: Array, draws: Draws) -> Length:
    shown = [one for one in key.cases.values() if not one.repeats]
    base, test = (np.array([float(one.words[s]) for one in shown]) for s in key.systems)
    more = (test - base)[:, None]
    decided = (outcomes != 0) & np.isfinite(outcomes) & (more != 0)
    longer = np.where(decided, outcomes * np.sign(more) > 0, np.nan)
    cases, readers = np.nonzero(np.isfinite(outcomes))
    fitted = _logistic(
        more[cases, 0] / _STEP,
        (outcomes[cases, readers] + 1) / 2,
        draws.cases[:, cases] * draws.readers[:, readers],
    )
    return Length(
        words=(float(base.mean()), float(test.mean())),
        longer=draws.mean(longer),
        effect=spread(fitted[:, 1]),
        equal=spread(expit(fitted[:, 0])),
    )


def _logistic(x: Array, y: Array, weights: Array) -> Array:
    """Offset and slope of y = sigmoid(a + b x), fitted once for each row of weights.

    A tie, y = 1/2, counts half on either side. A faint prior keeps the numbers finite where x
    parts wins from losses altogether.

    Args:
      x: `f64[K]`.
      y: `f64[K]` in [0, 1].
      weights: `f64[N, K]`.

    Returns:
      `f64[N, 2]`.
    """
    inputs = np.stack([np.ones_like(x), x], axis=1)
    found = np.zeros((len(weights), 2))
    for _ in range(_ITERATIONS):
        p = expit(found @ inputs.T)
        slope = (weights * (y - p)) @ inputs - _PRIOR * found
        curve = np.einsum("nk,ki,kj->nij", weights * p * (1 - p), inputs, inputs, optimize=True)
        step = np.linalg.solve(curve + _PRIOR * np.eye(2), slope[:, :, None])[:, :, 0]
        found += np.clip(step, -2, 2)  # whole steps may overshoot where p is near 0 or 1
    return found


def _errors(key: ReaderKey, answers: Answers, draws: Draws) -> dict[str, dict[str, Interval]]:
    """Empty where the page did not ask for them."""
    if f"errors_{SIDES[0]}" not in answers.rows[0].values:
        return {}
    cases = [name for name, one in key.cases.items() if not one.repeats]
    rows, columns = ({n: k for k, n in enumerate(names)} for names in (cases, answers.readers))
    found: dict[str, dict[str, Interval]] = {}
    for system in key.systems:
        marks = np.full((len(ERRORS), len(cases), len(columns)), np.nan)
        for answer in (row for row in answers.rows if row.case in rows):
            side = SIDES[(key.cases[answer.case].a == system) ^ 1]
            said = answer.values[f"errors_{side}"].split(";")
            marks[:, rows[answer.case], columns[answer.reader]] = [c in said for c in ERRORS]
        found[system] = {kind: draws.mean(marks[k]) for k, kind in enumerate(ERRORS)}
    return found

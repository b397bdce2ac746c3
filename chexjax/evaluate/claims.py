"""Claims that are written down before runs are made, and what the runs then say to each.

A claim sets one policy against another in one measure. It says which way they differ, or that they
do not, and from which size on a difference matters. Three answers are possible: seen, not seen, and
that these runs can't tell.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from chexjax.config import ConfigError, nearest
from chexjax.evaluate.significance import (
    Array,
    Interval,
    holm,
    interval,
    mean_intervals,
    resampled_means,
)

Verdict = Literal["seen", "not seen", "can't tell"]

_FIELDS = ("of", "minus", "measure", "expect", "margin")
_EXPECTED = ("more", "less", "same")
_LEVEL = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim, as it was declared.

    Attributes:
      name: What it says, in words.
      of: A policy.
      minus: The policy that it is set against.
      measure: What of them is compared.
      expect: What is claimed of the difference `of` - `minus`: "more" than nothing, "less", or
        "same", which is no more than `margin` either way.
      margin: The smallest difference that matters, above 0, in units of the measure.
    """

    name: str
    of: str
    minus: str
    measure: str
    expect: str
    margin: float


def parse_all(texts: Sequence[str]) -> list[Claim]:
    """The claims of a config, each with a name of its own.

    Raises:
      ConfigError: see `parse`; or two have one name.
    """
    found = [parse(text) for text in texts]
    names = [claim.name for claim in found]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ConfigError(f"config.sweep.claims: two are called {twice[0]!r}; rename one")
    return found


def parse(text: str) -> Claim:
    """The claim of a config: `DPO gains: of=dpo minus=SFT measure=score expect=more margin=0.03`.

    Raises:
      ConfigError: a field is missing, unknown, twice there or has no such value.
    """
    name, colon, fields = text.rpartition(":")
    where = f"config.sweep.claims: {name.strip()!r}"
    if not colon or not name.strip():
        raise ConfigError(f"config.sweep.claims: {text!r} is not of the form 'CLAIM: FIELD=VALUE'")
    given: dict[str, str] = {}
    for part in fields.split():
        field, equals, value = part.partition("=")
        if field not in _FIELDS:
            raise ConfigError(f"{where}: no field {field!r}{nearest(field, _FIELDS)}")
        if field in given or not equals or not value:
            raise ConfigError(f"{where}: {part!r} is not one {field}=VALUE; write it once")
        given[field] = value
    if missing := [field for field in _FIELDS if field not in given]:
        raise ConfigError(f"{where}: {missing[0]} is missing; write {missing[0]}=VALUE")
    of, minus, measure, expect, margin = (given[field] for field in _FIELDS)
    if expect not in _EXPECTED:
        raise ConfigError(f"{where}: no expect={expect!r}{nearest(expect, _EXPECTED)}")
    return Claim(
        name=name.strip(),
        of=of,
        minus=minus,
        measure=measure,
        expect=expect,
        margin=_margin(margin, where),
    )


def _margin(text: str, where: str) -> float:
    try:
        margin = float(text)
    except ValueError:
        margin = math.nan
    if not 0 < margin < math.inf:
        raise ConfigError(
            f"{where}: margin={text} is no size above 0; give the smallest difference that matters"
        )
    return margin


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A mean difference and what is known of its spread.

    Attributes:
      interval: The difference with its 95 % interval.
      below: The chance, by that spread, that it is less than a value.
      spread: What the interval comes from, in words.
    """

    interval: Interval
    below: Callable[[float], float]
    spread: str

    @property
    def half_width(self) -> float:
        """The smallest difference that such an interval would have parted from none."""
        return (self.interval.high - self.interval.low) / 2


def estimate(gaps: Sequence[Array], *, seed: int) -> Estimate:
    """What paired differences say of a mean difference.

    Args:
      gaps: `f64[B]` a repetition, one value a study. Of several repetitions each counts as one
        value, its mean: the interval is Student's t over these, and speaks of other repetitions. Of
        one it is the bootstrap's over studies, and speaks of other studies alone.
      seed: Of the bootstrap's draws.
    """
    means = np.asarray([gap.mean() for gap in gaps])
    return _over_repeats(means) if len(means) > 1 else _over_studies(gaps[0], seed)


def student(values: Array) -> Interval:
    """Mean of values with its 95 % interval by Student's t, which a single value does not have."""
    mean, freedom = float(values.mean()), len(values) - 1
    if not freedom:
        return Interval(mean, math.nan, math.nan)
    half = float(stdtrit(freedom, (1 + _LEVEL) / 2)) * _error(values)
    return Interval(mean, mean - half, mean + half)


def _over_repeats(means: Array) -> Estimate:
    found, error, freedom = student(means), _error(means), len(means) - 1

    def below(value: float) -> float:
        if not error:
            return float(np.heaviside(value - found.mean, 0.5))
        return float(stdtr(freedom, (value - found.mean) / error))

    degrees = f"{freedom} degree{'s' if freedom > 1 else ''} of freedom"
    return Estimate(found, below, f"Student's t over {len(means)} repetitions, {degrees}")


def _over_studies(gap: Array, seed: int) -> Estimate:
    drawn = resampled_means(gap[:, None], seed=seed)[:, 0]
    least = 1 / (len(drawn) + 1)

    def below(value: float) -> float:
        share = float(np.heaviside(value - drawn, 0.5).mean())
        return min(max(share, least), 1 - least)

    spread = f"bootstrap over {len(gap):,} studies of one run"
    return Estimate(interval(float(gap.mean()), drawn), below, spread)


def _error(values: Array) -> float:
    """Standard error of the mean."""
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def verdict(found: Interval, expect: str, margin: float) -> Verdict:
    """Whether an interval shows what was claimed.

    "more" and "less" are seen where the whole interval lies on that side of 0, and not seen where
    it leaves no room for a difference of `margin` there. "same" is seen where the interval lies
    within `margin` of 0, and not seen where it lies wholly beyond.
    """
    if expect == "less":
        return verdict(Interval(-found.mean, -found.high, -found.low), "more", margin)
    if expect == "more":
        seen, excluded = found.low > 0, found.high < margin
    else:
        seen = -margin < found.low and found.high < margin
        excluded = found.low > margin or found.high < -margin
    return "seen" if seen else "not seen" if excluded else "can't tell"


def chance(found: Estimate, expect: str, margin: float) -> float:
    """P-value of a claim: it is seen by an interval of 1 - p, and by no wider one.

    Two one-sided tests for "same" (Schuirmann, 1987). Doubled, since the interval has two ends.
    """
    tails = {
        "more": found.below(0.0),
        "less": 1 - found.below(0.0),
        "same": max(found.below(-margin), 1 - found.below(margin)),
    }
    return min(1.0, 2 * tails[expect])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scale:
    """How a measure is told: in which unit, with how many digits behind the point."""

    unit: str
    digits: int = 3


@dataclasses.dataclass(frozen=True, kw_only=True)
class Column:
    """One measure of one policy in one repetition.

    Attributes:
      values: By study.
      texts: What the studies were held against, by study: two columns are of the same studies only
        where these agree. Empty where the ids say it all.
    """

    values: Mapping[str, float]
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def mean(self) -> float:
        """Of the studies that have a value; NaN where there are none."""
        found = self._finite
        return float(found.mean()) if len(found) else math.nan

    def interval(self, seed: int) -> Interval:
        """The same with the interval of bootstrap draws of the studies."""
        if not len(found := self._finite):
            return Interval(math.nan, math.nan, math.nan)
        return mean_intervals({"": found}, seed=seed)[""]

    @property
    def _finite(self) -> Array:
        values = np.asarray([*self.values.values()], np.float64)
        return values[np.isfinite(values)]


def paired(of: Column, minus: Column) -> Array:
    """Differences on the studies where both have a value, `f64[B]`.

    Raises:
      ValueError: the two are not of the same studies, or there is no such study.
    """
    shared = [study for study in of.values if study in minus.values]
    if any(of.texts.get(study) != minus.texts.get(study) for study in shared):
        raise ValueError("the two are measured on studies with other references")
    gaps = np.asarray([of.values[study] - minus.values[study] for study in shared], np.float64)
    gaps = gaps[np.isfinite(gaps)]
    if not len(gaps):
        raise ValueError("there is no study on which both have a value")
    return gaps


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answer:
    """What the runs say to a claim.

    Attributes:
      claim: The claim.
      scale: Of its measure.
      verdict: The answer.
      of: Mean of the policy that it is about, over the repetitions.
      minus: Mean of the other.
      difference: Of the two, study by study, with its interval.
      each: The difference in each repetition.
      studies: How many it was measured on, in each.
      spread: What the interval comes from.
      could_show: Half the interval's width: the smallest difference that runs with such a spread
        can tell from none.
      p: See `chance`.
      holm: The same, adjusted for the number of claims.
    """

    claim: Claim
    scale: Scale
    verdict: Verdict
    of: float
    minus: float
    difference: Interval
    each: tuple[float, ...]
    studies: tuple[int, ...]
    spread: str
    could_show: float
    p: float
    holm: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """A claim with what was measured for it, a column of each policy a repetition."""

    claim: Claim
    scale: Scale
    of: Sequence[Column]
    minus: Sequence[Column]


def answers(measured: Sequence[Measured], *, seed: int) -> list[Answer]:
    """The answers to a family of claims, in their order.

    Raises:
      ConfigError: a claim cannot be measured; names it.
    """
    found = [_answer(one, seed) for one in measured]
    adjusted = holm([one.p for one in found])
    return [dataclasses.replace(one, holm=p) for one, p in zip(found, adjusted, strict=True)]


def _answer(one: Measured, seed: int) -> Answer:
    claim = one.claim
    try:
        gaps = [paired(*columns) for columns in zip(one.of, one.minus, strict=True)]
    except ValueError as error:
        raise ConfigError(f"config.sweep.claims: {claim.name!r}: {error}") from error
    found = estimate(gaps, seed=seed)
    return Answer(
        claim=claim,
        scale=one.scale,
        verdict=verdict(found.interval, claim.expect, claim.margin),
        of=float(np.mean([column.mean for column in one.of])),
        minus=float(np.mean([column.mean for column in one.minus])),
        difference=found.interval,
        each=tuple(float(gap.mean()) for gap in gaps),
        studies=tuple(len(gap) for gap in gaps),
        spread=found.spread,
        could_show=found.half_width,
        p=chance(found, claim.expect, claim.margin),
        holm=math.nan,
    )

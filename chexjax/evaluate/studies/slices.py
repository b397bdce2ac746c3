"""Fairness: the score by sex, age, race, view and whatever else is known of a study.

Largest gaps between slices are above zero by chance alone, the more so the smaller the slices: a
gap stands beside the chance that studies dealt to slices of these sizes at random show as much.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from chexjax.data import views
from chexjax.data.study import Study
from chexjax.evaluate.cells import cell
from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.significance import (
    Array,
    Interval,
    chance,
    holm,
    interval,
    resampled_means,
)
from chexjax.page import Html, join, stacked, tag
from chexjax.page import table as html_table

AGE, VIEW = "age", "view"
UNKNOWN = "not given"
_NO_GROUP = frozenset({UNKNOWN, views.UNKNOWN})
"""Slices whose studies have nothing in common but that the attribute is not known."""
_TRIALS = 2000
_DISTINCT = 12
"""Most different values of an attribute that is sliced without being asked for."""

LEAD = (
    "Mean score of the studies that have an attribute in common, with 95 % intervals. A difference "
    "between slices may come from harder cases, other scanners or other radiologists as well as "
    "from the model. Largest gap: between the slices where a system scores lowest and highest, "
    "that of studies of which nothing is known left out; p: the chance of one as large where "
    "studies are dealt to slices at random, by Holm's steps."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SliceConfig:
    """Which studies are looked at by themselves.

    Attributes:
      by: Attributes of studies, `view` among them; empty for all that have few different values.
      ages: Bounds of age groups, years; any other attribute in numbers is cut into thirds.
      smallest: A slice of fewer studies is counted and not shown.
    """

    by: tuple[str, ...] = ()
    ages: tuple[float, ...] = (40.0, 60.0, 80.0)
    smallest: int = 20

    def __post_init__(self) -> None:
        """Checks bounds and size."""
        if not self.ages or list(self.ages) != sorted(set(self.ages)):
            raise ValueError(f"ages={self.ages} do not rise; give bounds such as (40, 60, 80)")
        if self.smallest < 2:
            raise ValueError(f"smallest={self.smallest}: a mean with an interval needs 2 or more")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Slice:
    """The studies that have one value.

    Attributes:
      studies: How many.
      scores: System -> mean score of them.
      gain: The system under test less the baseline, study by study.
    """

    value: str
    studies: int
    scores: Mapping[str, Interval]
    gain: Interval


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gap:
    """From the slice where a system scores lowest to the one where it scores highest.

    Studies of which the attribute is not known are no slice of it.

    Attributes:
      size: Difference of their means; the interval is of these two slices.
      adjusted: P that slices at random gape as much, by Holm's steps over attributes and systems.
    """

    system: str
    low: str
    high: str
    size: Interval
    adjusted: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sliced:
    """One attribute.

    Attributes:
      slices: Those that are large enough.
      gaps: Of the baseline and the system under test; none where one slice alone is known.
      small: How many slices are too small, and how many studies they have.
    """

    attribute: str
    slices: tuple[Slice, ...]
    gaps: tuple[Gap, ...]
    small: tuple[int, int]


def sliced(
    evaluation: Evaluation, studies: Sequence[Study], config: SliceConfig
) -> tuple[Sliced, ...]:
    """Each attribute that has two slices or more of some size.

    Args:
      evaluation: The scores.
      studies: Its studies, in its order.
      config: Which attributes, and what makes a slice.

    Raises:
      ValueError: an attribute that was asked for is known of no study.
    """
    found = []
    for name in _attributes(studies, config):
        values = values_of(studies, name, config.ages)
        counts = Counter(values)
        kept = [value for value in sorted(counts) if counts[value] >= config.smallest]
        if len(kept) > 1:
            found.append(_slice(evaluation, name, np.array(values), kept))
    return _adjusted(found)


def _attributes(studies: Sequence[Study], config: SliceConfig) -> list[str]:
    known = [*dict.fromkeys(name for study in studies for name in study.attributes), VIEW]
    if unknown := [name for name in config.by if name not in known]:
        raise ValueError(f"{unknown[0]!r} is known of no study; choose from {', '.join(known)}")
    few = (n for n in known if len(set(values_of(studies, n, config.ages))) <= _DISTINCT)
    return list(config.by) or list(few)


def values_of(studies: Sequence[Study], attribute: str, ages: Sequence[float]) -> list[str]:
    """The slice that each study is in."""
    if attribute == VIEW:
        return [study.views[0] if study.views else UNKNOWN for study in studies]
    raw = [study.attributes.get(attribute, UNKNOWN) for study in studies]
    numbers = [value for value in raw if not isinstance(value, str)]
    if attribute != AGE and len(set(numbers)) <= _DISTINCT:
        return [value if isinstance(value, str) else f"{value:g}" for value in raw]
    bounds = list(ages) if attribute == AGE else np.quantile(numbers, [1 / 3, 2 / 3]).tolist()
    return [value if isinstance(value, str) else _group(value, bounds) for value in raw]


def _group(value: float, bounds: Sequence[float]) -> str:
    """The bounds that a number lies between; the lower one belongs to the group."""
    place = int(np.searchsorted(bounds, value, side="right"))
    if place == 0:
        return f"< {bounds[0]:g}"
    low = f"\u2265 {bounds[place - 1]:g}"
    return low if place == len(bounds) else f"{low}, < {bounds[place]:g}"


def _slice(evaluation: Evaluation, name: str, values: Array, kept: Sequence[str]) -> Sliced:
    base, test = evaluation.baseline, evaluation.test
    columns = {one.name: one.columns["score"] for one in evaluation.systems}
    members = np.stack([values == value for value in kept], axis=1).astype(np.float64)
    draws = {n: _slice_means(score, members, evaluation.seed) for n, score in columns.items()}
    gain = draws[test.name] - draws[base.name]
    slices = tuple(
        Slice(
            value=value,
            studies=int(members[:, k].sum()),
            scores={n: interval(d[0, k], d[1:, k]) for n, d in draws.items()},
            gain=interval(gain[0, k], gain[1:, k]),
        )
        for k, value in enumerate(kept)
    )
    ends = dict.fromkeys([base.name, test.name])
    known = [k for k, value in enumerate(kept) if value not in _NO_GROUP]
    inside, named = members[:, known], [kept[k] for k in known]
    gaps = tuple(
        _gap(n, columns[n], draws[n][:, known], inside, named, evaluation.seed)
        for n in ends
        if len(known) > 1
    )
    small = [value for value in set(values.tolist()) if value not in kept]
    left = int(np.isin(values, small).sum())
    return Sliced(attribute=name, slices=slices, gaps=gaps, small=(len(small), left))


def _slice_means(score: Array, members: Array, seed: int) -> Array:
    """Mean score of each slice `f64[1 + draws, K]`: as seen, and in each draw of all studies."""
    values = np.concatenate([members * score[:, None], members], axis=1)
    means = np.concatenate([values.mean(0)[None], resampled_means(values, seed=seed)])
    sums, shares = np.split(means, 2, axis=1)
    return np.divide(sums, shares, out=np.full_like(sums, np.nan), where=shares > 0)


def _gap(
    system: str, score: Array, draws: Array, members: Array, kept: Sequence[str], seed: int
) -> Gap:
    low, high = int(draws[0].argmin()), int(draws[0].argmax())
    size = draws[:, high] - draws[:, low]
    return Gap(
        system=system,
        low=kept[low],
        high=kept[high],
        size=interval(size[0], size[1:]),
        adjusted=_dealt(score, members, float(size[0]), seed),
    )


def _dealt(score: Array, members: Array, size: float, seed: int) -> float:
    """Share of random deals of the scores to slices of these sizes whose gap is as large."""
    rng = np.random.default_rng(seed)
    inside = members.any(1)
    share = members[inside] / members.sum(0)
    dealt = np.stack([rng.permutation(score[inside]) @ share for _ in range(_TRIALS)])
    reached = int((np.ptp(dealt, axis=1) >= size - 1e-12).sum())
    return (reached + 1) / (_TRIALS + 1)


def _adjusted(found: Sequence[Sliced]) -> tuple[Sliced, ...]:
    ps = iter(holm([gap.adjusted for one in found for gap in one.gaps]))
    return tuple(
        dataclasses.replace(
            one, gaps=tuple(dataclasses.replace(gap, adjusted=next(ps)) for gap in one.gaps)
        )
        for one in found
    )


def show(found: Sequence[Sliced]) -> Html:
    """A table for each attribute, and one of the gaps of all."""
    gaps = [
        [
            stacked(one.attribute, gap.system),
            cell(gap.size),
            f"{gap.low} \u2192 {gap.high}",
            chance(gap.adjusted),
        ]
        for one in found
        for gap in one.gaps
    ]
    header = ["Largest gap", "Score", "From, to", "p, Holm"]
    largest = [html_table(header, gaps)] if gaps else []
    return join([*(_table(one) for one in found), *largest])


def _table(one: Sliced) -> Html:
    names = list(one.slices[0].scores)
    rows = [
        [
            each.value,
            f"{each.studies:,}",
            *(cell(each.scores[name]) for name in names),
            *([cell(each.gain, signed=True)] if len(names) > 1 else []),
        ]
        for each in one.slices
    ]
    header = [one.attribute.capitalize(), "Studies", *names]
    header += [f"{names[-1]} \u2212 {names[0]}"] if len(names) > 1 else []
    number_small, studies = one.small
    said = f"Too small to show: {number_small} of the slices (studies: {studies})."
    note = [tag("p", said, class_="note")] if number_small else []
    return join([html_table(header, rows), *note])

"""Fairness: score and other measures by sex, age, race, view and whatever else is known of a study.

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
from chexjax.evaluate.measures import Measured, measured
from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.significance import (
    Array,
    Interval,
    chance,
    holm,
    interval,
    resampled_means,
)
from chexjax.evaluate.table import title
from chexjax.page import Html, folded, join, stacked, tag
from chexjax.page import table as html_table

AGE, VIEW = "age", "view"
UNKNOWN = "not given"
_NO_GROUP = frozenset({UNKNOWN, views.UNKNOWN})
"""Slices whose studies have nothing in common but that the attribute is not known."""
_TRIALS = 2000
_DISTINCT = 12
"""Most different values of an attribute that is sliced without being asked for."""

LEAD = (
    "Score of the studies that have an attribute in common, with 95 % intervals; other measures "
    "of the same slices are folded below. A difference "
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
      means: System -> measure -> its value on them.
      gains: Measure -> the system under test less the baseline, on the same studies.
    """

    value: str
    studies: int
    means: Mapping[str, Mapping[str, Interval]]
    gains: Mapping[str, Interval]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gap:
    """From the slice where a system scores lowest to the one where it scores highest.

    Studies of which the attribute is not known are no slice of it.

    Attributes:
      size: Difference of their values; the interval is of these two slices.
      adjusted: P that slices at random gape as much, by Holm's steps over attributes, systems and
        measures.
    """

    system: str
    measure: str
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
    evaluation: Evaluation,
    studies: Sequence[Study],
    config: SliceConfig,
    measures: Sequence[str] = ("score",),
) -> tuple[Sliced, ...]:
    """Each attribute that has two slices or more of some size.

    Args:
      evaluation: The numbers.
      studies: Its studies, in its order.
      config: Which attributes, and what makes a slice.
      measures: By what the slices are compared, the one to show first of all before others.

    Raises:
      ValueError: an attribute that was asked for is known of no study.
    """
    found = []
    for name in _attributes(studies, config):
        values = values_of(studies, name, config.ages)
        counts = Counter(values)
        kept = [value for value in sorted(counts) if counts[value] >= config.smallest]
        if len(kept) > 1:
            found.append(_slice(evaluation, name, np.array(values), kept, measures))
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


def _slice(
    evaluation: Evaluation, attribute: str, values: Array, kept: Sequence[str], names: Sequence[str]
) -> Sliced:
    base, test, seed = evaluation.baseline.name, evaluation.test.name, evaluation.seed
    members = np.stack([values == value for value in kept], axis=1).astype(np.float64)
    found = {one.name: measured(one, names) for one in evaluation.systems}
    draws = {name: _slice_draws(one, members, seed) for name, one in found.items()}
    known = [k for k, value in enumerate(kept) if value not in _NO_GROUP]
    inside, named = members[:, known], [kept[k] for k in known]
    gaps = [
        _gaps(system, found[system], draws[system][:, known], inside, named, seed)
        for system in dict.fromkeys([base, test])
        if len(known) > 1
    ]
    small = [value for value in set(values.tolist()) if value not in kept]
    left = int(np.isin(values, small).sum())
    return Sliced(
        attribute=attribute,
        slices=tuple(
            Slice(
                value=value,
                studies=int(members[:, k].sum()),
                means={n: _intervals(names, one[:, k]) for n, one in draws.items()},
                gains=_intervals(names, draws[test][:, k] - draws[base][:, k]),
            )
            for k, value in enumerate(kept)
        ),
        gaps=tuple(gap for of_measure in zip(*gaps, strict=True) for gap in of_measure),
        small=(len(small), left),
    )


def _intervals(names: Sequence[str], draws: Array) -> dict[str, Interval]:
    """Measure -> value in row 0 of the draws, `f64[1 + draws, M]`, with its interval."""
    return {name: interval(draws[0, k], draws[1:, k]) for k, name in enumerate(names)}


def _slice_draws(one: Measured, members: Array, seed: int) -> Array:
    """Measures of each slice `f64[1 + draws, S, M]`: as seen, and in each draw of all studies."""
    count = members.shape[1]
    values = np.concatenate([*(one.rows * m[:, None] for m in members.T), members], axis=1)
    means = np.concatenate([values.mean(0)[None], resampled_means(values, seed=seed)])
    shares = means[:, -count:, None]
    sums = means[:, :-count].reshape(len(means), count, -1)
    drawn = np.divide(sums, shares, out=np.zeros_like(sums), where=shares > 0)
    return np.where(shares > 0, _values(one, drawn), np.nan)


def _values(one: Measured, means: Array) -> Array:
    """Measures `f64[R, S, M]` of means of slices, `f64[R, S, K]`."""
    return one.values(means.reshape(-1, means.shape[-1])).reshape(*means.shape[:2], -1)


def _gaps(
    system: str, one: Measured, draws: Array, members: Array, kept: Sequence[str], seed: int
) -> list[Gap]:
    """The largest gap in each measure."""
    seen = draws[0]
    chances = _dealt(one, members, np.ptp(seen, axis=0), seed)
    found = []
    for k, name in enumerate(one.names):
        low, high = int(seen[:, k].argmin()), int(seen[:, k].argmax())
        size = draws[:, high, k] - draws[:, low, k]
        found.append(
            Gap(
                system=system,
                measure=name,
                low=kept[low],
                high=kept[high],
                size=interval(size[0], size[1:]),
                adjusted=float(chances[k]),
            )
        )
    return found


def _dealt(one: Measured, members: Array, sizes: Array, seed: int) -> Array:
    """Share of random deals of studies to slices of these sizes whose gaps are as large, `[M]`."""
    rng = np.random.default_rng(seed)
    inside = members.any(1)
    rows, share = one.rows[inside], members[inside] / members.sum(0)
    dealt = np.stack([rng.permutation(share).T @ rows for _ in range(_TRIALS)])
    reached = (np.ptp(_values(one, dealt), axis=1) >= sizes - 1e-12).sum(0)
    return np.asarray((reached + 1) / (_TRIALS + 1))


def _adjusted(found: Sequence[Sliced]) -> tuple[Sliced, ...]:
    ps = iter(holm([gap.adjusted for one in found for gap in one.gaps]))
    return tuple(
        dataclasses.replace(
            one, gaps=tuple(dataclasses.replace(gap, adjusted=next(ps)) for gap in one.gaps)
        )
        for one in found
    )


def show(found: Sequence[Sliced]) -> Html:
    """A table for each attribute, and one of the gaps of all; measures behind the first folded."""
    first, *others = found[0].slices[0].gains
    parts = [*(_table(one, first) for one in found), *_gap_tables(found, [first])]
    if others:
        beside = (_beside(one, others) for one in found)
        said = f"By {', '.join(map(title, others))}"
        parts.append(folded(said, *beside, *_gap_tables(found, others)))
    return join(parts)


def _gap_tables(found: Sequence[Sliced], measures: Sequence[str]) -> list[Html]:
    """The gaps in some measures, if there are any."""
    rows = [
        [
            stacked(one.attribute, f"{gap.system}, {title(gap.measure)}"),
            cell(gap.size),
            f"{gap.low} \u2192 {gap.high}",
            chance(gap.adjusted),
        ]
        for one in found
        for gap in one.gaps
        if gap.measure in measures
    ]
    return [html_table(["Largest gap", "Size", "From, to", "p, Holm"], rows)] if rows else []


def _table(one: Sliced, measure: str) -> Html:
    """All systems in one measure."""
    names = list(one.slices[0].means)
    rows = [
        [
            each.value,
            f"{each.studies:,}",
            *(cell(each.means[name][measure]) for name in names),
            *([cell(each.gains[measure], signed=True)] if len(names) > 1 else []),
        ]
        for each in one.slices
    ]
    header = [stacked(one.attribute.capitalize(), title(measure)), "Studies", *names]
    header += [f"{names[-1]} \u2212 {names[0]}"] if len(names) > 1 else []
    number_small, studies = one.small
    said = f"Too small to show: {number_small} of the slices (studies: {studies})."
    note = [tag("p", said, class_="note")] if number_small else []
    return join([html_table(header, rows), *note])


def _beside(one: Sliced, measures: Sequence[str]) -> Html:
    """The system under test in other measures, and what it gained in each."""
    base, test = list(one.slices[0].means)[0], list(one.slices[0].means)[-1]
    header, compared = [one.attribute.capitalize()], base != test
    for measure in measures:
        header.append(stacked(title(measure), test))
        header += [stacked("Difference", f"{test} \u2212 {base}")] if compared else []
    rows = []
    for each in one.slices:
        cells = []
        for measure in measures:
            cells.append(cell(each.means[test][measure]))
            cells += [cell(each.gains[measure], signed=True)] if compared else []
        rows.append([each.value, *cells])
    return html_table(header, rows)

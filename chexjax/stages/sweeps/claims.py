"""What a sweep claims and is asked to measure: the stages that this takes, then the answers."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from chexjax.artefacts import Artefact
from chexjax.config import ConfigError, nearest
from chexjax.evaluate import claims
from chexjax.evaluate.claims import Answer, Claim, Column, student
from chexjax.evaluate.claims_table import Levels
from chexjax.evaluate.significance import Interval
from chexjax.stages.config import NEIGHBOUR
from chexjax.stages.context import Context, Stage
from chexjax.stages.judge import judge_of
from chexjax.stages.sft import SFT
from chexjax.stages.sweeps.measures import Measure, Subject, make_measure
from chexjax.stages.sweeps.runs import Run
from chexjax.stages.systems import ENDS

_START, _END = ENDS
_STARTS = re.compile(rf"(?:(?P<point>.+)/)?{_START}(?:@(?P<step>\d+))?")


@dataclasses.dataclass(frozen=True)
class _Policy:
    """A policy in all of its repetitions: what has become of the runs of a point."""

    point: str
    subject: Subject


class Asked:
    """The claims and measures of a sweep's config, each name understood."""

    def __init__(
        self, context: Context, runs: Iterable[Run], inside: Mapping[str, Context], judge: str
    ) -> None:
        """Finds what is meant by every name.

        Args:
          context: Of the sweep's config.
          runs: Its runs.
          inside: A context for each, by name.
          judge: Name of the judge that compares them.

        Raises:
          ConfigError: a claim cannot be read, or there is no such policy or measure.
        """
        self._context, self._inside, self._judge = context, inside, judge
        self._build = functools.cache(lambda name: judge_of(context, name))
        self._sweep = context.config.sweep
        self._points: dict[str, list[Run]] = {}
        for run in runs:
            self._points.setdefault(run.beside(self._sweep.repeat), []).append(run)
        self._columns: dict[tuple[str, ...], Column] = {}
        self._claims = claims.parse_all(self._sweep.claims)
        self._sides = [self._policies(claim) for claim in self._claims]
        self._measures = {
            name: self._made(name, where)
            for where, name in (
                *((_where(claim), claim.measure) for claim in self._claims),
                *(("config.sweep.measures", name) for name in self._sweep.measures),
            )
        }
        for claim, sides in zip(self._claims, self._sides, strict=True):
            for policy in sides:
                if why := self._refused(policy, claim.measure):
                    raise ConfigError(f"{_where(claim)}: measure={claim.measure}: {why}")

    def stages(self) -> Iterator[tuple[str, Stage]]:
        """What has to be done behind the method, and in which run."""
        for policy, name in self._wanted():
            for run in self._points[policy.point]:
                for stage in self._measures[name].stages(policy.subject):
                    if stage.needed(self._inside[run.name].config):
                        yield run.name, stage

    def inputs(self) -> dict[str, Artefact]:
        """The artefacts that the answers come from, by folder."""
        found = ((self._inside[run], stage) for run, stage in self.stages())
        return {one.place(stage): one.artefact(stage) for one, stage in found}

    def answers(self) -> list[Answer]:
        """What the runs say to each claim.

        Raises:
          ConfigError: two policies were measured on other studies.
        """
        measured = [
            claims.Measured(
                claim=claim,
                scale=self._measures[claim.measure].scale,
                of=self._each(of, claim.measure),
                minus=self._each(minus, claim.measure),
            )
            for claim, (of, minus) in zip(self._claims, self._sides, strict=True)
        ]
        return claims.answers(measured, seed=self._context.config.seed)

    def levels(self) -> Levels:
        """The measures of every policy, over its repetitions."""
        names = self._sweep.measures
        return Levels(
            scales={name: self._measures[name].scale for name in names},
            policies={
                title: {name: self._level(policy, name) for name in names}
                for title, policy in self._all().items()
            },
        )

    def _policies(self, claim: Claim) -> tuple[_Policy, _Policy]:
        """Both sides; what is called SFT alone began the run of the other side, or the first."""
        sides = [_side(text) for text in (claim.of, claim.minus)]
        first = next(iter(self._points))
        found = []
        for (named, subject), (other, _) in (sides, sides[::-1]):
            point = named or other or first
            if point not in self._points:
                known = nearest(point, [*self._points, _START])
                raise ConfigError(f"{_where(claim)}: no policy {point!r}{known}")
            found.append(_Policy(point, subject))
        of_policy, minus_policy = found
        if of_policy == minus_policy:
            raise ConfigError(
                f"{_where(claim)}: of={claim.of} and minus={claim.minus} are the same policy; say "
                f"whose {_START} is meant, as in POINT/{_START}"
            )
        return of_policy, minus_policy

    def _made(self, name: str, where: str) -> Measure:
        try:
            settings = self._context.config.judge
            return make_measure(name, self._judge, settings, self._build)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from error

    def _refused(self, policy: _Policy, measure: str) -> str:
        configs = (self._inside[run.name].config for run in self._points[policy.point])
        with_sweep = (dataclasses.replace(config, sweep=self._sweep) for config in configs)
        reasons = (self._measures[measure].refuses(one, policy.subject) for one in with_sweep)
        return next(filter(None, reasons), "")

    def _all(self) -> dict[str, _Policy]:
        """Every policy at its end, by the shortest name: what the runs start from comes first."""
        found: dict[str, _Policy] = {}
        for point, [run, *_] in self._points.items():
            *inside, _ = run.folder(SFT).split("/")
            named = [one for one in inside if one != run.points.get(self._sweep.repeat)]
            found.setdefault("/".join([*named, _START]), _Policy(point, Subject(_START)))
        if NEIGHBOUR in self._context.config.evaluate.names:
            found[NEIGHBOUR] = _Policy(next(iter(self._points)), Subject(NEIGHBOUR))
        return found | {point: _Policy(point, Subject(_END)) for point in self._points}

    def _wanted(self) -> Iterator[tuple[_Policy, str]]:
        """Which measure of which policy is needed."""
        for claim, sides in zip(self._claims, self._sides, strict=True):
            yield from ((policy, claim.measure) for policy in sides)
        for name in self._sweep.measures:
            for policy in self._all().values():
                if not self._refused(policy, name):
                    yield policy, name

    def _each(self, policy: _Policy, measure: str) -> list[Column]:
        """A column a repetition."""
        contexts = (self._inside[run.name] for run in self._points[policy.point])
        return [self._column(one, policy.subject, measure) for one in contexts]

    def _column(self, context: Context, subject: Subject, measure: str) -> Column:
        """Made once of the same artefacts, which many runs may share."""
        made = self._measures[measure]
        key = (measure, *map(context.place, made.stages(subject)))
        if key not in self._columns:
            self._columns[key] = made.column(context, subject)
        return self._columns[key]

    def _level(self, policy: _Policy, measure: str) -> Interval:
        if self._refused(policy, measure):
            return Interval(np.nan, np.nan, np.nan)
        columns = self._each(policy, measure)
        if len(columns) == 1:
            return columns[0].interval(self._context.config.seed)
        return student(np.asarray([column.mean for column in columns]))


def _where(claim: Claim) -> str:
    return f"config.sweep.claims: {claim.name!r}"


def _side(text: str) -> tuple[str | None, Subject]:
    """The point that one side of a claim names, if it does, and which of its policies is meant."""
    if text == NEIGHBOUR:
        return None, Subject(NEIGHBOUR)
    if (start := _STARTS.fullmatch(text)) is None:
        return text, Subject(_END)
    step = start["step"]
    return start["point"], Subject(_START, None if step is None else int(step))

"""A sweep: many runs that differ in some fields, in one workdir, sharing all that does not differ.

An artefact lies under the points of those axes that decide its content, so what all runs have in
common is made once, and a new point of an axis touches nothing that is there.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence

from chexjax.config import ConfigError, config_dict, freeze
from chexjax.config.command import override
from chexjax.stages.config import RunConfig, SweepConfig
from chexjax.stages.context import Stage

_NAME = re.compile(r"[\w.-]+")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a sweep.

    Attributes:
      points: The point that it has on each axis, by axis.
      decides: The config's groups of fields that each axis sets.
      config: Its config, in which there is no sweep.
    """

    points: Mapping[str, str]
    decides: Mapping[str, frozenset[str]]
    config: RunConfig

    @property
    def name(self) -> str:
        """Its points, `oracle/dpo-0.1`."""
        return "/".join(self.points.values())

    def folder(self, stage: Stage) -> str:
        """Where the artefact of a stage lies in the workdir of the sweep."""
        fields = _lineage(stage, self.config)
        mine = [self.points[axis] for axis, sets in self.decides.items() if sets & fields]
        return "/".join([*mine, stage.folder])


def runs(config: RunConfig) -> list[Run]:
    """All runs of a sweep: every combination of the axes' points.

    Raises:
      ConfigError: a point cannot be read, or gives no config.
    """
    axes = {axis: _points(axis, texts) for axis, texts in config.sweep.axes.items()}
    decides = {axis: _groups(points) for axis, points in axes.items()}
    found = []
    for names in itertools.product(*axes.values()):
        points = dict(zip(axes, names, strict=True))
        settings = {name: axes[axis][name] for axis, name in points.items()}
        found.append(Run(points=points, decides=decides, config=_set(config, settings)))
    return found


def _groups(points: Mapping[str, Sequence[str]]) -> frozenset[str]:
    """`loss` of `loss.options.beta=0.1`, for all that an axis sets."""
    settings = (setting for point in points.values() for setting in point)
    return frozenset(setting.partition("=")[0].partition(".")[0] for setting in settings)


def _points(axis: str, texts: Sequence[str]) -> dict[str, list[str]]:
    """The settings of each point of an axis, by its name."""
    points: dict[str, list[str]] = {}
    for text in texts:
        name, colon, settings = text.partition(":")
        where = f"config.sweep.axes.{axis}: {text!r}"
        if not colon or not settings.split() or not _NAME.fullmatch(name):
            raise ConfigError(f"{where} is not of the form 'NAME: FIELD=VALUE FIELD=VALUE'")
        if name in points:
            raise ConfigError(f"{where}: there are two points {name!r}; give one another name")
        points[name] = settings.split()
    if not points:
        raise ConfigError(f"config.sweep.axes.{axis} has no point; give it one, or leave it out")
    return points


def _set(config: RunConfig, settings: Mapping[str, Sequence[str]]) -> RunConfig:
    values = config_dict(dataclasses.replace(config, sweep=SweepConfig()))
    for point, lines in settings.items():
        for line in lines:
            try:
                override(values, f"--config.{line}", RunConfig)
            except ConfigError as error:
                raise ConfigError(f"config.sweep: point {point!r}: {error}") from error
    try:
        return freeze(RunConfig, values)
    except ConfigError as error:
        raise ConfigError(f"config.sweep: {', '.join(settings)}: {error}") from error


def _lineage(stage: Stage, config: RunConfig) -> frozenset[str]:
    """Groups of fields that decide an artefact, its inputs' included."""
    before = (_lineage(read, config) for read in stage.inputs(config))
    return frozenset(stage.fields).union(*before)

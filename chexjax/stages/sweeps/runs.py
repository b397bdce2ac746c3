"""A sweep: many runs that differ in some fields, in one workdir, sharing all that does not differ.

An artefact lies under those points of its run that set a field which decides its content. So what
runs have in common is made once, and a new point, whatever it sets, touches nothing that is there.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

from chexjax.config import ConfigError, config_dict, freeze, nearest
from chexjax.config.command import override
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Stage
from chexjax.stages.sweeps.config import SweepConfig

_NAME = re.compile(r"[\w.-]+")

ALIGNED = "aligned"
"""What a run is called of which nothing varies but what repeats it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a sweep.

    Attributes:
      points: The point that it has on each axis, by axis.
      decides: The config's groups of fields that each of its points sets, by axis.
      config: Its config, in which there is no sweep.
    """

    points: Mapping[str, str]
    decides: Mapping[str, frozenset[str]]
    config: RunConfig

    @property
    def name(self) -> str:
        """Its points, `oracle/dpo-0.1`."""
        return "/".join(self.points.values())

    def beside(self, repeat: str) -> str:
        """Its points but that on the axis `repeat`: what runs have in common that repeat it."""
        return "/".join(point for axis, point in self.points.items() if axis != repeat) or ALIGNED

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
    axes = {axis: _points(config, axis, texts) for axis, texts in config.sweep.axes.items()}
    _check_names(axes, config.sweep.repeat)
    found = []
    for names in itertools.product(*axes.values()):
        points = dict(zip(axes, names, strict=True))
        settings = {name: axes[axis][name] for axis, name in points.items()}
        decides = {axis: _groups(settings[name]) for axis, name in points.items()}
        found.append(Run(points=points, decides=decides, config=_set(config, settings)))
    return found


def elsewhere(config: RunConfig) -> RunConfig:
    """The config of the sweep's other source.

    Raises:
      ConfigError: its fields cannot be set.
    """
    where = "config.sweep.elsewhere"
    return _set(config, {where: _read(config, config.sweep.elsewhere.split(), where)})


Settings = Mapping[str, Any]
"""Field, with dots -> its value."""


def _check_names(axes: Mapping[str, Mapping[str, Settings]], repeat: str) -> None:
    """A folder is named after points alone, so that no two may have one name."""
    where: dict[str, str] = {}
    for axis, points in axes.items():
        for point in points:
            if point in where:
                raise ConfigError(
                    f"config.sweep.axes: {where[point]!r} and {axis!r} both have a point "
                    f"{point!r}; give one of them another name"
                )
            where[point] = axis
    if repeat and repeat not in axes:
        raise ConfigError(f"config.sweep.repeat={repeat!r} is no axis{nearest(repeat, axes)}")


def _groups(settings: Settings) -> frozenset[str]:
    """`loss` of `loss.options.beta`, for all that a point sets."""
    return frozenset(field.partition(".")[0] for field in settings)


def _points(config: RunConfig, axis: str, texts: Sequence[str]) -> dict[str, Settings]:
    """The settings of each point of an axis, by its name."""
    points: dict[str, Settings] = {}
    for text in texts:
        name, colon, settings = text.partition(":")
        where = f"config.sweep.axes.{axis}: {text!r}"
        if not colon or not settings.split() or not _NAME.fullmatch(name):
            raise ConfigError(f"{where} is not of the form 'NAME: FIELD=VALUE FIELD=VALUE'")
        if name in points:
            raise ConfigError(f"{where}: there are two points {name!r}; give one another name")
        points[name] = _read(config, settings.split(), f"config.sweep: point {name!r}")
    if not points:
        raise ConfigError(f"config.sweep.axes.{axis} has no point; give it one, or leave it out")
    return points


def _read(config: RunConfig, lines: Sequence[str], where: str) -> Settings:
    """What `FIELD=VALUE` says, as on the command line; read once, though many runs have it."""
    values, found = config_dict(dataclasses.replace(config, sweep=SweepConfig())), {}
    for line in lines:
        try:
            override(values, f"--config.{line}", RunConfig)
        except ConfigError as error:
            raise ConfigError(f"{where}: {error}") from error
        field = line.partition("=")[0]
        found[field] = functools.reduce(operator.getitem, field.split("."), values)
    return found


def _set(config: RunConfig, settings: Mapping[str, Settings]) -> RunConfig:
    """The config with the settings of points, by their names, and without its sweep."""
    values = config_dict(dataclasses.replace(config, sweep=SweepConfig()))
    for field, value in itertools.chain.from_iterable(s.items() for s in settings.values()):
        *groups, name = field.split(".")
        functools.reduce(operator.getitem, groups, values)[name] = value
    try:
        return freeze(RunConfig, values)
    except ConfigError as error:
        raise ConfigError(f"config.sweep: {', '.join(settings)}: {error}") from error


def _lineage(stage: Stage, config: RunConfig) -> frozenset[str]:
    """Groups of fields that decide an artefact, its inputs' included."""
    before = (_lineage(read, config) for read in stage.inputs(config))
    return frozenset(stage.fields).union(*before)

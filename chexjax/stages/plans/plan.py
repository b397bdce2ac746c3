"""`plan`: what a training step would need of a machine that is not here, and how long it takes."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from absl import flags
from flax import nnx
from rich.console import Console

from chexjax.config import ConfigError, freeze, nearest
from chexjax.config.command import parse, read_flags, split_overrides
from chexjax.mesh import AXES, MeshConfig, batch_ways, check_batch, parameter_names
from chexjax.models import model_class
from chexjax.ops.attention import Backend, backend_for
from chexjax.perf.planning import search
from chexjax.perf.planning import step as planning
from chexjax.perf.planning.aot import TooLarge, effort
from chexjax.perf.planning.step import StepShape
from chexjax.perf.planning.topology import Topology, accelerators, topology
from chexjax.stages.align import make_objective
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context
from chexjax.stages.fitting import StepCost
from chexjax.stages.plans.bulk import BulkPlan
from chexjax.stages.plans.page import Estimate, Tried, show, tried_table
from chexjax.trackers import StageClock
from chexjax.train import SFT, Load, Objective, TrainConfig
from chexjax.train.step import split_params

_TRAINING, _BULK, _RECIPE = ("align", "sft"), ("sample", "judge", "reference"), "recipe"
_FORM = (
    "chexjax plan [align|sft|sample|judge|reference|recipe] --config=FILE.py --topology=v5e:4x4 "
    "[--images=1] [--prompt=128] [--response=256] [--search=batch|mesh] [--effort=full] "
    "[--json=FILE] [--config.a.b=value ...]"
)
_STATE = 12
"""Bytes of a trained parameter and its two moments, float32."""


def plan(argv: Sequence[str], console: Console) -> None:
    """Runs the command.

    Args:
      argv: What stands behind `plan` on the command line.
      console: Where to print.

    Raises:
      ConfigError: a flag, the config or the machine cannot be used, or the step does not fit it.
    """
    overrides, rest = split_overrides(argv)
    stage, told = _stage(rest)
    own = _flags()
    if unknown := read_flags(own, told, _FORM):
        raise ConfigError(f"{unknown[0]} is no flag: write {_FORM}")
    for name in ("config", "topology"):
        if not own[name].value:
            raise ConfigError(f"--{name} is missing: write {_FORM}")
    command = parse(
        ["plan", f"--config={own['config'].value}", "--workdir=.", *overrides], ["plan"], RunConfig
    )
    if "JAX_PLATFORMS" not in os.environ:  # a CUDA plugin that looks for GPUs in vain gives up
        jax.config.update("jax_platforms", "cpu")
    given = {name: own[name].value for name in own}
    if stage not in _TRAINING and (given["json"] or given["search"] != "none"):
        raise ConfigError(f"plan {stage} takes neither --search nor --json")
    planned = _Plan(freeze(RunConfig, command.config), stage, given)
    with effort(str(given["effort"])):
        if stage in _TRAINING:
            found = _searched(planned, str(given["search"]), console)
            if given["json"]:
                _write(Path(str(given["json"])), argv, found)
        elif stage == _RECIPE:
            align = planned.estimate(planned.mesh, planned.train.batch_size)
            planned.bulk.show_recipe(align.step, align.shape.rows, console)
        else:
            planned.bulk.show(stage, console)


def _stage(rest: list[str]) -> tuple[str, list[str]]:
    """What is to be planned, and the flags behind it."""
    if not rest or rest[0].startswith("-"):
        return "align", rest
    known = [*_TRAINING, *_BULK, _RECIPE]
    if rest[0] not in known:
        raise ConfigError(f"plan {rest[0]}: no such stage{nearest(rest[0], known)}: write {_FORM}")
    return rest[0], rest[1:]


def _flags() -> flags.FlagValues:
    own = flags.FlagValues()
    flags.DEFINE_string("config", None, "Config file.", flag_values=own)
    flags.DEFINE_string("topology", None, "What to compile for.", flag_values=own)
    flags.DEFINE_integer("images", 1, "Of each study.", lower_bound=1, flag_values=own)
    flags.DEFINE_integer("prompt", 128, "Tokens of text before it.", lower_bound=1, flag_values=own)
    flags.DEFINE_integer("response", 256, "Tokens of a report.", lower_bound=1, flag_values=own)
    flags.DEFINE_enum(
        "search", "none", ("none", "batch", "mesh"), "What to look for.", flag_values=own
    )
    flags.DEFINE_enum(
        "effort", "quick", ("quick", "full"), "Of the compiler for TPUs.", flag_values=own
    )
    flags.DEFINE_string("json", None, "Where to write what was found.", flag_values=own)
    return own


def _searched(planned: _Plan, what: str, console: Console) -> list[Estimate]:
    """Plans what is asked for and prints it; the plans, in the order tried."""
    if what == "none":
        found = planned.estimate(planned.mesh, planned.train.batch_size)
        show(found, console)
        return [found]
    title = {"batch": "rows of a device", "mesh": " x ".join(AXES)}[what]
    tried = planned.batches() if what == "batch" else planned.meshes()
    console.print(tried_table(title, tried))
    return [found for _, found in tried if found]


def _write(path: Path, argv: Sequence[str], found: Sequence[Estimate]) -> None:
    told = [flag for flag in argv if not flag.startswith("--json")]
    page = {"command": ["chexjax", "plan", *told], "plans": [one.record() for one in found]}
    path.write_text(json.dumps(page, indent=1) + "\n")


class _Plan:
    """Steps and bulk work of one config on one machine."""

    def __init__(self, config: RunConfig, stage: str, given: Mapping[str, Any]) -> None:
        context = Context(config, Path(), StageClock(Path(), keep=False))
        self.family, self.config = context.family, config
        self.stage = stage if stage in _TRAINING else "align"
        self.train: TrainConfig = getattr(config, self.stage)
        self.objective: Objective = SFT()
        if self.stage == "align":
            self.objective = make_objective(config, single=False)
        self.name, self.mesh = str(given["topology"]), config.mesh
        self.response = int(given["response"])
        self.images = int(given["images"]) if self.family.max_images else 0
        self.prompt = int(given["prompt"])
        self.prefix = self.family.visual_tokens(self.images) + self.prompt
        if (total := self.prefix + self.response) > self.family.decoder.context:
            raise ConfigError(
                f"--images={self.images}, --prompt and --response={self.response} make {total} "
                f"tokens, but {self.family.name} has {self.family.decoder.context} positions"
            )

    @functools.cached_property
    def bulk(self) -> BulkPlan:
        """What its other stages run on the same machine."""
        place = topology(self.name, self.mesh)
        return BulkPlan(
            config=self.config,
            family=self.family,
            place=place,
            attention=_attention(self.config, place),
            images=self.images,
            prompt=self.prompt,
            response=self.response,
        )

    def estimate(self, mesh: MeshConfig, rows: int) -> Estimate:
        """One step of `rows` on a mesh.

        Raises:
          ConfigError: they do not go together, or a TPU's compiler finds no room.
        """
        place = topology(self.name, mesh)
        train = self._batch(place, rows)
        shape = self._shape(rows)
        backend = _attention(self.config, place)
        step = planning.plan_step(
            self.family, self.objective, train, shape, place, dtype=jnp.bfloat16, attention=backend
        )
        return Estimate(
            title=f"{self.stage} of {self.family.name}",
            place=place,
            shape=shape,
            ways=batch_ways(place.mesh) * train.accumulate,
            step=step,
            times=planning.times(step, place),
            useful=self._useful(shape),
            attention=backend,
        )

    def batches(self) -> list[Tried]:
        """Plans of ever more rows on each device."""
        one = topology(self.name, self.mesh)
        ways = batch_ways(one.mesh)
        self.train = dataclasses.replace(self.train, batch_size=ways, accumulate=1)
        tried = search.largest(
            lambda rows: self._attempt(self.mesh, rows * ways),
            lambda found: found.step.compiled.peak,
            one.memory,
        )
        return [(str(rows), found) for rows, found in tried]

    def meshes(self) -> list[Tried]:
        """Plans of the config's batch on all meshes that hold the state."""
        _, devices, memory = accelerators(self.name)
        rows, micro = self.train.batch_size, self.train.batch_size // self.train.accumulate
        shapes = search.meshes(len(devices), micro, _STATE * self._trained_size(), memory)
        if not shapes:
            raise ConfigError(
                f"topology {self.name}: no mesh shares {micro} rows evenly and holds the state of "
                f"{self.family.name}; change config.{self.stage}.batch_size or take more devices"
            )
        return [
            (f"{mesh.data} x {mesh.fsdp} x {mesh.tensor}", self._attempt(mesh, rows))
            for mesh in shapes
        ]

    def _attempt(self, mesh: MeshConfig, rows: int) -> Estimate | None:
        try:
            return self.estimate(mesh, rows)
        except TooLarge:
            return None

    def _batch(self, place: Topology, rows: int) -> TrainConfig:
        train = dataclasses.replace(self.train, batch_size=rows)
        try:
            name = f"{self.stage}.batch_size / accumulate"
            check_batch(rows // train.accumulate, place.mesh, name)
        except ValueError as error:
            raise ConfigError(f"config.{error}") from error
        return train

    def _shape(self, rows: int) -> StepShape:
        return StepShape(
            rows=rows,
            images=self.images,
            prefix=self.prefix,
            responses=(1 if self.stage == "sft" else 2) + self.objective.scored_only,
            response=self.response,
        )

    @functools.cached_property
    def _trained(self) -> nnx.State:
        model = nnx.merge(*model_class(self.family).abstract(self.family))
        _, trainable, _ = split_params(model, self.train.freeze)
        return trainable

    def _trained_size(self) -> int:
        return sum(leaf.size for leaf in jax.tree.leaves(self._trained))

    def _useful(self, shape: StepShape) -> float:
        cost = StepCost(
            family=self.family,
            trained=parameter_names(self._trained),
            objective=self.objective,
            responses=shape.responses,
        )
        tokens = (shape.rows * shape.prefix, shape.rows * shape.responses * shape.response)
        return cost.useful(Load(shape.rows, *tokens), shape.images)


def _attention(config: RunConfig, place: Topology) -> Backend:
    """What a run takes there; XLA's where it is left open and cuDNN is not here to compile with.

    Raises:
      ConfigError: it does not run there.
    """
    platform, asked = place.mesh.devices.flat[0].platform, config.policy.attention
    if asked == "auto" and platform == "gpu" and not _has_cudnn():
        return "xla"
    try:
        return backend_for(asked, platform)
    except ValueError as error:
        raise ConfigError(f"config.policy.{error}") from error


def _has_cudnn() -> bool:
    try:
        return importlib.util.find_spec("nvidia.cudnn") is not None
    except ModuleNotFoundError:
        return False

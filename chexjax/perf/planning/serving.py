"""The engine as it would run on a machine that is not here, and the slots that fit it.

The engine's own pool asks for its own programs, which are compiled from shapes and not run.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from chexjax.config import ConfigError
from chexjax.engine import EngineConfig, Images, Request
from chexjax.engine.job import Job
from chexjax.engine.pool import Pool
from chexjax.engine.pools import token_bytes
from chexjax.engine.programs import room_shapes
from chexjax.families import Family, TextFamily
from chexjax.mesh import check_batch
from chexjax.models import Memory
from chexjax.ops.attention import Backend
from chexjax.perf.planning.bulk import Program, largest_power
from chexjax.perf.planning.planner import Asked, Filled, Planner, served
from chexjax.perf.planning.topology import Topology

_MOST = 512
"""Groups of a lane that are tried: with more, reading parameters is no longer what takes time."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Served:
    """An engine on a machine.

    Attributes:
      asked: What is asked of it.
      slots: Rows that are written together, over all devices.
      resident: Bytes of parameters, keys and values on each device.
      programs: What it runs; `write` alone where that does not fit already.
    """

    asked: Asked
    slots: int
    resident: int
    programs: tuple[Program, ...]

    @property
    def fits(self) -> bool:
        """Whether every program has the memory that it needs, beside what others keep there."""
        return all(program.fits for program in self.programs)

    @property
    def peak(self) -> int:
        """Most bytes in use on a device."""
        return max(program.peak for program in self.programs)

    def tokens(self, place: Topology, *, compiled: bool = False) -> float:
        """Tokens a second of each device, the reading of prompts in between.

        At the most; where `compiled`, by what the compiler made of it.
        """
        each = sum(
            one.runs * (one.compiled(place) if compiled else one.seconds(place))
            for one in self.programs
        )
        return self.asked.rows * self.asked.written / each / place.mesh.size


def plan_serving(
    family: TextFamily,
    asked: Asked,
    place: Topology,
    config: EngineConfig,
    *,
    dtype: Any = jnp.bfloat16,
    attention: Backend = "xla",
) -> Served:
    """Compiles what an engine runs for requests, and counts what it does.

    Drafts are left out: how many of them are right is for texts to say.

    Args:
      family: Of the model.
      asked: The requests; slots are full of them.
      place: What to compile for.
      config: How they are batched.
      dtype: Of computation.
      attention: What computes it where it can.

    Raises:
      ConfigError: lanes cannot be split over the mesh, or a program does not fit (TPU only; on
        GPUs `fits` is False).
    """
    try:
        check_batch(config.lanes, place.mesh, "lanes")
    except ValueError as error:
        raise ConfigError(str(error)) from error
    job = _job(family, asked, config)
    rows, lanes = job.shape.rows, config.lanes
    groups = max(1, config.slots // (lanes * rows))
    kept = jnp.int8 if config.kv == "int8" else dtype
    room = functools.partial(_room, family, place, kept)
    prefix = room((lanes, groups), job.shape.prefix) if job.shape.prefix else None
    own = room((lanes, groups, rows), job.shape.own)
    preamble = _preamble(room((), asked.preamble), place) if asked.preamble else None
    planner = Planner(
        served(family, place, dtype=dtype, attention=attention),
        family,
        place,
        Filled(family, asked, place, lanes, groups, kept),
        (preamble, prefix, own),
    )

    def runs(name: str, times: int) -> float:
        together = lanes * groups * config.steps
        return asked.written / together if name == "write" else times / lanes

    pool = Pool(planner, preamble, job.shape, (prefix, own), lanes, groups)
    pool.run(config.steps, None)
    if all(one.fits for one in planner.found(runs)):
        for _ in pool.read({(lane, 0): job for lane in range(lanes)}):
            pass
    return Served(
        asked=asked,
        slots=lanes * groups * rows,
        resident=planner.resident,
        programs=planner.found(runs),
    )


def most_slots(
    family: TextFamily, asked: Asked, place: Topology, config: EngineConfig, **options: Any
) -> Served:
    """The same with the most slots that fit; groups of a lane go by powers of two.

    Args:
      family: Of the model.
      asked: The requests.
      place: What to compile for.
      config: How they are batched, but for the slots.
      options: Of `plan_serving`.

    Raises:
      ConfigError: one request of each lane does not fit.
    """
    rows, dtype = _job(family, asked, config).shape.rows, options.get("dtype", jnp.bfloat16)
    token = token_bytes(family.decoder, jnp.int8 if config.kv == "int8" else dtype)
    group = config.lanes * token * (asked.prefix + rows * (asked.read + asked.limit))

    def plan(groups: int) -> Served:
        sized = dataclasses.replace(config, slots=config.lanes * groups * rows)
        return plan_serving(family, asked, place, sized, **options)

    room = max(1, place.memory * place.mesh.size // group)  # if there were no parameters
    return largest_power(plan, min(room, _MOST), f"serving {family.name}", place)


def _job(family: TextFamily, asked: Asked, config: EngineConfig) -> Job:
    """A request on its way, as the engine would have it."""
    images = None
    if asked.images:
        assert isinstance(family, Family)
        side, channels = family.vision.size, family.vision.channels
        pixels = np.zeros((asked.images, side, side, channels), np.uint8)
        images = Images(pixels=pixels, placeholder=np.ones(asked.prefix, bool))
    prefix, rows = [0] * asked.prefix, [[0] * max(1, asked.own) for _ in range(asked.rows)]
    return Job(
        ticket=0,
        request=Request(prefix=prefix, rows=rows, limit=asked.limit, images=images),
        preamble=asked.preamble > 0,
        prefix=prefix,
        rows=rows,
        chunk=config.chunk,
        least=config.bucket,
        room=config.room,
        spare=0,
    )


def _room(
    family: TextFamily, place: Topology, dtype: Any, batch: tuple[int, ...], room: int
) -> Any:
    spec = family.decoder
    return room_shapes(spec.block, spec.layers, batch, room, dtype, place.mesh)


def _preamble(kv: Any, place: Topology) -> Memory:
    """A preamble that has been read."""
    everywhere = NamedSharding(place.mesh, PartitionSpec())
    number: Any = jax.ShapeDtypeStruct((), jnp.int32, sharding=everywhere)
    return Memory(kv, number, number)

"""The pools of all shapes, and the memory that they share."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from chexjax.engine.config import EngineConfig
from chexjax.engine.pool import Pool
from chexjax.engine.programs import Programs, make_room
from chexjax.engine.shapes import Shape
from chexjax.families import DecoderSpec
from chexjax.models import KV, LanguageModel, Memory

_IDLE = 4
"""Pools that are kept for requests of their shape to come again, where memory has no limit."""


class Pools:
    """Makes pools when they are needed, within a budget, and lets go of those that are not."""

    def __init__(self, model: LanguageModel, config: EngineConfig) -> None:
        """Lays the model out for serving."""
        self._spec, self._config = model.decoder.spec, config
        self._dtype = jnp.int8 if config.kv == "int8" else model.dtype
        self._programs = Programs(model.unrolled())
        self._pools: dict[Shape, Pool] = {}  # the last one used stands last
        self._stored: Memory | None = None
        self._preamble = 0

    def __iter__(self) -> Iterator[Pool]:
        return iter(list(self._pools.values()))

    def __len__(self) -> int:
        return len(self._pools)

    def begin(self, preamble: list[int]) -> None:
        """Reads a preamble in place of the one before; no pool has anything to do."""
        self._preamble = len(preamble)
        self._stored = self._read(preamble) if preamble else None
        for shape, pool in self._pools.items():
            pool.preamble = self._stored if shape.preamble else None

    def of(self, shape: Shape, *, busy: Container[Shape]) -> Pool | None:
        """The pool of a shape; None while others use the memory that it needs.

        Args:
          shape: Of a request that has been looked at by `groups`.
          busy: Shapes whose pools are being read to.
        """
        if shape not in self._pools:
            groups = self.groups(shape)
            if not self._free(groups * self._bytes(shape), busy):
                return None
            lanes = self._config.lanes
            prefix = self._room((lanes, groups), shape.prefix) if shape.prefix else None
            own = self._room((lanes, groups, shape.rows), shape.own)
            preamble = self._stored if shape.preamble else None
            self._pools[shape] = Pool(self._programs, preamble, shape, (prefix, own), lanes, groups)
        self._pools[shape] = self._pools.pop(shape)
        return self._pools[shape]

    def groups(self, shape: Shape) -> int:
        """Groups of a lane, by the whole memory and not by what is left of it.

        Raises:
          ValueError: there is no room for one.
        """
        lanes, limit = self._config.lanes, self._config.memory
        groups = max(1, self._config.slots // (lanes * shape.rows))
        if limit is None:
            return groups
        left = limit - self._preamble * self._token_bytes
        if left < self._bytes(shape):
            raise ValueError(
                f"memory={limit} bytes hold no request of {shape.rows} rows of {shape.own} tokens "
                f"behind {shape.prefix}, which takes {self._bytes(shape)}; raise it, shorten the "
                "request, or store keys and values with kv='int8'"
            )
        return min(groups, left // self._bytes(shape))

    def _free(self, wanted: int, busy: Container[Shape]) -> bool:
        """Makes room for so many bytes by letting go of pools that nobody uses, oldest first."""
        limit = self._config.memory
        idle = [s for s, pool in self._pools.items() if not pool.jobs and s not in busy]
        while idle and (len(idle) > _IDLE if limit is None else self._used() + wanted > limit):
            del self._pools[idle.pop(0)]
        return limit is None or self._used() + wanted <= limit

    def _used(self) -> int:
        pools = sum(self.groups(shape) * self._bytes(shape) for shape in self._pools)
        return pools + self._preamble * self._token_bytes

    def _bytes(self, shape: Shape) -> int:
        """Of one group in every lane."""
        tokens = shape.prefix + shape.rows * shape.own
        return self._config.lanes * tokens * self._token_bytes

    @property
    def _token_bytes(self) -> int:
        return token_bytes(self._spec, self._dtype)

    def _read(self, preamble: list[int]) -> Memory:
        kv = self._room((), len(preamble))
        memory = Memory(kv, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32))
        for first in range(0, len(preamble), self._config.chunk):
            piece = preamble[first : first + self._config.chunk]
            memory = self._programs.read_preamble(memory, np.asarray(piece, np.int32))
        return memory

    def _room(self, batch: tuple[int, ...], room: int) -> KV:
        return make_room(self._spec.block, self._spec.layers, batch, room, self._dtype)


def token_bytes(spec: DecoderSpec, dtype: Any) -> int:
    """Bytes of a token's keys and values in all layers, and of an int8 one's steps."""
    block, whole = spec.block, jnp.dtype(dtype) == jnp.int8
    one = block.kv * jnp.dtype(dtype).itemsize + 4 * (block.kv // block.head) * whole
    return int(2 * spec.layers * one)

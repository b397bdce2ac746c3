"""Operations that a traced function executes, counted from its jaxpr, loops by their length."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend import core

_CUDNN = "dot_product_attention"


def executed_flops(jaxpr: core.ClosedJaxpr) -> float:
    """Operations of all matmuls and convolutions, over all devices together.

    A matmul of `[m, k]` by `[k, n]` is `2 m k n`. What is rematerialised counts each time that it
    is made. Of branches the dearest one counts; a loop whose length nobody knows counts once. A
    kernel counts once for each place of its grid, cuDNN's attention as if all were computed that
    its mask lets see.
    """
    return _of(jaxpr.jaxpr)


def _of(jaxpr: core.Jaxpr) -> float:
    return sum(_equation(one) for one in jaxpr.eqns)


def _equation(equation: Any) -> float:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = params["dimension_numbers"]
        shape = equation.invars[0].aval.shape
        return 2.0 * _size(equation.outvars[0]) * math.prod(shape[axis] for axis in contracted)
    if name == "conv_general_dilated":
        kernel, numbers = equation.invars[1].aval.shape, params["dimension_numbers"]
        each = math.prod(kernel) / kernel[numbers.rhs_spec[0]]
        return 2.0 * _size(equation.outvars[0]) * each
    if name.startswith(_CUDNN):
        return _attention(equation)
    inner = [_of(one) for one in _inner(params)]
    if name == "scan":
        return float(params["length"]) * sum(inner)
    if name == "pallas_call":
        return float(math.prod(params["grid_mapping"].grid)) * sum(inner)
    if name == "shard_map":  # inside, shapes are those of one device
        shards = (params["mesh"].shape[axis] for axis in params["newly_manual_axes"])
        return float(math.prod(shards)) * sum(inner)
    return max(inner, default=0.0) if name == "cond" else sum(inner)


def _attention(equation: Any) -> float:
    """Two matmuls forward; five backward, since scores are made again."""
    q, k = (variable.aval.shape for variable in equation.invars[:2])  # [B, T, H, head]
    if equation.params["layout"]:
        q, k = ((x[0], x[2], x[1], x[3]) for x in (q, k))
    causal = 0.5 if "CAUSAL" in str(equation.params["mask_type"]) else 1.0
    matmuls = 5 if "bwd" in equation.primitive.name else 2
    return 2.0 * matmuls * causal * math.prod(q) * k[1]


def _size(variable: Any) -> int:
    return math.prod(variable.aval.shape)


def _inner(params: dict[str, Any]) -> Iterator[core.Jaxpr]:
    """The jaxprs that an equation runs."""
    for value in jax.tree.leaves(list(params.values()), is_leaf=_is_jaxpr):
        if isinstance(value, core.ClosedJaxpr):
            yield value.jaxpr
        elif isinstance(value, core.Jaxpr):
            yield value


def _is_jaxpr(value: Any) -> bool:
    return isinstance(value, core.ClosedJaxpr | core.Jaxpr)

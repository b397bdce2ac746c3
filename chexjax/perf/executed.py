"""Operations that a traced function executes, counted from its jaxpr, loops by their length."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import jax
from jax.extend import core


def executed_flops(jaxpr: core.ClosedJaxpr) -> float:
    """Operations of all matmuls and convolutions, over all devices together.

    A matmul of `[m, k]` by `[k, n]` is `2 m k n`. What is rematerialised counts each time that it
    is made. Of branches the dearest one counts; a loop whose length nobody knows counts once.
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
    inner = [_of(one) for one in _inner(params)]
    if name == "scan":
        return float(params["length"]) * sum(inner)
    return max(inner, default=0.0) if name == "cond" else sum(inner)


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

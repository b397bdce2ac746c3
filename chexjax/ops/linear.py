"""The linear layer of all models, as it is trained and as it serves, with LoRA and int8."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.custom_derivatives import SymbolicZero
from jax.sharding import NamedSharding, PartitionSpec


@jax.custom_vjp
def matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """`x @ kernel`, `[..., D] @ [D, F]`, whose gradients come in the layout of `x` and `kernel`.

    JAX's own rule gives the kernel's transposed, for which XLA on a CPU first writes the incoming
    gradient out again, transposed: half of the time of the backward pass.
    """
    return x @ kernel


def _matmul_forward(x: Any, kernel: Any) -> tuple[jax.Array, tuple[Any, Any]]:
    """Keeps what a gradient that is asked for needs, and None for one that is not."""
    kept = x.value if kernel.perturbed else None, kernel.value if x.perturbed else None
    return x.value @ kernel.value, kept


def _matmul_backward(kept: tuple[Any, Any], g: Any) -> tuple[Any, Any]:
    x, kernel = kept
    if isinstance(g, SymbolicZero):
        return None, None
    slopes = g.reshape(-1, g.shape[-1])
    of_x = None if kernel is None else (slopes @ kernel.T).reshape(*g.shape[:-1], -1)
    return of_x, None if x is None else x.reshape(-1, x.shape[-1]).T @ slopes


matmul.defvjp(_matmul_forward, _matmul_backward, symbolic_zeros=True)


class LoRA(nnx.Module):
    """A low-rank addition to a linear layer, `gain * (x @ a) @ b` (Hu et al., arXiv:2106.09685).

    It is computed beside the kernel and never added to it: the gradient of `kernel + a @ b` would
    be as large as the kernel.
    """

    def __init__(self, a: jax.Array, b: jax.Array, gain: jax.Array) -> None:
        """Takes `a: [*layers, inputs, rank]`, `b: [*layers, rank, outputs]` and `gain: [*layers]`.

        A gain is alpha / rank, and 0 for a layer of a stack that is no target. It is not trained.
        """
        self.a = nnx.Param(a)
        self.b = nnx.Param(b)
        self.gain = nnx.Param(gain)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[..., inputs] -> [..., outputs]`, in the dtype of `x`."""
        inner = matmul(x, self.a.astype(x.dtype))
        return matmul(inner, self.b.astype(x.dtype)) * self.gain.astype(x.dtype)

    def delta(self) -> jax.Array:
        """What it adds to the kernel, `f32[*layers, inputs, outputs]`."""
        product = jnp.matmul(self.a[...], self.b[...], precision="highest")
        return self.gain[...][..., None, None] * product


class Linear(nnx.Module):
    """`x @ kernel + bias`; float32 parameters, computed in `dtype`.

    Attributes:
      kernel: `[inputs, outputs]`, int8 where there is a `step`.
      step: What one unit of an int8 kernel is worth, for each output, `f32[outputs]`; or None.
      bias: `[outputs]`, or None.
      lora: An adapter, or None.
    """

    def __init__(self, inputs: int, outputs: int, *, bias: bool = True, dtype: Any) -> None:
        """Makes a kernel `[inputs, outputs]` and a bias `[outputs]`, of zeros.

        Values come from `models.random_params` or from a checkpoint.
        """
        self.dtype = dtype
        self.kernel = nnx.Param(jnp.zeros((inputs, outputs)))
        self.bias = nnx.Param(jnp.zeros(outputs)) if bias else None
        self.step: nnx.Param | None = nnx.data(None)
        self.lora: LoRA | None = nnx.data(None)

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[..., inputs] -> [..., outputs]`."""
        x = x.astype(self.dtype)
        y = matmul(x, self.kernel.astype(self.dtype))
        if self.step is not None:
            y = y * self.step.astype(self.dtype)
        if self.lora is not None:
            y = y + self.lora(x)
        return y if self.bias is None else y + self.bias.astype(self.dtype)


class Turned(nnx.Module):
    """A linear layer over tokens that stand side by side as columns, `kernel @ x + bias`.

    Serving reads each kernel anew for a few tokens. XLA on a CPU reads the left factor of a product
    as it lies, and first writes a right one out in another order.

    Attributes:
      kernel: `[outputs, inputs]`, int8 where there is a `step`.
      step: What one unit of an int8 kernel is worth, for each output, `f32[outputs]`; or None.
      bias: `[outputs]`, or None.
      lora: An adapter, or None.
    """

    def __init__(self, kernel: jax.Array, *, dtype: Any) -> None:
        """Takes a kernel `[outputs, inputs]`."""
        self.dtype = dtype
        self.kernel = nnx.Param(kernel)
        self.bias: nnx.Param | None = nnx.data(None)
        self.step: nnx.Param | None = nnx.data(None)
        self.lora: LoRA | None = nnx.data(None)

    @classmethod
    def of(cls, linear: Linear) -> Turned:
        """The same layer; a split kernel stays split as it is."""
        kernel = linear.kernel[...]
        made = cls(_transpose(_turned_place(kernel))(kernel), dtype=linear.dtype)
        made.bias, made.step, made.lora = linear.bias, linear.step, linear.lora
        return made

    def __call__(self, x: jax.Array) -> jax.Array:
        """`[inputs, M] -> [outputs, M]`."""
        x = x.astype(self.dtype)
        # Without a barrier XLA takes a transpose of the result for one of the factors, and turns
        # the product back.
        y = jax.lax.optimization_barrier(self.kernel.astype(self.dtype) @ x)
        if self.step is not None:
            y = y * self.step.astype(self.dtype)[:, None]
        if self.lora is not None:
            y = y + self.lora(x.T).T
        return y if self.bias is None else y + self.bias.astype(self.dtype)[:, None]


def _turned_place(kernel: jax.Array) -> NamedSharding | None:
    """How the transpose of a kernel is split; None for as it comes, or while tracing."""
    place = None if isinstance(kernel, jax.core.Tracer) else kernel.sharding
    if not isinstance(place, NamedSharding):
        return None
    rows, columns = (*place.spec, None, None)[:2]
    return NamedSharding(place.mesh, PartitionSpec(columns, rows))


@functools.cache
def _transpose(place: NamedSharding | None) -> Any:
    return jax.jit(jnp.transpose, out_shardings=place)


def linears(model: nnx.Module) -> dict[str, Linear]:
    """The linear layers of a model by path, such as `decoder/body/attention/query`."""
    modules = (("/".join(map(str, path)), module) for path, module in nnx.iter_modules(model))
    return {path: module for path, module in modules if isinstance(module, Linear)}

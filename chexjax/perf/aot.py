"""A model's forward, compiled for accelerators that are not here.

Nothing is allocated and nothing runs. What comes back is the compiler's own word on memory, and
the collectives that its partitioner put in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from chexjax.config import ConfigError
from chexjax.families import AnyFamily, DualFamily, EncoderFamily, Family, TextFamily
from chexjax.mesh import batch_sharding, parameter_shardings
from chexjax.models import Prefix, model_class
from chexjax.perf.topology import Topology

COLLECTIVES = ("all-gather", "reduce-scatter", "all-reduce", "collective-permute", "all-to-all")

_PROMPT, _QUESTION, _RESPONSES, _RESPONSE = 1024, 128, 2, 256
_TEXTS, _TEXT = 64, 128

# GPU kernels are chosen by timing them; where there is no GPU, large shapes find no Triton tile.
_GPU_OPTIONS: dict[str, str | bool] = {"xla_gpu_enable_triton_gemm": False}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Compiled:
    """What one program needs of each device.

    Attributes:
      arguments: Bytes of parameters and batch.
      temporaries: Bytes of what is computed on the way; TPUs do not report all of them here.
      outputs: Bytes of logits or hidden states.
      peak: Most bytes in use at any time, all of the above counted.
      memory: Bytes that a program may have.
      seconds: How long compiling took.
      collectives: Instructions of each kind; those in a loop over layers are counted once.
      flops: As the compiler counts them, a loop's body once; None where it does not say.
    """

    arguments: int
    temporaries: int
    outputs: int
    peak: int
    memory: int
    seconds: float
    collectives: dict[str, int]
    flops: float | None

    @property
    def fits(self) -> bool:
        """Whether the program has the memory that it needs."""
        return self.peak <= self.memory


def compile_forward(family: AnyFamily, topology: Topology, dtype: Any = jnp.bfloat16) -> Compiled:
    """Compiles a family's forward, parameters placed by its table and the batch over data and fsdp.

    A language model scores 2 responses of 256 tokens a prompt and gives their logits: one prompt
    of 1,024 tokens, or one image and 128 tokens, for each share of the batch, cut to the context.
    A text encoder reads 64 texts of 128 tokens or more, so that each share has as many.

    Args:
      family: Any preset.
      topology: What to compile for.
      dtype: Of parameters and computation.

    Raises:
      ConfigError: the program needs more memory than there is (TPU only: on GPUs it compiles all
        the same, and `fits` is False).
    """
    graph, shapes = model_class(family).abstract(family, dtype=dtype)
    places = parameter_shardings(shapes, family.sharding, topology.mesh)
    params = jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, dtype, sharding=place), shapes, places
    )
    mesh, rows = topology.mesh, batch_sharding(topology.mesh)
    batch = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows),
        _batch(family, mesh.shape["data"] * mesh.shape["fsdp"]),
    )
    options = _GPU_OPTIONS if mesh.devices.flat[0].platform == "gpu" else None
    run = jax.jit(_forward(family, graph), out_shardings=rows)
    started = time.perf_counter()
    try:
        with _uncached():
            compiled = run.lower(params, *batch).compile(compiler_options=options)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise ConfigError(
            f"{family.name} does not fit {topology.name}: {str(error).splitlines()[0]} Use more "
            "devices, or more of them along fsdp or tensor"
        ) from error
    return _measured(compiled, topology, time.perf_counter() - started)


@contextlib.contextmanager
def _uncached() -> Iterator[None]:
    """Keeps a program out of JAX's persistent cache, which cannot read it without the devices."""
    field = "jax_persistent_cache_min_compile_time_secs"
    usual = getattr(jax.config, field)
    jax.config.update(field, math.inf)
    try:
        yield
    finally:
        jax.config.update(field, usual)


def _forward(family: AnyFamily, graph: Any) -> Callable[..., jax.Array]:
    if isinstance(family, EncoderFamily):
        return lambda params, tokens, valid: nnx.merge(graph, params)(tokens, valid)
    if isinstance(family, DualFamily):
        return functools.partial(_compare, graph)

    def score(params: Any, prefix: Prefix, tokens: jax.Array, valid: jax.Array) -> jax.Array:
        model = nnx.merge(graph, params)
        return model.logits(model.score(prefix, tokens, valid))

    return score


def _compare(graph: Any, params: Any, images: jax.Array, tokens: jax.Array) -> jax.Array:
    """Which of the texts goes with each image, `f32[M, B]`."""
    model = nnx.merge(graph, params)
    return model.similarity(model.encode_images(images), model.encode_texts(tokens))


def _batch(family: AnyFamily, shares: int) -> tuple[Any, ...]:
    """Shapes of what the forward reads beside the parameters."""
    if isinstance(family, EncoderFamily):
        return _tokens(-(-_TEXTS // shares) * shares, _TEXT)
    if isinstance(family, DualFamily):
        side = family.vision.size
        images = _shape((shares, side, side, family.vision.channels), jnp.uint8)
        return images, _shape((shares, family.text.positions), jnp.int32)
    assert isinstance(family, TextFamily)
    context = family.decoder.context
    response = min(_RESPONSE, context // 2)
    images = placeholder = None
    prompt = _PROMPT
    if isinstance(family, Family):
        side = family.vision.size
        images = _shape((shares, 1, side, side, family.vision.channels), jnp.uint8)
        prompt = family.visual_tokens(1) + _QUESTION
    tokens, valid = _tokens(shares, min(prompt, context - response))
    if images is not None:
        placeholder = valid
    prefix = Prefix(tokens=tokens, valid=valid, images=images, placeholder=placeholder)
    return prefix, *_tokens(shares, _RESPONSES, response)


def _tokens(*shape: int) -> tuple[Any, Any]:
    """Ids, and which of them are real."""
    return _shape(shape, jnp.int32), _shape(shape, jnp.bool)


def _shape(shape: tuple[int, ...], dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)


def _measured(compiled: Any, topology: Topology, seconds: float) -> Compiled:
    memory, costs = compiled.memory_analysis(), compiled.cost_analysis()
    return Compiled(
        arguments=memory.argument_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        peak=memory.peak_memory_in_bytes,
        memory=topology.memory,
        seconds=seconds,
        collectives=count_collectives(compiled.as_text()),
        flops=costs.get("flops") if costs else None,
    )


def count_collectives(text: str) -> dict[str, int]:
    """Instructions of each kind of collective in the text of an HLO module."""
    # An asynchronous one is a pair, `-start` and `-done`: the start is counted.
    found = re.findall(rf"(?<![\w-])({'|'.join(COLLECTIVES)})(?:-start)?\(", text)
    return {kind: found.count(kind) for kind in COLLECTIVES}

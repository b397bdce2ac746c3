"""A model's forward, compiled for accelerators that are not here.

Nothing is allocated and nothing runs. What comes back is the compiler's own word on memory, and
the collectives that its partitioner put in.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax.experimental.compilation_cache import compilation_cache

from chexjax.config import ConfigError
from chexjax.families import (
    AnyFamily,
    DualFamily,
    EncoderFamily,
    Family,
    TextFamily,
    VisionSpec,
)
from chexjax.mesh import batch_sharding, parameter_shardings
from chexjax.models import Prefix, model_class
from chexjax.ops.attention import Backend
from chexjax.perf.planning.collectives import Collective, collectives
from chexjax.perf.planning.hlo import Module
from chexjax.perf.planning.topology import Topology
from chexjax.perf.planning.traffic import Traffic, traffic

_PROMPT, _QUESTION, _RESPONSES, _RESPONSE = 1024, 128, 2, 256
_TEXTS, _TEXT = 64, 128
_REMEDY = "Use more devices, or more of them along fsdp or tensor"

GPU_OPTIONS: dict[str, str | bool] = {"xla_gpu_enable_triton_gemm": False}
"""GPU kernels are chosen by timing them; without a GPU large shapes find no Triton tile."""


class TooLarge(ConfigError):
    """A program for which a device has not the memory."""


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
      collectives: What devices tell each other.
      traffic: What each device reads and writes of its memory.
      flops: As the compiler counts them, a loop's body once; None where it does not say.
    """

    arguments: int
    temporaries: int
    outputs: int
    peak: int
    memory: int
    seconds: float
    collectives: list[Collective]
    traffic: Traffic
    flops: float | None

    @property
    def fits(self) -> bool:
        """Whether the program has the memory that it needs."""
        return self.peak <= self.memory


def compile_forward(
    family: AnyFamily,
    topology: Topology,
    dtype: Any = jnp.bfloat16,
    attention: Backend = "xla",
) -> Compiled:
    """Compiles a family's forward, parameters placed by its table and the batch over data and fsdp.

    A language model scores 2 responses of 256 tokens a prompt and gives their logits: one prompt
    of 1,024 tokens, or one image and 128 tokens, for each share of the batch, cut to the context.
    A text encoder reads 64 texts of 128 tokens or more, so that each share has as many.

    Args:
      family: Any preset.
      topology: What to compile for.
      dtype: Of parameters and computation.
      attention: What computes that of a language model and of its images. Tracing `cudnn` takes
        the cuDNN library, which is neither in JAX's CUDA plugin nor in the extra `aot`.

    Raises:
      TooLarge: the program needs more memory than there is (TPU only: on GPUs it compiles all the
        same, and `fits` is False).
    """
    options = {"attention": attention} if isinstance(family, TextFamily) else {}
    graph, shapes = model_class(family).abstract(family, dtype=dtype, **options)
    places = parameter_shardings(shapes, family.sharding, topology.mesh)
    params = jax.tree.map(
        lambda x, place: jax.ShapeDtypeStruct(x.shape, dtype, sharding=place), shapes, places
    )
    mesh, rows = topology.mesh, batch_sharding(topology.mesh)
    program, batch = _program(family, graph, mesh.shape["data"] * mesh.shape["fsdp"])
    batch = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=rows), batch)
    run = jax.jit(program, out_shardings=rows)
    with jax.set_mesh(mesh):
        traced = run.trace(params, batch)
    return build(traced, topology, family.name, _REMEDY)


def build(traced: Any, topology: Topology, name: str, remedy: str) -> Compiled:
    """Compiles what was traced with the topology's mesh in context.

    Args:
      traced: By `jax.jit(...).trace`.
      topology: What to compile for.
      name: What does not fit, if it does not.
      remedy: What to do then, a sentence without its stop.

    Raises:
      TooLarge: the program needs more memory than there is (TPU only: on GPUs it compiles all the
        same, and `fits` is False).
    """
    flags = GPU_OPTIONS if topology.mesh.devices.flat[0].platform == "gpu" else None
    started = time.perf_counter()
    try:
        with uncached(), jax.set_mesh(topology.mesh):
            compiled = traced.lower().compile(compiler_options=flags)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        reason = str(error).splitlines()[0]
        raise TooLarge(f"{name} does not fit {topology.name}: {reason} {remedy}") from error
    return measured(compiled, topology, time.perf_counter() - started)


@contextlib.contextmanager
def effort(name: str) -> Iterator[None]:
    """How hard the compiler for TPUs tries: `full` as in a run, or `quick`.

    That takes a third of the time. Operations and what is told are the same, the peak of memory up
    to an eighth less, but no gathering is beside other work and less stays on the chip: steps look
    slower than they are.
    """
    usual = jax.config.jax_optimization_level  # type: ignore[attr-defined]
    try:
        jax.config.update("jax_optimization_level", "O1" if name == "quick" else usual)
        yield
    finally:
        jax.config.update("jax_optimization_level", usual)


@contextlib.contextmanager
def uncached() -> Iterator[None]:
    """Keeps JAX's persistent cache out: it cannot give back a program without the devices."""
    usual = jax.config.jax_enable_compilation_cache  # type: ignore[attr-defined]
    try:
        jax.config.update("jax_enable_compilation_cache", False)
        compilation_cache.reset_cache()  # Whether there is a cache is asked once and remembered.
        yield
    finally:
        jax.config.update("jax_enable_compilation_cache", usual)
        compilation_cache.reset_cache()


def _program(family: AnyFamily, graph: Any, shares: int) -> tuple[Callable[..., Any], Any]:
    """A family's forward as a function of parameters and batch, and the shapes of its batch."""
    model = functools.partial(nnx.merge, graph)
    if isinstance(family, EncoderFamily):
        texts = _tokens(-(-_TEXTS // shares) * shares, _TEXT)
        return lambda params, batch: model(params)(*batch), texts
    if isinstance(family, DualFamily):
        tokens = _shape((shares, family.text.positions), jnp.int32)
        return functools.partial(_compare, model), (_images(family.vision, shares), tokens)
    assert isinstance(family, TextFamily)
    return functools.partial(_score, model), _prompts(family, shares)


def _compare(model: Callable[..., Any], params: Any, batch: Any) -> jax.Array:
    """Which of the texts goes with each image, `f32[M, B]`."""
    images, tokens = batch
    towers = model(params)
    return towers.similarity(towers.encode_images(images), towers.encode_texts(tokens))


def _score(model: Callable[..., Any], params: Any, batch: Any) -> jax.Array:
    """Logits of the responses, `[B, N, R, V]`."""
    language_model = model(params)
    return language_model.logits(language_model.score(*batch))


def _prompts(family: TextFamily, shares: int) -> Any:
    """A prompt for each share, with an image where the family has them, and its responses."""
    context = family.decoder.context
    response = min(_RESPONSE, context // 2)
    if not isinstance(family, Family):
        tokens, valid = _tokens(shares, min(_PROMPT, context - response))
        return Prefix(tokens=tokens, valid=valid), *_tokens(shares, _RESPONSES, response)
    tokens, valid = _tokens(shares, min(family.visual_tokens(1) + _QUESTION, context - response))
    image = _images(family.vision, shares, 1)
    prefix = Prefix(tokens=tokens, valid=valid, images=image, placeholder=valid)
    return prefix, *_tokens(shares, _RESPONSES, response)


def _images(vision: VisionSpec, *batch: int) -> Any:
    return _shape((*batch, vision.size, vision.size, vision.channels), jnp.uint8)


def _tokens(*shape: int) -> tuple[Any, Any]:
    """Ids, and which of them are real."""
    return _shape(shape, jnp.int32), _shape(shape, jnp.bool)


def _shape(shape: tuple[int, ...], dtype: Any) -> Any:
    return jax.ShapeDtypeStruct(shape, dtype)


def measured(compiled: Any, topology: Topology, seconds: float) -> Compiled:
    """What the compiler says of a program that took so long to compile."""
    memory, costs = compiled.memory_analysis(), compiled.cost_analysis()
    module = Module(compiled.as_text())
    return Compiled(
        arguments=memory.argument_size_in_bytes,
        temporaries=memory.temp_size_in_bytes,
        outputs=memory.output_size_in_bytes,
        peak=memory.peak_memory_in_bytes,
        memory=topology.memory,
        seconds=seconds,
        collectives=collectives(module, topology.mesh),
        traffic=traffic(module),
        flops=costs.get("flops") if costs else None,
    )

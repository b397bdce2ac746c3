"""One step of alignment by chexjax, on the work that peers are given too."""

from __future__ import annotations

import functools
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx

from chexjax import malloc
from chexjax.losses import DPO
from chexjax.models import VLM, random_params
from chexjax.perf import flops
from chexjax.perf import work as work_of
from chexjax.perf.bench import Step
from chexjax.perf.work import SIZES, Work
from chexjax.train import OptimizerConfig, Preference, Reference, make_scorer
from chexjax.train.optimizer import make_optimizer
from chexjax.train.step import TrainState, init_state, make_step, split_params

BATCHES = 4
"""Batches that are taken in turn; they differ in their numbers, not in their shapes."""


def jax_step(size: str, *, cached: bool) -> Step:
    """Our step at a size, as it is trained with.

    Args:
      size: A key of `SIZES`.
      cached: Take reference log-probs from a cache, and do not compute them in the step.
    """
    malloc.keep_freed()  # as our commands do
    work = SIZES[size]
    batches = [work_of.batch(work, seed) for seed in range(BATCHES)]
    if cached:
        score = make_scorer(_policy(work))
        batches = [batch | {"ref_logps": np.asarray(score(batch))} for batch in batches]
    objective = Preference(
        DPO(beta=work_of.BETA), keep=True, reference=None if cached else Reference()
    )
    optimizer = make_optimizer(OptimizerConfig(clip=np.inf))
    graph, state = _start(work, optimizer, reference=not cached)
    train = make_step(graph, objective, optimizer, accumulate=1)
    malloc.give_back()

    def step(number: int) -> float:
        nonlocal state
        state, metrics = train(state, batches[number % BATCHES], np.float32(work_of.RATE))
        loss = float(metrics["loss"])
        if number == 0:
            malloc.give_back()  # as the training loop does
        return loss

    return step


def torch_step(size: str) -> Step:
    """The hand-written step in PyTorch (extra `bench`)."""
    from chexjax.perf.peers.torch_align import make_step

    work = SIZES[size]
    batches = [work_of.batch(work, seed) for seed in range(BATCHES)]
    train = make_step(work)
    return lambda number: train(batches[number % BATCHES])


def trl_step(size: str, *, compact: bool) -> Step:
    """TRL's own trainer (extra `bench`), its head on all positions or on response positions."""
    from chexjax.perf.peers.trl_align import make_step, prepare

    work = SIZES[size]
    batches = [prepare(work_of.batch(work, seed)) for seed in range(BATCHES)]
    train = make_step(work, compact=compact)
    return lambda number: train(batches[number % BATCHES])


def useful_flops(size: str, *, cached: bool) -> float:
    """Operations that a step cannot do without: real tokens, prefix once, nothing recomputed."""
    work = SIZES[size]
    family = work_of.family(work)
    real = flops.Work(
        images=work.pairs,
        prefixes=work.pairs,
        prefix=work.prefix - 1,
        responses=2 * work.pairs,
        response=work.tokens // (2 * work.pairs),
    )
    tower = flops.images(family, real)
    step = flops.train_step(family, real, frozen_vision=True)
    step -= flops.head(family, real)  # which the step's count has for logits computed again
    return step if cached else step + flops.forward(family, real) - tower


def _start(
    work: Work, optimizer: optax.GradientTransformationExtraArgs, *, reference: bool
) -> tuple[nnx.GraphDef, TrainState]:
    """The policy's graph and the state before the first step."""
    graph, trainable, frozen = split_params(_policy(work), work_of.family(work).frozen)
    first = functools.partial(init_state, optimizer=optimizer, reference=reference)
    return graph, jax.jit(first)(trainable, frozen)


def _policy(work: Work) -> Any:
    graph, shapes = VLM.abstract(work_of.family(work), remat="matmuls")
    return nnx.merge(
        graph, jax.tree.map(jax.numpy.asarray, random_params(shapes, layers=8, seed=0))
    )

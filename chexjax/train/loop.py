"""The training loop, from a policy to a trained policy. Reads top to bottom."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
from flax import nnx
from jax.sharding import Mesh

from chexjax import malloc
from chexjax.checkpoint import Checkpoints
from chexjax.data.batches import PADDING, Collate, Plan, iterate
from chexjax.distributed import is_first, spans_job
from chexjax.families import TextFamily
from chexjax.mesh import check_batch, place_batch
from chexjax.models import LanguageModel
from chexjax.preemption import Preempted, Preemption
from chexjax.trackers import JsonlTracker, Progress, StageTimer
from chexjax.train.config import TrainConfig
from chexjax.train.metrics import PATIENCE, MetricLog
from chexjax.train.objectives import Batch, Objective
from chexjax.train.optimizer import learning_rates, make_optimizer
from chexjax.train.step import make_step, placed_state, split_params


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a run trains on.

    Attributes:
      plan: Which rows make which batch.
      collate: Makes the arrays of a batch.
      ids: Names of the rows, for messages.
    """

    plan: Plan
    collate: Collate
    ids: Sequence[str]

    def batches(self, start: int, total: int, *, together: bool = False) -> Iterator[Batch]:
        """The batches from `start` on; this process's share of each if all train together."""
        index, count = (jax.process_index(), jax.process_count()) if together else (0, 1)
        where = {"process": index, "processes": count}
        return iterate(self.plan, self.collate, start=start, total=total, **where)

    def names(self, step: int) -> list[str]:
        """Of the rows that a step takes; steps count from 1."""
        return [self.ids[row] for row in self.plan.batch(step - 1).rows if row != PADDING]


def train(
    model: LanguageModel,
    family: TextFamily,
    objective: Objective,
    data: TrainingData,
    *,
    config: TrainConfig,
    steps: int,
    mesh: Mesh,
    folder: Path,
    scratch: Path,
    timer: StageTimer,
    label: str,
) -> nnx.State:
    """Trains `model` for `steps` steps and returns all of its parameters.

    A run that was killed goes on from its newest checkpoint in `folder`, with the same batches
    and the same losses as if nothing had happened.

    Args:
      model: The policy to start from; its parameters are consumed.
      family: Gives the sharding table.
      objective: What is optimised.
      data: What it is trained on.
      config: Batch size, optimizer, freezing, cadences.
      steps: Length of the whole run.
      mesh: Devices.
      folder: Gets `metrics.jsonl`.
      scratch: Gets the checkpoints of a run on its way.
      timer: Gets the time spent waiting for data.
      label: Name in progress lines.

    Raises:
      NonFiniteRun: too many steps in a row were not finite.
      Preempted: the process was asked to stop; the state has been saved.
      CheckpointError: a checkpoint cannot be written, or none can be read.
    """
    check_batch(config.batch_size // config.accumulate, mesh, "batch_size / accumulate")

    # State: parameters on their devices, optimizer moments beside them; and what steps from it.
    graph, trainable, frozen = split_params(model, config.freeze)
    optimizer = make_optimizer(config.optimizer)
    beside = objective.reference is not None
    state, places = placed_state(trainable, frozen, optimizer, beside, family.sharding, mesh)
    step = make_step(graph, objective, optimizer, accumulate=config.accumulate, places=places)

    # Where an earlier attempt stopped.
    together = spans_job(mesh)
    checkpoints = Checkpoints(
        scratch / "checkpoints", every=config.checkpoint_every, together=together
    )
    state, place = checkpoints.restore(state) or (state, {"step": 0, "clock": None})
    start = int(place["step"])
    leads = is_first() or not together
    log = _log(folder if leads else None, config, data, start, place["clock"])

    # The loop: dispatch a step, and read its metrics when the next one is on its way.
    rates = learning_rates(config.optimizer, steps)
    batches = data.batches(start, steps, together=together)
    malloc.give_back()
    with (
        contextlib.closing(checkpoints),
        Preemption(together=together) as preemption,
        Progress(steps, label, unit="steps", done=start, quiet=not leads) as progress,
    ):
        for number, batch in enumerate(_timed(batches, timer), start + 1):
            state, metrics = step(state, place_batch(batch, mesh), rates[number - 1])
            progress.advance(note=log.push(number, metrics))
            if number == start + 1:
                malloc.give_back()  # what the compiler has left
            stopping = preemption.reached(number) and number < steps
            if stopping or checkpoints.due(number):
                checkpoints.save(number, state, place={"step": number, "clock": log.clock()})
            if stopping:
                raise Preempted(
                    f"{label} was asked to stop, and has saved step {number} of {steps}"
                )
        log.close(steps)
    return nnx.merge_state(state.trainable, state.frozen)


def _log(
    folder: Path | None, config: TrainConfig, data: TrainingData, start: int, clock: Any
) -> MetricLog:
    """The log of a run from the step behind `start` on, written to `folder` if there is one."""
    return MetricLog(
        JsonlTracker(folder / "metrics.jsonl") if folder else None,
        start=start,
        every=config.log_every,
        patience=PATIENCE if config.non_finite == "skip" else 1,
        rows=data.names,
        clock=clock,
    )


def _timed(batches: Iterator[Batch], timer: StageTimer) -> Iterator[Batch]:
    """Counts the time from asking for a batch to having it, in which devices may stand idle."""
    while True:
        began = perf_counter()
        batch = next(batches, None)
        timer.add("data_wait", perf_counter() - began)
        if batch is None:
            return
        yield batch

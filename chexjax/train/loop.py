"""The training loop, from a policy to a trained policy. Reads top to bottom."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
import numpy as np
from flax import nnx
from jax.sharding import Mesh

from chexjax import malloc
from chexjax.checkpoint import Checkpoints
from chexjax.data.batches import PADDING, Collate, Plan, iterate
from chexjax.distributed import is_first, spans_job
from chexjax.families import TextFamily
from chexjax.mesh import check_batch, place_batch
from chexjax.models import LanguageModel
from chexjax.preemption import Agreement, Preempted
from chexjax.trackers import Progress, StageTimer
from chexjax.train.boards import Tracker
from chexjax.train.config import TrainConfig
from chexjax.train.meter import Load, Meter
from chexjax.train.metrics import PATIENCE, MetricLog
from chexjax.train.objectives import Batch, Objective
from chexjax.train.optimizer import learning_rates, make_optimizer
from chexjax.train.step import TrainState, make_step, placed_state, split_params
from chexjax.train.watch import Watch


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a run trains on.

    Attributes:
      plan: Which rows make which batch.
      collate: Makes the arrays of a batch.
      ids: Names of the rows, for messages.
      prefix: Tokens of each row's prompt, `i32[M]`.
      responses: Tokens of each row's responses, `i32[M, N]`.
      useful: Operations that training on so much takes at least.
    """

    plan: Plan
    collate: Collate
    ids: Sequence[str]
    prefix: np.ndarray
    responses: np.ndarray
    useful: Callable[[Load], float]

    def batches(self, start: int, total: int, *, together: bool = False) -> Iterator[Batch]:
        """The batches from `start` on; this process's share of each if all train together."""
        index, count = (jax.process_index(), jax.process_count()) if together else (0, 1)
        where = {"process": index, "processes": count}
        return iterate(self.plan, self.collate, start=start, total=total, **where)

    def names(self, step: int) -> list[str]:
        """Of the rows that a step takes; steps count from 1."""
        return [self.ids[row] for row in self._rows(step)]

    def load(self, step: int) -> Load:
        """What a step takes, over all processes."""
        return Load.of(self._rows(step), self.prefix, self.responses)

    def _rows(self, step: int) -> np.ndarray:
        rows = self.plan.batch(step - 1).rows
        return rows[rows != PADDING]


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
    watch: Watch,
    label: str,
    keep: Callable[[int, Sequence[str], nnx.State], None],
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
      watch: How it is seen from outside.
      label: Name in progress lines.
      keep: Gets, when training is done, the step of each checkpoint that stays for good, why it
        does (see `checkpoint.Kept`), and its parameters.

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
        scratch / "checkpoints",
        every=config.checkpoint_every,
        keep=config.keep,
        together=together,
    )
    state, place = checkpoints.restore(state) or (state, {"step": 0, "clock": None})
    start = int(place["step"])
    tracker = watch.tracker(folder / "metrics.jsonl") if is_first() or not together else None
    meter = _meter(data, mesh, watch, timer, place["clock"])
    log = _log(tracker, config, data, meter, place)

    # The loop: dispatch a step, and read its metrics when the next one is on its way.
    rates = learning_rates(config.optimizer, steps)
    batches = data.batches(start, steps, together=together)
    asked = Agreement(mesh, together=together)
    malloc.give_back()
    with contextlib.closing(log), checkpoints:
        with (
            watch.steps() as watched,
            Progress(steps, label, unit="steps", done=start, quiet=tracker is None) as progress,
        ):
            for number, batch in enumerate(_timed(batches, timer, meter), start + 1):
                with watched.step(number):
                    state, metrics = step(state, place_batch(batch, mesh), rates[number - 1])
                watched.taken(number, state)
                progress.advance(note=log.push(number, metrics))
                if number == start + 1:
                    malloc.give_back()  # what the compiler has left
                stopping, due = asked.reached() and number < steps, checkpoints.due(number)
                if stopping or due:
                    score = log.score() if due else None
                    place = {"step": number, "clock": log.clock()}
                    checkpoints.save(number, state, place=place, score=score)
                if stopping:
                    raise Preempted(f"asked to stop: {label} has saved step {number} of {steps}")
        log.finish(steps)

        # What stays: the parameters at the end, and those of some checkpoints on the way.
        params, like = _params(state), jax.tree.map(_shape, state)
        del state  # its moments make room for those of a checkpoint
        for kept in checkpoints.kept(like):
            keep(kept.step, kept.because, _params(kept.state))
    return params


def _params(state: TrainState) -> nnx.State:
    return nnx.merge_state(state.trainable, state.frozen)


def _shape(x: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)


def _meter(data: TrainingData, mesh: Mesh, watch: Watch, timer: StageTimer, clock: Any) -> Meter:
    """Measures a run that goes on from what the log's clock says."""
    return Meter(
        load=data.load,
        useful=data.useful,
        devices=mesh.size,
        peak=watch.peak,
        elapsed=timer.elapsed,
        productive=clock["productive"] if clock else 0.0,
    )


def _log(
    tracker: Tracker | None,
    config: TrainConfig,
    data: TrainingData,
    meter: Meter,
    place: Mapping[str, Any],
) -> MetricLog:
    """The log of a run that goes on from a place."""
    return MetricLog(
        tracker,
        start=int(place["step"]),
        every=config.log_every,
        patience=PATIENCE if config.non_finite == "skip" else 1,
        rows=data.names,
        meter=meter,
        clock=place["clock"],
        ranked_by=config.ranking[0],
    )


def _timed(batches: Iterator[Batch], timer: StageTimer, meter: Meter) -> Iterator[Batch]:
    """Counts the time from asking for a batch to having it, in which devices may stand idle."""
    while True:
        began = perf_counter()
        batch = next(batches, None)
        waited = perf_counter() - began
        timer.add("data_wait", waited)
        meter.waited += waited
        if batch is None:
            return
        yield batch

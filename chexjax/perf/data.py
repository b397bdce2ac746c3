"""A pass over records by the input path that training has, as far as the device."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from chexjax.data.batches import Plan, iterate, make_buckets
from chexjax.data.examples import Collator, lengths_of, make_example, pictures_of, response_lengths
from chexjax.data.packing import Groups, Packer
from chexjax.data.study import Study
from chexjax.data.tokens import Tokens
from chexjax.mesh import MeshConfig, make_mesh, place_batch
from chexjax.perf import data_work
from chexjax.perf.bench import Step
from chexjax.train import TrainConfig


def jax_pass(folder: Path, *, normalised: bool, step_seconds: float) -> Step:
    """Reads, tokenises and decodes all records, and has their batches on the device.

    Args:
      folder: Where the records are.
      normalised: Make float32 of the pixels there, too, which a training step does by itself.
      step_seconds: That the consumer is busy between two batches.
    """
    family = data_work.family()
    tokens = Tokens.load(data_work.tokenizer_folder(folder), family)
    mesh = make_mesh(MeshConfig())
    mean, std = (np.asarray(x, np.float32) for x in (family.image.mean, family.image.std))
    scale = jax.jit(lambda pixels: (pixels.astype(jnp.float32) / 255 - mean) / std)

    def go(number: int) -> None:
        for batch in batches(folder, tokens, seed=number):
            placed = place_batch(batch, mesh)
            images = placed["prefix"]["images"]
            jax.block_until_ready(scale(images) if normalised else placed)
            time.sleep(step_seconds)

    return go


def batches(folder: Path, tokens: Tokens, seed: int) -> Iterator[Mapping[str, Any]]:
    """All batches of an epoch; examples are made first, as the stages do."""
    studies = data_work.studies(folder)
    examples = []
    for row, record in enumerate(studies):
        study = Study.from_row(record)
        reports = (study.findings, study.truth["rejected"])
        examples.append(make_example(study, row, reports, tokens))
    lengths = lengths_of(examples)
    plan = Plan(
        lengths=lengths,
        buckets=make_buckets(lengths, TrainConfig().buckets),
        batch_size=data_work.BATCH,
        seed=seed,
    )
    groups, parts = Groups(data_work.BATCH), {"rows": slice(None)}
    packer = Packer.of(plan.epoch(0), response_lengths(examples), groups, parts)
    collate = Collator(examples, pictures_of(examples, studies, tokens), packer)
    return iterate(plan, collate, start=0, total=plan.batches_per_epoch)

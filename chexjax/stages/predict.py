"""Held-out reports of a policy, greedy: the first half of `evaluate`.

A policy can also be made to write about the images of another study, under its own indication.
What it loses by that is what looking at the picture is worth.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from chexjax.artefacts import Artefact, Draft, load, manifest
from chexjax.data.examples import Example
from chexjax.engine import Sampler
from chexjax.rows import Unit, map_units
from chexjax.stages.config import EvaluateConfig, RunConfig
from chexjax.stages.context import Content, Context, Stage
from chexjax.stages.generation import Writer
from chexjax.stages.ingest import INGEST
from chexjax.stages.policies import load_policy, load_tokens
from chexjax.stages.sample import prompts, summary
from chexjax.trackers import StageTimer


def predict(
    policy: Stage, *, shuffled: bool = False, split: str | None = None, elsewhere: bool = False
) -> Stage:
    """The stage that writes one policy's held-out reports.

    Args:
      policy: What makes the policy.
      shuffled: It is shown images of other studies.
      split: Whose studies; the config's where it is None.
      elsewhere: It writes about the studies of another source, `config.evaluate.elsewhere`.
    """
    name = policy.folder + ("_shuffled" if shuffled else "") + (f"_{split}" if split else "")
    name += "_elsewhere" if elsewhere else ""

    def work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
        config = context.config.evaluate
        made = studies_elsewhere(config) if elsewhere else context.artefact(INGEST)
        studies, source = made.rows(), context.artefact(policy)
        tokens = load_tokens(context.family, source)
        limit = config.max_new_tokens
        examples, rejects = prompts(studies, split or config.split, config.studies, tokens, limit)
        writer = Writer(
            context,
            "evaluate",
            load_policy(context, source),
            tokens,
            swap_images(examples, context.config.seed) if shuffled else examples,
            studies,
            sampler=Sampler(temperature=0.0),
            draws=1,
            limit=limit,
            unit=config.unit,
        )

        def unit(number: int) -> Unit:
            written = writer.write(number)
            rows = [{"id": example.id, "candidates": rows} for example, rows in written]
            return Unit(rows, rejects if number == 0 else [])

        return map_units(draft, writer.units, unit, describe=f"write {name}", summarise=summary)

    return Stage(
        name=f"write {name}",
        folder=f"predictions/{name}",
        kind="predictions",
        fields=("seed", "policy", "evaluate"),
        reads=(policy,) if elsewhere else (INGEST, policy),
        work=work,
        shared=True,
        outside=_identity_elsewhere if elsewhere else lambda _: {},
        extra=lambda _: {"shuffled": shuffled} | ({"split": split} if split else {}),
    )


def studies_elsewhere(config: EvaluateConfig) -> Artefact:
    """The studies of the other source.

    Raises:
      ArtefactError: there are none in the folder.
    """
    return load(Path(config.elsewhere), "studies")


def _identity_elsewhere(config: RunConfig) -> Content | None:
    """Which studies of another source are written about; None where they are out of reach."""
    found = manifest.read(Path(config.evaluate.elsewhere))
    return {"studies": found.identity} if found else None


def swap_images(examples: Sequence[Example], seed: int) -> list[Example]:
    """Gives each study the images of another one that has as many; none keeps its own.

    A study that is alone with its number of images stays as it is.
    """
    rows = np.asarray([example.row for example in examples])
    counts = np.asarray([example.images for example in examples])
    order = np.random.default_rng(seed).permutation(len(rows))
    swapped = rows.copy()
    for count in np.unique(counts):
        group = order[counts[order] == count]
        swapped[group] = rows[np.roll(group, 1)]
    return [
        dataclasses.replace(example, row=int(row))
        for example, row in zip(examples, swapped, strict=True)
    ]

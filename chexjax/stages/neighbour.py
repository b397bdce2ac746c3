"""The nearest neighbour as a system: the report of the training study most like a held-out one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from chexjax.artefacts import Artefact, ArtefactError, Draft
from chexjax.evaluate.neighbours import nearest, picture_vector, word_vectors
from chexjax.rows import Unit, map_units
from chexjax.stages.config import NEIGHBOUR
from chexjax.stages.context import Context, Stage
from chexjax.stages.ingest import INGEST
from chexjax.stages.sample import first_of, summary
from chexjax.trackers import StageTimer


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config, studies = context.config.evaluate, context.artefact(INGEST).rows()
    known = first_of(studies, "train", None)
    asked = first_of(studies, config.split, config.studies)
    if not known or not asked:
        raise ArtefactError(f"no study to copy from, or none in split {config.split!r}")
    seen = bool(context.family.max_images)
    there, here = _pictures(studies, known, asked) if seen else _words(studies, known, asked)

    def unit(number: int) -> Unit:
        mine = slice(number * config.unit, (number + 1) * config.unit)
        rows = []
        for row, like in zip(asked[mine], nearest(here[mine], there), strict=True):
            report = studies[known[like]]["findings"]
            rows.append({"id": studies[row]["id"], "candidates": [{"report": report}]})
        return Unit(rows)

    units = -(-len(asked) // config.unit)
    return map_units(draft, units, unit, describe="nearest neighbours", summarise=summary)


def _words(studies: Sequence[Any], known: Sequence[int], asked: Sequence[int]) -> tuple[Any, ...]:
    """Of what a policy that sees nothing is asked."""
    return word_vectors(*([studies[row]["indication"] for row in rows] for rows in (known, asked)))


def _pictures(
    studies: Sequence[Any], known: Sequence[int], asked: Sequence[int]
) -> tuple[Any, ...]:
    return tuple(
        np.stack([picture_vector(studies[row]["images"]) for row in rows])
        for rows in (known, asked)
    )


COPIED = Stage(
    name="copy nearest neighbours",
    folder="predictions/neighbour",
    kind="predictions",
    fields=("evaluate",),
    extra=lambda config: {"by": "pictures" if config.policy.family.max_images else "words"},
    reads=(INGEST,),
    work=_work,
    needed=lambda config: NEIGHBOUR in config.evaluate.names,
)

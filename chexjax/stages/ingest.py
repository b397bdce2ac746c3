"""`ingest`: a source becomes the studies artefact; what cannot be used is named."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chexjax.artefacts import Artefact, Draft
from chexjax.data.images import UnusableImage, open_image
from chexjax.data.sources import open_source
from chexjax.data.study import Study, UnusableStudy
from chexjax.rows import Reject, Unit, map_units
from chexjax.stages.context import Context, Stage
from chexjax.trackers import StageTimer


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config = context.config.source
    source = open_source(config)
    units = -(-len(source) // config.unit)
    with ThreadPoolExecutor(os.cpu_count()) as pool:

        def unit(number: int) -> Unit:
            first = number * config.unit
            rows = range(first, min(first + config.unit, len(source)))
            return ingest(pool.map(source.__getitem__, rows))

        return map_units(draft, units, unit, describe="ingest", summarise=_summarise)


def ingest(studies: Iterable[Study]) -> Unit:
    """Rows of the usable studies, and the others with their reasons."""
    done = Unit([], [])
    for study in studies:
        try:
            study.check()
            for image in study.images:
                open_image(image)
        except (UnusableStudy, UnusableImage) as error:
            done.rejects.append(Reject(study.id, str(error)))
        else:
            done.rows.append(study.to_row())
    return done


def _summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    splits: Counter[str] = Counter()
    words: Counter[str] = Counter()
    for row in rows:
        splits[row["split"]] += 1
        words[row["split"]] += len(row["findings"].split())
    return {
        "studies": dict(splits),
        "mean_words": {split: words[split] / count for split, count in splits.items()},
    }


INGEST = Stage(
    name="ingest", folder="studies", kind="studies", fields=("source",), reads=(), work=_work
)

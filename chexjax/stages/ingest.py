"""`ingest`: a source becomes the studies artefact; what cannot be used is named."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

from chexjax.artefacts import Artefact, ArtefactError, Draft
from chexjax.config import ConfigError, content
from chexjax.data.census import census
from chexjax.data.instruct.triplets import Triplet
from chexjax.data.intake import Checked, reader
from chexjax.data.sources.registry import SOURCES, SourceConfig, open_source
from chexjax.data.study import Rejected, Study
from chexjax.evaluate import data_card
from chexjax.rows import Reject, Unit, map_units
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.intake_summary import RULES, describe, warnings
from chexjax.trackers import StageTimer

CARD = "data_card.html"
"""The page about the studies, in their folder."""


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config = context.config.source
    rows = range(len(open_source(config)))
    units = -(-len(rows) // config.unit)
    with reader(config) as read:

        def unit(number: int) -> Unit:
            return sort_out(read(rows[number * config.unit : (number + 1) * config.unit]))

        try:
            return map_units(
                draft,
                units,
                unit,
                describe="ingest",
                summarise=functools.partial(_summarise, draft, config),
            )
        except BrokenProcessPool as error:
            raise ArtefactError(
                "ingest: a process that read studies was killed, most often for lack of memory; "
                "what is done is kept, run the same command again"
            ) from error


def sort_out(found: Iterable[Checked | Triplet]) -> Unit:
    """Rows of what can be used, and the rest with its reasons."""
    done = Unit([], [])
    for one in found:
        if isinstance(one, Rejected):
            done.rejects.append(Reject(one.id, one.reason))
        else:
            done.rows.append(one.to_row())
    return done


def _summarise(
    draft: Draft, config: SourceConfig, rows: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """Statistics of what was kept and of what was not, and the page that shows them.

    `map_units` has just written the rejects.
    """
    file = draft.path / "rejects.jsonl"
    lines = file.read_text("utf-8").splitlines() if file.exists() else []
    found = census(rows, (json.loads(line)["reason"] for line in lines))
    card = data_card.DataCard(
        source=config.name,
        rows=len(rows),
        found=found,
        samples=[Study.from_row(rows[k]) for k in data_card.sample_rows(len(rows))],
        warnings=warnings(found),
        rules=RULES,
        facts={
            "source": config.name,
            "identity": draft.identity,
            "shorter side of images": f"{config.image.size} px" if config.image.size else "kept",
        },
    )
    data_card.write(card, draft.path / CARD)
    return found


def _source_files(config: RunConfig) -> dict[str, Any] | None:
    """What the source is made of, wherever it lies; it is not needed once it was read."""
    source = config.source
    if source.path and not Path(source.path).exists():
        return None
    try:
        files = open_source(source).fingerprint()
    except ValueError as error:
        raise ConfigError(f"config.{error}") from error
    return {"files": files} if files else {}


def _own_fields(config: RunConfig) -> dict[str, Any]:
    """The source's fields without those of other sources, which change nothing."""
    others = SOURCES.keys() - {config.source.name}
    found = content(config.source)
    return {"source": {name: value for name, value in found.items() if name not in others}}


INGEST = Stage(
    name="ingest",
    folder="studies",
    kind="studies",
    fields=("source",),
    reads=(),
    work=_work,
    shared=True,
    extra=_own_fields,
    outside=_source_files,
    describe=describe,
    home="runs/{config.source.name}",
)

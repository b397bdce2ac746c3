"""`mixture`: triplets of images, instruction and answer, for `sft` to learn from."""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from chexjax.artefacts import Artefact, Draft
from chexjax.artefacts.files import sha256
from chexjax.config import ConfigError
from chexjax.data.examples import Example, UnusableExample
from chexjax.data.instruct.asking import StudyTriplets
from chexjax.data.instruct.exclusion import excluded_ids
from chexjax.data.instruct.mixture import Group
from chexjax.data.instruct.triplet_tables import TripletSource, read_triplets
from chexjax.data.instruct.triplets import Shown, Triplet, triplet_example
from chexjax.data.mix import Mix, make_mix
from chexjax.data.tokens import Tokens
from chexjax.rows import Reject, Rows, map_units
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.fitting import Lessons
from chexjax.stages.ingest import INGEST, sort_out
from chexjax.trackers import StageTimer


def check_mixture(config: RunConfig) -> None:
    """Finds what is wrong with a mixture before any work is done.

    Raises:
      ValueError: a file is not there, a table lacks a column, a data set has no such name.
    """
    if config.mixture.is_used:
        config.mixture.shares(config.source.name)
        excluded_ids(config.mixture.exclude)
        _tables(config)


def most_triplets(config: RunConfig, studies: int) -> int:
    """Triplets that a mixture can have at most, made from so many studies."""
    mixture = config.mixture
    asked = min(len(mixture.tasks), mixture.per_study or len(mixture.tasks))
    return studies * asked + sum(len(table) for table in _tables(config))


def _tables(config: RunConfig) -> list[TripletSource]:
    mixture = config.mixture
    return [
        TripletSource(name, table, held_out=name in mixture.held_out)
        for name, table in mixture.tables.items()
    ]


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config, source = context.config.mixture, context.config.source
    if not config.is_used:
        raise ConfigError("config.mixture names no task and no table; give it one of them")
    studies = context.artefact(INGEST).rows()
    excluded = excluded_ids(config.exclude)
    made = StudyTriplets(
        config, studies, source=source.name, seed=context.config.seed, excluded=excluded
    )
    asked = range(len(studies) if config.tasks else 0)
    parts = [functools.partial(made.about, rows) for rows in _cut(asked, config.unit)]
    for table in _tables(context.config):
        read = functools.partial(read_triplets, table, images=source.image, excluded=excluded)
        parts += [functools.partial(read, rows) for rows in _cut(range(len(table)), config.unit)]
    return map_units(
        draft,
        len(parts),
        lambda number: sort_out(parts[number]()),
        describe="mixture",
        summarise=_summarise,
    )


def _cut(rows: range, size: int) -> Iterator[range]:
    return (rows[first : first + size] for first in range(0, len(rows), size))


def _summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How many triplets there are by data set, task and split, and of how many images."""
    counts = collections.Counter((row["dataset"], row["task"], row["split"]) for row in rows)
    images = collections.Counter(len(row["pictures"]) + len(row["images"]) for row in rows)
    return {
        "triplets": [[*names, count] for names, count in sorted(counts.items())],
        "images": {str(number): count for number, count in sorted(images.items())},
    }


def _describe(made: Artefact, console: Console) -> None:
    table = Table("data set", "task", "split", title="Triplets", title_justify="left")
    table.add_column("triplets", justify="right")
    for *names, count in made.statistics["triplets"]:
        table.add_row(*names, f"{count:,}")
    console.print(table)
    console.print(f"rejected: {made.manifest.rejects:,}")


def _files(config: RunConfig) -> dict[str, Any] | None:
    """What tables and lists of excluded ids hold, wherever they lie."""
    mixture = config.mixture
    paths = [*mixture.exclude, *(table.path for table in mixture.tables.values())]
    if not all(Path(path).exists() for path in paths):
        return None
    try:
        tables = dict(zip(mixture.tables, _tables(config), strict=True))
    except ValueError as error:
        raise ConfigError(f"config.{error}") from error
    found = {
        "exclude": [sha256(Path(file)) for file in mixture.exclude],
        "tables": {name: table.fingerprint() for name, table in tables.items()},
    }
    return {name: held for name, held in found.items() if held}


def mixture_texts(mixture: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Everything that a policy reads and writes when it learns from a mixture."""
    for row in mixture:
        if row["split"] == "train":
            yield from (row["instruction"], row["indication"], row["answer"])


def mixture_lessons(config: RunConfig, mixture: Rows, studies: Rows, tokens: Tokens) -> Lessons:
    """The training triplets as examples, with the shares that the config gives them.

    Raises:
      ConfigError: a data set or a task that has a share has no triplet.
    """
    examples, rejects = list[Example](), list[Reject]()
    groups = {group: list[int]() for group in config.mixture.shares(config.source.name)}
    for row, stored in enumerate(mixture):
        triplet = Triplet.from_row(stored)
        group = config.mixture.group(triplet)
        if triplet.split != "train" or group not in groups:
            continue
        try:
            example = triplet_example(triplet, row, tokens)
        except UnusableExample as error:
            rejects.append(Reject(triplet.id, str(error)))
        else:
            groups[group].append(len(examples))
            examples.append(example)
    mix = _mix(config, groups)
    return Lessons(examples, rejects, Shown(mixture, studies), tokens, mix=mix)


def _mix(config: RunConfig, groups: Mapping[Group, Sequence[int]]) -> Mix:
    for (dataset, task), rows in groups.items():
        if not rows:
            what = f"task {task!r} of the data set" if task else "the data set"
            raise ConfigError(
                f"config.mixture: {what} {dataset!r} has no triplet to train on that fits the "
                "policy; leave it out, or see what the stage `mixture` made"
            )
    return make_mix(
        {group: np.asarray(rows) for group, rows in groups.items()},
        config.mixture.shares(config.source.name),
    )


MIXTURE = Stage(
    name="mixture",
    folder="mixture",
    kind="mixture",
    fields=("seed", "mixture"),
    reads=(INGEST,),
    work=_work,
    shared=True,
    needed=lambda config: config.mixture.is_used,
    outside=_files,
    describe=_describe,
)

"""The questions of the alignment tax: of CheXbench's file, or made of held-out studies."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from chexjax.artefacts import Artefact, Draft
from chexjax.config import ConfigError, content
from chexjax.data.chexbench.official import OfficialQuestions
from chexjax.data.chexbench.questions import UnusableQuestion
from chexjax.data.chexbench.studies import StudyQuestions
from chexjax.data.sources.registry import open_source
from chexjax.data.study import UnusableStudy
from chexjax.rows import Reject, Unit, map_units
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.ingest import INGEST
from chexjax.trackers import StageTimer

_UNIT = 256
_TRIED = (4, 64)
"""How many studies of a source are tried before it is said that it has no answers."""


def is_asked(config: RunConfig) -> bool:
    """Whether a run asks questions at all."""
    return config.chexbench.questions != "none"


def official(config: RunConfig) -> OfficialQuestions:
    """The questions of the official file.

    Raises:
      ConfigError: it cannot be used.
    """
    asked = config.chexbench
    file = Path(asked.path)
    folder = Path(asked.images) if asked.images else file.parent
    if not folder.is_dir():
        raise ConfigError(f"config.chexbench.images={folder}: there is no such folder")
    try:
        return OfficialQuestions(file, folder, asked.tasks, asked.count, config.source.image)
    except ValueError as error:
        raise ConfigError(f"config.chexbench.{error}") from error


def check_questions(context: Context) -> None:
    """Finds what could not be asked before any work is done.

    Of studies only some are tried, whatever their split, and no more than it takes to find answers.

    Raises:
      ConfigError: the official file cannot be used, there is no such task, or the studies say
        nothing that it could ask about.
    """
    if context.config.chexbench.questions == "official":
        official(context.config)
        return
    for most in _TRIED:
        tried = list(_spread(context, most))
        try:
            _of_studies(context.config, tried, range(len(tried)))
            return
        except ConfigError:
            if most == _TRIED[-1]:
                raise


def _spread(context: Context, most: int) -> Iterator[Mapping[str, Any]]:
    """Usable studies at even steps: of the artefact, or before there is one of the source."""
    if context.is_finished(INGEST):
        rows = context.artefact(INGEST).rows()
        yield from (rows[index] for index in _steps(len(rows), most))
        return
    source = open_source(context.config.source)
    for index in _steps(len(source), most):
        with contextlib.suppress(UnusableStudy):
            yield source[index].to_row()


def _steps(size: int, most: int) -> range:
    return range(0, size, -(-size // most) or 1)


def _source(context: Context) -> OfficialQuestions | StudyQuestions:
    config = context.config
    if config.chexbench.questions == "official":
        return official(config)
    studies, split = context.artefact(INGEST).rows(), config.evaluate.split
    rows = [row for row, study in enumerate(studies) if study["split"] == split]
    return _of_studies(config, studies, rows)


def _of_studies(
    config: RunConfig, studies: Sequence[Mapping[str, Any]], rows: Sequence[int]
) -> StudyQuestions:
    try:
        return StudyQuestions(
            studies,
            rows,
            config.source.phantom if config.source.name == "phantom" else None,
            seed=config.seed,
            tasks=config.chexbench.tasks,
            count=config.chexbench.count,
        )
    except ValueError as error:
        raise ConfigError(f"config.chexbench.{error}") from error


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    source = _source(context)

    def unit(number: int) -> Unit:
        done = Unit([], [])
        for index in range(number * _UNIT, min((number + 1) * _UNIT, len(source))):
            try:
                done.rows.append(source[index].to_row())
            except UnusableQuestion as error:
                done.rejects.append(Reject(source.id(index), str(error)))
        return done

    def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        counts = Counter(row["task"] for row in rows)
        return {"tasks": dict(counts), "ignored": list(source.left_out)}

    units = -(-len(source) // _UNIT)
    return map_units(draft, units, unit, describe="questions", summarise=summarise)


def _content(config: RunConfig) -> dict[str, Any]:
    asked = config.chexbench
    chosen: dict[str, Any] = {
        "from": asked.questions,
        "tasks": list(asked.tasks),
        "count": asked.count,
    }
    if asked.questions == "studies":
        return chosen | {"seed": config.seed, "split": config.evaluate.split}
    return chosen | {"image": content(config.source.image)}


def _files(config: RunConfig) -> dict[str, Any] | None:
    if config.chexbench.questions != "official":
        return {}
    if not Path(config.chexbench.path).exists():
        return None
    return {"files": official(config).fingerprint()}


QUESTIONS = Stage(
    name="questions",
    folder="chexbench/questions",
    kind="questions",
    fields=(),
    reads=lambda config: (INGEST,) if config.chexbench.questions == "studies" else (),
    work=_work,
    shared=True,
    needed=is_asked,
    extra=_content,
    outside=_files,
)

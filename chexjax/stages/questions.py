"""The questions of the alignment tax: of CheXbench's file, or made of held-out studies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from chexjax.artefacts import Artefact, Draft
from chexjax.config import ConfigError, content
from chexjax.data.chexbench.official import OfficialQuestions
from chexjax.data.chexbench.questions import UnusableQuestion
from chexjax.data.chexbench.studies import StudyQuestions
from chexjax.rows import Reject, Unit, map_units
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.ingest import INGEST
from chexjax.trackers import StageTimer

_UNIT = 256


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


def _source(context: Context) -> OfficialQuestions | StudyQuestions:
    config = context.config
    asked, split = config.chexbench, config.evaluate.split
    if asked.questions == "official":
        return official(config)
    studies = context.artefact(INGEST).rows()
    rows = [row for row, study in enumerate(studies) if study["split"] == split]
    try:
        return StudyQuestions(
            studies,
            rows,
            config.source.phantom if config.source.name == "phantom" else None,
            seed=config.seed,
            tasks=asked.tasks,
            count=asked.count,
        )
    except ValueError as error:
        raise ConfigError(f"config.chexbench: {error}") from error


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

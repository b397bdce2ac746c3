"""The systems whose held-out reports are compared: the run's policies, and files of anybody's."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from chexjax.artefacts import manifest
from chexjax.artefacts.files import sha256
from chexjax.config import ConfigError, nearest
from chexjax.data.study import Study
from chexjax.evaluate.metrics import System
from chexjax.evaluate.predictions import matched, read_predictions
from chexjax.rows import Reject, Rows
from chexjax.stages.align import ALIGN
from chexjax.stages.config import NEIGHBOUR, POLICIES, RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.control import CONTROL
from chexjax.stages.divergence import divergence
from chexjax.stages.ingest import INGEST
from chexjax.stages.neighbour import COPIED
from chexjax.stages.predict import predict, studies_elsewhere
from chexjax.stages.sft import SFT

MADE_BY = dict(zip(POLICIES, (SFT, CONTROL, ALIGN), strict=True))
"""Name of a policy -> the stage that makes it."""

IN_TRAINING = "prompt in training"
"""Attribute of held-out studies of policies of text, see `_sliced_by_prompt`."""
_YES_NO = {True: "yes", False: "no"}

ENDS = (POLICIES[0], POLICIES[-1])
"""The policy before alignment, and the aligned one."""

_NOTES = {
    "SFT continued": "more SFT, for the compute that alignment took",
    NEIGHBOUR: "the report of the training study most like it",
}


def _written(name: str) -> Stage:
    return dataclasses.replace(
        predict(MADE_BY[name]), needed=lambda config: name in config.evaluate.names
    )


def _written_swapped(name: str) -> Stage:
    """Of a policy that sees."""
    return dataclasses.replace(
        predict(MADE_BY[name], shuffled=True),
        needed=lambda config: (
            bool(config.policy.family.max_images) and name in config.evaluate.names
        ),
    )


def _written_elsewhere(name: str) -> Stage:
    return dataclasses.replace(
        predict(MADE_BY[name], elsewhere=True),
        needed=lambda config: bool(config.evaluate.elsewhere) and name in config.evaluate.names,
    )


def _divergence(name: str) -> Stage:
    return dataclasses.replace(
        divergence(MADE_BY[name]),
        needed=lambda config: {ENDS[0], name} <= set(config.evaluate.names),
    )


OWN = {name: _written(name) for name in POLICIES} | {NEIGHBOUR: COPIED}
SWAPPED = {name: _written_swapped(name) for name in ENDS}
ELSEWHERE = {name: _written_elsewhere(name) for name in POLICIES}
DIVERGENCE = {name: _divergence(name) for name in POLICIES if name != ENDS[0]}


def policies_of(config: RunConfig) -> dict[str, Stage]:
    """The policies among the systems of an evaluation, in their order."""
    return {name: MADE_BY[name] for name in config.evaluate.names if name in MADE_BY}


def check_files(config: RunConfig) -> None:
    """Finds what is wrong with reports and studies from elsewhere before any work is done.

    Raises:
      ConfigError: a file of reports cannot be read, or the other source's studies are not there.
    """
    for name, file in config.evaluate.predictions.items():
        _read(name, file)
    if folder := config.evaluate.elsewhere:
        found = manifest.read(Path(folder))
        if found is None or found.kind != "studies":
            raise ConfigError(
                f"config.evaluate.elsewhere={folder} holds no studies; give the folder `studies` "
                "of a workdir where `chexjax ingest` has read the other source"
            )


def files_read(config: RunConfig, names: Sequence[str]) -> Mapping[str, Any]:
    """SHA-256 of the files of reports among these systems: what they hold, not where they lie."""
    chosen = {n: Path(file) for n, file in config.evaluate.predictions.items() if n in names}
    if not chosen:
        return {}
    check_files(config)  # which says more of a missing file than a hash would
    return {"predictions": {name: sha256(file) for name, file in chosen.items()}}


def policy_reports(config: RunConfig, system: str) -> tuple[Stage, ...]:
    """The stage that writes a system's held-out reports; none where they are in a file.

    Raises:
      ConfigError: there is no such system.
    """
    if system not in (known := config.evaluate.names):
        raise ConfigError(f"no system {system!r} in config.evaluate{nearest(system, known)}")
    return (OWN[system],) if system in OWN else ()


def reports_of(context: Context, system: str) -> dict[str, str]:
    """Study id -> the held-out report of one system, as far as it has one.

    Raises:
      ConfigError: its file cannot be read.
    """
    if system not in OWN:
        return _read(system, context.config.evaluate.predictions[system])
    return _rows(context, OWN[system])


def _read(name: str, file: str) -> dict[str, str]:
    try:
        return read_predictions(Path(file))
    except ValueError as error:
        raise ConfigError(f"config.evaluate.predictions.{name}: {error}") from error


def _rows(context: Context, stage: Stage) -> dict[str, str]:
    rows = context.artefact(stage).rows()
    return {row["id"]: row["candidates"][0]["report"] for row in rows}


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeldOut:
    """What there is to evaluate.

    Attributes:
      studies: Those that every system has a report on, without their images.
      rows: Id of a study -> its row among the source's, where the images are.
      systems: Baseline first, the one under test last.
      rejects: Studies that some system has no report on, and reports on other studies.
      facts: What to know of the reports in files, name and value.
    """

    studies: list[Study]
    rows: Mapping[str, int]
    systems: list[System]
    rejects: list[Reject]
    facts: Mapping[str, str]


def held_out(context: Context) -> HeldOut:
    """The studies of the split, and what each system of the config wrote about them.

    Raises:
      ConfigError: there is no study or no system, or a file has no report on any of the studies.
    """
    asked, places = _asked(context)
    config = context.config.evaluate
    reports: dict[str, Mapping[str, str]] = {}
    rejects, facts = [], {}
    for name in config.names:
        reports[name] = reports_of(context, name)
        if name in OWN:
            continue
        try:
            own, others = matched(reports[name], asked.keys(), Path(config.predictions[name]))
        except ValueError as error:
            raise ConfigError(f"config.evaluate.predictions.{name}: {error}") from error
        rejects += [Reject(study, f"not evaluated, reported on by {name}") for study in others]
        facts[f"reports of {name}"] = _counted(own, len(others), len(asked))
    lacking = {s: [name for name, own in reports.items() if s not in own] for s in asked}
    rejects += [Reject(s, f"no report: {', '.join(who)}") for s, who in lacking.items() if who]
    kept = [study for name, study in asked.items() if not lacking[name]]
    if not kept:
        raise ConfigError(
            f"config.evaluate: no study has a report of each of {', '.join(reports)}; "
            "leave out the system that lacks most"
        )
    systems = [_system(context, name, own, kept) for name, own in reports.items()]
    return HeldOut(studies=kept, rows=places, systems=systems, rejects=rejects, facts=facts)


def held_out_elsewhere(context: Context) -> HeldOut:
    """The studies of the other source, and what the policies wrote about them."""
    names = policies_of(context.config)
    reports = {name: _rows(context, ELSEWHERE[name]) for name in names}
    rows = studies_elsewhere(context.config.evaluate).rows()
    told = set.intersection(*map(set, reports.values()))
    studies = [_without_images(row) for row in rows if row["id"] in told]
    systems = [
        System(name=name, reports=[own[study.id] for study in studies])
        for name, own in reports.items()
    ]
    return HeldOut(studies=studies, rows={}, systems=systems, rejects=[], facts={})


def _counted(own: Mapping[str, str], others: int, asked: int) -> str:
    empty = sum(not report.strip() for report in own.values())
    return (
        f"on {len(own):,} of {asked:,} studies, {empty:,} of them empty; {others:,} on other "
        "studies left out"
    )


def _asked(context: Context) -> tuple[dict[str, Study], dict[str, int]]:
    """The config's studies by id, without their images, and where each stands in the source."""
    config, rows = context.config.evaluate, context.artefact(INGEST).rows()
    of_split = ((k, row) for k, row in enumerate(rows) if row["split"] == config.split)
    chosen = itertools.islice(of_split, config.studies)
    found = {row["id"]: (k, _without_images(row)) for k, row in chosen}
    if not found:
        raise ConfigError(
            f"config.evaluate.split={config.split!r} has no study of {len(rows):,}; name another"
        )
    studies = {name: study for name, (_, study) in found.items()}
    if not context.family.max_images:
        studies = _sliced_by_prompt(studies, rows)
    return studies, {name: place for name, (place, _) in found.items()}


def trained_prompts(studies: Iterable[Mapping[str, Any]]) -> set[str]:
    """What is asked about the training studies."""
    return {row["indication"] for row in studies if row["split"] == "train"}


def _sliced_by_prompt(studies: Mapping[str, Study], rows: Rows) -> dict[str, Study]:
    """Studies that say whether a training study asks the same, word for word.

    A policy of text may know their answers by heart: they are a slice of their own.
    """
    known = trained_prompts(rows)
    return {
        name: dataclasses.replace(
            study,
            attributes={**study.attributes, IN_TRAINING: _YES_NO[study.indication in known]},
        )
        for name, study in studies.items()
    }


def _without_images(row: Mapping[str, Any]) -> Study:
    """A study with an empty file for each view: of thousands, a dozen are ever looked at."""
    return Study.from_row({**row, "images": [b""] * len(row["views"])})


def _system(
    context: Context, name: str, reports: Mapping[str, str], studies: Sequence[Study]
) -> System:
    swapped = None
    if name in SWAPPED and SWAPPED[name].needed(context.config):
        swapped = _rows(context, SWAPPED[name])
    return System(
        name=name,
        reports=[reports[study.id] for study in studies],
        shuffled=None if swapped is None else [swapped[study.id] for study in studies],
        note=_NOTES.get(name, ""),
    )

"""`run` of a sweep: all of its runs, each artefact once, and a comparison at the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from chexjax import artefacts
from chexjax.artefacts import Artefact
from chexjax.config import ConfigError
from chexjax.evaluate import claims_table, comparison
from chexjax.evaluate.claims import Answer
from chexjax.evaluate.comparison import Entry
from chexjax.evaluate.studies.divergence import NONE
from chexjax.judges import Judge, uncontrolled
from chexjax.stages.align import ALIGN
from chexjax.stages.context import Context, Stage
from chexjax.stages.divergence import divergence_of
from chexjax.stages.ingest import INGEST
from chexjax.stages.judge import JUDGE, files_of, judge_of
from chexjax.stages.predict import predict
from chexjax.stages.sft import SFT
from chexjax.stages.sweeps.claims import Asked
from chexjax.stages.sweeps.measures import reports
from chexjax.stages.sweeps.runs import Run, elsewhere, runs
from chexjax.stages.systems import DIVERGENCE, OWN

_VALIDATION = predict(ALIGN, split="validate")
_DIVERGENCE = DIVERGENCE["aligned"]
_LAST = (OWN["SFT"], OWN["aligned"], _DIVERGENCE)
"""What a comparison needs of each run, behind the stages of the method."""

FOLDER = "comparison"
_ELSEWHERE = "elsewhere"
"""Folder of what is made of another source."""


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A sweep whose every name is understood.

    Attributes:
      runs: Its runs.
      inside: A context for each, by name.
      last: What a comparison needs of each, behind the stages of the method.
    """

    runs: Sequence[Run]
    inside: Mapping[str, Context]
    last: Sequence[Stage]


def prepare(context: Context) -> Prepared:
    """The runs of a sweep.

    Raises:
      ConfigError: a point or a claim cannot be read, or there is nothing to select a run by.
    """
    found = runs(context.config)
    select, source = context.config.sweep.select, context.config.source
    prepared = Prepared(
        runs=found,
        inside={run.name: _inside(context, run) for run in found},
        last=(*_LAST, _VALIDATION) if select else _LAST,
    )
    _asked(context, prepared)
    if select and source.name == "phantom" and not source.phantom.validate:
        raise ConfigError(
            "config.source.phantom.validate=0: a sweep selects a run on the validation split; "
            "draw some studies for it, or set config.sweep.select to False"
        )
    if lacking := {"SFT", "aligned"} - set(context.config.evaluate.names):
        raise ConfigError(
            f"config.evaluate.systems lacks {min(lacking)!r}: a sweep compares each aligned policy "
            "with SFT; leave both in"
        )
    return prepared


def _inside(context: Context, run: Run) -> Context:
    return dataclasses.replace(context, config=run.config, place=run.folder)


def _asked(context: Context, prepared: Prepared) -> Asked:
    return Asked(context, prepared.runs, prepared.inside, uncontrolled(_selects_by(context)))


def _selects_by(context: Context) -> str:
    return context.config.sweep.select_by or context.config.judge.name


def _with_elsewhere(context: Context, prepared: Prepared) -> Prepared:
    """The same, knowing where the studies of the sweep's other source are, which are read now."""
    if not context.config.sweep.elsewhere:
        return prepared
    other = dataclasses.replace(
        context,
        config=elsewhere(context.config),
        place=lambda stage: f"{_ELSEWHERE}/{stage.folder}",
    )
    folder = str(other.run(INGEST).path)

    def told(one: Context) -> Context:
        evaluate = dataclasses.replace(one.config.evaluate, elsewhere=folder)
        return dataclasses.replace(one, config=dataclasses.replace(one.config, evaluate=evaluate))

    inside = {name: told(one) for name, one in prepared.inside.items()}
    return dataclasses.replace(prepared, inside=inside)


def plan(context: Context, prepared: Prepared, method: Sequence[Stage]) -> Table:
    """Which artefacts a sweep makes, and how many runs share each."""
    shared: dict[str, set[str]] = {}
    for run, stage in _everything(prepared, method, _asked(context, prepared)):
        shared.setdefault(prepared.inside[run].place(stage), set()).add(run)
    table = Table("artefact", "runs that share it", title="Sweep")
    for folder, sharing in shared.items():
        table.add_row(folder, str(len(sharing)))
    return table


def sweep(context: Context, prepared: Prepared, method: Sequence[Stage], console: Console) -> None:
    """Does what is left of a sweep, and compares its runs.

    Args:
      context: Of the sweep's config.
      prepared: Its runs.
      method: The stages of a run, in their order, up to the aligned policy.
      console: Gets the table.
    """
    done: set[str] = set()
    prepared = _with_elsewhere(context, prepared)
    inside, asked = prepared.inside, _asked(context, prepared)
    for run, stage in _everything(prepared, method, asked):
        if (place := inside[run].place(stage)) not in done:
            inside[run].run(stage)
            done.add(place)
    entries, answers = _compare(context, prepared, asked)
    comparison.show(entries, console)
    if answers:
        claims_table.show(answers, console)
    console.print(f"comparison: {context.workdir / FOLDER / 'comparison.html'}")


def _everything(
    prepared: Prepared, method: Sequence[Stage], asked: Asked
) -> Iterator[tuple[str, Stage]]:
    """What is to be done in which run, in order: first what every run needs, then the measures."""
    for run, one in prepared.inside.items():
        yield from ((run, s) for s in (*method, *prepared.last) if s.needed(one.config))
    yield from asked.stages()


def _compare(
    context: Context, prepared: Prepared, asked: Asked
) -> tuple[list[Entry], list[Answer]]:
    """Makes the artefact anew: it is cheap, and its inputs are checked by that."""
    by, seed = _selects_by(context), context.config.seed
    name_of = uncontrolled(by)
    select = judge_of(context, by) if context.config.sweep.select else None
    entries = _entries(prepared.inside, judge_of(context, name_of), select, seed)
    answers, levels = asked.answers(), asked.levels()
    inputs = {
        one.place(stage): one.artefact(stage)
        for one in prepared.inside.values()
        for stage in prepared.last
    }
    judges = {**JUDGE.content(context.config), **files_of(context.config, by)}
    sweep = context.config.sweep
    declared = {"claims": list(sweep.claims), "measures": list(sweep.measures)}
    begun = artefacts.begin(
        context.workdir / FOLDER,
        "comparison",
        content={"runs": list(prepared.inside), "select_by": by, **declared, **judges},
        config=dataclasses.asdict(context.config),
        inputs=inputs | asked.inputs(),
    )
    if not isinstance(begun, Artefact):
        facts = {"judge": name_of, "selected by": by, "seed": str(seed)}
        comparison.write(entries, facts, begun.path, answers, levels)
        begun.finish(rows=len(entries))
    return entries, answers


def _entries(
    inside: Mapping[str, Context], judge: Judge, select: Judge | None, seed: int
) -> list[Entry]:
    """Every run, and before it what it started from."""
    entries: dict[str, Entry] = {}
    for name, one in inside.items():
        start = one.place(SFT).removesuffix(SFT.folder) + comparison.SFT
        if start not in entries:
            asked = _reports(one, OWN["SFT"])
            own: dict[str, Any] = {"divergence": NONE, "selection": None}
            entries[start] = comparison.measured(start, judge, *asked, **own, seed=seed)
        entries[name] = comparison.measured(
            name,
            judge,
            *_reports(one, OWN["aligned"]),
            divergence=divergence_of(one.artefact(_DIVERGENCE)),
            selection=comparison.mean_score(select, *_reports(one, _VALIDATION))
            if select
            else None,
            seed=seed,
            sft=entries[start],
        )
    return list(entries.values())


def _reports(context: Context, stage: Stage) -> tuple[list[str], list[str]]:
    """References and reports of held-out studies."""
    pairs = reports(context, stage, context.artefact(INGEST)).values()
    return [reference for reference, _ in pairs], [report for _, report in pairs]

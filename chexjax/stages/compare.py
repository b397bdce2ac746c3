"""`run` of a sweep: all of its runs, each artefact once, and a comparison at the end."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from chexjax import artefacts
from chexjax.artefacts import Artefact
from chexjax.config import ConfigError
from chexjax.evaluate import comparison
from chexjax.evaluate.comparison import Entry
from chexjax.evaluate.studies.divergence import NONE
from chexjax.judges import uncontrolled
from chexjax.stages.align import ALIGN
from chexjax.stages.context import Context, Stage
from chexjax.stages.divergence import divergence_of
from chexjax.stages.ingest import INGEST
from chexjax.stages.judge import JUDGE, files_of, judge_of
from chexjax.stages.predict import predict
from chexjax.stages.sft import SFT
from chexjax.stages.sweep import Run, runs
from chexjax.stages.systems import DIVERGENCE, OWN

_VALIDATION = predict(ALIGN, split="validate")
_DIVERGENCE = DIVERGENCE["aligned"]
_LAST = (OWN["SFT"], OWN["aligned"], _VALIDATION, _DIVERGENCE)
"""What a comparison needs of each run, behind the stages of the method."""

FOLDER = "comparison"


def contexts(context: Context) -> dict[str, Context]:
    """A context for each run of the sweep, by name.

    Raises:
      ConfigError: a point cannot be read, or there is nothing to select a run by.
    """
    found = {run.name: _inside(context, run) for run in runs(context.config)}
    source = context.config.source
    if source.name == "phantom" and not source.phantom.validate:
        raise ConfigError(
            "config.source.phantom.validate=0: a sweep selects a run on the validation split; "
            "draw some studies for it"
        )
    if lacking := {"SFT", "aligned"} - set(context.config.evaluate.names):
        raise ConfigError(
            f"config.evaluate.systems lacks {min(lacking)!r}: a sweep compares each aligned policy "
            "with SFT; leave both in"
        )
    return found


def _inside(context: Context, run: Run) -> Context:
    return dataclasses.replace(context, config=run.config, place=run.folder)


def plan(context: Context, method: Sequence[Stage]) -> Table:
    """Which artefacts a sweep makes, and how many runs share each."""
    shared: dict[str, int] = {}
    for one in contexts(context).values():
        for stage in _stages(one, method):
            shared[one.place(stage)] = shared.get(one.place(stage), 0) + 1
    table = Table("artefact", "runs that share it", title="Sweep")
    for folder, count in shared.items():
        table.add_row(folder, str(count))
    return table


def sweep(context: Context, method: Sequence[Stage], console: Console) -> None:
    """Does what is left of a sweep, and compares its runs.

    Args:
      context: Of the sweep's config.
      method: The stages of a run, in their order, up to the aligned policy.
      console: Gets the table.
    """
    done: set[str] = set()
    inside = contexts(context)
    for one in inside.values():
        for stage in _stages(one, method):
            if one.place(stage) not in done:
                one.run(stage)
                done.add(one.place(stage))
    entries = _compare(context, inside)
    comparison.show(entries, console)
    console.print(f"comparison: {context.workdir / FOLDER / 'comparison.html'}")


def _stages(context: Context, method: Sequence[Stage]) -> list[Stage]:
    return [stage for stage in (*method, *_LAST) if stage.needed(context.config)]


def _compare(context: Context, inside: dict[str, Context]) -> list[Entry]:
    """Makes the artefact anew: it is cheap, and its inputs are checked by that."""
    by = context.config.sweep.select_by or context.config.judge.name
    name_of, seed = uncontrolled(by), context.config.seed
    judge, selects = judge_of(context, name_of), judge_of(context, by)
    entries: dict[str, Entry] = {}
    inputs: dict[str, Artefact] = {}
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
            selection=comparison.mean_score(selects, *_reports(one, _VALIDATION)),
            seed=seed,
            sft=entries[start],
        )
        inputs |= {one.place(stage): one.artefact(stage) for stage in _LAST}
    judges = {**JUDGE.content(context.config), **files_of(context.config, by)}
    begun = artefacts.begin(
        context.workdir / FOLDER,
        "comparison",
        content={"runs": list(inside), "select_by": by, **judges},
        config=dataclasses.asdict(context.config),
        inputs=inputs,
    )
    if not isinstance(begun, Artefact):
        facts = {"judge": name_of, "selected by": by, "seed": str(seed)}
        comparison.write(list(entries.values()), facts, begun.path)
        begun.finish(rows=len(entries))
    return list(entries.values())


def _reports(context: Context, stage: Stage) -> tuple[list[str], list[str]]:
    """References and reports of held-out studies."""
    references = {row["id"]: row["findings"] for row in context.artefact(INGEST).rows()}
    rows = list(context.artefact(stage).rows())
    texts = [row["candidates"][0]["report"] for row in rows]
    return [references[row["id"]] for row in rows], texts

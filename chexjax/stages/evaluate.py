"""`evaluate`: what policies, or anybody, wrote about held-out studies, in tables and on a page."""

from __future__ import annotations

import os

from rich.console import Console

from chexjax.artefacts import Artefact, Draft, write_atomic
from chexjax.config import ConfigError, content
from chexjax.data.study import Study
from chexjax.evaluate import plots, report, table
from chexjax.evaluate.cells import per_cent
from chexjax.evaluate.metrics import Evaluation, evaluate
from chexjax.evaluate.readers import drafting
from chexjax.evaluate.readers import study as readers
from chexjax.evaluate.significance import Interval
from chexjax.evaluate.studies import transfers
from chexjax.evaluate.studies.analyses import analyse
from chexjax.evaluate.studies.divergence import distances
from chexjax.evaluate.studies.generalisation import Elsewhere
from chexjax.judges import build_labeler, uncontrolled
from chexjax.page import join, standalone, tag
from chexjax.rows import Reject
from chexjax.stages.chexbench import CHEXBENCH, bench_sections
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Content, Context, Stage
from chexjax.stages.divergence import divergence_of
from chexjax.stages.fitting import write_rejects
from chexjax.stages.ingest import INGEST
from chexjax.stages.judge import files_of, judge_of, labeler_name
from chexjax.stages.pair import PAIR
from chexjax.stages.predict import studies_elsewhere
from chexjax.stages.sft import SFT
from chexjax.stages.systems import (
    DIVERGENCE,
    ELSEWHERE,
    ENDS,
    OWN,
    SWAPPED,
    HeldOut,
    files_read,
    held_out,
    held_out_elsewhere,
    policies_of,
)
from chexjax.trackers import JsonlTracker, StageTimer

_UNSCORED = "not evaluated: the judge or a metric gave some report on it no score"

_PAGES = {
    "reader study": readers.PAGE,
    "drafting study": drafting.PAGE,
    "what readers said": "results.html",
    "generalisation": transfers.PAGE,
}
"""Pages that other commands write into a workdir."""


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config = context.config
    found = held_out(context)
    evaluation = _measured(context, found, labeler_name(config))
    kept = set(evaluation.ids)
    studies = [study for study in found.studies if study.id in kept]
    rejects = [*found.rejects, *(Reject(study, _UNSCORED) for study in evaluation.unreadable)]
    write_rejects(draft, rejects)
    if rejects:
        print(f"evaluate: {len(rejects):,} left out, see {draft.path}/rejects.jsonl", flush=True)
    away = _elsewhere(context) if config.evaluate.elsewhere else None
    gone = distances(evaluation, ENDS[0], _divergences(context))
    try:
        analyses = analyse(evaluation, studies, config.evaluate.analysis, away, gone)
    except ValueError as error:
        raise ConfigError(f"config.evaluate.analysis: {error}") from error
    analyses.write(draft.path)
    table.write(evaluation, draft.path)
    table.show(evaluation, Console())
    logs = {
        name: context.path(stage) / "metrics.jsonl" for name, stage in policies_of(config).items()
    }
    curves = {name: JsonlTracker.read(log) for name, log in logs.items() if log.exists()}
    rows = context.artefact(INGEST).rows()
    report.write(
        evaluation,
        lambda number: Study.from_row(rows[found.rows[evaluation.ids[number]]]),
        sections=[*bench_sections(context), *analyses.sections(evaluation)],
        curves=curves,
        timings=context.clock.rows(),
        facts={**_facts(context), **found.facts, **_other_pages(context)},
        path=draft.path / "report.html",
    )
    write_atomic(draft.path / "four_bars.svg", standalone(plots.four_bars(evaluation)))
    return draft.finish(rows=len(studies), rejects=len(rejects))


def _measured(context: Context, found: HeldOut, labeler: str) -> Evaluation:
    """By the judge, the other metrics and the labeler, if there is one."""
    config = context.config
    # Pairs may be controlled for length; the score is shown as it is, and controlled beside it.
    judge = judge_of(context, uncontrolled(config.evaluate.judge or config.judge.name))
    try:
        return evaluate(
            found.studies,
            found.systems,
            judge,
            build_labeler(labeler, config.judge) if labeler else None,
            seed=config.seed,
            long_ratio=config.evaluate.long_ratio,
            metrics={name: judge_of(context, name) for name in config.evaluate.metrics},
        )
    except ValueError as error:  # weights are read at the first pair
        raise ConfigError(f"config.evaluate: {error}") from error


def _elsewhere(context: Context) -> Elsewhere:
    """The policies on the other source."""
    config = context.config
    studies = (context.artefact(INGEST), studies_elsewhere(config.evaluate))
    here, there = (one.manifest.config["source"]["name"] for one in studies)
    labeler = labeler_name(config)
    # The grammar reads no reports but those of phantoms.
    readable = labeler if labeler != "grammar" or there == "phantom" else ""
    return Elsewhere(
        evaluation=_measured(context, held_out_elsewhere(context), readable),
        sources=(here, there),
        identities=(studies[0].identity, studies[1].identity),
    )


def _divergences(context: Context) -> dict[str, Interval]:
    """How far each policy of the evaluation has gone from SFT."""
    config = context.config
    return {
        name: divergence_of(context.artefact(stage))
        for name, stage in DIVERGENCE.items()
        if stage.needed(config)
    }


def _facts(context: Context) -> dict[str, str]:
    config = context.config
    facts = {
        "source": f"{config.source.name}, {context.artefact(INGEST).manifest.rows:,} studies",
        "seed": str(config.seed),
    }
    if "SFT" in config.evaluate.names:
        trained = context.artefact(SFT).statistics
        facts["policy"] = f"{config.policy.preset}, {trained['parameters']:,} parameters"
    if "aligned" in config.evaluate.names:
        pairs = context.artefact(PAIR)
        options = (f"{name} {value}" for name, value in config.loss.options.items())
        facts |= {
            "judge of candidates": config.judge.name,
            "loss": ", ".join([config.loss.name, *options]),
            "pairs": f"{pairs.manifest.rows:,}",
            "studies dropped as ties": per_cent(pairs.statistics["share_dropped"]),
        }
    return facts


def _other_pages(context: Context) -> dict[str, str]:
    """Links to the pages of studies with readers and of several sources, as far as there are any.

    They are looked for one folder below the workdir.
    """
    here = context.path(EVALUATE)
    links = [
        tag("a", name, href=os.path.relpath(file, here))
        for name, page in _PAGES.items()
        for file in sorted(context.workdir.glob(f"*/{page}"))
    ]
    return {"other pages": join(links, ", ")} if links else {}


def _reads(config: RunConfig) -> list[Stage]:
    pairs = [PAIR] if "aligned" in config.evaluate.names else []
    written = (
        *OWN.values(),
        *SWAPPED.values(),
        *ELSEWHERE.values(),
        *DIVERGENCE.values(),
    )
    return [INGEST, *pairs, *policies_of(config).values(), *written, CHEXBENCH]


def _content(config: RunConfig) -> Content:
    judge, labeler = config.evaluate.judge or config.judge.name, labeler_name(config)
    metrics = config.evaluate.metrics
    return {
        "systems": config.evaluate.names,
        "analysis": content(config.evaluate.analysis),
        "metrics": list(metrics),
        "labeler": labeler,
        **files_read(config, config.evaluate.names),
        **files_of(config, judge, *metrics, labeler),
    }


EVALUATE = Stage(
    name="evaluate",
    folder="report",
    kind="report",
    fields=("seed", "judge", "evaluate"),
    extra=_content,
    reads=_reads,
    work=_work,
)

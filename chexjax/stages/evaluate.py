"""`evaluate`: what the policies wrote about held-out studies, in tables and on a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from chexjax.artefacts import Artefact, Draft, write_atomic
from chexjax.data.study import Study
from chexjax.evaluate import plots, report, table
from chexjax.evaluate.metrics import System, evaluate
from chexjax.judges import build_labeler, uncontrolled
from chexjax.page import standalone
from chexjax.stages.align import ALIGN
from chexjax.stages.chexbench import CHEXBENCH, bench_of
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.control import CONTROL
from chexjax.stages.ingest import INGEST
from chexjax.stages.judge import files_of, judge_of, labeler_name
from chexjax.stages.pair import PAIR
from chexjax.stages.predict import predict
from chexjax.stages.sft import SFT
from chexjax.trackers import JsonlTracker, StageTimer

POLICIES = {"SFT": SFT, "SFT continued": CONTROL, "aligned": ALIGN}
"""Systems of the report: the baseline first, the one under test last."""

NOTES = {"SFT continued": "more SFT, for the compute that alignment took"}

OWN = {name: predict(policy, shuffled=False) for name, policy in POLICIES.items()}
SWAPPED = {name: predict(POLICIES[name], shuffled=True) for name in ("SFT", "aligned")}


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config = context.config
    own = {name: _reports(context, stage) for name, stage in OWN.items()}
    swapped = {name: _reports(context, stage) for name, stage in SWAPPED.items()}
    ids = own["SFT"].keys()
    rows = context.artefact(INGEST).rows()
    studies = [Study.from_row(row) for row in rows if row["id"] in ids]
    systems = [
        System(
            name=name,
            reports=[reports[study.id] for study in studies],
            shuffled=[swapped[name][s.id] for s in studies] if name in swapped else None,
            note=NOTES.get(name, ""),
        )
        for name, reports in own.items()
    ]
    evaluation = evaluate(
        studies,
        systems,
        # Pairs may be controlled for length; the score is shown as it is, and controlled beside it.
        judge_of(context, uncontrolled(config.evaluate.judge or config.judge.name)),
        build_labeler(name, config.judge) if (name := labeler_name(config)) else None,
        seed=config.seed,
        long_ratio=config.evaluate.long_ratio,
        metrics={name: judge_of(context, name) for name in config.evaluate.metrics},
    )
    studies = [study for study in studies if study.id in evaluation.ids]
    table.write(evaluation, draft.path)
    table.show(evaluation, Console())
    logs = {name: context.path(stage) / "metrics.jsonl" for name, stage in POLICIES.items()}
    curves = {name: JsonlTracker.read(log) for name, log in logs.items() if log.exists()}
    report.write(
        evaluation,
        studies,
        curves=curves,
        bench=bench_of(context),
        timings=context.clock.rows(),
        facts=_facts(context),
        path=draft.path / "report.html",
    )
    write_atomic(draft.path / "four_bars.svg", standalone(plots.four_bars(evaluation)))
    return draft.finish(rows=len(studies))


def _reports(context: Context, stage: Stage) -> dict[str, str]:
    rows = context.artefact(stage).rows()
    return {row["id"]: row["candidates"][0]["report"] for row in rows}


def _facts(context: Context) -> Mapping[str, str]:
    config = context.config
    trained = context.artefact(SFT).statistics
    pairs = context.artefact(PAIR)
    return {
        "policy": f"{config.policy.preset}, {trained['parameters']:,} parameters",
        "source": f"{config.source.name}, {context.artefact(INGEST).manifest.rows:,} studies",
        "judge of candidates": config.judge.name,
        "loss": f"{config.loss.name} {dict(config.loss.options)}",
        "pairs": f"{pairs.manifest.rows:,}",
        "studies dropped as ties": f"{pairs.statistics['share_dropped']:.1%}",
        "seed": str(config.seed),
    }


def _read_beside(config: RunConfig) -> Mapping[str, Any]:
    judge, labeler = config.evaluate.judge or config.judge.name, labeler_name(config)
    metrics = config.evaluate.metrics
    read = files_of(config, judge, *metrics, labeler)
    return {"metrics": list(metrics), "labeler": labeler, **read}


EVALUATE = Stage(
    name="evaluate",
    folder="report",
    kind="report",
    fields=("judge", "evaluate"),
    extra=_read_beside,
    reads=(INGEST, PAIR, *POLICIES.values(), *OWN.values(), *SWAPPED.values(), CHEXBENCH),
    work=_work,
)

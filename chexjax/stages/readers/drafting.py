"""`drafting`: a page on which readers correct drafts or write from nothing, and its key."""

from __future__ import annotations

from chexjax.artefacts import Artefact, Draft
from chexjax.config import ConfigError
from chexjax.data.study import Study
from chexjax.evaluate.readers.drafting import PAGE, DraftingKey, write_study
from chexjax.evaluate.readers.key import KEY
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.ingest import INGEST
from chexjax.stages.systems import files_read, policy_reports, reports_of
from chexjax.trackers import StageTimer


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config = context.config.drafting
    drafts = reports_of(context, config.system)
    studies = [
        Study.from_row(row) for row in context.artefact(INGEST).rows() if row["id"] in drafts
    ]
    try:
        key = write_study(studies, drafts, config, context.config.seed, draft.path)
    except ValueError as error:
        raise ConfigError(f"config.drafting: {error}") from error
    print(
        f"drafting: {draft.path / PAGE} is for the readers; {draft.path / KEY} stays here",
        flush=True,
    )
    return draft.finish(rows=len(key.cases))


def _reads(config: RunConfig) -> tuple[Stage, ...]:
    return (INGEST, *policy_reports(config, config.drafting.system))


DRAFTING = Stage(
    name="drafting",
    folder="drafting",
    kind=DraftingKey.kind,
    fields=("seed", "drafting"),
    extra=lambda config: files_read(config, (config.drafting.system,)),
    reads=_reads,
    work=_work,
)

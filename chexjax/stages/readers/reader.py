"""`reader`: a blinded page of two systems' held-out reports for human readers, and its key."""

from __future__ import annotations

from chexjax.artefacts import Artefact, Draft
from chexjax.config import ConfigError
from chexjax.data.study import Study
from chexjax.evaluate.readers.key import KEY
from chexjax.evaluate.readers.study import PAGE, ReaderKey, write_study
from chexjax.stages.config import RunConfig
from chexjax.stages.context import Context, Stage
from chexjax.stages.ingest import INGEST
from chexjax.stages.systems import files_read, policy_reports, reports_of
from chexjax.trackers import StageTimer


def _work(context: Context, draft: Draft, timer: StageTimer) -> Artefact:
    config = context.config
    reports = {name: reports_of(context, name) for name in config.reader.systems}
    rows = context.artefact(INGEST).rows()
    told = set.intersection(*map(set, reports.values()))
    studies = [Study.from_row(row) for row in rows if row["id"] in told]
    try:
        key = write_study(studies, reports, config.reader, config.seed, draft.path)
    except ValueError as error:
        raise ConfigError(f"config.reader: {error}") from error
    print(
        f"reader: {draft.path / PAGE} is for the readers, {draft.path / KEY} is not: it says which "
        "report is whose",
        flush=True,
    )
    return draft.finish(rows=len(key.cases))


def _reads(config: RunConfig) -> list[Stage]:
    return [INGEST, *(s for name in config.reader.systems for s in policy_reports(config, name))]


READER = Stage(
    name="reader",
    folder="reader",
    kind=ReaderKey.kind,
    fields=("seed", "reader"),
    extra=lambda config: files_read(config, config.reader.systems),
    reads=_reads,
    work=_work,
)

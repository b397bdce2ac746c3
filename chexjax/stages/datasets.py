"""`datasets`: what a run has made, as the data sets on disk that CheXalign's code reads."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from absl import flags
from rich.console import Console

from chexjax import artefacts
from chexjax.artefacts import Artefact
from chexjax.config import ConfigError
from chexjax.config.command import read_flags
from chexjax.data.arrow import write_dataset
from chexjax.data.reference_folders import (
    COMPLETIONS,
    FINAL,
    GATHERED,
    KTO,
    TASK,
    Row,
    completions_row,
    gathered_row,
    kto_rows,
    pair_row,
    source_row,
)
from chexjax.data.study import SPLITS
from chexjax.rows import Rows
from chexjax.stages.ingest import INGEST
from chexjax.stages.judge import JUDGE
from chexjax.stages.pair import PAIR
from chexjax.stages.sample import SAMPLE

_FORM = "chexjax datasets --run=WORKDIR --to=FOLDER [--name=NAME]"
_IMAGES = "images"
_SPLIT_NAMES = {"train": "train", "validate": "val", "test": "test"}


def datasets(argv: Sequence[str], console: Console) -> None:
    """Runs the command: studies with their images, and candidates, scores and pairs if there are.

    Args:
      argv: What stands behind `datasets` on the command line.
      console: Where to print.

    Raises:
      ConfigError: a flag cannot be used, or pyarrow is not installed.
      ArtefactError: an artefact of the run is damaged, or there are no studies.
    """
    run, folder, name = _arguments(argv)
    try:
        for written, count in _Export(run, folder, name).write():
            console.print(f"datasets: {folder / written}: {count:,} rows", highlight=False)
    except ValueError as error:
        raise ConfigError(f"--to={error}") from error


def _arguments(argv: Sequence[str]) -> tuple[Path, Path, str]:
    own = flags.FlagValues()
    flags.DEFINE_string("run", None, "Workdir of a run.", flag_values=own)
    flags.DEFINE_string("to", None, "Folder to write, CheXalign's `data`.", flag_values=own)
    flags.DEFINE_string("name", None, "What the data sets' names begin with.", flag_values=own)
    if rest := read_flags(own, argv, _FORM):
        raise ConfigError(f"{rest[0]} is no flag: write {_FORM}")
    for flag in ("run", "to"):
        if not own[flag].value:
            raise ConfigError(f"--{flag} is missing: write {_FORM}")
    folder = Path(str(own["to"].value))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"--to={folder} is not an empty folder; give one that is, or a new name")
    return Path(str(own["run"].value)), folder, str(own["name"].value or "")


class _Export:
    """The data sets of one run, each with the rows that the one before has."""

    def __init__(self, run: Path, folder: Path, name: str) -> None:
        self._run, self._folder = run, folder
        studies = artefacts.load(run / INGEST.folder, INGEST.kind)
        self._source = studies.manifest.config["source"]["name"]
        self._studies: Rows = studies.rows()
        self._name = name or f"{self._source.replace('_', '-')}-{TASK}"

    def write(self) -> Iterator[tuple[str, int]]:
        """Writes one data set after the other; gives the name of each, and its rows."""
        count = 0
        for split in SPLITS:
            rows = (row for row in self._studies if row["split"] == split)
            sources = (self._with_images(row) for row in rows)
            count += write_dataset(self._folder / self._name, _SPLIT_NAMES[split], sources)
        yield self._name, count
        base = self._name + COMPLETIONS
        if sampled := self._made(SAMPLE.folder, SAMPLE.kind):
            yield self._written(base, self._completions(sampled.rows()))
        if judged := self._made(JUDGE.folder, JUDGE.kind):
            judge = judged.manifest.config["judge"]["name"]
            base += f"-{judge}{GATHERED}"
            yield self._written(base, self._scores(judged.rows(), judge))
        if paired := self._made(PAIR.folder, PAIR.kind):
            yield from self._pairs(base + FINAL, paired.rows())

    def _made(self, folder: str, kind: str) -> Artefact | None:
        there = (self._run / folder).is_dir()
        return artefacts.load(self._run / folder, kind) if there else None

    def _written(self, name: str, rows: Iterable[Row]) -> tuple[str, int]:
        return name, write_dataset(self._folder / name, "train", rows)

    def _completions(self, rows: Rows) -> Iterator[Row]:
        for row in rows:
            reports = [candidate["report"] for candidate in row["candidates"]]
            yield completions_row(self._of(row), reports)

    def _scores(self, rows: Rows, judge: str) -> Iterator[Row]:
        completions = self._completions(rows)
        for row, source in zip(rows, completions, strict=True):
            scores = [float(judgement["score"]) for judgement in row["judgements"]]
            yield gathered_row(source, scores, judge)

    def _pairs(self, name: str, rows: Rows) -> Iterator[tuple[str, int]]:
        if "chosen" in rows[0]:
            yield self._written(name, (pair_row(self._of(row), row) for row in rows))
        labelled = (one for row in rows for one in kto_rows(self._of(row), row))
        yield self._written(name + KTO, labelled)

    def _of(self, row: Row) -> Row:
        """The study that a row of a later artefact is about."""
        study = self._studies[row["row"]]
        return source_row(study, self._paths(study), self._source)

    def _with_images(self, study: Row) -> Row:
        """A study's row, after its images were written."""
        paths = self._paths(study)
        for path, data in zip(paths, study["images"], strict=True):
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_bytes(data)
        return source_row(study, paths, self._source)

    def _paths(self, study: Row) -> list[str]:
        """Where a study's images go: into a folder of its name, by which it is found again."""
        name = PurePosixPath(study["id"])
        if name.is_absolute() or ".." in name.parts:
            raise ValueError(f"{self._folder}: a study's id leads out of it, absolute or by '..'")
        forms = ("jpg" if data.startswith(b"\xff\xd8") else "png" for data in study["images"])
        folder = self._folder / _IMAGES / name
        return [str(folder / f"{place}.{form}") for place, form in enumerate(forms)]

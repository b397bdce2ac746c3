"""The one schema that every source of studies is read into."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from typing import Any

from chexjax.data.chexpert_labels import ABSENT, PRESENT, UNCERTAIN

SPLITS = ("train", "validate", "test")
IN_TWO_SPLITS = "an earlier study with the same id is in another split"
"""Why a study is rejected that its source has in two; the two stand behind a colon."""

_MOST_QUOTED = 20  # characters


class UnusableStudy(ValueError):
    """A study that cannot be used; its message is the reason kept in `rejects.jsonl`.

    What varies from study to study stands behind a colon, so that reasons can be counted.
    """


def quoted(value: object) -> str:
    """A value of a row as a message may show it, cut short: a wrong column may hold a report."""
    text = repr(value)
    return text if len(text) <= _MOST_QUOTED else f"{text[:_MOST_QUOTED]}..."


@dataclasses.dataclass(frozen=True)
class Rejected:
    """A study that a source has and that cannot be used: its id and why."""

    id: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """One examination: images, why it was asked for, and what the radiologist wrote.

    Attributes:
      id: Name of the study, unique in its source; it travels through every stage.
      split: One of `SPLITS`.
      images: Encoded files (PNG or JPEG), frontal views first; none where only text is read.
      views: View of each image as the source names it, in upper case (`PA`, `AP`, `LATERAL`, ...)
        or `UNKNOWN`; a phantom's are `frontal` and `lateral`.
      indication: The clinical question, without a label in front; with
        `source.text.report=impression` the radiologist's findings, which then are what is asked.
      findings: The reference report.
      impression: The radiologist's conclusion; empty where the source has none.
      patient: Digest of the source's name for the patient, see `patient_digest`; empty where it
        names none.
      attributes: What is known of patient and source beside the picture: `sex`, `age`, `race`,
        `source` and whatever else evaluation may slice by.
      labels: `label name -> 1 present, 0 absent, -1 uncertain`; a label of which the source says
        nothing is left out.
      edits: Name of a rule of text or views -> how often it changed this study.
      truth: Whatever else the source knows (JSON values only), for its own judge.
    """

    id: str
    split: str
    images: tuple[bytes, ...]
    views: tuple[str, ...]
    indication: str
    findings: str
    impression: str = ""
    patient: str = ""
    attributes: Mapping[str, str | float] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    edits: Mapping[str, int] = dataclasses.field(default_factory=dict)
    truth: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise UnusableStudy(f"its split is none of {', '.join(SPLITS)}: {quoted(self.split)}")
        if len(self.images) != len(self.views):
            raise UnusableStudy(
                f"images and views differ in number: {len(self.images)} and {len(self.views)}"
            )

    def check(self) -> None:
        """Raises UnusableStudy where the reference report is empty or a label out of range."""
        if not self.findings.strip():
            raise UnusableStudy("the reference report is empty")
        for name, value in self.labels.items():
            if value not in (PRESENT, ABSENT, UNCERTAIN):
                raise UnusableStudy(f"a label is not 1, 0 or -1: {name} = {quoted(value)}")

    def to_row(self) -> dict[str, Any]:
        """The study as a row of the `studies` artefact."""
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        plain = {name: dict(v) for name, v in row.items() if isinstance(v, Mapping)}
        return row | plain | {"images": list(self.images), "views": list(self.views)}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Study:
        """Inverse of `to_row`."""
        return cls(**{**row, "images": tuple(row["images"]), "views": tuple(row["views"])})


def patient_digest(source: str, patient: str) -> str:
    """What a study keeps of a patient's id: enough to see the same one again, 64 bits in hex.

    The name of the source is hashed with it, so that equal numbers of two sources stay apart. Short
    ids could be found by trying them all: it keeps ids out of files and logs, it is no encryption.
    """
    return hashlib.sha256(f"{source}\0{patient}".encode()).hexdigest()[:16] if patient else ""

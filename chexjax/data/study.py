"""The one schema that every source of studies is read into."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

SPLITS = ("train", "validate", "test")


class UnusableStudy(ValueError):
    """A study that cannot be used; its message is the reason kept in `rejects.jsonl`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """One examination: images, why it was asked for, and what the radiologist wrote.

    Attributes:
      id: Name of the study, unique in its source; it travels through every stage.
      split: One of `SPLITS`.
      images: Encoded files (PNG or JPEG), frontal views first.
      views: View of each image, `frontal` or `lateral`.
      indication: The clinical question, without a label in front.
      findings: The reference report.
      labels: `label name -> 1 present, 0 absent`; empty where the source has none.
      truth: Whatever else the source knows (JSON values only), for its own judge.
    """

    id: str
    split: str
    images: tuple[bytes, ...]
    views: tuple[str, ...]
    indication: str
    findings: str
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    truth: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"study {self.id}: split {self.split!r} is not one of {SPLITS}")
        if len(self.images) != len(self.views):
            raise ValueError(
                f"study {self.id}: {len(self.images)} images but {len(self.views)} views"
            )

    def check(self) -> None:
        """Raises UnusableStudy where the reference report is empty."""
        if not self.findings.strip():
            raise UnusableStudy("the reference report is empty")

    def to_row(self) -> dict[str, Any]:
        """The study as a row of the `studies` artefact."""
        row = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return row | {
            "images": list(self.images),
            "views": list(self.views),
            "labels": dict(self.labels),
            "truth": dict(self.truth),
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Study:
        """Inverse of `to_row`."""
        return cls(**{**row, "images": tuple(row["images"]), "views": tuple(row["views"])})

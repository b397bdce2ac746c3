"""Which images of a study are used, and in which order."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from chexjax.data.study import UnusableStudy

UNKNOWN = "UNKNOWN"

ORDER = (
    ("PA",),
    ("AP",),
    ("FRONTAL",),
    ("LATERAL",),
    ("LL", "RL"),
    ("AP AXIAL",),
    ("AP LLD",),
    ("AP RLD",),
    ("PA RLD",),
    ("PA LLD",),
    ("LAO",),
    ("RAO",),
    ("LPO",),
    ("XTABLE LATERAL",),
    ("SWIMMERS",),
)
"""Views from first to last, as CheXagent takes those of MIMIC-CXR; every other view comes behind.

`FRONTAL` and `RL`, which MIMIC-CXR does not have, stand where they belong.
"""

FRONTAL = ("PA", "AP", "FRONTAL")
"""The views that are taken from the front or the back, standing or lying."""

_RANK = {view: rank for rank, views in enumerate(ORDER) for view in views}
_SHORT = {"L": "LATERAL", "LAT": "LATERAL", "F": "FRONTAL"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ViewRules:
    """Which images are used; `Study.edits` counts what was left out or not found.

    Attributes:
      rank: Sort by `ORDER`, then by name; else images stay in the source's order.
      most: Images of a study at most, CheXalign's two; 0 for text alone.
      required: Reject a study none of whose images is there; without, it goes on as text.
    """

    rank: bool = True
    most: int = 2
    required: bool = True

    def __post_init__(self) -> None:
        if self.most < 0:
            raise ValueError(f"most={self.most} is negative; give 0 or more")


@dataclasses.dataclass(frozen=True)
class Picture:
    """An image of a study before it is read.

    Attributes:
      name: Its name in the source.
      view: One of `ORDER`, another one, or `UNKNOWN`.
      content: The file or its bytes; None where it is not there.
    """

    name: str
    view: str
    content: Path | bytes | None

    def read(self) -> bytes:
        """The encoded image.

        Raises:
          OSError: the file cannot be read.
        """
        assert self.content is not None
        return self.content if isinstance(self.content, bytes) else self.content.read_bytes()


def choose(found: Sequence[Picture], rules: ViewRules, edits: dict[str, int]) -> list[Picture]:
    """The pictures to read, in the order of the rules; counts in `edits`.

    Raises:
      UnusableStudy: the study names no image or none of them is there, and one is required.
    """
    if not rules.most:
        return []
    there = [picture for picture in found if picture.content is not None]
    if rules.required and not there:
        raise UnusableStudy(
            f"none of its images is there: {len(found)} named" if found else "it names no image"
        )
    if len(there) < len(found):
        edits["images_missing"] = len(found) - len(there)
    if rules.rank:
        there.sort(key=lambda picture: (_RANK.get(picture.view, len(ORDER)), picture.name))
    if len(there) > rules.most:
        edits["images_left_out"] = len(there) - rules.most
    return there[: rules.most]


def view_name(text: str) -> str:
    """A view as `Study.views` has it: upper case, short forms written out."""
    name = " ".join(text.replace("_", " ").upper().split())
    return _SHORT.get(name, name) or UNKNOWN

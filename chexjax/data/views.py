"""Which images of a study are used, and in which order."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

from chexjax.data.images import UnusableImage
from chexjax.data.study import Study, UnusableStudy

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
    """Which images are used; `Study.edits` counts what was left out, not found or of no use.

    Attributes:
      rank: Sort by `ORDER`, then by name; else images stay in the source's order.
      most: Images of a study at most, CheXalign's two; 0 for text alone. One that cannot be used
        is passed over, and the next takes its place.
      required: Reject a study none of whose images is there or can be used; without, it goes on as
        text.
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
    """All pictures that are there, in the order of the rules; counts in `edits`.

    More than the most that is used, since only `usable` sees which of them can be.

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
    return there


def usable(
    study: Study, rules: ViewRules, prepare: Callable[[bytes, dict[str, int]], bytes]
) -> Study:
    """The study with the first of its images that can be used, made what studies keep.

    Args:
      study: With all of its images, in their order.
      rules: How many are used, and whether one is required.
      prepare: Makes a file what is kept of it, and counts what it does; raises UnusableImage.

    Raises:
      UnusableImage: not one can be used, and one is required; of several, the first's reason.
    """
    kept: list[tuple[bytes, str]] = []
    errors: list[UnusableImage] = []
    edits = dict(study.edits)
    pairs = iter(zip(study.images, study.views, strict=True))
    while len(kept) < rules.most and (pair := next(pairs, None)):
        try:
            kept.append((prepare(pair[0], edits), pair[1]))
        except UnusableImage as error:
            errors.append(error)
    if errors and not kept and rules.required:
        raise errors[0]
    counts = {"images_unusable": len(errors), "images_left_out": sum(1 for _ in pairs)}
    return dataclasses.replace(
        study,
        images=tuple(image for image, _ in kept),
        views=tuple(view for _, view in kept),
        edits=edits | {name: n for name, n in counts.items() if n},
    )


def view_name(text: str) -> str:
    """A view as `Study.views` has it: upper case, short forms written out."""
    name = " ".join(text.replace("_", " ").upper().split())
    return _SHORT.get(name, name) or UNKNOWN

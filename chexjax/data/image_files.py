"""Image files as studies keep them: checked, DICOM turned into PNG, and smaller where asked for."""

from __future__ import annotations

import dataclasses
import io
import os
from pathlib import Path

from PIL import Image

from chexjax.data.dicom import is_dicom, read
from chexjax.data.images import MINIMUM_SIDE, check_shown, open_image


@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageRules:
    """What becomes of image files when they are ingested.

    DICOM always becomes 8-bit PNG. All other files are kept byte by byte where they are not made
    smaller.

    Attributes:
      size: Pixels that the shorter side of larger images is reduced to, aspect kept, so that
        training decodes less; 0 keeps their size.
      quality: Of JPEG files that were made smaller, 1 to 95; other formats become PNG.
      modalities: What DICOM files may call themselves; those that don't say are taken.
      upright: Turn radiographs, and mirror frontal ones, that lie otherwise by what their DICOM
        file says of the patient's orientation.
    """

    size: int = 0
    quality: int = 95
    modalities: tuple[str, ...] = ("CR", "DX", "DR", "RG", "XR")
    upright: bool = True

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if self.size and self.size < MINIMUM_SIDE:
            raise ValueError(f"size={self.size} is under {MINIMUM_SIDE} pixels; 0 keeps files")
        if not 1 <= self.quality <= 95:
            raise ValueError(f"quality={self.quality} is not from 1 to 95")


_ENDINGS = (".jpg", ".png", ".dcm")
"""Of the files that collections have of a picture; where several are there, the first counts."""


def picture_file(*places: str) -> Path | None:
    """The file of a picture, by its path without an ending; of several paths, the first's."""
    files = (f"{place}{end}" for place in places for end in _ENDINGS)
    return next((Path(file) for file in files if os.path.isfile(file)), None)


def prepare(data: bytes, rules: ImageRules, edits: dict[str, int] | None = None) -> bytes:
    """A file as the studies keep it: checked whole, and something that `open_image` reads.

    Args:
      data: The file.
      rules: What becomes of it.
      edits: Counts one that was turned as `images_turned`; None where nobody asks.

    Raises:
      UnusableImage: it cannot be used.
      ArtefactError: it is DICOM, and pydicom is not installed.
    """
    turned = False
    if is_dicom(data):
        image, turned = read(data, rules.modalities, upright=rules.upright)
        image, form = check_shown(image), "PNG"
    else:
        image, form = open_image(data), _stored_as(data)
        if not rules.size or min(image.size) <= rules.size:
            return data
    if turned and edits is not None:
        edits["images_turned"] = edits.get("images_turned", 0) + 1
    if rules.size and min(image.size) > rules.size:
        image = _reduced(image, rules.size)
    buffer = io.BytesIO()
    image.save(buffer, form, **({"quality": rules.quality} if form == "JPEG" else {}))
    return buffer.getvalue()


def _stored_as(data: bytes) -> str:
    """The format that a reduced file is written in."""
    return "JPEG" if data.startswith(b"\xff\xd8") else "PNG"


def _reduced(image: Image.Image, size: int) -> Image.Image:
    """The picture with its shorter side at `size`, grey or RGB."""
    grey = image.mode in ("1", "L", "LA")
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    image = image.convert("L" if grey else "RGB")
    return image.resize((width, height), Image.Resampling.LANCZOS)

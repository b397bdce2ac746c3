"""From encoded files to pixels. Pixels stay `u8` until they are on the device."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFile, ImageOps

from chexjax.families import ImageSpec, VisionSpec

MINIMUM_SIDE = 16
"""Pixels; below this nothing of a chest can be seen."""

MAXIMUM_PIXELS = 64_000_000
"""Of one image. A digital X-ray has up to 20 million; a file may claim more than memory holds."""

_FORMATS = ("PNG", "JPEG", "JPEG2000", "TIFF", "BMP", "GIF", "WEBP", "PPM")
"""What is read; Pillow knows formats that start other programs, such as EPS."""

# What Pillow makes of damaged files; each of its readers has errors of its own.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError)

_ORIENTATION = 0x0112
"""The EXIF tag that says how a picture is turned."""


class UnusableImage(ValueError):
    """An image that cannot be used; its message is the reason kept in `rejects.jsonl`.

    What varies from image to image stands behind a colon, so that reasons can be counted.
    """


def open_image(data: bytes) -> Image.Image:
    """Decodes a file whole, upright, and checks that it shows something; 16 bits become 8.

    Raises:
      UnusableImage: not an image, truncated, smaller than `MINIMUM_SIDE`, over `MAXIMUM_PIXELS`,
        or of one value only.
    """
    try:
        file = Image.open(io.BytesIO(data), formats=_FORMATS)
        check_size(*file.size)
        deep = _is_deep_colour(file)
        file.load()
        turned = file.getexif().get(_ORIENTATION, 1) != 1
        image: Image.Image = ImageOps.exif_transpose(file) if turned else file
    except Image.DecompressionBombError as error:
        raise UnusableImage(f"the image is over {MAXIMUM_PIXELS:,} pixels") from error
    except UnusableImage:
        raise
    except _UNREADABLE as error:
        raise UnusableImage(f"the image cannot be decoded: {error}") from error
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(stretched(np.asarray(image)))
    return check_shown(image, deep=deep)


def check_size(width: int, height: int) -> None:
    """Raises UnusableImage where an image is too small or too large, before it is decoded."""
    if min(width, height) < MINIMUM_SIDE:
        raise UnusableImage(f"the image is under {MINIMUM_SIDE} pixels: {width} x {height}")
    if width * height > MAXIMUM_PIXELS:
        raise UnusableImage(f"the image is over {MAXIMUM_PIXELS:,} pixels: {width} x {height}")


def stretched(values: np.ndarray, where: np.ndarray | bool = True) -> np.ndarray:
    """Maps the lowest value to 0 and the highest to 255, `u8`, of the pixels that count.

    Pillow would cut 16-bit values off at 255, and how many of the bits a scanner used is written
    nowhere.
    """
    values = np.asarray(values, np.float32)
    low = values.min(where=where, initial=np.inf)
    high = values.max(where=where, initial=-np.inf)
    if not np.isfinite(high - low):
        raise UnusableImage("the image holds values that are no numbers")
    scale = 255 / (high - low) if high > low else 0.0
    return np.rint(((values - low) * scale).clip(0, 255)).astype(np.uint8)


def _is_deep_colour(image: ImageFile.ImageFile) -> bool:
    """Whether a file has 16 bits a colour, of which Pillow keeps the upper 8."""
    return image.mode in ("RGB", "RGBA") and any("16" in str(tile[3]) for tile in image.tile)


def check_shown(image: Image.Image, *, deep: bool = False) -> Image.Image:
    """Raises UnusableImage where an image shows nothing."""
    low, high = (image if image.mode == "L" else image.convert("L")).getextrema()
    if low == high:
        raise UnusableImage(f"every pixel of the image is the same: {low}")
    if deep and float(str(high)) < 64:  # 12 of 16 bits are at most 15 here
        raise UnusableImage("16-bit colour that leaves its upper bits empty: save it as grey")
    return image


def to_pixels(image: Image.Image, vision: VisionSpec, spec: ImageSpec) -> np.ndarray:
    """Resizes to the model's square, aspect not kept, `u8[S, S, C]`.

    Grey stays one channel until it has been resized, which gives the same pixels as three do.
    """
    if image.mode != "L":
        image = image.convert("L" if vision.channels == 1 else "RGB")
    resample = Image.Resampling[spec.resample.upper()]
    resized = image.resize((vision.size, vision.size), resample)
    if vision.channels == 3 and resized.mode == "L":
        resized = Image.merge("RGB", [resized] * 3)
    return np.asarray(resized, np.uint8).reshape(vision.size, vision.size, vision.channels)


def pixel_stacks(
    studies: Sequence[Sequence[bytes]], slots: int, vision: VisionSpec, spec: ImageSpec
) -> np.ndarray:
    """Images of studies in a fixed number of slots, empty ones black, `u8[B, I, S, S, C]`."""
    side = vision.size
    stacks = np.zeros((len(studies), slots, side, side, vision.channels), np.uint8)
    for stack, files in zip(stacks, studies, strict=True):
        for slot, data in zip(stack, files, strict=False):
            slot[...] = to_pixels(open_image(data), vision, spec)
    return stacks

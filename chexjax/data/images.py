"""From encoded files to pixels. Pixels stay `u8` until they are on the device."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, UnidentifiedImageError

from chexjax.families import ImageSpec, VisionSpec

MINIMUM_SIDE = 16
"""Pixels; below this nothing of a chest can be seen."""


class UnusableImage(ValueError):
    """An image that cannot be used; its message is the reason kept in `rejects.jsonl`."""


def open_image(data: bytes) -> Image.Image:
    """Decodes a file whole and checks that it shows something; 16-bit files become 8-bit.

    Raises:
      UnusableImage: not an image, truncated, smaller than `MINIMUM_SIDE`, or of one value only.
    """
    try:
        image: Image.Image = Image.open(io.BytesIO(data))
        image.load()
    except (OSError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UnusableImage(f"the image cannot be decoded ({error})") from error
    if min(image.size) < MINIMUM_SIDE:
        width, height = image.size
        raise UnusableImage(f"the image is {width} x {height} pixels, under {MINIMUM_SIDE}")
    if image.mode.startswith("I"):
        image = _to_8_bit(image)
    low, high = image.convert("L").getextrema()
    if low == high:
        raise UnusableImage(f"every pixel of the image is {low}")
    return image


def _to_8_bit(image: Image.Image) -> Image.Image:
    """Stretches the values of a 16-bit image to 0..255.

    Pillow would cut them off at 255, and how many of the bits a scanner used is written nowhere.
    """
    values = np.asarray(image, np.float32)
    low, high = values.min(), values.max()
    return Image.fromarray(np.rint((values - low) * (255 / max(high - low, 1))).astype(np.uint8))


def to_pixels(image: Image.Image, vision: VisionSpec, spec: ImageSpec) -> np.ndarray:
    """Resizes to the model's square, aspect not kept, `u8[S, S, C]`."""
    image = image.convert("L" if vision.channels == 1 else "RGB")
    resample = Image.Resampling[spec.resample.upper()]
    resized = image.resize((vision.size, vision.size), resample)
    return np.asarray(resized, np.uint8).reshape(vision.size, vision.size, vision.channels)


def pixel_stack(
    files: Sequence[bytes], slots: int, vision: VisionSpec, spec: ImageSpec
) -> np.ndarray:
    """The images of one study in a fixed number of slots, empty ones black, `u8[I, S, S, C]`."""
    stack = np.zeros((slots, vision.size, vision.size, vision.channels), np.uint8)
    for slot, data in enumerate(files[:slots]):
        stack[slot] = to_pixels(open_image(data), vision, spec)
    return stack

"""A study in a message: images as `data:` URLs and an indication, for a policy to report on."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from chexjax.data.images import UnusableImage, pixel_stacks
from chexjax.data.tokens import Tokens
from chexjax.engine import Images
from chexjax.families import Family
from chexjax.serve.errors import wrong
from chexjax.serve.model import Prompt, Served

_PIXELS = 2**25
"""Of an image; a small file may say that it has any number."""
_UNREADABLE = (
    binascii.Error,
    Image.DecompressionBombError,
    UnidentifiedImageError,
    OSError,
    SyntaxError,
    ValueError,
)


def read_image(where: str, part: Any) -> bytes:
    """The file in a part of a message.

    Raises:
      Refusal: it is none, or stands somewhere else, which is not looked up.
    """
    given = part.get("image_url")
    url = given.get("url") if isinstance(given, dict) else given
    head, comma, data = url.partition(",") if isinstance(url, str) else ("", "", "")
    if not (comma and head.startswith("data:image/") and head.endswith(";base64")):
        raise wrong(where, "an image is given as data:image/...;base64,..., and nowhere else")
    try:
        file = base64.b64decode(data, validate=True)
        width, height = Image.open(io.BytesIO(file)).size
    except _UNREADABLE as error:
        raise wrong(where, "has an image that cannot be read") from error
    if width * height > _PIXELS:
        raise wrong(where, f"has an image of {width} x {height} pixels, more than {_PIXELS}")
    return file


def study_prompt(served: Served, where: str, files: Sequence[bytes], indication: str) -> Prompt:
    """What a policy is asked about a study, as it was trained to be.

    Raises:
      Refusal: there are too many images, or one of them shows nothing.
    """
    family = served.family
    assert isinstance(family, Family)
    if len(files) > family.max_images:
        raise wrong(where, f"{served.name} takes {family.max_images} images at most")
    tokens = Tokens(served.tokenizer, family)
    ids = tokens.prompt(len(files), indication)
    if not files:
        return Prompt(ids)
    try:
        [pixels] = pixel_stacks([files], family.max_images, family.vision, family.image)
    except UnusableImage as error:
        raise wrong(where, str(error)) from error
    placeholder = np.asarray(ids[:-1]) == tokens.placeholder
    return Prompt(ids, Images(pixels=pixels, placeholder=placeholder))

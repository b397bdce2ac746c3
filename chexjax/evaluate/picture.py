"""X-rays in pages: each is part of the file, so that it needs nothing else."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from typing import Any

from chexjax.data.images import open_image
from chexjax.page import Html, void

_FORMS: Mapping[str, Mapping[str, Any]] = {
    "PNG": {"optimize": True},
    "JPEG": {"quality": 92},  # no ringing that a reader could take for a line
}


def picture(
    data: bytes, view: str, *, side: int = 320, form: str = "PNG", **attributes: str
) -> Html:
    """An encoded image as inline grey picture, 8-bit, without metadata.

    Args:
      data: The file.
      view: What it is a view of, for who cannot see it.
      side: Most pixels a side.
      form: `PNG`, or `JPEG` for large ones.
      **attributes: Further ones of the element.
    """
    grey = open_image(data).convert("L")
    grey.thumbnail((side, side))
    buffer = io.BytesIO()
    grey.save(buffer, form, **_FORMS[form])
    source = f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
    return void("img", src=source, alt=f"{view} view", loading="lazy", **attributes)

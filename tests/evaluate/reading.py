"""Studies that pages for readers are made of in tests."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from chexjax.data.study import Study


def read_study(name: str, *, indication: str, findings: str) -> Study:
    """A held-out study with one small picture."""
    buffer = io.BytesIO()
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(buffer, "PNG")
    return Study(
        id=name,
        split="test",
        images=(buffer.getvalue(),),
        views=("frontal",),
        indication=indication,
        findings=findings,
    )

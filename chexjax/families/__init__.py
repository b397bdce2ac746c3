"""Model families as data: pick one by name with `preset`."""

from __future__ import annotations

import difflib

from chexjax.families import chexagent2
from chexjax.families.spec import (
    BlockSpec,
    DecoderSpec,
    Family,
    ImageSpec,
    Template,
    VisionSpec,
)

PRESETS: dict[str, Family] = {family.name: family for family in chexagent2.PRESETS}


def preset(name: str) -> Family:
    """The family called `name`.

    Raises:
      ValueError: no such preset; names the nearest one.
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.0)[0]
        raise ValueError(f"no model preset {name!r}; did you mean {near!r}? All: {sorted(PRESETS)}")
    return PRESETS[name]


__all__ = [
    "PRESETS",
    "BlockSpec",
    "DecoderSpec",
    "Family",
    "ImageSpec",
    "Template",
    "VisionSpec",
    "preset",
]

"""Model families as data: pick one by name with `preset`."""

from __future__ import annotations

import difflib
from typing import TypeVar

from chexjax.families import bert, chexagent2, chexagent8b, llama, neox, phi, siglip
from chexjax.families.family import (
    AnyFamily,
    Chat,
    DualFamily,
    EncoderFamily,
    Family,
    Names,
    PolicyFamily,
    SpanFamily,
    Template,
    TextFamily,
)
from chexjax.families.spec import (
    BlockSpec,
    DecoderSpec,
    EncoderSpec,
    ImageSpec,
    MLPSpec,
    QFormerSpec,
    SpanSpec,
    VisionSpec,
)

PRESETS: dict[str, AnyFamily] = {
    family.name: family
    for room in (chexagent2, chexagent8b, llama, phi, neox, bert, siglip)
    for family in room.PRESETS
}

Kind = TypeVar("Kind", bound=AnyFamily)


def preset(name: str, kind: type[Kind]) -> Kind:
    """The family called `name`, which must be a `kind`: a policy is a `Family`, for example.

    Raises:
      ValueError: no such preset; names the nearest one.
    """
    fitting = {key: family for key, family in PRESETS.items() if isinstance(family, kind)}
    if name not in fitting:
        near = difflib.get_close_matches(name, fitting, n=1, cutoff=0.0)[0]
        raise ValueError(f"no model preset {name!r}; did you mean {near!r}? All: {sorted(fitting)}")
    return fitting[name]


__all__ = [
    "PRESETS",
    "AnyFamily",
    "BlockSpec",
    "Chat",
    "DecoderSpec",
    "DualFamily",
    "EncoderFamily",
    "EncoderSpec",
    "Family",
    "ImageSpec",
    "MLPSpec",
    "Names",
    "PolicyFamily",
    "QFormerSpec",
    "SpanFamily",
    "SpanSpec",
    "Template",
    "TextFamily",
    "VisionSpec",
    "preset",
]

"""What Hugging Face's `config.json` says of a model, written and checked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from chexjax.families import AnyFamily, Family, TextFamily
from chexjax.weights.architectures import ARCHITECTURES, Config, pictures
from chexjax.weights.store import CheckpointError

_RENAMED = {
    "rope_theta": "rope_parameters.rope_theta",
    "rotary_emb_base": "rope_parameters.rope_theta",
    "partial_rotary_factor": "rope_parameters.partial_rotary_factor",
    "rotary_pct": "rope_parameters.partial_rotary_factor",
    "rope_scaling.type": "rope_parameters.rope_type",
    "rope_scaling.rope_type": "rope_parameters.rope_type",
}
"""Fields of older versions, and what they are called now."""


def describe(family: AnyFamily, dtype: str) -> Config:
    """The config of a family's model, parameters stored as `dtype`.

    Raises:
      ValueError: transformers has no such architecture.
    """
    if family.model_type not in ARCHITECTURES:
        raise ValueError(f"{family.name} has no architecture of transformers; cannot describe it")
    architecture, write = ARCHITECTURES[family.model_type]
    return {
        "architectures": [architecture],
        "model_type": family.model_type,
        "dtype": dtype,
        **write(family),
        **(pictures(family) if isinstance(family, Family) else {}),
    }


def check_config(folder: Path, family: AnyFamily) -> None:
    """Compares a checkpoint's `config.json`, where there is one, with a family.

    Raises:
      CheckpointError: the file is unreadable or contradicts the family; names the fields.
    """
    file = folder / "config.json"
    if not file.is_file() or family.model_type not in ARCHITECTURES:
        return
    try:
        flat = _flat(json.loads(file.read_text()))
        stored = {_RENAMED.get(field, field): value for field, value in flat}
    except (ValueError, AttributeError) as error:
        raise CheckpointError(f"{file} is no JSON object; fetch it again") from error
    ours = dict(_flat(json.loads(json.dumps(describe(family, "float32")))))
    fields = [f for f in ours if not _is_loose(f, family) and stored.get(f) is not None]
    wrong = [f"{f} {stored[f]!r}, not {ours[f]!r}" for f in fields if stored[f] != ours[f]]
    if wrong:
        raise CheckpointError(
            f"{file} contradicts the preset {family.name}: {'; '.join(wrong)}; give the preset "
            "that it belongs to"
        )


def _flat(config: Config, above: str = "") -> Iterator[tuple[str, Any]]:
    """Fields by their dotted names."""
    for field, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{field}.")
        else:
            yield f"{above}{field}", value


def _is_loose(field: str, family: AnyFamily) -> bool:
    """Whether a field may differ: how a model is stored and how far it is used, not what it is."""
    if field in ("architectures", "dtype"):
        return True
    # Rotated positions have no table that would end.
    return isinstance(family, TextFamily) and field == "max_position_embeddings"

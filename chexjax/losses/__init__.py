"""Preference losses: pure functions of log-probabilities, one file each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from chexjax.config import nearest
from chexjax.losses.base import (
    CHOSEN,
    LOSSES,
    REJECTED,
    PreferenceLoss,
    Responses,
    Rows,
    pair_metrics,
    register,
)
from chexjax.losses.dpo import DPO


def build(name: str, options: Mapping[str, float]) -> PreferenceLoss:
    """The loss that a config names.

    Raises:
      ValueError: unknown loss or unknown option; names the nearest one.
    """
    if name not in LOSSES:
        raise ValueError(f"no loss {name!r}{nearest(name, LOSSES)}")
    known = [field.name for field in dataclasses.fields(LOSSES[name])]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            raise ValueError(f"loss {name!r} has no option {option!r}{nearest(option, known)}")
    return LOSSES[name](**options)


__all__ = [
    "CHOSEN",
    "DPO",
    "LOSSES",
    "REJECTED",
    "PreferenceLoss",
    "Responses",
    "Rows",
    "build",
    "pair_metrics",
    "register",
]

"""Preference losses: pure functions of log-probabilities, one file each."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Mapping

from chexjax.losses.base import LOSSES, PreferenceLoss, Responses, Rows, register
from chexjax.losses.dpo import DPO


def build(name: str, options: Mapping[str, float]) -> PreferenceLoss:
    """The loss that a config names.

    Raises:
      ValueError: unknown loss or unknown option; names the nearest one.
    """
    if name not in LOSSES:
        raise ValueError(f"no loss {name!r}{_nearest(name, LOSSES)}")
    known = [field.name for field in dataclasses.fields(LOSSES[name])]  # type: ignore[arg-type]
    for option in options:
        if option not in known:
            raise ValueError(f"loss {name!r} has no option {option!r}{_nearest(option, known)}")
    return LOSSES[name](**options)


def _nearest(name: str, known: Collection[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
    return f"; did you mean {near[0]!r}? All: {sorted(known)}" if near else "; it has none"


__all__ = ["DPO", "LOSSES", "PreferenceLoss", "Responses", "Rows", "build", "register"]

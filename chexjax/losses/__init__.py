"""Preference losses: pure functions of log-probabilities, one file each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from chexjax.losses.base import LOSSES, PreferenceLoss, Responses, Rows, register
from chexjax.losses.dpo import DPO


def build(name: str, options: Mapping[str, float]) -> PreferenceLoss:
    """The loss that a config names.

    Raises:
      ValueError: unknown loss or unknown option; names the nearest one.
    """
    if name not in LOSSES:
        near = difflib.get_close_matches(name, LOSSES, n=1, cutoff=0.0)[0]
        raise ValueError(f"no loss {name!r}; did you mean {near!r}? All: {sorted(LOSSES)}")
    known = LOSSES[name].__dataclass_fields__  # type: ignore[attr-defined]
    for option in options:
        if option not in known:
            raise ValueError(f"loss {name!r} has no option {option!r}; it has {sorted(known)}")
    return LOSSES[name](**options)


__all__ = ["DPO", "LOSSES", "PreferenceLoss", "Responses", "Rows", "build", "register"]

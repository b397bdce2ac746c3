"""Judges: a reference and a candidate in, a score with its reasons out."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from chexjax.judges.base import Judge, Judgement
from chexjax.judges.length import PREFIX, LengthControlled, length_controlled
from chexjax.judges.oracle import PhantomOracle
from chexjax.judges.overlap import Bleu, RougeL

JUDGES: dict[str, Callable[[], Judge]] = {
    "oracle": PhantomOracle,
    "rouge_l": RougeL,
    "bleu": Bleu,
}
"""All judges by the name that configs use."""


def build(name: str) -> Judge:
    """The judge that a config names; `lc_` before a name controls the judge for length.

    Raises:
      ValueError: no such judge; names the nearest one.
    """
    if name.startswith(PREFIX):
        return LengthControlled(build(name.removeprefix(PREFIX)))
    if name not in JUDGES:
        near = difflib.get_close_matches(name, JUDGES, n=1, cutoff=0.0)[0]
        raise ValueError(f"no judge {name!r}; did you mean {near!r}? All: {sorted(JUDGES)}")
    return JUDGES[name]()


__all__ = [
    "JUDGES",
    "PREFIX",
    "Bleu",
    "Judge",
    "Judgement",
    "LengthControlled",
    "PhantomOracle",
    "RougeL",
    "build",
    "length_controlled",
]

"""Judges: a reference and a candidate in, a score with its reasons out."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from chexjax.judges.base import Judge, Judgement, length_controlled
from chexjax.judges.oracle import PhantomOracle
from chexjax.judges.overlap import Bleu, RougeL

JUDGES: dict[str, Callable[[], Judge]] = {
    "oracle": PhantomOracle,
    "rouge_l": RougeL,
    "bleu": Bleu,
}
"""All judges by the name that configs use."""


def build(name: str) -> Judge:
    """The judge that a config names.

    Raises:
      ValueError: no such judge; names the nearest one.
    """
    if name not in JUDGES:
        near = difflib.get_close_matches(name, JUDGES, n=1, cutoff=0.0)[0]
        raise ValueError(f"no judge {name!r}; did you mean {near!r}? All: {sorted(JUDGES)}")
    return JUDGES[name]()


__all__ = [
    "JUDGES",
    "Bleu",
    "Judge",
    "Judgement",
    "PhantomOracle",
    "RougeL",
    "build",
    "length_controlled",
]

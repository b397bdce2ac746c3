"""Judges: a reference and a candidate in, a score with its reasons out."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from pathlib import Path

from chexjax.judges.answer import parse_judgement
from chexjax.judges.base import Judge, Judgement
from chexjax.judges.green import Green, GreenConfig
from chexjax.judges.length import PREFIX, LengthControlled, length_controlled
from chexjax.judges.oracle import PhantomOracle
from chexjax.judges.overlap import Bleu, RougeL
from chexjax.judges.profile import error_profile
from chexjax.judges.remote import JudgeError

JUDGES: dict[str, Callable[[], Judge]] = {
    "oracle": PhantomOracle,
    "rouge_l": RougeL,
    "bleu": Bleu,
}
"""Judges that need no setting, by the name that configs use."""

GREEN = "green"
_UNSET = GreenConfig()


def build(name: str, green: GreenConfig = _UNSET, answers: Path | None = None) -> Judge:
    """The judge that a config names; `lc_` before a name controls the judge for length.

    Args:
      name: One of `JUDGES`, or "green".
      green: How GREEN is asked.
      answers: File for GREEN's answers.

    Raises:
      ValueError: no such judge; names the nearest one. Or GREEN's settings are wrong.
    """
    if name.startswith(PREFIX):
        return LengthControlled(build(name.removeprefix(PREFIX), green, answers))
    if name == GREEN:
        return green.build(answers)
    if name not in JUDGES:
        names = sorted((*JUDGES, GREEN))
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)[0]
        raise ValueError(f"no judge {name!r}; did you mean {near!r}? All: {names}")
    return JUDGES[name]()


__all__ = [
    "GREEN",
    "JUDGES",
    "PREFIX",
    "Bleu",
    "Green",
    "GreenConfig",
    "Judge",
    "JudgeError",
    "Judgement",
    "LengthControlled",
    "PhantomOracle",
    "RougeL",
    "build",
    "error_profile",
    "length_controlled",
    "parse_judgement",
]

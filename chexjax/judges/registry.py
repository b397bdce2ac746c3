"""Judges by the name that configs use, and the settings of those that have any."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable
from typing import Any

from chexjax.config import content, local
from chexjax.judges.base import Judge
from chexjax.judges.bertscore import BertScoreConfig
from chexjax.judges.green import GreenConfig
from chexjax.judges.length import LengthControlled, parse, uncontrolled
from chexjax.judges.oracle import PhantomOracle
from chexjax.judges.overlap import Bleu, CocoBleu, Rouge


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """Settings of the judges that have any, each of which counts where its judge is asked.

    Each has `files()`, digests by name of what is in its files: what no field of it says.

    Attributes:
      green: How GREEN is asked, the judge "green".
      bertscore: Which encoder compares reports, the judge "bertscore".
    """

    green: GreenConfig = local(GreenConfig())
    bertscore: BertScoreConfig = local(BertScoreConfig())


@dataclasses.dataclass(frozen=True)
class Kind:
    """How a judge is made.

    Attributes:
      build: Makes it of the settings that it reads, in their order. It refuses what cannot work,
        and leaves the loading of weights to the first pair that is judged.
      reads: Names of fields of `JudgeSettings`.
    """

    build: Callable[..., Judge]
    reads: tuple[str, ...] = ()


JUDGES: dict[str, Kind] = {
    "oracle": Kind(PhantomOracle),
    "rouge_1": Kind(functools.partial(Rouge, of="1")),
    "rouge_2": Kind(functools.partial(Rouge, of="2")),
    "rouge_l": Kind(Rouge),
    "bleu": Kind(Bleu),
    "bleu_coco": Kind(CocoBleu),
    **{f"bleu_coco_{n}": Kind(functools.partial(CocoBleu, order=n)) for n in (1, 2, 3)},
    "bertscore": Kind(BertScoreConfig.build, ("bertscore",)),
    "green": Kind(GreenConfig.build, ("green",)),
}
"""All judges by the name that configs use."""


def build(name: str, settings: JudgeSettings | None = None) -> Judge:
    """The judge that a config names; `lc_` before a name controls the judge for length.

    Args:
      name: One of `JUDGES`, or `lc_NAME` for a score that excess words divide, or `lc_LENGTH_NAME`
        for one that another of `length.LENGTHS` divides.
      settings: Of the judges that have any; their defaults where it is left out.

    Raises:
      ValueError: no such judge; names the nearest one. Or its settings are wrong.
    """
    plain, length = parse(name)
    kind, settings = _kind(plain), settings or JudgeSettings()
    judge = kind.build(*(getattr(settings, field) for field in kind.reads))
    return LengthControlled(judge, length) if length else judge


def identity(name: str, settings: JudgeSettings) -> dict[str, dict[str, Any]]:
    """What decides a judge's scores beside its name: its settings, and the bytes of its files.

    Raises:
      ValueError: no such judge, or a file cannot be read.
    """
    read = {field: getattr(settings, field) for field in _kind(uncontrolled(name)).reads}
    return {field: {**content(one), **one.files()} for field, one in read.items()}


def _kind(name: str) -> Kind:
    if name not in JUDGES:
        near = difflib.get_close_matches(name, JUDGES, n=1, cutoff=0.0)[0]
        raise ValueError(f"no judge {name!r}; did you mean {near!r}? All: {sorted(JUDGES)}")
    return JUDGES[name]

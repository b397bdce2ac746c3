"""Judges by the name that configs use, and the settings of those that have any."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

from chexjax.judges.base import Judge
from chexjax.judges.chexbert import CheXbertConfig
from chexjax.judges.green import GreenConfig
from chexjax.judges.label_judge import Labeling, RuleLabelsConfig
from chexjax.judges.length import PREFIX, LengthControlled
from chexjax.judges.oracle import PhantomOracle, labels
from chexjax.judges.overlap import Bleu, RougeL


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """Settings of the judges that have any.

    Attributes:
      green: How GREEN is asked, the judge "green".
      chexbert: Where CheXbert lies, and how its labels are counted, the judge "chexbert".
      rule_labels: How labels by rules are counted, the judge "rule_labels".
    """

    green: GreenConfig = GreenConfig()
    chexbert: CheXbertConfig = CheXbertConfig()
    rule_labels: RuleLabelsConfig = RuleLabelsConfig()


class Settings(Protocol):
    """What every field of `JudgeSettings` offers; a wrong one is a ValueError from either."""

    def files(self) -> Mapping[str, str]:
        """Digests of what is in its files: content of the judge that no field holds."""
        ...


Made = TypeVar("Made", covariant=True)


@dataclasses.dataclass(frozen=True)
class Kind(Generic[Made]):
    """How a judge or a labeler is made.

    Attributes:
      build: Makes it of the settings that it reads, in their order. It refuses what cannot work,
        and leaves the loading of weights to the first pair that is judged.
      reads: Names of fields of `JudgeSettings`.
    """

    build: Callable[..., Made]
    reads: tuple[str, ...] = ()


JUDGES: dict[str, Kind[Judge]] = {
    "oracle": Kind(PhantomOracle),
    "rouge_l": Kind(RougeL),
    "bleu": Kind(Bleu),
    "green": Kind(GreenConfig.build, ("green",)),
    "chexbert": Kind(CheXbertConfig.build, ("chexbert",)),
    "rule_labels": Kind(RuleLabelsConfig.build, ("rule_labels",)),
}
"""All judges by the name that configs use."""


def _grammar() -> Labeling:
    return Labeling("the phantoms' grammar", lambda reports: [labels(one) for one in reports])


LABELERS: dict[str, Kind[Labeling]] = {
    "grammar": Kind(_grammar),
    "chexbert": Kind(CheXbertConfig.labeling, ("chexbert",)),
    "rule_labels": Kind(RuleLabelsConfig.labeling, ("rule_labels",)),
}
"""All that read labels from reports, by the name that configs use."""


def uncontrolled(name: str) -> str:
    """The name of the judge without what controls it for length."""
    return name.removeprefix(PREFIX)


def build(name: str, settings: JudgeSettings | None = None) -> Judge:
    """The judge that a config names; `lc_` before a name controls the judge for length.

    Args:
      name: One of `JUDGES`.
      settings: Of the judges that have any; their defaults where it is left out.

    Raises:
      ValueError: no such judge; names the nearest one. Or its settings are wrong.
    """
    if name.startswith(PREFIX):
        return LengthControlled(build(uncontrolled(name), settings))
    return _made(_kind(name, JUDGES, "judge"), settings or JudgeSettings())


def build_labeler(name: str, settings: JudgeSettings | None = None) -> Labeling:
    """The labeler that a config names, one of `LABELERS`.

    Raises:
      ValueError: no such labeler; names the nearest one. Or its settings are wrong.
    """
    return _made(_kind(name, LABELERS, "labeler"), settings or JudgeSettings())


def files(name: str, settings: JudgeSettings) -> dict[str, str]:
    """Digests of what is in the files of a judge or labeler, weights above all, by `setting.file`.

    Raises:
      ValueError: there is no such thing, or a file cannot be read.
    """
    return {
        f"{field}.{file}": digest
        for field in _kind(uncontrolled(name), {**LABELERS, **JUDGES}, "judge").reads
        for file, digest in getattr(settings, field).files().items()
    }


def _kind(name: str, table: Mapping[str, Kind[Made]], what: str) -> Kind[Made]:
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1, cutoff=0.0)[0]
        raise ValueError(f"no {what} {name!r}; did you mean {near!r}? All: {sorted(table)}")
    return table[name]


def _made(kind: Kind[Made], settings: JudgeSettings) -> Made:
    return kind.build(*(getattr(settings, field) for field in kind.reads))

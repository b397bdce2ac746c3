"""Judges by the name that configs use, and the settings of those that have any."""

from __future__ import annotations

import dataclasses
import difflib
import functools
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from chexjax.config import content, local, own_source
from chexjax.judges.base import Judge
from chexjax.judges.bertscore import BertScoreConfig
from chexjax.judges.chexbert import CheXbertConfig
from chexjax.judges.graph import LEVELS
from chexjax.judges.green import GreenConfig
from chexjax.judges.label_judge import Labeling, RuleLabelsConfig
from chexjax.judges.length import LengthControlled, parse, uncontrolled
from chexjax.judges.oracle import PhantomOracle, labels
from chexjax.judges.overlap import Bleu, CocoBleu, Rouge
from chexjax.judges.plain import plain_judge, plain_labeling
from chexjax.judges.radcliq import VERSIONS, RadCliQConfig
from chexjax.judges.radgraph import RadGraphConfig


@dataclasses.dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """Settings of the judges that have any, each of which counts where its judge is asked.

    Each has `files()`, digests by name of what is in its files: what no field of it says.

    Attributes:
      green: How GREEN is asked, the judge "green".
      bertscore: Which encoder compares reports, the judge "bertscore".
      chexbert: Where CheXbert lies, and how its labels are counted, the judge "chexbert".
      rule_labels: How labels by rules are counted, the judge "rule_labels".
      radgraph: RadGraph's model, for "radgraph_partial" and its kin.
      radcliq: What "radcliq_v0" and "radcliq_v1" read beside `radgraph` and `chexbert`.
      plain: Show every judge and labeler both sides without `[...]` and `**`, in lower case, as
        CheXalign does.
    """

    green: GreenConfig = local(GreenConfig())
    bertscore: BertScoreConfig = local(BertScoreConfig())
    chexbert: CheXbertConfig = local(CheXbertConfig())
    rule_labels: RuleLabelsConfig = local(RuleLabelsConfig())
    radgraph: RadGraphConfig = local(RadGraphConfig())
    radcliq: RadCliQConfig = local(RadCliQConfig())
    plain: bool = True


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
    "rouge_1": Kind(functools.partial(Rouge, of="1")),
    "rouge_2": Kind(functools.partial(Rouge, of="2")),
    "rouge_l": Kind(Rouge),
    "bleu": Kind(Bleu),
    "bleu_coco": Kind(CocoBleu),
    **{f"bleu_coco_{n}": Kind(functools.partial(CocoBleu, order=n)) for n in (1, 2, 3)},
    "bertscore": Kind(BertScoreConfig.build, ("bertscore",)),
    "chexbert": Kind(CheXbertConfig.build, ("chexbert",)),
    "green": Kind(GreenConfig.build, ("green",)),
    "rule_labels": Kind(RuleLabelsConfig.build, ("rule_labels",)),
    **{
        f"radgraph_{level}": Kind(
            functools.partial(RadGraphConfig.build, level=level), ("radgraph",)
        )
        for level in LEVELS
    },
    **{
        f"radcliq_{version}": Kind(
            functools.partial(RadCliQConfig.build, version=version),
            ("radcliq", "radgraph", "chexbert"),
        )
        for version in VERSIONS
    },
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


def build(name: str, settings: JudgeSettings | None = None) -> Judge:
    """The judge that a config names; `lc_` before a name controls the judge for length.

    Args:
      name: One of `JUDGES`, or `lc_NAME` for a score that excess words divide, or `lc_LENGTH_NAME`
        for one that another of `length.LENGTHS` divides.
      settings: Of the judges that have any; their defaults where it is left out.

    Raises:
      ValueError: no such judge; names the nearest one. Or its settings are wrong.
    """
    uncontrolled_name, length = parse(name)
    settings = settings or JudgeSettings()
    judge = _made(_kind(uncontrolled_name, JUDGES, "judge"), settings)
    judge = plain_judge(judge) if settings.plain else judge
    return LengthControlled(judge, length) if length else judge


def build_labeler(name: str, settings: JudgeSettings | None = None) -> Labeling:
    """The labeler that a config names, one of `LABELERS`.

    Raises:
      ValueError: no such labeler; names the nearest one. Or its settings are wrong.
    """
    settings = settings or JudgeSettings()
    labeling = _made(_kind(name, LABELERS, "labeler"), settings)
    return plain_labeling(labeling) if settings.plain else labeling


def identity(name: str, settings: JudgeSettings) -> dict[str, dict[str, Any]]:
    """What decides what a judge or labeler says beside its name: settings, and bytes of its files.

    One that is not chexjax's own is known by its text, too.

    Raises:
      ValueError: there is no such thing, or a file cannot be read.
    """
    kind = _kind(uncontrolled(name), {**LABELERS, **JUDGES}, "judge")
    read = {field: getattr(settings, field) for field in kind.reads}
    found = {field: {**content(one), **one.files()} for field, one in read.items()}
    text = own_source(kind.build)
    return found if text is None else {**found, "source": {"text": text}}


def _kind(name: str, table: Mapping[str, Kind[Made]], what: str) -> Kind[Made]:
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1, cutoff=0.0)[0]
        raise ValueError(f"no {what} {name!r}; did you mean {near!r}? All: {sorted(table)}")
    return table[name]


def _made(kind: Kind[Made], settings: JudgeSettings) -> Made:
    return kind.build(*(getattr(settings, field) for field in kind.reads))

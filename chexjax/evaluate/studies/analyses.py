"""What is worked out of an evaluation beside its means: a file and a section of the page each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from chexjax.data.study import Study
from chexjax.evaluate.measures import looked_at
from chexjax.evaluate.metrics import Evaluation
from chexjax.evaluate.results import write_results
from chexjax.evaluate.studies import (
    divergence,
    error_shift,
    family,
    gain,
    generalisation,
    length_study,
    slices,
)
from chexjax.evaluate.studies.divergence import Distance
from chexjax.evaluate.studies.error_shift import ErrorShift
from chexjax.evaluate.studies.family import Compared
from chexjax.evaluate.studies.gain import Gain
from chexjax.evaluate.studies.generalisation import Elsewhere, Generalisation
from chexjax.evaluate.studies.length_study import LengthStudy
from chexjax.evaluate.studies.slices import SliceConfig, Sliced
from chexjax.page import Html

FILE = "analyses.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AnalysisConfig:
    """What is worked out, where there is a choice.

    Attributes:
      gain: Measures whose relative gains are averaged, such as `("score", "rouge_l", "bleu")`;
        empty for all columns of quality but the one controlled for length, and macro F1, as far
        as the baseline's means are above zero.
      measures: By what slices and another source are looked at, the first shown, the others folded;
        empty for the score, the run's metrics and the mean of four F1.
      slices: Fairness slices.
    """

    gain: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    slices: SliceConfig = SliceConfig()


class Section(NamedTuple):
    """A section of the page."""

    title: str
    body: Html
    lead: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Analyses:
    """All of them; what the data do not allow is empty or None."""

    significance: Sequence[Compared]
    gains: Sequence[Gain]
    length: LengthStudy
    divergence: Sequence[Distance]
    errors: ErrorShift | None
    slices: Sequence[Sliced]
    elsewhere: Generalisation | None

    def sections(self, evaluation: Evaluation) -> list[Section]:
        """The sections of those that have anything to show of the evaluation that they are of."""
        found = []
        if self.significance:
            body = family.show(self.significance)
            found.append(Section("Significance", body, family.LEAD))
        if self.gains:
            found.append(Section(gain.AVERAGE, gain.show(self.gains), gain.LEAD))
        body = length_study.show(self.length, evaluation)
        found.append(Section("Length exploitation", body, length_study.LEAD))
        if self.divergence:
            body = divergence.show(self.divergence)
            found.append(Section("Divergence", body, divergence.LEAD))
        if self.errors:
            found.append(Section("Errors", error_shift.show(self.errors), error_shift.LEAD))
        if self.slices:
            found.append(Section("Slices", slices.show(self.slices), slices.LEAD))
        if self.elsewhere:
            body = generalisation.show(self.elsewhere)
            found.append(Section("Generalisation", body, generalisation.LEAD))
        return found

    def write(self, folder: Path) -> None:
        """Writes all numbers as JSON; null where one is not defined."""
        write_results(dataclasses.asdict(self), folder / FILE)


def analyse(
    evaluation: Evaluation,
    studies: Sequence[Study],
    config: AnalysisConfig,
    elsewhere: Elsewhere | None = None,
    gone: Sequence[Distance] = (),
) -> Analyses:
    """Works them out.

    Args:
      evaluation: The numbers.
      studies: The studies they were measured on, in the same order.
      config: Where there is a choice.
      elsewhere: The policies on another source, if they were tried on one.
      gone: How far they are from SFT, as far as that is known.

    Raises:
      ValueError: a measure or an attribute that was asked for is not there.
    """
    measures = looked_at(evaluation, config.measures)
    return Analyses(
        significance=family.family(evaluation),
        gains=gain.gains(evaluation, config.gain),
        length=length_study.length_study(evaluation),
        divergence=gone,
        errors=error_shift.error_shift(evaluation),
        slices=slices.sliced(evaluation, studies, config.slices, measures),
        elsewhere=(
            generalisation.generalisation(evaluation, elsewhere, measures) if elsewhere else None
        ),
    )

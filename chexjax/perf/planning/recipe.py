"""The whole recipe in chip-hours: sample, judge, reference, and one epoch of align.

The counts are the paper's where it says them. Seconds are bounds of the programs' own, so hours
are bounds too: full slots, nothing of the host, no program that waits for another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from chexjax.families import PolicyFamily
from chexjax.judges.answer import LONGEST
from chexjax.perf import judge_work
from chexjax.perf.planning.bulk import Program
from chexjax.perf.planning.planner import Asked
from chexjax.perf.planning.serving import Served
from chexjax.perf.planning.step import StepShape
from chexjax.perf.planning.topology import Topology


@dataclasses.dataclass(frozen=True, kw_only=True)
class Counts:
    """How much of everything there is; lengths are means, in tokens.

    Attributes:
      studies: Of the training split (Hein et al., arXiv:2410.07025: 148k for CheXagent-2).
      candidates: Of each study, at temperature 1.
      images: Of each study; its first two views are shown.
      prompt: Text of a prompt, around the images.
      response: A candidate. The paper says 56 to 58 words for a report of a sentence style;
        structured findings with their marks take two to three tokens a word.
      limit: Most tokens of a candidate.
      kept: Share of studies whose best and worst candidate differ in GREEN.
      question: What GREEN is asked and says.
      batch: Pairs of a step of align.
    """

    studies: int = 148_000
    candidates: int = 4
    images: int = 2
    prompt: int = 128
    response: int = 150
    limit: int = 512
    kept: float = 0.984
    question: judge_work.Work = judge_work.WORKS["green"]
    batch: int = 64

    @property
    def pairs(self) -> int:
        """Pairs, at most one a study."""
        return round(self.studies * self.kept)

    def sampled(self, family: PolicyFamily) -> Asked:
        """What the policy's engine is asked for a study."""
        return Asked(
            shared=family.visual_tokens(self.images) + self.prompt,
            rows=self.candidates,
            images=self.images,
            limit=self.limit,
            written=self.response,
        )

    def judged(self) -> Asked:
        """What the judge's engine is asked for a study."""
        question = self.question
        return Asked(
            preamble=question.preamble,
            shared=question.shared,
            own=question.own,
            rows=self.candidates,
            limit=LONGEST,
            written=question.new,
        )

    def pair(self, family: PolicyFamily, rows: int) -> StepShape:
        """So many pairs, as `reference` scores them and `align` learns from them."""
        return StepShape(
            rows=rows,
            images=self.images,
            prefix=family.visual_tokens(self.images) + self.prompt,
            responses=2,
            response=self.response,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class StagePlan:
    """A stage on a machine.

    Attributes:
      name: Of the stage.
      requests: Studies or pairs.
      programs: What runs, and how often for each of them.
      place: Where.
    """

    name: str
    requests: float
    programs: Sequence[Program]
    place: Topology

    def hours(self, *, compiled: bool = False) -> float:
        """Chip-hours at the least, or by what the compiler made of it; see `bulk.Program`."""
        place = self.place
        each = sum(
            one.runs * (one.compiled(place) if compiled else one.seconds(place))
            for one in self.programs
        )
        return self.requests * each * place.mesh.size / 3600


def recipe(
    counts: Counts,
    *,
    sample: tuple[Served, Topology],
    judge: tuple[Served, Topology],
    reference: tuple[Program, Topology],
    align: tuple[Program, Topology],
) -> list[StagePlan]:
    """The stages of a run; each may have a machine or a mesh of its own.

    Args:
      counts: How much there is.
      sample: The policy's engine, asked for `counts.sampled`.
      judge: The judge's, asked for `counts.judged`.
      reference: The scoring of `counts.pair`.
      align: A step of `counts.pair` that `plan.plan_step` plans; one run in as many pairs.
    """
    of_studies = (("sample", *sample), ("judge", *judge))
    of_pairs = (("reference", *reference), ("align", *align))
    return [
        *(
            StagePlan(name=name, requests=counts.studies, programs=found.programs, place=place)
            for name, found, place in of_studies
        ),
        *(
            StagePlan(name=name, requests=counts.pairs, programs=[found], place=place)
            for name, found, place in of_pairs
        ),
    ]


def chip_hours(stages: Sequence[StagePlan], *, compiled: bool = False) -> dict[str, float]:
    """Chip-hours of each stage, which are all on chips of one kind."""
    return {stage.name: stage.hours(compiled=compiled) for stage in stages}

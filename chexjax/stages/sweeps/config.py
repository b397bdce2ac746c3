"""What a sweep is: axes of points, and what is claimed of its runs."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """Runs that differ in some fields.

    Attributes:
      axes: The points of each axis, each with its name and the fields that it sets, as on the
        command line: `{"loss": ("dpo-0.1: loss.name=dpo loss.options.beta=0.1", ...)}`. Every
        combination of points is a run.
      select_by: The judge that compares the runs, and by whose mean score of the validation split
        one of them is selected; with `lc_` before it, by the score divided by excess length. The
        run's own judge where it is empty.
      select: Whether a run is selected; without it no reports on validation studies are written.
      repeat: The axis whose points repeat the others, by other seeds; empty where none does.
      claims: What is claimed before the runs are made, each in a sentence, and how it is measured:
        `("DPO gains: of=dpo minus=SFT measure=score expect=more margin=0.03", ...)`. `of` and
        `minus` are points of the axes but `repeat`, joined by `/` where there are several. `SFT` is
        the policy that the other side's run started from, `POINT/SFT` that of a point's, and behind
        either `@STEP` is how it was on the way, see `sft.keep_every`. For measures see
        `stages.sweeps.measures.make_measure`, for expectations and margins `evaluate.claims`.
      measures: Measures of which a table says the value of every policy.
      elsewhere: Fields of the other source on whose held-out studies measures that begin with
        `elsewhere_` are taken, as in a point; empty for `evaluate.elsewhere`, if that names one.
    """

    axes: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    select_by: str = ""
    select: bool = True
    repeat: str = ""
    claims: tuple[str, ...] = ()
    measures: tuple[str, ...] = ()
    elsewhere: str = ""

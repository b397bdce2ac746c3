"""The work that sampling is measured by: several reports of a few studies, each with its image.

A study's candidates share its prompt, which is the image and a question; what they are drawn from
is the policy of `work` at one of its sizes, in float32 and with random parameters. Nothing ends a
report early, so all are equally long. Everything is explicit, so that any framework can do the same
work.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from chexjax.perf import flops
from chexjax.perf import work as work_of
from chexjax.perf.work import PROMPT, VOCABULARY

SEED = 20240917
"""Of parameters, prompts and draws."""

_FIRST = 10  # the first id that is no special token


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What is asked, in tokens.

    Attributes:
      policy: Shape of what writes.
      studies: Prompts, each with an image.
      candidates: Reports of each study.
      text: Prompt tokens behind the visual ones.
      new: Tokens of each report.
      temperature: They are drawn at; 0 takes the likeliest.
    """

    policy: work_of.Work
    studies: int = 8
    candidates: int = 4
    text: int = PROMPT
    new: int = 128
    temperature: float = 1.0

    @property
    def visual(self) -> int:
        """Visual tokens of a prompt, in front of its text."""
        return self.policy.visual

    @property
    def prompt(self) -> int:
        """Tokens of one prompt."""
        return self.visual + self.text

    @property
    def asked(self) -> int:
        """Prompt tokens of all studies, read once for all candidates."""
        return self.studies * self.prompt

    @property
    def reports(self) -> int:
        """Candidates of all studies."""
        return self.studies * self.candidates

    @property
    def written(self) -> int:
        """New tokens of all reports."""
        return self.reports * self.new


SIZES = {name: Work(policy=policy) for name, policy in work_of.SIZES.items()}


@dataclasses.dataclass(frozen=True)
class Prompts:
    """What the studies show and ask.

    Attributes:
      pixels: `u8[B, S, S, 3]`.
      text: Ids behind the visual tokens, `i32[B, T]`.
    """

    pixels: np.ndarray
    text: np.ndarray


def prompts(work: Work) -> Prompts:
    """Random images and ids, always the same ones."""
    rng = np.random.default_rng(SEED)
    side = work.policy.vision[3]
    return Prompts(
        rng.integers(1, 256, (work.studies, side, side, 3), np.uint8),
        rng.integers(_FIRST, VOCABULARY, (work.studies, work.text), np.int32),
    )


def useful_flops(work: Work) -> float:
    """Operations that the work cannot do without: an image and its prompt are read once.

    The last new token of a report is read by nobody.
    """
    family = work_of.family(work.policy)
    seen = flops.Work(images=work.studies, prefixes=0, prefix=0, responses=0, response=0)
    read = work.studies * flops.reading(family, 0, work.prompt - 1)
    written = work.reports * flops.writing(family, work.prompt - 1, work.new)
    return flops.images(family, seen) + read + written

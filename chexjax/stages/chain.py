"""Which stages a command runs, in which order; `run` is the whole method."""

from __future__ import annotations

from chexjax.stages import chexbench
from chexjax.stages.align import ALIGN
from chexjax.stages.answers import ANSWERS
from chexjax.stages.context import Stage
from chexjax.stages.control import CONTROL
from chexjax.stages.evaluate import EVALUATE
from chexjax.stages.ingest import INGEST
from chexjax.stages.judge import JUDGE
from chexjax.stages.mixture import MIXTURE
from chexjax.stages.pair import PAIR
from chexjax.stages.readers.drafting import DRAFTING
from chexjax.stages.readers.reader import READER
from chexjax.stages.reference import REFERENCE
from chexjax.stages.sample import SAMPLE
from chexjax.stages.sft import SFT
from chexjax.stages.systems import DIVERGENCE, ELSEWHERE, OWN, SWAPPED
from chexjax.stages.train_judge import TRAIN_JUDGE
from chexjax.stages.visual import VISUAL

BEFORE_CONTROL = (INGEST, MIXTURE, SFT, SAMPLE, JUDGE, PAIR, VISUAL, REFERENCE, ALIGN)
METHOD = (*BEFORE_CONTROL, CONTROL)

COMMANDS: dict[str, tuple[Stage, ...]] = {
    **{stage.name: (stage,) for stage in (*METHOD, ANSWERS, TRAIN_JUDGE, READER, DRAFTING)},
    "chexbench": chexbench.ALL,
    "evaluate": (
        *OWN.values(),
        *SWAPPED.values(),
        *ELSEWHERE.values(),
        *DIVERGENCE.values(),
        *chexbench.ALL,
        EVALUATE,
    ),
}
COMMANDS["run"] = (*METHOD, *COMMANDS["evaluate"])
"""Command -> its stages in order."""

"""CheXalign's recipe for CheXagent (8B): 80k studies, and all else as in `chexalign_2_3b.py`.

Of this model neither code nor numbers were released, so the other's stand in, and of its layout of
pairs nothing is known. What is said there of studies, judge, checkpoint, mesh and arguments holds
here too. Its images take 128 tokens of a study together, and its declared positions suffice.
"""

from __future__ import annotations

import ml_collections
from chexalign_2_3b import recipe


def get_config(arg: str | None = None) -> ml_collections.ConfigDict:
    """The run's config."""
    return recipe(arg, "chexagent_8b", studies=80_000, pixels=448, nano="chexagent_nano")

"""Training: objectives, one jitted step, one loop."""

from __future__ import annotations

from chexjax.train.config import OptimizerConfig, TrainConfig
from chexjax.train.loop import TrainingData, train
from chexjax.train.metrics import NonFiniteRun
from chexjax.train.moving import Reference
from chexjax.train.objectives import SFT, Objective, Preference
from chexjax.train.reference import make_scorer

__all__ = [
    "SFT",
    "NonFiniteRun",
    "OptimizerConfig",
    "Objective",
    "Preference",
    "Reference",
    "TrainConfig",
    "TrainingData",
    "make_scorer",
    "train",
]

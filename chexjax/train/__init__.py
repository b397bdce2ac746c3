"""Training: objectives, one jitted step, one loop."""

from __future__ import annotations

from chexjax.train.config import OptimizerConfig, TrainConfig
from chexjax.train.loop import TrainingData, train
from chexjax.train.meter import Load
from chexjax.train.metrics import NonFiniteRun
from chexjax.train.moving import Reference
from chexjax.train.objectives import SFT, Objective, Preference
from chexjax.train.reference import make_scorer
from chexjax.train.watch import Watch, WatchConfig

__all__ = [
    "SFT",
    "Load",
    "NonFiniteRun",
    "OptimizerConfig",
    "Objective",
    "Preference",
    "Reference",
    "TrainConfig",
    "TrainingData",
    "Watch",
    "WatchConfig",
    "make_scorer",
    "train",
]

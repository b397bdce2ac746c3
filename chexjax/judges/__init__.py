"""Judges: a reference and a candidate in, a score with its reasons out."""

from __future__ import annotations

from chexjax.judges.answer import parse_judgement
from chexjax.judges.base import Judge, Judgement
from chexjax.judges.bertscore import BertScoreConfig
from chexjax.judges.green import Green, GreenConfig
from chexjax.judges.label_judge import Labeling
from chexjax.judges.length import LengthControlled, length_controlled, uncontrolled
from chexjax.judges.oracle import PhantomOracle
from chexjax.judges.overlap import Bleu, CocoBleu, Rouge
from chexjax.judges.profile import error_profile
from chexjax.judges.registry import (
    JUDGES,
    LABELERS,
    JudgeSettings,
    build,
    build_labeler,
    identity,
)
from chexjax.judges.remote import JudgeError

__all__ = [
    "JUDGES",
    "LABELERS",
    "BertScoreConfig",
    "Bleu",
    "CocoBleu",
    "Green",
    "GreenConfig",
    "Judge",
    "JudgeError",
    "JudgeSettings",
    "Judgement",
    "Labeling",
    "LengthControlled",
    "PhantomOracle",
    "Rouge",
    "build",
    "build_labeler",
    "error_profile",
    "identity",
    "length_controlled",
    "parse_judgement",
    "uncontrolled",
]

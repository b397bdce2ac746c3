"""Judges: a reference and a candidate in, a score with its reasons out."""

from __future__ import annotations

from chexjax.judges.answer import parse_judgement
from chexjax.judges.base import Judge, Judgement
from chexjax.judges.green import Green, GreenConfig
from chexjax.judges.label_judge import Labeling
from chexjax.judges.length import LengthControlled, length_controlled
from chexjax.judges.oracle import PhantomOracle
from chexjax.judges.overlap import Bleu, RougeL
from chexjax.judges.profile import error_profile
from chexjax.judges.registry import (
    JUDGES,
    LABELERS,
    JudgeSettings,
    build,
    build_labeler,
    files,
    uncontrolled,
)
from chexjax.judges.remote import JudgeError

__all__ = [
    "JUDGES",
    "LABELERS",
    "Bleu",
    "Green",
    "GreenConfig",
    "Judge",
    "JudgeError",
    "JudgeSettings",
    "Judgement",
    "Labeling",
    "LengthControlled",
    "PhantomOracle",
    "RougeL",
    "build",
    "build_labeler",
    "error_profile",
    "files",
    "length_controlled",
    "parse_judgement",
    "uncontrolled",
]

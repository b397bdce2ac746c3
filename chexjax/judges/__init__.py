"""Judges: a reference and a candidate in, a score with its reasons out."""

from __future__ import annotations

from chexjax.judges.answer import parse_judgement
from chexjax.judges.base import Judge, Judgement
from chexjax.judges.bertscore import BertScoreConfig
from chexjax.judges.green import Green, GreenConfig
from chexjax.judges.length import LengthControlled, length_controlled, uncontrolled
from chexjax.judges.oracle import PhantomOracle
from chexjax.judges.overlap import Bleu, CocoBleu, Rouge
from chexjax.judges.profile import error_profile
from chexjax.judges.registry import JUDGES, JudgeSettings, build, identity
from chexjax.judges.remote import JudgeError

__all__ = [
    "JUDGES",
    "BertScoreConfig",
    "Bleu",
    "CocoBleu",
    "Green",
    "GreenConfig",
    "Judge",
    "JudgeError",
    "JudgeSettings",
    "Judgement",
    "LengthControlled",
    "PhantomOracle",
    "Rouge",
    "build",
    "error_profile",
    "identity",
    "length_controlled",
    "parse_judgement",
    "uncontrolled",
]

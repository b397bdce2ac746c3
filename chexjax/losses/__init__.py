"""Preference losses: pure functions of log-probabilities, one family a file."""

from __future__ import annotations

from chexjax.losses.apo import APODown, APOZero
from chexjax.losses.base import (
    CHOSEN,
    NEEDS,
    REJECTED,
    Metrics,
    Mismatched,
    PreferenceLoss,
    PromptTokens,
    Responses,
    Rows,
    margin,
    missing,
    pair_metrics,
    pair_rows,
)
from chexjax.losses.dpo import DPO, RobustDPO
from chexjax.losses.f_dpo import FDPO
from chexjax.losses.hinge import Hinge, SLiC
from chexjax.losses.ipo import IPO
from chexjax.losses.kto import KTO
from chexjax.losses.lc_dpo import LCDPO, LDDPO, LNDPO
from chexjax.losses.mixture import Mixture
from chexjax.losses.nll import NLL
from chexjax.losses.orpo import ORPO
from chexjax.losses.registry import LOSSES, build, choice, number, register
from chexjax.losses.simpo import CPO, SimPO

__all__ = [
    "CHOSEN",
    "CPO",
    "DPO",
    "FDPO",
    "IPO",
    "KTO",
    "LCDPO",
    "LDDPO",
    "LNDPO",
    "LOSSES",
    "NEEDS",
    "NLL",
    "ORPO",
    "REJECTED",
    "APODown",
    "APOZero",
    "Hinge",
    "Metrics",
    "Mismatched",
    "Mixture",
    "PreferenceLoss",
    "PromptTokens",
    "Responses",
    "RobustDPO",
    "Rows",
    "SLiC",
    "SimPO",
    "build",
    "choice",
    "margin",
    "missing",
    "number",
    "pair_metrics",
    "pair_rows",
    "register",
]

"""The engine: KV chains, sampling and continuous batching. It knows no judge and no trainer."""

from __future__ import annotations

from chexjax.engine.config import EngineConfig
from chexjax.engine.drafting import Likely
from chexjax.engine.engine import Engine
from chexjax.engine.request import Completion, Full, Images, Request, Stop, Written
from chexjax.engine.sampling import Sampler

__all__ = [
    "Completion",
    "Engine",
    "EngineConfig",
    "Full",
    "Images",
    "Likely",
    "Request",
    "Sampler",
    "Stop",
    "Written",
]

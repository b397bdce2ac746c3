"""The engine: KV chains, sampling and decoding. It knows no judge and no trainer."""

from __future__ import annotations

from chexjax.engine.generate import Generate, Generation, make_generate
from chexjax.engine.sampling import Sampler

__all__ = ["Generate", "Generation", "Sampler", "make_generate"]

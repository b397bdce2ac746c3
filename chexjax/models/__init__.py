"""Flax models, built from family specs."""

from __future__ import annotations

from chexjax.models.decoder import Cache
from chexjax.models.init import random_params
from chexjax.models.vlm import VLM, Prefix

__all__ = ["VLM", "Cache", "Prefix", "random_params"]

"""Flax models, built from family specs."""

from __future__ import annotations

from typing import Any

from chexjax.families import AnyFamily, DualFamily, EncoderFamily, Family, SpanFamily
from chexjax.models.block import REMAT
from chexjax.models.dual import DualEncoder
from chexjax.models.encoder import Encoder
from chexjax.models.init import random_params
from chexjax.models.lm import LanguageModel, Prefix
from chexjax.models.lora import LORA_TRAINED, LoRAConfig, add_lora, merge_lora
from chexjax.models.memory import KV, Memory
from chexjax.models.quantize import quantize_int8
from chexjax.models.spans import SpanModel, SpanScores
from chexjax.models.vlm import VLM

__all__ = [
    "KV",
    "LORA_TRAINED",
    "REMAT",
    "VLM",
    "DualEncoder",
    "Encoder",
    "LanguageModel",
    "LoRAConfig",
    "Memory",
    "Prefix",
    "SpanModel",
    "SpanScores",
    "add_lora",
    "merge_lora",
    "model_class",
    "quantize_int8",
    "random_params",
]


def model_class(family: AnyFamily) -> Any:
    """The class that a family's model is of; it has a constructor and `abstract`."""
    if isinstance(family, EncoderFamily):
        return Encoder
    if isinstance(family, DualFamily):
        return DualEncoder
    if isinstance(family, SpanFamily):
        return SpanModel
    return VLM if isinstance(family, Family) else LanguageModel

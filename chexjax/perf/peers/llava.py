"""The policy of the work as transformers' LLaVA (extra `bench`)."""

from __future__ import annotations

import numpy as np
import torch
import transformers
from torch import Tensor

from chexjax.perf import work as work_of
from chexjax.perf.work import Work

IMAGE = 4
"""Id of a visual token; no text of the work has it."""


def make_model(work: Work) -> transformers.LlavaForConditionalGeneration:
    """The policy of a size with random numbers, its tower frozen."""
    layers, width, heads, size, patch = work.vision
    depth, inner, count, rotary = work.decoder
    vision = transformers.SiglipVisionConfig(
        num_hidden_layers=layers,
        hidden_size=width,
        intermediate_size=4 * width,
        num_attention_heads=heads,
        image_size=size,
        patch_size=patch,
        vision_use_head=False,
    )
    share = (rotary + 0.5) / (inner // count)  # transformers rounds its product down
    text = transformers.PhiConfig(
        vocab_size=work_of.VOCABULARY,
        hidden_size=inner,
        intermediate_size=4 * inner,
        num_hidden_layers=depth,
        num_attention_heads=count,
        max_position_embeddings=4096,
        rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": share},
    )
    config = transformers.LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=IMAGE,
        image_seq_length=work.visual,
        vision_feature_layer=-1,  # of SigLIP's, the one before the last norm
        vision_feature_select_strategy="full",
    )
    model = transformers.LlavaForConditionalGeneration(config)
    model.model.vision_tower.requires_grad_(False)
    return model


def pixels(images: np.ndarray) -> Tensor:
    """Images as the tower reads them, `u8[B, S, S, 3] -> f32[B, 3, S, S]`."""
    return (torch.tensor(images.transpose(0, 3, 1, 2)).float() / 255 - 0.5) / 0.5

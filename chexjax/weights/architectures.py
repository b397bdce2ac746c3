"""The fields that transformers gives each architecture's config, from a family's spec.

All that says what a model computes is written, defaults too: they change between versions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from chexjax.families import (
    BlockSpec,
    DualFamily,
    EncoderFamily,
    EncoderSpec,
    Family,
    MLPSpec,
    TextFamily,
)

Config = dict[str, Any]


def _size(block: BlockSpec, layers: int) -> Config:
    return {
        "num_hidden_layers": layers,
        "hidden_size": block.width,
        "intermediate_size": block.mlp,
        "num_attention_heads": block.heads,
    }


# Decoders.


def _decoder(family: TextFamily) -> Config:
    spec = family.decoder
    return {
        "vocab_size": spec.vocabulary,
        **_size(spec.block, spec.layers),
        "max_position_embeddings": spec.context,
        "tie_word_embeddings": spec.head == "tied",
        **_rope(spec.block),
    }


def _rope(block: BlockSpec) -> Config:
    part = block.rotary / block.head
    rope = {"rope_type": "default", "rope_theta": block.theta, "partial_rotary_factor": part}
    return {"rope_parameters": rope}


def _mistral(family: TextFamily) -> Config:
    block = family.decoder.block
    return _decoder(family) | {
        "num_key_value_heads": block.kv_heads or block.heads,
        "head_dim": block.head,
        "rms_norm_eps": block.epsilon,
        "hidden_act": "silu",
        "sliding_window": block.window,
    }


def _llama(family: TextFamily) -> Config:
    fields = _mistral(family)
    del fields["sliding_window"]
    return fields | {"attention_bias": False, "mlp_bias": False}


def _phi(family: TextFamily) -> Config:
    block = family.decoder.block
    return _decoder(family) | {
        "num_key_value_heads": block.kv_heads or block.heads,
        "layer_norm_eps": block.epsilon,
        "hidden_act": "gelu_new",
        "qk_layernorm": False,
    }


def _gpt_neox(family: TextFamily) -> Config:
    return _decoder(family) | {
        "layer_norm_eps": family.decoder.block.epsilon,
        "hidden_act": "gelu",
        "use_parallel_residual": True,
        "attention_bias": True,
    }


# What a policy has in front of its decoder; no architecture of transformers, so names are ours.


def pictures(family: Family) -> Config:
    """Fields of a policy's tower, connector and pixels."""
    vision, connector = family.vision, family.connector
    bridge = (
        {"hidden_size": connector.hidden}
        if isinstance(connector, MLPSpec)
        else {**_tower(connector.block, connector.layers), "num_query_tokens": connector.queries}
    )
    return {
        "vision_config": {
            **_tower(vision.block, vision.layers),
            "image_size": vision.size,
            "patch_size": vision.patch,
            "num_channels": vision.channels,
            "image_mean": family.image.mean,
            "image_std": family.image.std,
        },
        "connector_config": bridge,
        "num_max_images": family.max_images,
    }


# Encoders.


def _encoder(spec: EncoderSpec) -> Config:
    return {
        "vocab_size": spec.vocabulary,
        "max_position_embeddings": spec.positions,
        **_tower(spec.block, spec.layers),
    }


def _tower(block: BlockSpec, layers: int) -> Config:
    activation = {"gelu": "gelu", "gelu_tanh": "gelu_pytorch_tanh"}[block.activation]
    size = _size(block, layers)
    return {**size, "hidden_act": activation, "layer_norm_eps": block.epsilon}


def _bert(family: EncoderFamily) -> Config:
    return _encoder(family.encoder) | {"type_vocab_size": family.encoder.types}


def _roberta(family: EncoderFamily) -> Config:
    # Its positions count from behind the id of padding.
    return _bert(family) | {"pad_token_id": family.encoder.offset - 1}


DISTILBERT = {
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "hidden_size": "dim",
    "intermediate_size": "hidden_dim",
    "hidden_act": "activation",
}
"""Fields of BERT by what DistilBERT calls them."""


def _distilbert(family: EncoderFamily) -> Config:
    fields = _encoder(family.encoder)
    del fields["layer_norm_eps"]  # written into its code: 1e-12
    renamed = {DISTILBERT.get(field, field): value for field, value in fields.items()}
    return renamed | {"sinusoidal_pos_embds": False}


def _siglip(family: DualFamily) -> Config:
    vision, text = family.vision, family.text
    return {
        "text_config": {
            "model_type": "siglip_text_model",
            **_encoder(text),
            "projection_size": text.heads[0],
        },
        "vision_config": {
            "model_type": "siglip_vision_model",
            **_tower(vision.block, vision.layers),
            "image_size": vision.size,
            "patch_size": vision.patch,
            "num_channels": vision.channels,
            "vision_use_head": vision.pooled,
        },
    }


ARCHITECTURES: Mapping[str, tuple[str, Callable[[Any], Config]]] = {
    "llama": ("LlamaForCausalLM", _llama),
    "mistral": ("MistralForCausalLM", _mistral),
    "phi": ("PhiForCausalLM", _phi),
    "gpt_neox": ("GPTNeoXForCausalLM", _gpt_neox),
    "bert": ("BertModel", _bert),
    "roberta": ("RobertaModel", _roberta),
    "distilbert": ("DistilBertModel", _distilbert),
    "siglip": ("SiglipModel", _siglip),
}
"""transformers' class and the config's fields, by model type."""

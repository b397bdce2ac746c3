"""What Hugging Face's `config.json` says of a language model, written and checked."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from chexjax.families import BlockSpec, DecoderSpec, TextFamily
from chexjax.weights.store import CheckpointError

Config = dict[str, Any]


def describe(family: TextFamily, dtype: str) -> Config:
    """The config of a family's language model, parameters stored as `dtype`.

    Raises:
      ValueError: transformers has no such architecture.
    """
    if family.model_type not in _WRITERS:
        raise ValueError(f"{family.name} has no architecture of transformers; cannot describe it")
    architecture, write = _WRITERS[family.model_type]
    spec = family.decoder
    return {
        "architectures": [architecture],
        "model_type": family.model_type,
        "dtype": dtype,
        **_common(spec),
        **write(spec.block),
    }


def check_config(folder: Path, family: TextFamily) -> None:
    """Compares a checkpoint's `config.json`, where there is one, with a family.

    Raises:
      CheckpointError: the file is unreadable or contradicts the family; names the fields.
    """
    file = folder / "config.json"
    if not file.is_file() or family.model_type not in _WRITERS:
        return
    try:
        stored = json.loads(file.read_text())
    except ValueError as error:
        raise CheckpointError(f"{file} is no JSON; fetch it again") from error
    ours = describe(family, "float32")
    fields = [f for f in ours if f not in _NOT_SHAPES and stored.get(f) is not None]
    wrong = [f"{f} {stored[f]!r}, not {ours[f]!r}" for f in fields if stored[f] != ours[f]]
    if wrong:
        raise CheckpointError(
            f"{file} contradicts the preset {family.name}: {'; '.join(wrong)}; give the preset "
            "that it belongs to"
        )


# How far a model may be used, and how it is stored, are no part of what it computes.
_NOT_SHAPES = ("architectures", "dtype", "max_position_embeddings", "rope_parameters")


def _common(spec: DecoderSpec) -> Config:
    return {
        "vocab_size": spec.vocabulary,
        "num_hidden_layers": spec.layers,
        "hidden_size": spec.block.width,
        "intermediate_size": spec.block.mlp,
        "num_attention_heads": spec.block.heads,
        "max_position_embeddings": spec.context,
        "tie_word_embeddings": spec.head == "tied",
    }


def _rope(block: BlockSpec) -> Config:
    rope: Config = {"rope_type": "default", "rope_theta": block.theta}
    if block.rotary != block.head:
        rope["partial_rotary_factor"] = block.rotary / block.head
    return {"rope_parameters": rope}


def _llama(block: BlockSpec) -> Config:
    return {
        "num_key_value_heads": block.kv_heads or block.heads,
        "head_dim": block.head,
        "rms_norm_eps": block.epsilon,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        **_rope(block),
    }


def _mistral(block: BlockSpec) -> Config:
    fields = _llama(block)
    del fields["attention_bias"], fields["mlp_bias"]
    return fields | {"sliding_window": block.window}


def _phi(block: BlockSpec) -> Config:
    return {
        "num_key_value_heads": block.kv_heads or block.heads,
        "layer_norm_eps": block.epsilon,
        "hidden_act": "gelu_new",
        "qk_layernorm": False,
        **_rope(block),
    }


def _gpt_neox(block: BlockSpec) -> Config:
    return {
        "layer_norm_eps": block.epsilon,
        "hidden_act": "gelu",
        "use_parallel_residual": True,
        "attention_bias": True,
        **_rope(block),
    }


_WRITERS: Mapping[str, tuple[str, Callable[[BlockSpec], Config]]] = {
    "llama": ("LlamaForCausalLM", _llama),
    "mistral": ("MistralForCausalLM", _mistral),
    "phi": ("PhiForCausalLM", _phi),
    "gpt_neox": ("GPTNeoXForCausalLM", _gpt_neox),
}

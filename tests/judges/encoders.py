"""Encoder folders for tests, small enough to be worked out by hand."""

import json

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

_SIGNS = np.array([[(-1) ** bin(i & j).count("1") for j in range(8)] for i in range(8)], np.float32)
WORDS = {
    "[PAD]": _SIGNS[1],
    "[CLS]": _SIGNS[1],
    "[SEP]": _SIGNS[2],
    "[UNK]": _SIGNS[3],
    "heart": _SIGNS[4],
    "lungs": _SIGNS[5],
    "clear": _SIGNS[6],
    "bright": (_SIGNS[6] * 3 + _SIGNS[7] * 4) / 5,
}
"""Words whose vectors are orthogonal, but for one that has a cosine of 0.6 with another."""


def word_encoder(folder, positions=16):
    """A BERT of one layer that adds nothing, so that a word's hidden state is its vector."""
    folder.mkdir()
    tokenizer = Tokenizer(models.WordLevel({w: k for k, w in enumerate(WORDS)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    special = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    _json(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast", **special)
    _json(
        folder / "config.json",
        model_type="bert",
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        vocab_size=len(WORDS),
        max_position_embeddings=positions,
        type_vocab_size=2,
        layer_norm_eps=1e-12,
        hidden_act="gelu",
    )
    save_file(_tensors(positions), folder / "model.safetensors")
    return folder


def _tensors(positions):
    """All zero but the words and the scales of norms."""
    layer = "encoder.layer.0"
    shapes = {
        "embeddings.position_embeddings.weight": (positions, 8),
        "embeddings.token_type_embeddings.weight": (2, 8),
        f"{layer}.intermediate.dense.weight": (32, 8),
        f"{layer}.intermediate.dense.bias": (32,),
        f"{layer}.output.dense.weight": (8, 32),
        f"{layer}.output.dense.bias": (8,),
    }
    for name in ("self.query", "self.key", "self.value", "output.dense"):
        shapes[f"{layer}.attention.{name}.weight"] = (8, 8)
        shapes[f"{layer}.attention.{name}.bias"] = (8,)
    found = {key: np.zeros(shape, np.float32) for key, shape in shapes.items()}
    for name in ("embeddings", f"{layer}.attention.output", f"{layer}.output"):
        found[f"{name}.LayerNorm.weight"] = np.ones(8, np.float32)
        found[f"{name}.LayerNorm.bias"] = np.zeros(8, np.float32)
    return found | {"embeddings.word_embeddings.weight": np.stack(list(WORDS.values()))}


def _json(file, **fields):
    file.write_text(json.dumps(fields), "utf-8")

"""The judge's checkpoint in llama.cpp's format, float32 (extra `gguf`)."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np

from chexjax.families import TextFamily
from chexjax.weights import Store


def write_gguf(folder: Path, family: TextFamily) -> Path:
    """Writes `model.gguf` beside a checkpoint of LLaMA's shape, without any tokenizer."""
    spec = family.decoder
    block = spec.block
    file = folder / "model.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(spec.context)
    writer.add_embedding_length(block.width)
    writer.add_block_count(spec.layers)
    writer.add_feed_forward_length(block.mlp)
    writer.add_head_count(block.heads)
    writer.add_head_count_kv(block.kv_heads or block.heads)
    writer.add_layer_norm_rms_eps(block.epsilon)
    writer.add_rope_dimension_count(block.rotary)
    writer.add_rope_freq_base(block.theta)
    writer.add_vocab_size(spec.vocabulary)
    writer.add_tokenizer_model("no_vocab")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, spec.layers)
    heads = {"q_proj.weight": block.heads, "k_proj.weight": block.kv_heads or block.heads}
    for key, stored in Store(folder).items():
        count = heads.get(key.split("self_attn.")[-1])
        rows = stored.array() if count is None else _pairs(stored.array(), count)
        name = names.get_name(key, (".weight",))
        assert name  # of every tensor of a LLaMA
        writer.add_tensor(name, rows)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def _pairs(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head from two rotary halves to llama.cpp's pairs, (0, h), (1, h + 1) ..."""
    halves = rows.reshape(heads, 2, -1, rows.shape[1])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows.shape))

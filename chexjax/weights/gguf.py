"""A LLaMA in a GGUF file, llama.cpp's format, as a checkpoint in float32 under Hugging Face's keys.

The library `gguf` (the extra of the same name) reads the file, names its tensors and dequantises
them; here they are checked, and the rotary halves of queries and keys are put back.
"""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import numpy as np

from chexjax.families import AnyFamily, DecoderSpec, TextFamily
from chexjax.weights.store import Checkpoint, CheckpointError, Stored

SUFFIX = ".gguf"

_ARCHITECTURE = "llama"
_MODEL_TYPES = ("llama", "mistral")
"""What transformers calls the models that llama.cpp all calls `llama`."""


@dataclasses.dataclass(frozen=True)
class Quantised:
    """One tensor, dequantised as a whole whenever it is read.

    Attributes:
      shape: Of the dequantised tensor.
      blocks: As stored, mapped pages of the file; rows of blocks where it is quantised.
      kind: The library's name of how it is quantised.
      heads: Heads whose rows are interleaved for llama.cpp's rotary embedding; 0 for none.
    """

    shape: tuple[int, ...]
    blocks: np.ndarray
    kind: Any
    heads: int = 0

    @property
    def dtype(self) -> np.dtype:
        """Of the dequantised tensor."""
        return np.dtype(np.float32)

    def array(self) -> np.ndarray:
        """The dequantised numbers; those of F32 are mapped pages of the file."""
        rows = _halves(self.blocks, self.heads) if self.heads else self.blocks
        return _library().quants.dequantize(rows, self.kind)


def read_gguf(file: Path, family: AnyFamily) -> Checkpoint:
    """The tensors of a GGUF file.

    Args:
      file: One that llama.cpp's converters wrote, in whatever quantisation.
      family: What it is a checkpoint of: a language model of LLaMA's architecture.

    Raises:
      CheckpointError: it is no such file, is cut short, contradicts the family, or has a type
        that cannot be dequantised.
      ImportError: the library is not installed.
    """
    if not isinstance(family, TextFamily) or family.model_type not in _MODEL_TYPES:
        raise CheckpointError(
            f"{file}: of GGUF files only LLaMA's language models are read, and {family.name} is "
            "none; give its safetensors checkpoint"
        )
    reader = _open(file)
    _check(file, reader, family)
    keys = _keys(family)
    return Checkpoint(
        file,
        {keys.get(t.name, t.name): _tensor(file, t, family.decoder) for t in reader.tensors},
    )


def _library() -> Any:
    try:
        return importlib.import_module("gguf")
    except ImportError as error:
        raise ImportError("GGUF files are read with: pip install 'chexjax[gguf]'") from error


def _open(file: Path) -> Any:
    library = _library()
    if not file.is_file():
        raise CheckpointError(f"{file} does not exist; give a .gguf file")
    with open(file, "rb") as opened:
        if opened.read(4) != b"GGUF":
            raise CheckpointError(f"{file} is no GGUF file; fetch it again")
    try:
        reader = library.GGUFReader(file)
    # What the library raises depends on where the bytes end or stop making sense.
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise CheckpointError(
            f"{file} was cut short or damaged, or is newer than the library ({error}); fetch it "
            "again, or upgrade gguf"
        ) from error
    if reader.byte_order != "I":
        raise CheckpointError(f"{file} has the byte order of another machine; convert it for here")
    return reader


def _check(file: Path, reader: Any, family: TextFamily) -> None:
    architecture = _field(reader, "general.architecture")
    if architecture != _ARCHITECTURE:
        raise CheckpointError(
            f"{file}: general.architecture is {architecture!r}, not {_ARCHITECTURE!r}, the only "
            "one that is read; fetch the model's safetensors checkpoint"
        )
    wrong = []
    for name, ours, absent in _expected(family.decoder):
        field = f"{_ARCHITECTURE}.{name}"
        stored = _field(reader, field, absent)
        # Files have float32, where our 1e-5 is another number.
        if stored != (float(np.float32(ours)) if isinstance(ours, float) else ours):
            wrong.append(f"{field} {stored!r}, not {ours!r}")
    if wrong:
        raise CheckpointError(
            f"{file} contradicts the preset {family.name}: {'; '.join(wrong)}; give the preset "
            "that it belongs to"
        )


def _field(reader: Any, name: str, absent: Any = None) -> Any:
    field = reader.get_field(name)
    return absent if field is None else field.contents()


def _expected(spec: DecoderSpec) -> tuple[tuple[str, Any, Any], ...]:
    """(field, the value that it must have, what llama.cpp takes where it is absent)."""
    block = spec.block
    return (
        ("block_count", spec.layers, None),
        ("embedding_length", block.width, None),
        ("feed_forward_length", block.mlp, None),
        ("vocab_size", spec.vocabulary, spec.vocabulary),
        ("attention.head_count", block.heads, None),
        ("attention.head_count_kv", block.kv_heads or block.heads, block.heads),
        ("attention.key_length", block.head, block.head),
        ("attention.layer_norm_rms_epsilon", block.epsilon, None),
        ("rope.dimension_count", block.rotary, block.head),
        ("rope.freq_base", block.theta, 10_000.0),
        ("rope.scaling.type", "none", "none"),
        ("rope.scale_linear", 1.0, 1.0),
    )


def _keys(family: TextFamily) -> dict[str, str]:
    """Hugging Face's key of each of llama.cpp's names; of its other names nobody knows one."""
    library, layers = _library(), range(family.decoder.layers)
    table = library.get_tensor_name_map(library.MODEL_ARCH.LLAMA, len(layers))
    modules = (theirs.replace("*", str(k)) for _, theirs in family.names.modules for k in layers)
    keys = {f"{module}.weight" for module in modules}
    return {table.get_name(key, (".weight",)): key for key in keys}


def _tensor(file: Path, tensor: Any, spec: DecoderSpec) -> Stored:
    library = _library()
    size = library.GGML_QUANT_SIZES[tensor.tensor_type][1]
    try:  # one block: the library has no list of what it can dequantise
        library.quants.dequantize(np.zeros((1, size), np.uint8), tensor.tensor_type)
    except NotImplementedError as error:
        raise CheckpointError(
            f"{file}: {tensor.name} is of type {tensor.tensor_type.name}, which cannot be "
            "dequantised; convert the model to F16 or Q8_0"
        ) from error
    heads = 0
    if tensor.name.endswith(".attn_q.weight"):
        heads = spec.block.heads
    elif tensor.name.endswith(".attn_k.weight"):
        heads = spec.block.kv_heads or spec.block.heads
    shape = tuple(int(n) for n in reversed(tensor.shape))
    return Quantised(shape, tensor.data, tensor.tensor_type, heads)


def _halves(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of each head from llama.cpp's rotary pairs, (0, h), (1, h + 1) ..., to two halves."""
    pairs = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)

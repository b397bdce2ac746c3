"""A GGUF file is the same model as the safetensors checkpoint that it was made of."""

import dataclasses
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import save_file

from chexjax.families import EncoderFamily, preset
from chexjax.families.llama import llama
from chexjax.mesh import MeshConfig, make_mesh
from chexjax.models import Prefix
from chexjax.testing import assert_close
from chexjax.weights import CheckpointError, load_model, read_gguf

gguf = pytest.importorskip("gguf", reason="the extra gguf is not installed")
Kind = gguf.GGMLQuantizationType

TINY = llama(
    "tiny",
    layers=2,
    width=64,
    heads=4,
    kv_heads=2,
    mlp=96,
    vocabulary=128,
    context=32,
    theta=50_000.0,
)
FIELDS = {
    "llama.block_count": 2,
    "llama.embedding_length": 64,
    "llama.feed_forward_length": 96,
    "llama.vocab_size": 128,
    "llama.attention.head_count": 4,
    "llama.attention.head_count_kv": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
    "llama.rope.dimension_count": 16,
    "llama.rope.freq_base": 50_000.0,
}
TENSORS = {
    "model.embed_tokens": ("token_embd", (128, 64)),
    "model.norm": ("output_norm", (64,)),
    "lm_head": ("output", (128, 64)),
}
for k in range(2):
    TENSORS |= {
        f"model.layers.{k}.input_layernorm": (f"blk.{k}.attn_norm", (64,)),
        f"model.layers.{k}.self_attn.q_proj": (f"blk.{k}.attn_q", (64, 64)),
        f"model.layers.{k}.self_attn.k_proj": (f"blk.{k}.attn_k", (32, 64)),
        f"model.layers.{k}.self_attn.v_proj": (f"blk.{k}.attn_v", (32, 64)),
        f"model.layers.{k}.self_attn.o_proj": (f"blk.{k}.attn_output", (64, 64)),
        f"model.layers.{k}.post_attention_layernorm": (f"blk.{k}.ffn_norm", (64,)),
        f"model.layers.{k}.mlp.gate_proj": (f"blk.{k}.ffn_gate", (96, 64)),
        f"model.layers.{k}.mlp.up_proj": (f"blk.{k}.ffn_up", (96, 64)),
        f"model.layers.{k}.mlp.down_proj": (f"blk.{k}.ffn_down", (64, 96)),
    }
HEADS = {"attn_q": 4, "attn_k": 2}


def weights():
    """The model in Hugging Face's layout."""
    rng = np.random.default_rng(0)
    return {
        f"{key}.weight": rng.standard_normal(shape).astype(np.float32) / 8
        for key, (_, shape) in TENSORS.items()
    }


def interleaved(weight, heads):
    """What llama.cpp's converter does to the rows of queries and of keys."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def quantised(weight, kind):
    """As converters do, with norms left as they are."""
    kind = kind if weight.ndim == 2 else Kind.F32
    return gguf.quants.quantize(weight, kind), kind


def converted(kind):
    """The model in llama.cpp's layout."""
    tensors = {}
    for (name, _), weight in zip(TENSORS.values(), weights().values(), strict=True):
        heads = HEADS.get(name.split(".")[-1])
        weight = interleaved(weight, heads) if heads else weight
        tensors[f"{name}.weight"] = quantised(weight, kind)
    return tensors


def write(file, kind=Kind.F32, *, fields=FIELDS, architecture="llama", tensors=None, **options):
    writer = gguf.GGUFWriter(file, architecture, **options)
    adders = {int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    for field, value in fields.items():
        adders[type(value)](field, value)
    writer.add_token_list([f"token {k}" for k in range(128)])
    for name, (weight, stored) in (tensors or converted(kind)).items():
        writer.add_tensor(name, weight, raw_dtype=stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def loaded(path, family=TINY):
    return load_model(path, family, mesh=make_mesh(MeshConfig()))


def refused(path, *words, family=TINY):
    with pytest.raises(CheckpointError) as caught:
        loaded(path, family)
    for word in (path.name, *words):
        assert word in str(caught.value)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "x.gguf"


@pytest.mark.parametrize(
    "kind", [Kind.F32, Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_1], ids=lambda kind: kind.name
)
def test_every_row_is_the_dequantised_one_of_the_original(file, kind):
    originals, read = weights(), read_gguf(write(file, kind), TINY)
    assert set(read) == set(originals)
    for key, original in originals.items():
        rounded = gguf.quants.dequantize(*quantised(original, kind))
        assert (read[key].shape, read[key].dtype) == (original.shape, np.float32)
        np.testing.assert_array_equal(read[key].array(), rounded)


@pytest.mark.parametrize("model_type", ["llama", "mistral"])
def test_logits_are_those_of_the_safetensors_checkpoint(file, tmp_path, model_type):
    family = dataclasses.replace(TINY, model_type=model_type)
    save_file(weights(), tmp_path / "model.safetensors")
    ids = jnp.asarray(np.random.default_rng(1).integers(0, 128, (2, 1, 9)), jnp.int32)

    @nnx.jit
    def written(model):
        prefix = Prefix(tokens=ids[:, 0, :3], valid=jnp.ones((2, 3), bool))
        rest = ids[:, :, 3:]
        return model.logits(model.score(prefix, rest, jnp.ones(rest.shape, bool)))

    of_gguf, of_safetensors = (
        written(loaded(path, family)) for path in (write(file), tmp_path / "model.safetensors")
    )
    assert_close(of_gguf, of_safetensors, rtol=0)


def test_a_tied_head_is_not_stored(file):
    family = dataclasses.replace(TINY, decoder=dataclasses.replace(TINY.decoder, head="tied"))
    tensors = converted(Kind.F32)
    refused(write(file, tensors=tensors), "1 are unknown: lm_head.weight", family=family)
    del tensors["output.weight"]
    embedding = loaded(write(file, tensors=tensors), family).decoder.embed.embedding[...]
    np.testing.assert_array_equal(embedding, weights()["model.embed_tokens.weight"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("llama.block_count", 3),
        ("llama.embedding_length", 32),
        ("llama.feed_forward_length", 64),
        ("llama.vocab_size", 64),
        ("llama.attention.head_count", 8),
        ("llama.attention.head_count_kv", 4),
        ("llama.attention.layer_norm_rms_epsilon", 0.5),
        ("llama.rope.freq_base", 10_000.0),
        ("llama.rope.scaling.type", "linear"),
    ],
)
def test_a_field_that_contradicts_the_preset_is_named(file, field, value):
    ours = FIELDS.get(field, "none")
    words = f"the preset tiny: {field} {value!r}, not {ours!r}; give the preset"
    refused(write(file, fields=FIELDS | {field: value}), words)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        # Where llama.cpp has a default, the file means that.
        ("llama.rope.freq_base", "llama.rope.freq_base 10000.0, not 50000.0"),
        ("llama.attention.head_count_kv", "llama.attention.head_count_kv 4, not 2"),
        ("llama.block_count", "llama.block_count None, not 2"),
    ],
)
def test_a_field_that_is_absent_says_what_llama_cpp_takes_for_it(file, field, words):
    fields = {name: value for name, value in FIELDS.items() if name != field}
    refused(write(file, fields=fields), words)


def test_another_architecture_is_refused(file):
    refused(write(file, architecture="qwen2"), "general.architecture is 'qwen2'", "safetensors")


def test_what_is_no_llama_here_is_refused(file):
    write(file)
    refused(file, "minilm_l6", family=preset("minilm_l6", EncoderFamily))
    refused(file, "tiny", family=dataclasses.replace(TINY, model_type="phi"))


def test_tensors_without_a_place_are_named(file):
    tensors = converted(Kind.F32)
    tensors["rope_freqs.weight"] = (np.ones(8, np.float32), Kind.F32)
    tensors["blk.0.ffn_up.weight"] = (np.ones((32, 64), np.float32), Kind.F32)
    del tensors["blk.1.attn_q.weight"]
    refused(
        write(file, tensors=tensors),
        "1 are missing: model.layers.1.self_attn.q_proj.weight",
        "1 are unknown: rope_freqs.weight",
        "1 have another shape: model.layers.0.mlp.up_proj.weight [32, 64], not [96, 64]",
    )


def test_queries_that_do_not_fit_their_heads_are_named(file):
    tensors = converted(Kind.F32)
    tensors["blk.0.attn_q.weight"] = (np.ones((63, 64), np.float32), Kind.F32)
    refused(write(file, tensors=tensors), "self_attn.q_proj.weight [63, 64], not [64, 64]")


def test_a_type_that_cannot_be_dequantised_is_named(file):
    tensors = converted(Kind.F32)
    tensors["output_norm.weight"] = (np.ones(64, np.int32), Kind.I32)
    refused(write(file, tensors=tensors), "output_norm.weight is of type I32", "Q8_0")


def test_a_file_that_is_cut_short_is_named_wherever_it_ends(file):
    content = write(file).read_bytes()
    for end in (4, 5, 23, 24, 100, 1000, 3000, 5000, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:end])
        refused(file, "cut short", "fetch it again")


@pytest.mark.parametrize("content", [b"", b"GGU", b"\x80\x04pickle"])
def test_what_is_no_gguf_file_is_refused(file, content):
    file.write_bytes(content)
    refused(file, "no GGUF file")


def test_a_file_of_the_other_byte_order_is_refused(file):
    refused(write(file, endianess=gguf.GGUFEndian.BIG), "byte order")


def test_a_file_that_is_not_there_is_named(file):
    refused(file, "does not exist")


def test_a_folder_with_a_gguf_file_says_to_give_the_file(file):
    write(file)
    refused(file.parent, "x.gguf", "give the file")


def test_without_the_library_the_extra_is_named(file, monkeypatch):
    write(file)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ImportError, match=r"pip install 'chexjax\[gguf\]'"):
        loaded(file)

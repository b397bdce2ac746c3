"""The figures that a user plans with, against those of the published checkpoints."""

import jax.numpy as jnp
import pytest

from chexjax.families import DualFamily, EncoderFamily, TextFamily, preset
from chexjax.mesh import MeshConfig
from chexjax.perf.inventory import take

ONE = MeshConfig(data=1)


def test_chexagent2_is_counted_as_it_is_stored():
    found = take(preset("chexagent2_3b", TextFamily), ONE, jnp.bfloat16)
    assert (found.tensors, found.numbers, found.unused) == (861, 3_140_746_752, 13)
    assert found.parts["decoder"] == 2_779_683_840
    assert found.parts["connector"] == 44_320_256
    assert sum(found.parts.values()) * 2 == found.per_device
    assert found.kv_per_token == 320 * 2**10


def test_chexagent_8b_is_counted_as_it_is_stored():
    found = take(preset("chexagent_8b", TextFamily), ONE, jnp.bfloat16)
    assert (found.tensors, found.numbers, found.unused) == (1_034, 8_362_401_664, 0)
    assert found.parts["vision"] == 1_012_283_776
    assert found.parts["connector"] == 105_137_664 + 98_304 + 3_149_824
    assert found.kv_per_token == 128 * 2**10


def test_chexbert_is_counted_as_it_is_stored():
    found = take(preset("chexbert", EncoderFamily), ONE, jnp.float32)
    assert found.numbers == 109_482_240 + 41_526
    assert (found.unused, found.kv_per_token) == (2, 0)


def test_xraysiglip_is_counted_as_it_is_stored():
    found = take(preset("xraysiglip_vitl16", DualFamily), ONE, jnp.float32)
    assert found.numbers == sum(found.parts.values()) == 652_937_218
    # The image tower, the text tower (16 a layer and 6 more), the logits' scale and bias.
    assert (found.tensors, found.unused, found.kv_per_token) == (400 + (24 * 16 + 6) + 2, 0, 0)
    assert found.parts["vision"] == 316_742_656


@pytest.mark.parametrize(
    ("name", "numbers", "kibibytes"),
    [("green_llama2_7b", 6_738_415_616, 512), ("mistral_7b", 7_241_732_096, 128)],
)
def test_judges_are_counted_as_they_are_stored(name, numbers, kibibytes):
    found = take(preset(name, TextFamily), ONE, jnp.bfloat16)
    assert found.numbers == sum(found.parts.values()) == numbers
    assert found.kv_per_token == kibibytes * 2**10


def test_devices_share_what_the_table_shards():
    family = preset("green_llama2_7b", TextFamily)
    one = take(family, ONE, jnp.float32).per_device
    eight = take(family, MeshConfig(data=1, fsdp=4, tensor=2), jnp.float32).per_device
    norms = 4 * 4096 * (2 * 32 + 1)
    assert eight == (one - norms) // 8 + norms


def test_what_devices_cannot_share_is_said():
    """A patch has 16 * 16 * 3 = 768 numbers, SigLIP 32 * 32 places; Phi-2 has 32 heads."""
    family = preset("chexagent2_3b", TextFamily)
    assert take(family, MeshConfig(data=8), jnp.float32).whole == {}
    assert take(family, MeshConfig(data=1, fsdp=8, tensor=4), jnp.float32).whole == {}
    whole = take(family, MeshConfig(data=1, tensor=64), jnp.float32).whole
    assert whole == {"decoder's keys and values": "32 heads over tensor=64"}
    mistral = take(preset("mistral_7b", TextFamily), MeshConfig(data=1, fsdp=3), jnp.float32).whole
    assert mistral["decoder/embed/embedding"] == "4096 over fsdp=3"
    assert "decoder/norm/scale" not in mistral

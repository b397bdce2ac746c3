"""Every key of a checkpoint has its place, and every number arrives in it."""

import dataclasses
import json
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from chexjax.families import Family, TextFamily, preset
from chexjax.mesh import MeshConfig, make_mesh, parameter_shardings, path_name
from chexjax.models import VLM, LanguageModel
from chexjax.testing import assert_close
from chexjax.weights import CheckpointError, Store, load, save
from chexjax.weights.config import check_config, describe
from chexjax.weights.names import slots
from chexjax.weights.store import INDEX, SINGLE

FULL = preset("chexagent2_3b", Family)
TINY = preset("chexagent2_nano", Family)
TINY = dataclasses.replace(TINY, vision=dataclasses.replace(TINY.vision, channels=3))


def flat(tree):
    return {path_name(p): leaf for p, leaf in jax.tree_util.tree_leaves_with_path(tree)}


def random_params(shapes, dtype=np.float32):
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: rng.standard_normal(x.shape).astype(dtype), shapes)


def read(folder, family=TINY, dtype=jnp.float32):
    _, shapes = VLM.abstract(family)
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype), shapes)
    places = parameter_shardings(shapes, family.sharding, make_mesh(MeshConfig()))
    return load(Store(folder), family.names, shapes, places)


@pytest.fixture
def checkpoint(tmp_path):
    """A folder in CheXagent-2's layout at toy size, and the parameters in it."""
    params = random_params(VLM.abstract(TINY)[1])
    save(tmp_path / "x", params, TINY.names, config={})
    return tmp_path / "x", params


def rewrite(folder, change):
    tensors = load_file(folder / SINGLE)
    change(tensors)
    save_file(tensors, folder / SINGLE)


def test_chexagent2_has_the_tensors_of_its_checkpoint():
    """861 stored tensors of 3,140,746,752 numbers, 13 of them never used."""
    found = slots(FULL.names, {k: x.shape for k, x in flat(VLM.abstract(FULL)[1]).items()})
    assert len({slot.key for slot in found}) == len(found) == 861 - 13
    shapes = {slot.key: slot.stored_shape for slot in found}
    unused = dict(FULL.names.unused)
    assert len(unused) == 13
    assert sum(map(math.prod, [*shapes.values(), *unused.values()])) == 3_140_746_752
    assert shapes["model.visual.model.embeddings.patch_embedding.weight"] == (1024, 3, 16, 16)
    assert shapes["model.visual.attn_pool.0.weight"] == (10240, 1024)
    assert shapes["model.visual.proj"] == (2560, 2560)
    assert shapes["model.layers.31.mlp.fc2.weight"] == (2560, 10240)
    assert shapes["lm_head.bias"] == (51200,)


@pytest.mark.parametrize(
    ("name", "tensors", "numbers"),
    [
        ("green_llama2_7b", 291, 6_738_415_616),
        ("green_phi2", 453, 2_779_683_840),
        ("mistral_7b", 291, 7_241_732_096),
        ("smollm2_135m", 272, 134_515_008),
        ("stories260k", 47, 260_032),
        ("dolly_v2_3b", 388, 2_775_086_080),
    ],
)
def test_language_models_have_the_tensors_of_their_checkpoints(name, tensors, numbers):
    family = preset(name, TextFamily)
    shapes = {k: x.shape for k, x in flat(LanguageModel.abstract(family)[1]).items()}
    found = slots(family.names, shapes, family.decoder.block.heads)
    stored = {slot.key: math.prod(slot.stored_shape) for slot in found}
    assert (len(stored), sum(stored.values())) == (tensors, numbers)


def test_what_is_saved_is_loaded(checkpoint):
    folder, params = checkpoint
    assert_close(read(folder), params, rtol=0)


def test_shards_hold_what_one_file_holds(checkpoint, tmp_path):
    folder, params = checkpoint
    save(tmp_path / "sharded", params, TINY.names, config={}, shard_bytes=100_000)
    index = json.loads((tmp_path / "sharded" / INDEX).read_text())
    assert len(set(index["weight_map"].values())) > 3
    whole = load_file(folder / SINGLE)
    assert index["metadata"]["total_size"] == sum(x.nbytes for x in whole.values())
    store = Store(tmp_path / "sharded")
    assert set(store) == set(whole)
    for key, tensor in whole.items():
        np.testing.assert_array_equal(store[key].array(), tensor)
    for shard in (tmp_path / "sharded").glob("*.safetensors"):
        assert shard.stat().st_size < 110_000


def test_numbers_arrive_in_the_dtype_that_is_asked_for(checkpoint):
    folder, params = checkpoint
    got = read(folder, dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(got)} == {jnp.dtype(jnp.bfloat16)}
    assert_close(got, jax.tree.map(lambda x: x.astype(jnp.bfloat16), params), rtol=0)


def test_half_precision_goes_out_and_comes_in_bit_by_bit(tmp_path):
    params = random_params(VLM.abstract(TINY)[1], jnp.bfloat16)
    save(tmp_path, params, TINY.names, config={})
    assert {t.dtype for t in Store(tmp_path).values()} == {np.dtype(jnp.bfloat16)}
    assert_close(read(tmp_path, dtype=jnp.bfloat16), params, rtol=0)


def test_known_and_unused_tensors_are_passed_over(checkpoint):
    folder, params = checkpoint
    rewrite(folder, lambda t: t.update({"model.visual.model.head.probe": np.ones((1, 1, 32))}))
    rewrite(folder, lambda t: t.update({"model.layers.0.rotary_emb.inv_freq": np.ones(2)}))
    assert_close(read(folder), params, rtol=0)


def test_every_wrong_key_is_listed(checkpoint):
    folder, _ = checkpoint

    def change(tensors):
        del tensors["model.layers.0.mlp.fc1.bias"]
        tensors["model.layers.7.mlp.fc1.bias"] = np.ones(3, np.float32)
        tensors["lm_head.bias"] = np.ones(3, np.float32)
        tensors["model.visual.pos_embed"] = np.ones((16, 32), np.int32)

    rewrite(folder, change)
    with pytest.raises(CheckpointError) as caught:
        read(folder)
    for words in (
        "1 are missing: model.layers.0.mlp.fc1.bias",
        "1 are unknown: model.layers.7.mlp.fc1.bias",
        "1 have another shape: lm_head.bias [3], not [768]",
        "1 are not floating-point numbers: model.visual.pos_embed",
        "preset",
    ):
        assert words in str(caught.value)


def test_a_checkpoint_is_never_written_over(checkpoint):
    folder, params = checkpoint
    with pytest.raises(FileExistsError, match="holds a checkpoint already"):
        save(folder, params, TINY.names, config={})


def test_a_config_that_contradicts_the_preset_is_named(tmp_path):
    family = preset("stories260k", TextFamily)
    config = describe(family, "float32")
    (tmp_path / "config.json").write_text(json.dumps(config))
    check_config(tmp_path, family)
    (tmp_path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 6}))
    with pytest.raises(
        CheckpointError,
        match="stories260k: num_hidden_layers 6, not 5",
    ):
        check_config(tmp_path, family)


def test_a_table_without_an_entry_is_an_error():
    with pytest.raises(ValueError, match="no entry for decoder/strange/kernel"):
        slots(TINY.names, {"decoder/strange/kernel": (2, 2)})

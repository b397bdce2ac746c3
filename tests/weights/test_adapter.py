"""Adapters on disk: what is written is read back, and what does not fit is refused by name."""

import json
import shutil

import jax
import numpy as np
import pytest
from flax import nnx
from safetensors.numpy import load_file, save_file

from chexjax.families import llama, neox
from chexjax.models import LanguageModel, LoRAConfig, add_lora, random_params
from chexjax.ops.linear import LoRA
from chexjax.weights import CheckpointError, load_adapter, save_adapter

FAMILY = llama.llama(
    "x", layers=3, width=32, heads=4, kv_heads=2, mlp=48, vocabulary=40, context=64
)
CONFIG = LoRAConfig(rank=2, alpha=6.0, targets=(r"/(query|value)$@1:", r"/fc2$@:1"))


def model_of(family=FAMILY):
    graph, shapes = LanguageModel.abstract(family)
    return nnx.merge(graph, random_params(shapes, layers=3, seed=0))


def adapted(family=FAMILY, config=CONFIG):
    model = model_of(family)
    add_lora(model, config, seed=1)
    for path, module in nnx.iter_modules(model):
        if isinstance(module, LoRA):
            rng = np.random.default_rng(len(str(path)))
            module.b[...] = rng.normal(size=module.b.shape).astype(np.float32)
    return model


@pytest.fixture
def folder(tmp_path):
    save_adapter(tmp_path / "adapter", adapted(), FAMILY.names, rank=2, alpha=6.0)
    return tmp_path / "adapter"


def products(model):
    """What each adapter adds to its kernel."""
    return {
        "/".join(map(str, path)): module.delta()
        for path, module in nnx.iter_modules(model)
        if isinstance(module, LoRA)
    }


def test_only_targets_are_stored_under_the_names_of_the_checkpoint(folder):
    shapes = {
        key: tensor.shape for key, tensor in load_file(folder / "adapter_model.safetensors").items()
    }
    root = "base_model.model.model.layers"
    assert shapes == {
        f"{root}.0.mlp.down_proj.lora_A.weight": (2, 48),
        f"{root}.0.mlp.down_proj.lora_B.weight": (32, 2),
        **{f"{root}.{k}.self_attn.{p}_proj.lora_A.weight": (2, 32) for k in (1, 2) for p in "qv"},
        **{f"{root}.{k}.self_attn.q_proj.lora_B.weight": (32, 2) for k in (1, 2)},
        **{f"{root}.{k}.self_attn.v_proj.lora_B.weight": (16, 2) for k in (1, 2)},
    }


def test_a_loaded_adapter_is_the_one_that_was_saved(folder):
    model = model_of()
    load_adapter(folder, model, FAMILY.names)
    jax.tree.map(np.testing.assert_array_equal, products(model), products(adapted()))


def test_an_adapter_on_packed_layers_cannot_be_told_apart(tmp_path):
    family = neox.neox("x", layers=3, width=32, heads=4, mlp=48, vocabulary=40, rotary=4)
    with pytest.raises(ValueError, match="query_key_value.weight is not stored as the one matrix"):
        save_adapter(tmp_path / "a", adapted(family), family.names, rank=2, alpha=6.0)


def change_config(folder, **fields):
    file = folder / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | fields))


def change_tensors(folder, change):
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


KEY = "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / "adapter_config.json").unlink(), "no readable adapter config"),
        (lambda f: (f / "adapter_model.safetensors").unlink(), "is not there or empty"),
        (lambda f: change_config(f, use_dora=True), "use_dora=True is no plain LoRA"),
        (lambda f: change_config(f, peft_type="IA3"), "a IA3 is no plain LoRA"),
        (lambda f: change_config(f, r=3), r"has the shape .2, 32., not .3, 32."),
        (lambda f: change_tensors(f, lambda t: t.pop(KEY)), f"lacks {KEY}"),
        (
            lambda f: change_tensors(f, lambda t: t.update(odd=t[KEY])),
            "1 tensors are of no linear layer of this model, such as odd",
        ),
    ],
)
def test_a_bad_adapter_is_refused_and_nothing_is_put_on(folder, tmp_path, damage, message):
    bad = shutil.copytree(folder, tmp_path / "bad")
    damage(bad)
    model = model_of()
    with pytest.raises(CheckpointError, match=message):
        load_adapter(bad, model, FAMILY.names)
    assert not products(model)
